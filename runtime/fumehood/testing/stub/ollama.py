"""The Ollama side of the stub: /api/chat, generate, embed, embeddings, tags. Streams are NDJSON."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from fumehood.testing.stub.openai import MODELS, WHEN, answer_text, vector
from fumehood.testing.stub.replies import (
    Reply,
    Routes,
    StubRequest,
    count,
    dump,
    json_reply,
    sample,
    words,
)


def install(routes: Routes) -> None:
    """Add the Ollama routes."""
    routes.add("POST", "/api/chat", chat)
    routes.add("POST", "/api/generate", generate)
    routes.add("POST", "/api/embed", embed)
    routes.add("POST", "/api/embeddings", embed_one)
    routes.add("GET", "/api/tags", tags)


def _refuse(message: str, status: int = 400) -> Reply:
    return json_reply({"error": message}, status)


def _body(request: StubRequest) -> dict[str, Any]:
    try:
        body = request.json
    except ValueError:
        return {}
    return body if isinstance(body, dict) else {}


def _end(prompt: str, answer: str) -> dict[str, Any]:
    return {
        "done": True,
        "done_reason": "stop",
        "total_duration": 1_000_000,
        "prompt_eval_count": count(prompt),
        "eval_count": count(answer),
    }


def _lines(parts: list[dict[str, Any]], head: dict[str, Any], end: dict[str, Any]) -> Reply:
    def body() -> Iterator[bytes]:
        for part in parts:
            yield dump(head | part | {"done": False}) + b"\n"
        yield dump(head | end) + b"\n"

    return Reply(200, (("content-type", "application/x-ndjson"),), body())


def chat(request: StubRequest) -> Reply:
    """POST /api/chat; it streams unless `stream` is false, as Ollama does."""
    body = _body(request)
    if not isinstance(body.get("model"), str):
        return _refuse("model is required")
    turns = [turn for turn in body.get("messages") or [] if isinstance(turn, dict)]
    users = [str(turn.get("content", "")) for turn in turns if turn.get("role") == "user"]
    prompt = users[-1] if users else ""
    images = sum(len(turn.get("images") or []) for turn in turns)
    text = answer_text(prompt + (f" [{images} image(s)]" if images else ""))
    head = {"model": body["model"], "created_at": WHEN}
    message: dict[str, Any] = {"role": "assistant", "content": text}
    tools = body.get("tools")
    if isinstance(tools, list) and tools and not any(t.get("role") == "tool" for t in turns):
        function = tools[0].get("function", {})
        arguments = sample(function.get("parameters")) or {}
        call = {"function": {"name": function.get("name", ""), "arguments": arguments}}
        message = {"role": "assistant", "content": "", "tool_calls": [call]}
    if body.get("stream", True):
        pieces = words(text) if "tool_calls" not in message else []
        parts = [{"message": {"role": "assistant", "content": piece}} for piece in pieces]
        if "tool_calls" in message:
            parts.append({"message": message})
        last = {"message": {"role": "assistant", "content": ""}}
        return _lines(parts, head, last | _end(prompt, text))
    return json_reply(head | {"message": message} | _end(prompt, text))


def generate(request: StubRequest) -> Reply:
    """POST /api/generate."""
    body = _body(request)
    if not isinstance(body.get("model"), str):
        return _refuse("model is required")
    prompt = str(body.get("prompt", ""))
    text = f"{prompt} … completed by the stub"
    head = {"model": body["model"], "created_at": WHEN}
    if body.get("stream", True):
        parts = [{"response": piece} for piece in words(text)]
        return _lines(parts, head, {"response": ""} | _end(prompt, text))
    return json_reply(head | {"response": text} | _end(prompt, text))


def embed(request: StubRequest) -> Reply:
    """POST /api/embed: one vector for each input."""
    body = _body(request)
    inputs = body.get("input", [])
    texts = [inputs] if isinstance(inputs, str) else [str(text) for text in inputs]
    return json_reply(
        {
            "model": body.get("model", ""),
            "embeddings": [vector(text) for text in texts],
            "prompt_eval_count": sum(map(count, texts)),
        }
    )


def embed_one(request: StubRequest) -> Reply:
    """POST /api/embeddings, the older form: one prompt, one vector."""
    return json_reply({"embedding": vector(str(_body(request).get("prompt", "")))})


def tags(_request: StubRequest) -> Reply:
    """GET /api/tags."""
    listed: list[dict[str, Any]] = [
        {"name": name, "model": name, "modified_at": WHEN, "size": 0, "digest": "", "details": {}}
        for name in MODELS
    ]
    return json_reply({"models": listed})
