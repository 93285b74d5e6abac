"""A plugin and an HTTP client made of Python functions, for tests of what stands above them."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

from fumehood.abi import http
from fumehood.abi.http import HTTPRequest, HTTPResponse
from fumehood.engine import ImportInfo
from fumehood.errors import ClosedError, Error, PluginError, ProtocolError
from fumehood.limits import Limits
from fumehood.meter import Meter
from fumehood.provider.opening import Spec, open_plugin, traits_of
from fumehood.provider.provider import Provider

Export = Callable[[Any, Any], Any]
"""(the decoded input, the instance) to an answer: bytes as they are, None for empty output, all
else as JSON; a fumehood error is raised."""

SCHEMA = {
    "type": "object",
    "properties": {
        "model": {"type": "string"},
        "base_url": {"type": "string"},
        "api_key": {"type": "string"},
        "temperature": {"type": ["number", "null"]},
        "system": {"anyOf": [{"type": "array", "items": {"type": "string"}}, {"type": "null"}]},
    },
    "required": ["model"],
}

URL = "https://api.example.com/v1/"


def fail(text: str | dict[str, Any], rc: int = 1) -> Export:
    """An export that reports a failure."""
    said = text if isinstance(text, str) else json.dumps(text)

    def export(_input: Any, _instance: Any) -> Any:
        raise PluginError(said, rc=rc)

    return export


def request(path: str = "x", body: Any = None, method: str = "POST") -> bytes:
    """The output of a `*_request` export."""
    data = b"" if body is None else json.dumps(body).encode()
    return http.encode_request(HTTPRequest(method, URL + path, (), data))


class FakeInstance:
    """Records calls; `state` is what a guest would keep in its memory."""

    def __init__(self, plugin: FakePlugin, services: Any) -> None:
        self.plugin = plugin
        self.services = services
        self.state: dict[str, Any] = {}
        self.alive = True
        self.closed = False

    def call(self, export: str, data: bytes, meter: Meter) -> bytes:
        if self.closed:
            raise ClosedError("closed")
        meter.remaining()
        self.plugin.calls.append((export, json.loads(data)))
        function = self.plugin.functions.get(export)
        if function is None:
            raise meter.sign(ProtocolError(f"does not export {export!r}"))
        try:
            try:
                answer = function(json.loads(data), self)
            except (ValueError, TypeError, KeyError, AttributeError) as problem:
                raise PluginError(f"cannot read this: {problem!r}", rc=-1) from None
        except Error as error:
            if not isinstance(error, PluginError):
                self.alive = False
            raise meter.sign(error) from None
        if answer is None:
            return b""
        return answer if isinstance(answer, bytes) else json.dumps(answer).encode()

    def close(self) -> None:
        self.closed = True
        self.alive = False


class FakePlugin:
    """A compiled plugin. `functions` are its exports."""

    sha256 = "ab" * 32
    name = "fake"

    def __init__(self, imports: list[tuple[str, str]] | None = None, **functions: Export) -> None:
        self.functions = functions
        self.calls: list[tuple[str, Any]] = []
        self.instances: list[FakeInstance] = []
        self.imports = [ImportInfo(m, n, "func", "", "") for m, n in imports or []]

    @property
    def exports(self) -> dict[str, None]:
        return dict.fromkeys(self.functions)

    def has(self, export: str) -> bool:
        return export in self.functions

    def instance(self, services: Any, limits: Limits) -> FakeInstance:
        self.instances.append(FakeInstance(self, services))
        return self.instances[-1]

    def names(self) -> list[str]:
        """The exports called, in order."""
        return [name for name, _ in self.calls]

    def input(self, export: str) -> Any:
        """The input of the last call of an export."""
        return next(data for name, data in reversed(self.calls) if name == export)


class FakeStream:
    """An open reply; an error among its pieces is raised when its turn comes."""

    def __init__(self, status: int, pieces: list[bytes | Error]) -> None:
        self.status = status
        self.headers: tuple[tuple[str, str], ...] = ()
        self._pieces: Iterator[bytes | Error] = iter(pieces)
        self.closed = False
        self.reads = 0

    def read(self) -> bytes:
        assert not self.closed
        self.reads += 1
        piece = next(self._pieces, b"")
        if isinstance(piece, Error):
            raise piece
        return piece

    def close(self) -> None:
        self.closed = True


class FakeClient:
    """Answers each request with the next of `replies`: (status, body) or an error. A body that
    is a list comes in pieces."""

    def __init__(self, *replies: Any) -> None:
        self.replies = list(replies)
        self.requests: list[HTTPRequest] = []
        self.streams: list[FakeStream] = []
        self.closed = False

    def _next(self, request: HTTPRequest, meter: Meter) -> tuple[int, Any]:
        self.requests.append(request)
        meter.http_request()
        reply = self.replies.pop(0)
        if isinstance(reply, Error):
            raise reply
        return reply

    def send(self, request: HTTPRequest, grant: Any, meter: Meter, *, secrets: Any) -> HTTPResponse:
        status, body = self._next(request, meter)
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        return HTTPResponse(status, (("content-type", "application/json"),), data)

    def stream(self, request: HTTPRequest, grant: Any, meter: Meter, *, secrets: Any) -> FakeStream:
        status, body = self._next(request, meter)
        pieces = body if isinstance(body, list) else [body]
        self.streams.append(FakeStream(status, pieces))
        return self.streams[-1]

    def close(self) -> None:
        self.closed = True


def provider(plugin: FakePlugin, client: FakeClient | None = None, **spec: Any) -> Provider:
    """A provider over fakes."""
    reuse = spec.pop("reuse", False)
    audit = spec.pop("audit", None)
    spec.setdefault("config", {"model": "m"})
    http_client = client or FakeClient()
    asked = Spec(plugin=b"", **spec)
    opened = open_plugin(
        asked,
        plugin,
        traits_of(plugin, asked.generation),  # type: ignore[arg-type]
        http_client,
        name=asked.name or "fake",
        ours=False,
        audit=audit,
    )
    plugin.calls.clear()
    plugin.instances.clear()
    return Provider(opened, http_client, reuse=reuse, audit=audit)


def split(**more: Export) -> FakePlugin:
    """A plugin of generation C. Its stream parser answers each line that is not blank with one
    text chunk, `[DONE]` with `done`."""

    def parse(data: Any, instance: FakeInstance) -> Any:
        assert data["parser_id"] in instance.state["parsers"]
        line = bytes(data["chunk"]).strip()
        instance.state["lines"].append(bytes(data["chunk"]))
        if line == b"boom":
            raise PluginError(
                '{"payload":{"type":"response_format_error","message":"bad line",'
                '"raw_response":"boom"}}'
            )
        if line.startswith(b"{"):
            return [json.loads(line)]
        return [{"chunk": {"text": line.decode()}, "usage": None}] if line else []

    def start(_cfg: Any, instance: FakeInstance) -> int:
        instance.state.setdefault("parsers", set()).add(7)
        instance.state["lines"] = []
        return 7

    def close(number: int, instance: FakeInstance) -> None:
        instance.state["parsers"].discard(number)

    functions: dict[str, Export] = {
        "name": lambda *_: b"fake",
        "base_url": lambda *_: URL.encode(),
        "config_schema": lambda *_: SCHEMA,
        "from_config": lambda cfg, _: cfg,
        "chat_request": lambda *_: request("chat"),
        "parse_chat_response": lambda data, _: {
            "text": bytes(data["resp"]["resp"]["body"]).decode()
        },
        "chat_stream_request": lambda *_: request("stream"),
        "chat_stream_parser_start": start,
        "chat_stream_parser_parse": parse,
        "chat_stream_parser_finish": lambda *_: [{"chunk": {"done": {"finish_reason": "Stop"}}}],
        "chat_stream_parser_close": close,
        "list_models_request": lambda *_: request("models", method="GET"),
        "parse_list_models_response": lambda data, _: json.loads(
            bytes(data["resp"]["resp"]["body"])
        ),
        "embed_request": lambda *_: request("embed"),
        "parse_embed_response": lambda data, _: json.loads(bytes(data["resp"]["resp"]["body"])),
        "complete_request": lambda *_: request("complete"),
        "parse_complete_response": lambda data, _: {"text": "done"},
    }
    return FakePlugin(**{**functions, **more})


def direct(imports: list[tuple[str, str]] | None = None, **more: Export) -> FakePlugin:
    """A plugin of generation B that answers by itself."""

    def chat_stream(data: Any, instance: FakeInstance) -> None:
        assert data["cfg"]["stream"] is True
        for text in ("a", "b"):
            instance.services.on_chunk(json.dumps({"chunk": {"text": text}}).encode())
        instance.services.on_chunk(b'{"chunk":{"done":{"stop_reason":"END_TURN"}}}')

    functions: dict[str, Export] = {
        "config_schema": lambda *_: SCHEMA,
        "from_config": lambda cfg, _: cfg,
        "init_logging": lambda *_: None,
        "supports_streaming": lambda *_: True,
        "chat": lambda data, _: {"text": data["messages"][0]["content"][0]["text"]},
        "chat_stream": chat_stream,
        "embed": lambda data, _: [[1, 0.5] for _ in data["inputs"]],
        "complete": lambda data, _: {"text": data["req"]["prompt"] + "!"},
        "list_models": lambda cfg, _: ["m1"],
    }
    return FakePlugin(imports, **{**functions, **more})
