"""The chats of the benchmark: their configs, conversations, replies and stream lines."""

from __future__ import annotations

import json
import random
from typing import Any, Final

KEY: Final = "sk-of-the-benchmark"
_SYSTEM: Final = ["Answer in one sentence."]
CONFIG: Final[dict[str, dict[str, Any]]] = {
    "openai": {
        "api_key": KEY,
        "base_url": "https://llm.example/v1/",
        "model": "gpt-4o-mini",
        "system": _SYSTEM,
        "temperature": 0.5,
    },
    "anthropic": {
        "api_key": KEY,
        "base_url": "https://llm.example/v1/",
        "model": "claude-3-5-haiku-latest",
        "max_tokens": 512,
        "system": " ".join(_SYSTEM),
    },
}
QUESTION: Final = "How tall is the Matterhorn, and who climbed it first?"
ANSWER: Final = "It is 4,478 m high; Edward Whymper's party climbed it first, in 1865."
REPLY: Final[dict[str, dict[str, Any]]] = {
    "openai": {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "created": 1_760_000_000,
        "model": "gpt-4o-mini",
        "choices": [
            {
                "index": 0,
                "message": {"role": "assistant", "content": ANSWER},
                "finish_reason": "stop",
            }
        ],
        "usage": {"prompt_tokens": 31, "completion_tokens": 24, "total_tokens": 55},
    },
    "anthropic": {
        "id": "msg_1",
        "type": "message",
        "role": "assistant",
        "model": "claude-3-5-haiku-latest",
        "content": [{"type": "text", "text": ANSWER}],
        "stop_reason": "end_turn",
        "stop_sequence": None,
        "usage": {"input_tokens": 31, "output_tokens": 24},
    },
}
CHUNK: Final[dict[str, Any]] = {
    "id": "chatcmpl-1",
    "object": "chat.completion.chunk",
    "created": 1_760_000_000,
    "model": "gpt-4o-mini",
    "choices": [{"index": 0, "delta": {"content": " Whymper"}, "finish_reason": None}],
}
LINE: Final = b"data: " + json.dumps(CHUNK).encode() + b"\n"
"""One line of openai's event stream, with a word in it."""
CASES: Final = {"short": "short chat", "long": "50 messages", "image": "1 MB image"}


def reply(provider: str) -> bytes:
    """The body of the answer to every chat."""
    return json.dumps(REPLY[provider]).encode()


def conversation(case: str) -> list[Any]:
    """The messages of a case, as `Provider.chat` takes them."""
    from fumehood.abi.messages import Message, assistant, image, user

    if case == "short":
        return [user(QUESTION)]
    if case == "image":
        picture = random.Random(7).randbytes(1_000_000)
        return [user("What is on this picture?", image(picture, "image/png"))]
    turns: list[Message] = []
    for number in range(25):
        turns += [user(f"{QUESTION} ({number})"), assistant(f"{ANSWER} ({number})")]
    return [*turns[:-1], user("And now?")]
