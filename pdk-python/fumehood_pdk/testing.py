"""Drive a provider class in plain CPython, through the same bytes as a host does: no Wasm, no network.

::

    plugin = Plugin(MyProvider, api_key="k", model="m")
    request = plugin.chat_request("hi")
    assert request.url == "https://api.example.com/v1/chat"
    answer = plugin.parse_chat(HTTPResponse(200, body=b'{"answer": "hello"}'))
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Final, Literal

from fumehood_pdk import _dispatch, _json, _msgpack, _provider
from fumehood_pdk._errors import ProviderError
from fumehood_pdk._http import Headers, HTTPRequest, HTTPResponse
from fumehood_pdk._messages import (
    PDF,
    Audio,
    Block,
    Image,
    ImageURL,
    Message,
    ResourceLink,
    Text,
    Thinking,
    ToolResult,
    ToolUse,
)
from fumehood_pdk._replies import ChatResponse, FinishReason, StreamChunk, Tool, ToolCall, Usage

__all__ = ["Failed", "Plugin", "Wire"]

Wire = Literal["json", "msgpack"]
_OCTETS: Final[dict[Wire, Callable[[bytes], Any]]] = {"json": list, "msgpack": bytes}


class Failed(ProviderError):
    """The error that a host would get; `payload` is what it sees."""

    def __init__(self, payload: dict[str, Any]) -> None:
        super().__init__(str(payload.get("message", payload.get("type"))))
        self.payload = payload


class Plugin:
    """A provider class as a plugin with a config. Methods raise `Failed` where a host would be told an error."""

    wire: Wire = "json"
    """What documents are written in. Hosts speak either; a test may set it and find the same plugin."""

    def __init__(self, cls: type, /, **config: Any) -> None:
        self._guest = _dispatch.Guest(_provider.provider_of(cls))
        self.config = config

    def call(self, export: str, data: bytes = b"null") -> bytes:
        """An export with bytes, as the ABI has it."""
        ok, answer = self._guest.dispatch(export, data)
        if not ok:
            raise Failed(json.loads(answer)["payload"])
        return answer

    @property
    def exports(self) -> list[str]:
        """What the built plugin exports."""
        return self._guest.provider.exports

    @property
    def schema(self) -> dict[str, Any]:
        """The JSON Schema of the configuration."""
        schema: dict[str, Any] = json.loads(self.call("config_schema"))
        return schema

    def chat_request(self, messages: str | Sequence[Message], tools: Sequence[Tool] | None = None) -> HTTPRequest:
        """The request of a chat; a string is one message of the caller."""
        return self._request(self.call("chat_request", self._chat(messages, tools)))

    def chat_stream_request(
        self, messages: str | Sequence[Message], tools: Sequence[Tool] | None = None
    ) -> HTTPRequest:
        """The request of a streamed chat."""
        return self._request(self.call("chat_stream_request", self._chat(messages, tools)))

    def parse_chat(self, response: HTTPResponse) -> ChatResponse:
        """The answer in a reply whose status is 2xx."""
        return _chat_response(self._read(self.call("parse_chat_response", self._response(response))))

    def classify_chat_error(self, response: HTTPResponse) -> ProviderError:
        """What a refused chat means."""
        return Failed(json.loads(self.call("classify_chat_error", self._response(response)))["payload"])

    def stream(self, body: bytes | Iterable[bytes]) -> list[StreamChunk]:
        """The chunks of a streamed body, fed line by line as a host does, the end included."""
        whole = body if isinstance(body, bytes) else b"".join(body)
        number = self._read(self.call("chat_stream_parser_start", self._write(self.config)))
        chunks: list[Any] = []
        for line in [*whole.splitlines(keepends=True), b"\n"]:
            document = self._write({"parser_id": number, "chunk": self._octets(line)})
            chunks.extend(self._read(self.call("chat_stream_parser_parse", document)))
        chunks.extend(json.loads(self.call("chat_stream_parser_finish", b"%d" % number)))
        self.call("chat_stream_parser_close", b"%d" % number)
        return [StreamChunk(*next(iter(chunk["chunk"].items()))) for chunk in chunks]

    def embed_request(self, inputs: Sequence[str]) -> HTTPRequest:
        """The request of embeddings."""
        return self._request(self.call("embed_request", self._with(inputs=list(inputs))))

    def parse_embed(self, response: HTTPResponse) -> list[list[float]]:
        """The vectors in a reply."""
        vectors: list[list[float]] = self._read(self.call("parse_embed_response", self._response(response)))
        return vectors

    def complete_request(self, prompt: str, **rest: Any) -> HTTPRequest:
        """The request of a completion; `suffix`, `max_tokens` and `temperature` may be given."""
        return self._request(self.call("complete_request", self._with(req={"prompt": prompt, **rest})))

    def parse_complete(self, response: HTTPResponse) -> str:
        """The text in a reply."""
        text: str = self._read(self.call("parse_complete_response", self._response(response)))["text"]
        return text

    def list_models_request(self) -> HTTPRequest:
        """The request of the models."""
        return self._request(self.call("list_models_request", self._with()))

    def parse_list_models(self, response: HTTPResponse) -> list[str]:
        """The models in a reply."""
        names: list[str] = self._read(self.call("parse_list_models_response", self._response(response)))
        return names

    def _with(self, **rest: Any) -> bytes:
        return self._write({"cfg": self.config, **rest})

    def _chat(self, messages: str | Sequence[Message], tools: Sequence[Tool] | None) -> bytes:
        if isinstance(messages, str):
            messages = [Message.user(messages)]
        listed = None if tools is None else [tool.wire() for tool in tools]
        return self._with(messages=[_message(message, self._octets) for message in messages], tools=listed)

    def _response(self, response: HTTPResponse) -> bytes:
        headers = {name: response.headers.all(name) for name in response.headers}
        head = {"status": response.status, "headers": headers, "version": "HTTP/1.1"}
        return self._with(resp={"resp": {"head": head, "body": self._octets(response.body)}})

    def _write(self, document: Any) -> bytes:
        return _json.dumps(document) if self.wire == "json" else _msgpack.packb(document, True)

    def _read(self, answer: bytes) -> Any:
        return json.loads(answer) if self.wire == "json" else _msgpack.unpackb(answer)

    def _octets(self, data: bytes) -> Any:
        return _OCTETS[self.wire](data)

    def _request(self, data: bytes) -> HTTPRequest:
        request = self._read(data)["req"]
        head = request["head"]
        return HTTPRequest(head["method"], head["uri"], Headers(head["headers"]), bytes(request["body"]))


def _message(message: Message, octets: Callable[[bytes], Any]) -> dict[str, Any]:
    raw: dict[str, Any] = {"role": message.role, "content": [_block(block, octets) for block in message.content]}
    if message.cache is not None:
        ttl = message.cache.ttl_seconds
        raw["cache"] = {"ephemeral": {} if ttl is None else {"ttl_seconds": ttl}}
    return raw


def _block(block: Block, octets: Callable[[bytes], Any]) -> dict[str, Any]:
    raw: dict[str, Any]
    match block:
        case Text(text):
            raw = {"type": "text", "text": text}
        case Image(mime_type, data):
            raw = {"type": "image", "mime_type": mime_type, "data": octets(data)}
        case ImageURL(url):
            raw = {"type": "image_url", "url": url}
        case PDF(data):
            raw = {"type": "pdf", "data": octets(data)}
        case Audio(mime_type, data):
            raw = {"type": "audio", "mime_type": mime_type, "data": octets(data)}
        case Thinking(text, signature):
            raw = {"type": "thinking", "text": text, "signature": signature}
        case ToolUse(id_, name, arguments):
            return {"type": "tool_use", "id": id_, "name": name, "arguments": arguments}
        case ToolResult(id_, content, is_error, name):
            inner = [_block(one, octets) for one in content]
            raw = {"type": "tool_result", "id": id_, "name": name, "is_error": is_error, "content": inner}
        case ResourceLink(uri, name, description, mime_type):
            raw = {
                "type": "resource_link",
                "uri": uri,
                "name": name,
                "description": description,
                "mime_type": mime_type,
            }
    return {key: value for key, value in raw.items() if value is not None}


def _chat_response(raw: dict[str, Any]) -> ChatResponse:
    calls, usage, reason = raw["tool_calls"], raw["usage"], raw["finish_reason"]
    return ChatResponse(
        raw["text"],
        None
        if calls is None
        else [ToolCall(c["id"], c["function"]["name"], c["function"]["arguments"]) for c in calls],
        raw["thinking"],
        None if usage is None else Usage(**usage),
        None if reason is None else FinishReason(reason),
    )
