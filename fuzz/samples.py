"""Replies that are right, for three vendors: what mutations begin with."""

from __future__ import annotations

import json
from typing import Any, Final

Sample = tuple[str, bytes]
"""(operation, body)."""


def _json(value: Any) -> bytes:
    return json.dumps(value).encode()


def _events(*values: Any, named: bool = False) -> bytes:
    lines = []
    for value in values:
        name = f"event: {value['type']}\n" if named else ""
        lines.append(f"{name}data: {json.dumps(value)}\n\n")
    return "".join(lines).encode()


def _delta(**delta: Any) -> dict[str, Any]:
    return {"choices": [{"index": 0, "delta": delta, "finish_reason": None}]}


_CALL: Final = {"id": "c1", "type": "function", "function": {"name": "f", "arguments": '{"a":1}'}}
_USAGE: Final = {
    "prompt_tokens": 3,
    "completion_tokens": 2,
    "prompt_tokens_details": {"cached_tokens": 1},
}
_OPENAI: Final = [
    (
        "chat",
        _json(
            {
                "choices": [
                    {
                        "message": {"role": "assistant", "content": "hé", "tool_calls": [_CALL]},
                        "finish_reason": "tool_calls",
                    }
                ],
                "usage": _USAGE,
            }
        ),
    ),
    ("chat", _json({"error": {"message": "no", "type": "rate_limit_error", "code": "x"}})),
    (
        "chat_stream",
        _events(
            _delta(role="assistant", content=""),
            _delta(content="hé "),
            _delta(tool_calls=[{"index": 0, **_CALL}]),
            _delta(tool_calls=[{"index": 0, "function": {"arguments": "}"}}]),
            {"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}], "usage": _USAGE},
        )
        + b"data: [DONE]\n\n",
    ),
    ("embed", _json({"data": [{"index": 0, "embedding": [0.5, -1, 1e-7]}]})),
    ("list_models", _json({"data": [{"id": "m1"}, {"id": "m2"}]})),
]
_ANTHROPIC: Final = [
    (
        "chat",
        _json(
            {
                "content": [
                    {"type": "thinking", "thinking": "hm", "signature": "s"},
                    {"type": "text", "text": "hé"},
                    {"type": "tool_use", "id": "t1", "name": "f", "input": {"a": 1}},
                ],
                "stop_reason": "tool_use",
                "usage": {"input_tokens": 3, "output_tokens": 2, "cache_read_input_tokens": 1},
            }
        ),
    ),
    ("chat", _json({"type": "error", "error": {"type": "overloaded_error", "message": "no"}})),
    (
        "chat_stream",
        _events(
            {"type": "message_start", "message": {"usage": {"input_tokens": 3}}},
            {"type": "content_block_start", "index": 0, "content_block": {"type": "thinking"}},
            {
                "type": "content_block_delta",
                "index": 0,
                "delta": {"type": "thinking_delta", "thinking": "hm"},
            },
            {
                "type": "content_block_start",
                "index": 1,
                "content_block": {"type": "tool_use", "id": "t1", "name": "f", "input": {}},
            },
            {
                "type": "content_block_delta",
                "index": 1,
                "delta": {"type": "input_json_delta", "partial_json": '{"a":'},
            },
            {"type": "content_block_stop", "index": 1},
            {
                "type": "content_block_delta",
                "index": 2,
                "delta": {"type": "text_delta", "text": "hé"},
            },
            {
                "type": "message_delta",
                "delta": {"stop_reason": "end_turn"},
                "usage": {"output_tokens": 2},
            },
            {"type": "message_stop"},
            named=True,
        ),
    ),
    ("list_models", _json({"data": [{"id": "m1", "type": "model"}]})),
]
_OLLAMA: Final = [
    (
        "chat",
        _json(
            {
                "message": {
                    "role": "assistant",
                    "content": "hé",
                    "thinking": "hm",
                    "tool_calls": [{"function": {"name": "f", "arguments": {"a": 1}}}],
                },
                "done": True,
                "done_reason": "stop",
                "prompt_eval_count": 3,
                "eval_count": 2,
            }
        ),
    ),
    ("chat", _json({"error": "model not found"})),
    (
        "chat_stream",
        b"".join(
            _json(line) + b"\n"
            for line in (
                {"message": {"role": "assistant", "content": "hé"}, "done": False},
                {
                    "message": {"tool_calls": [{"function": {"name": "f", "arguments": {}}}]},
                    "done": False,
                },
                {"message": {"content": ""}, "done": True, "done_reason": "stop", "eval_count": 2},
            )
        ),
    ),
    ("embed", _json({"embeddings": [[0.5, 1]]})),
    ("list_models", _json({"models": [{"name": "m1"}]})),
]
SAMPLES: Final[dict[str, list[Sample]]] = {
    "openai": _OPENAI,
    "anthropic": _ANTHROPIC,
    "ollama": _OLLAMA,
}
