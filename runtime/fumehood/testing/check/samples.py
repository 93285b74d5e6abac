"""What a plugin is asked, and what it is given to parse."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from fumehood.abi.messages import (
    PDF,
    Audio,
    Image,
    ImageURL,
    Message,
    ResourceLink,
    Text,
    Thinking,
    ToolResult,
    ToolUse,
)
from fumehood.abi.tools import Tool

KEY: Final = "fumehood-check-key-0123456789"
"""Stands for the key, so that its ways can be followed."""

TOOLS: Final = [
    Tool("look", "Looks.", {"type": "object", "properties": {"at": {"type": "string"}}})
]

CONVERSATIONS: Final[dict[str, list[Message]]] = {
    "one question": [Message("User", (Text("Grüße 👋"),))],
    "a turn with tools": [
        Message("User", (Text("look"),)),
        Message("Assistant", (Thinking("so", "sig"), ToolUse("c1", "look", {"at": "x"}))),
        Message("User", (ToolResult("c1", (Text("seen"),), is_error=False, name="look"),)),
    ],
    "files": [
        Message(
            "User",
            (
                Text("see"), Image(b"\x89PNG", "image/png"), ImageURL("https://example.org/a.png"),
                PDF(b"%PDF"), Audio(b"RIFF", "audio/wav"), ResourceLink("file:///a", name="a"),
            ),
        )
    ],
    "nothing said": [Message("User", ())],
}  # fmt: skip

HOSTILE: Final[dict[str, bytes]] = {
    "nothing": b"",
    "no JSON": b"<html>busy</html>",
    "no text": b"\xff\xfe\x00",
    "null": b"null",
    "an empty object": b"{}",
    "a list": b"[]",
    "a number": b"1e400",
    "half a pair of surrogates": b'{"choices":[{"message":{"content":"\\ud800"}}]}',
    "NaN": b'{"usage":{"prompt_tokens":NaN}}',
    "deep nesting": b"[" * 20_000,
    "a huge count": b'{"choices":[],"usage":{"prompt_tokens":99999999999999999999}}',
    "wrong types": b'{"choices":{"message":[1]},"content":7,"candidates":"x","error":[]}',
    "an error under 200": b'{"error":{"message":"no","type":"x","code":null}}',
    "a megabyte": b'{"choices":[{"message":{"content":"' + b"x" * 1_000_000 + b'"}}]}',
}

STATUSES: Final = (400, 401, 403, 404, 408, 422, 429, 499, 500, 503, 529)

LINES: Final = (
    b"\n", b": comment\n", b"event: x\n", b"data: {}\n", b"data: [DONE]\n", b"data: not json\n",
    b"data: null\n", b"[{\n", b"\xff\xfe\n", b"data: " + b"[" * 5_000 + b"\n", b"}" * 100,
)  # fmt: skip


def example(schema: Mapping[str, Any]) -> dict[str, Any]:
    """A config made up from a schema: the mandatory keys, the model, the key and the address."""
    properties = schema.get("properties")
    properties = properties if isinstance(properties, dict) else {}
    wanted = schema.get("required")
    wanted = wanted if isinstance(wanted, list) else []
    config = {key: _value(properties.get(key)) for key in wanted if isinstance(key, str)}
    known = {"model": "example-model", "api_key": KEY, "base_url": "https://api.example.org/v1/"}
    config.update({key: value for key, value in known.items() if key in properties})
    return config


def _value(schema: Any) -> Any:
    """Something that fits a property, as far as it is simple."""
    if not isinstance(schema, dict):
        return "x"
    for key in ("default", "const"):
        if key in schema:
            return schema[key]
    if isinstance(schema.get("enum"), list) and schema["enum"]:
        return schema["enum"][0]
    kind = schema.get("type")
    kind = kind[0] if isinstance(kind, list) and kind else kind
    least = schema.get("minimum", 1)
    numbers = {"integer": least, "number": least}
    return {**numbers, "boolean": False, "array": [], "object": {}, "null": None}.get(
        str(kind), "x"
    )
