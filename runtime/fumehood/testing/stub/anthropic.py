"""The Anthropic side of the stub: POST /v1/messages, plain and streaming."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

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


def install(routes: Routes) -> None:
    """Add the Anthropic route; `/v1/models` is shared with OpenAI's."""
    routes.add("POST", "/messages", messages)


def said(body: dict[str, Any]) -> str:
    """The text of the last user message; other blocks appear as their type."""
    for message in reversed(body["messages"]):
        if message.get("role") != "user":
            continue
        content = message.get("content")
        if isinstance(content, str):
            return content
        blocks = content if isinstance(content, list) else []
        return " ".join(
            str(block.get("text", "")) if block.get("type") == "text" else f"[{block.get('type')}]"
            for block in blocks
        )
    return ""


def _tool_use(body: dict[str, Any]) -> dict[str, Any] | None:
    tools = body.get("tools")
    if not isinstance(tools, list) or not tools or "[tool_result]" in said(body):
        return None
    return {
        "type": "tool_use",
        "id": "toolu_stub_1",
        "name": tools[0].get("name", ""),
        "input": sample(tools[0].get("input_schema")) or {},
    }


def messages(request: StubRequest) -> Reply:
    """POST /messages. The three things the real API refuses without are refused here too."""
    try:
        body = request.json
    except ValueError:
        return error_reply(400, "the body is not JSON", "invalid_request_error")
    if request.header("anthropic-version") is None:
        return error_reply(400, "anthropic-version: header is required", "invalid_request_error")
    if request.header("x-api-key") is None and request.header("authorization") is None:
        return error_reply(401, "x-api-key header is required", "authentication_error")
    for key, kind in (("model", str), ("max_tokens", int), ("messages", list)):
        if not isinstance(body.get(key), kind):
            return error_reply(400, f"{key}: Field required", "invalid_request_error")
    prompt, tool = said(body), _tool_use(body)
    text = f"This is the stub endpoint, no model is behind it. You said: {prompt}"
    block: dict[str, Any] = tool or {"type": "text", "text": text}
    reason = "tool_use" if tool else "end_turn"
    usage = {
        "input_tokens": count(prompt),
        "output_tokens": count(text),
        "cache_creation_input_tokens": 0,
        "cache_read_input_tokens": 0,
    }
    head = {"id": "msg_stub", "type": "message", "role": "assistant", "model": body["model"]}
    if body.get("stream"):
        return Reply(200, (SSE_TYPE,), _stream(head, block, reason, usage))
    return json_reply(
        head | {"content": [block], "stop_reason": reason, "stop_sequence": None, "usage": usage}
    )


def _stream(
    head: dict[str, Any], block: dict[str, Any], reason: str, usage: dict[str, int]
) -> Iterator[bytes]:
    def send(name: str, **fields: Any) -> bytes:
        return event({"type": name, **fields}, name)

    opening: dict[str, Any] = {"content": [], "stop_reason": None, "stop_sequence": None}
    yield send("message_start", message=head | opening | {"usage": usage | {"output_tokens": 1}})
    if block["type"] == "tool_use":
        yield send("content_block_start", index=0, content_block=block | {"input": {}})
        arguments = json.dumps(block["input"])
        for piece in (arguments[:3], arguments[3:]):
            delta = {"type": "input_json_delta", "partial_json": piece}
            yield send("content_block_delta", index=0, delta=delta)
    else:
        yield send("content_block_start", index=0, content_block={"type": "text", "text": ""})
        yield send("ping")
        for piece in words(block["text"]):
            yield send("content_block_delta", index=0, delta={"type": "text_delta", "text": piece})
    yield send("content_block_stop", index=0)
    final = {"stop_reason": reason, "stop_sequence": None}
    yield send("message_delta", delta=final, usage={"output_tokens": usage["output_tokens"]})
    yield send("message_stop")
