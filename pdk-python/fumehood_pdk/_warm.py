"""Runs every export a few times before the snapshot is taken: CPython specialises code as it runs, by writing into it,
and what is written now need not be written again, page by page, in every fresh instance. The provider here is a dummy;
the author's own methods are not called while a plugin is built.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from fumehood_pdk import _dispatch, _host, _json, _provider, _vectors
from fumehood_pdk._http import HTTPRequest, HTTPResponse, bearer
from fumehood_pdk._messages import Message
from fumehood_pdk._replies import ChatResponse, FinishReason, StreamChunk, Tool, ToolCall, Usage
from fumehood_pdk.urls import join

_ROUNDS: Final = 12
_CONFIG: Final = {"model": "m", "api_key": "k", "temperature": 0.5, "system": ["s"]}


def run() -> None:
    """Warm the way from a document to a method and back, on either wire."""
    guest = _dispatch.Guest(_provider.provider_of(_dummy()))
    _run(guest, _json.dumps, list)
    _run(guest, lambda document: _host.packb(document, True), bytes)


def _run(guest: _dispatch.Guest, write: Callable[[Any], bytes], octets: Callable[[bytes], Any]) -> None:
    body = octets(_json.dumps({"text": "ü", "list": [1, 2.5, None, True, {"a": "b"}]}))
    headers = {"content-type": "application/json", "x-a": ["1", "2"]}
    reply = {"resp": {"head": {"status": 200, "headers": headers, "version": "HTTP/1.1"}, "body": body}}
    text = {"type": "text", "text": "hi"}
    messages = [
        {"role": "User", "content": [text]},
        {"role": "Assistant", "content": [text, {"type": "tool_use", "id": "c", "name": "f", "arguments": {"q": 1}}]},
        {"role": "User", "content": [{"type": "tool_result", "id": "c", "is_error": False, "content": [text]}]},
        {"role": "User", "content": [{"type": "image", "mime_type": "image/png", "data": octets(b"\x89")}]},
    ]
    tools = [{"type": "function", "function": {"name": "f", "description": "d", "parameters": {"type": "object"}}}]
    chat = {"cfg": _CONFIG, "messages": messages, "tools": tools}
    answer = {"cfg": _CONFIG, "resp": reply}
    calls = [
        ("from_config", _CONFIG),
        ("chat_request", chat),
        ("chat_request", {"cfg": _CONFIG, "messages": messages[:1], "tools": None}),
        ("chat_stream_request", chat),
        ("parse_chat_response", answer),
        ("chat_stream_parser_start", _CONFIG),
        ("chat_stream_parser_parse", {"parser_id": 1, "chunk": body}),
        ("embed_request", {"cfg": _CONFIG, "inputs": ["a"]}),
        ("parse_embed_response", answer),
        ("list_models_request", {"cfg": {}}),
        ("parse_list_models_response", {"resp": reply}),
    ]
    for _ in range(_ROUNDS):
        for export, document in calls:
            ok, told = guest.dispatch(export, write(document))
            if not ok:
                raise RuntimeError(f"{export}: {told.decode()}")


def _dummy() -> type:
    registered = list(_provider.registered)
    try:

        @_provider.provider(name="dummy", base_url="http://h/")
        class Dummy:
            model: str
            api_key: str = ""
            temperature: float | None = None
            system: list[str] | str | None = None

            def chat_request(self, messages: list[Message], tools: list[Tool] | None) -> HTTPRequest:
                body = {"model": self.model, "messages": [message.text for message in messages]}
                return HTTPRequest.post_json(join("http://h/v1/", "chat"), body, bearer(self.api_key))

            def parse_chat(self, response: HTTPResponse) -> ChatResponse:
                calls = [ToolCall("c", "f", "{}")]
                return ChatResponse(response.json()["text"], calls, None, Usage(1, 2), FinishReason.from_vendor("stop"))

            def chat_stream_request(self, messages: list[Message], tools: list[Tool] | None) -> HTTPRequest:
                return self.chat_request(messages, tools)

            def chat_stream_parser(self) -> _Parser:
                return _Parser()

            def embed_request(self, inputs: list[str]) -> HTTPRequest:
                return HTTPRequest.post_json("http://h/v1/embed", inputs)

            def parse_embed(self, response: HTTPResponse) -> list[list[float]]:
                _vectors.encode([[0.1, -1.0, 1e-8]])
                return [[0.5] for _ in response.json()["list"]]

            def list_models_request(self) -> HTTPRequest:
                return HTTPRequest.get(join("http://h", "models"))

            def parse_list_models(self, response: HTTPResponse) -> list[str]:
                return [str(item) for item in response.json()["list"]]

        return Dummy
    finally:
        _provider.registered[:] = registered


class _Parser:
    def parse(self, line: bytes) -> list[StreamChunk]:
        return [StreamChunk.text(line.decode()), StreamChunk.usage(Usage()), StreamChunk.done()]

    def finish(self) -> list[StreamChunk]:
        return []
