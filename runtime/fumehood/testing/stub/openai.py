"""The OpenAI side of the stub: chat, completions, embeddings, models, audio.

The answers are made up and say so; their *shapes* are those of the public API.
"""

from __future__ import annotations

import hashlib
import io
import json
import wave
from collections.abc import Iterator
from typing import Any, Final

from fumehood.testing.stub.replies import (
    SSE_TYPE,
    Reply,
    Routes,
    StubRequest,
    count,
    error_reply,
    event,
    json_reply,
    sample,
    words,
)

MODELS: Final = ("stub-1", "stub-vision", "stub-embed")
CREATED: Final = 1_700_000_000
WHEN: Final = "2023-11-14T22:13:20Z"
VECTOR_SIZE: Final = 8


def install(routes: Routes) -> None:
    """Add the OpenAI routes."""
    routes.add("POST", "/chat/completions", chat)
    routes.add("POST", "/completions", complete)
    routes.add("POST", "/embeddings", embed)
    routes.add("GET", "/models", models)
    routes.add("POST", "/audio/transcriptions", transcribe)
    routes.add("POST", "/audio/speech", speech)


def said(messages: Any) -> str:
    """The text of the last user message; images are counted, with the size of their URL."""
    if not isinstance(messages, list):
        return ""
    for message in reversed(messages):
        if not isinstance(message, dict) or message.get("role") not in ("user", "tool"):
            continue
        content = message.get("content")
        if isinstance(content, str):
            return content
        parts: list[str] = []
        for part in content if isinstance(content, list) else []:
            if part.get("type") in ("text", "input_text"):
                parts.append(str(part.get("text", "")))
            elif part.get("type") == "image_url":
                image = part.get("image_url")
                url = image.get("url", "") if isinstance(image, dict) else str(image)
                parts.append(f"[image of {len(url)} characters]")
            else:
                parts.append(f"[{part.get('type')}]")
        return " ".join(parts)
    return ""


def answer_text(prompt: str) -> str:
    """What the stub says to `prompt`."""
    return f"This is the stub endpoint, no model is behind it. You said: {prompt}"


def tool_calls(body: dict[str, Any]) -> list[dict[str, Any]]:
    """A call of the first tool, unless there is none or its result is already there."""
    tools, messages = body.get("tools"), body.get("messages") or []
    if not isinstance(tools, list) or not tools or body.get("tool_choice") == "none":
        return []
    if any(isinstance(m, dict) and m.get("role") == "tool" for m in messages):
        return []
    function = tools[0].get("function", {})
    arguments = json.dumps(sample(function.get("parameters")) or {})
    call = {"name": function.get("name", ""), "arguments": arguments}
    return [{"id": "call_stub_1", "type": "function", "function": call}]


def usage(prompt: str, answer: str) -> dict[str, Any]:
    """A usage object in words."""
    sent, made = count(prompt), count(answer)
    return {
        "prompt_tokens": sent,
        "completion_tokens": made,
        "total_tokens": sent + made,
        "prompt_tokens_details": {"cached_tokens": 0},
        "completion_tokens_details": {"reasoning_tokens": 0},
    }


def _body(request: StubRequest) -> dict[str, Any] | Reply:
    try:
        body = request.json
    except ValueError:
        return error_reply(400, "the body is not JSON", "invalid_request_error")
    if not isinstance(body, dict):
        return error_reply(400, "the body is not an object", "invalid_request_error")
    return body


def chat(request: StubRequest) -> Reply:
    """POST /chat/completions, plain and streaming."""
    body = _body(request)
    if isinstance(body, Reply):
        return body
    if not isinstance(body.get("model"), str):
        return error_reply(400, "you must provide a model parameter", "invalid_request_error")
    if not isinstance(body.get("messages"), list) or not body["messages"]:
        return error_reply(400, "messages must be a non-empty array", "invalid_request_error")
    prompt = said(body["messages"])
    calls = tool_calls(body)
    text = "" if calls else answer_text(prompt)
    if body.get("stream"):
        return Reply(200, (SSE_TYPE, ("x-request-id", "req_stub")), _stream(body, text, calls))
    message: dict[str, Any] = {"role": "assistant", "content": text or None, "refusal": None}
    if calls:
        message["tool_calls"] = calls
    choice = {
        "index": 0,
        "message": message,
        "logprobs": None,
        "finish_reason": "tool_calls" if calls else "stop",
    }
    return json_reply(
        {
            "id": "chatcmpl-stub",
            "object": "chat.completion",
            "created": CREATED,
            "model": body["model"],
            "choices": [choice],
            "usage": usage(prompt, text),
        }
    )


def _stream(body: dict[str, Any], text: str, calls: list[dict[str, Any]]) -> Iterator[bytes]:
    head = {
        "id": "chatcmpl-stub",
        "object": "chat.completion.chunk",
        "created": CREATED,
        "model": body["model"],
    }

    def delta(value: dict[str, Any], finish: str | None = None) -> bytes:
        return event(head | {"choices": [{"index": 0, "delta": value, "finish_reason": finish}]})

    yield delta({"role": "assistant", "content": None if calls else ""})
    for number, call in enumerate(calls):
        function = call["function"]
        opening = {"index": number, **call, "function": {**function, "arguments": ""}}
        yield delta({"tool_calls": [opening]})
        arguments = function["arguments"]
        middle = len(arguments) // 2
        for piece in (arguments[:middle], arguments[middle:]):
            yield delta({"tool_calls": [{"index": number, "function": {"arguments": piece}}]})
    for piece in words(text) if text else []:
        yield delta({"content": piece})
    yield delta({}, "tool_calls" if calls else "stop")
    options = body.get("stream_options")
    if isinstance(options, dict) and options.get("include_usage"):
        yield event(head | {"choices": [], "usage": usage(said(body["messages"]), text)})
    yield b"data: [DONE]\n\n"


def complete(request: StubRequest) -> Reply:
    """POST /completions (the legacy text API), plain and streaming."""
    body = _body(request)
    if isinstance(body, Reply):
        return body
    prompt = body.get("prompt", "")
    prompt = prompt if isinstance(prompt, str) else " ".join(map(str, prompt))
    text = f"{prompt} … completed by the stub"
    head = {
        "id": "cmpl-stub",
        "object": "text_completion",
        "created": CREATED,
        "model": body.get("model", ""),
    }

    def choice(piece: str, finish: str | None) -> dict[str, Any]:
        return {"text": piece, "index": 0, "logprobs": None, "finish_reason": finish}

    if body.get("stream"):

        def pieces() -> Iterator[bytes]:
            for piece in words(text):
                yield event(head | {"choices": [choice(piece, None)]})
            yield event(head | {"choices": [choice("", "stop")]})
            yield b"data: [DONE]\n\n"

        return Reply(200, (SSE_TYPE,), pieces())
    return json_reply(head | {"choices": [choice(text, "stop")], "usage": usage(prompt, text)})


def vector(text: str, size: int = VECTOR_SIZE) -> list[float]:
    """A vector that depends on `text` alone: equal texts give equal vectors."""
    digest = hashlib.shake_256(text.encode()).digest(2 * size)
    return [
        (int.from_bytes(digest[i : i + 2], "big") - 32768) / 32768 for i in range(0, 2 * size, 2)
    ]


def embed(request: StubRequest) -> Reply:
    """POST /embeddings."""
    body = _body(request)
    if isinstance(body, Reply):
        return body
    inputs = body.get("input", [])
    texts = [inputs] if isinstance(inputs, str) else [str(text) for text in inputs]
    size = body.get("dimensions") or VECTOR_SIZE
    data = [
        {"object": "embedding", "index": number, "embedding": vector(text, size)}
        for number, text in enumerate(texts)
    ]
    total = sum(map(count, texts))
    return json_reply(
        {
            "object": "list",
            "data": data,
            "model": body.get("model", ""),
            "usage": {"prompt_tokens": total, "total_tokens": total},
        }
    )


def models(request: StubRequest) -> Reply:
    """GET /models, in Anthropic's shape where the request is Anthropic's."""
    if request.header("anthropic-version") is not None:
        data: list[dict[str, Any]] = [
            {
                "type": "model",
                "id": name,
                "display_name": name,
                "created_at": "2023-11-14T22:13:20Z",
            }
            for name in MODELS
        ]
        return json_reply(
            {"data": data, "has_more": False, "first_id": MODELS[0], "last_id": MODELS[-1]}
        )
    data = [
        {"id": name, "object": "model", "created": CREATED, "owned_by": "stub"} for name in MODELS
    ]
    return json_reply({"object": "list", "data": data})


def transcribe(request: StubRequest) -> Reply:
    """POST /audio/transcriptions: any multipart body; the text names its size."""
    if not (request.header("content-type") or "").startswith("multipart/form-data"):
        return error_reply(400, "multipart/form-data is needed", "invalid_request_error")
    return json_reply({"text": f"stub transcript of {len(request.body)} bytes"})


def silence() -> bytes:
    """A tenth of a second of silence, a valid WAV file."""
    buffer = io.BytesIO()
    with wave.open(buffer, "wb") as sound:
        sound.setnchannels(1)
        sound.setsampwidth(2)
        sound.setframerate(8000)
        sound.writeframes(bytes(1600))
    return buffer.getvalue()


def speech(request: StubRequest) -> Reply:
    """POST /audio/speech: silence, whatever the text."""
    body = _body(request)
    if isinstance(body, Reply):
        return body
    if not isinstance(body.get("input"), str):
        return error_reply(400, "input must be a string", "invalid_request_error")
    return Reply(200, (("content-type", "audio/wav"),), silence())
