"""A guest that answers what it is told to, and a network that does: any bytes from either.

The guest is Wasm; what its exports answer comes from one host function, so that a case costs no
compiling.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Sequence
from itertools import pairwise
from typing import Any, Final

from fumehood.abi.http import HTTPRequest, HTTPResponse
from fumehood.abi.wire import MSGPACK, MSGPACK_EXPORT
from fumehood.engine import HostCall, HostImport
from fumehood.errors import Error
from fumehood.limits import Limits
from fumehood.meter import Meter
from fumehood.plugin.compiled import CompiledPlugin
from fumehood.provider import Provider
from fumehood.provider.opening import Spec, open_plugin, traits_of

COMMON: Final = (
    "name", "base_url", "api_key_name", "config_schema", "from_config", "transcribe", "speech",
)  # fmt: skip
SPLIT: Final = (
    "chat_request", "parse_chat_response", "chat_stream_request", "chat_stream_parser_start",
    "chat_stream_parser_parse", "chat_stream_parser_finish", "chat_stream_parser_close",
    "list_models_request", "parse_list_models_response", "list_models_static", "embed_request",
    "parse_embed_response", "complete_request", "parse_complete_response", "classify_chat_error",
)  # fmt: skip
DIRECT: Final = (
    "init_logging", "supports_streaming", "chat", "chat_stream", "embed", "complete", "list_models",
)  # fmt: skip
PACKED: Final = "C, MessagePack"
EXPORTS: Final = {"C": (*COMMON, *SPLIT), PACKED: (*COMMON, *SPLIT), "B": (*COMMON, *DIRECT)}

Answer = dict[str, Any]
"""`{"out": hex}`, `{"fail": hex, "rc": n}`, and for `chat_stream` also `{"chunks": [hex, …]}`."""

URL: Final = "https://api.example.com/v1/"
REQUEST: Final = (
    b'{"req":{"head":{"method":"POST","uri":"https://api.example.com/v1/x","headers":{},'
    b'"version":"HTTP/1.1"},"body":[]}}'
)
FINE: Final[dict[str, bytes]] = {
    "name": b"puppet", "base_url": URL.encode(), "api_key_name": b"", "init_logging": b"",
    "config_schema": b'{"type":"object","properties":{"model":{"type":"string"}}}',
    "from_config": b"{}", "supports_streaming": b"true", "chat": b'{"text":"a"}',
    "chat_stream": b"", "embed": b"[[1.0]]", "complete": b'{"text":"a"}', "list_models": b'["m"]',
    "chat_request": REQUEST, "chat_stream_request": REQUEST, "list_models_request": REQUEST,
    "embed_request": REQUEST, "complete_request": REQUEST, "chat_stream_parser_start": b"1",
    "parse_chat_response": b'{"text":"a"}', "parse_list_models_response": b'["m"]',
    "chat_stream_parser_parse": b'[{"chunk":{"text":"a"},"usage":null}]',
    "chat_stream_parser_finish": b'[{"chunk":{"done":{"finish_reason":"Stop"}},"usage":null}]',
    "chat_stream_parser_close": b"", "list_models_static": b"null",
    "parse_embed_response": b"[[1.0]]", "parse_complete_response": b'{"text":"a"}',
    "classify_chat_error": b'{"type":"generic","message":"no"}', "transcribe": b'{"text":"a"}',
    "speech": b'{"audio_base64":"AA=="}',
}  # fmt: skip
"""What each export answers where a case says nothing."""
_ALWAYS_AS_IT_IS: Final = {
    "name", "base_url", "api_key_name", "config_schema", "chat_stream_parser_finish",
    "chat_stream_parser_close", "classify_chat_error",
}  # fmt: skip
FINE_PACKED: Final = {
    name: said if name in _ALWAYS_AS_IT_IS or not said else MSGPACK.encode(json.loads(said))
    for name, said in FINE.items()
}
"""The same from a guest that is asked in MessagePack."""


def _wat(names: Sequence[str], more: str) -> str:
    exports = "\n".join(
        f'(func (export "{name}") (result i32) (call $run (i32.const {number})))'
        for number, name in enumerate(names)
    )
    return f"""(module
      (import "fuzz" "answer" (func $answer (param i32) (result i64)))
      (import "fuzz" "failure" (func $failure (param i32) (result i64)))
      (import "fuzz" "chunk" (func $chunk (param i32) (result i64)))
      (import "fuzz" "code" (func $code (param i32) (result i32)))
      (import "extism:host/env" "length" (func $length (param i64) (result i64)))
      (import "extism:host/env" "output_set" (func $output_set (param i64 i64)))
      (import "extism:host/env" "error_set" (func $error_set (param i64)))
      (import "extism:host/user" "qmt_yield_chunk" (func $yield (param i64)))
      (memory (export "memory") 1)
      (func $run (param $which i32) (result i32) (local $block i64)
        (loop $more
          (local.set $block (call $chunk (local.get $which)))
          (if (i64.ne (local.get $block) (i64.const 0))
            (then (call $yield (local.get $block)) (br $more))))
        (local.set $block (call $answer (local.get $which)))
        (call $output_set (local.get $block) (call $length (local.get $block)))
        (local.set $block (call $failure (local.get $which)))
        (if (i64.ne (local.get $block) (i64.const 0))
          (then (call $error_set (local.get $block))))
        (call $code (local.get $which)))
      {more}
      {exports})"""


class Puppet:
    """The guest of one generation. `answers` may be replaced before each case."""

    def __init__(self, generation: str) -> None:
        self.names = EXPORTS[generation]
        packed = generation == PACKED
        self._fine = FINE_PACKED if packed else FINE
        mark = f'(global (export "{MSGPACK_EXPORT}") i32 (i32.const 0))' if packed else ""
        self.answers: dict[str, Answer] = {}
        self._told = 0
        self.compiled = CompiledPlugin.load(
            _wat(self.names, mark).encode(),
            name="puppet",
            functions=[
                HostImport("fuzz", "answer", "i", "I", self._answer),
                HostImport("fuzz", "failure", "i", "I", self._failure),
                HostImport("fuzz", "chunk", "i", "I", self._chunk),
                HostImport("fuzz", "code", "i", "i", self._code),
            ],
        )

    def tell(self, answers: dict[str, Answer]) -> None:
        """The answers of the next operations."""
        self.answers = answers
        self._told = 0

    def _of(self, which: int) -> Answer:
        return self.answers.get(self.names[which], {})

    def _answer(self, call: HostCall, which: int) -> int:
        said = self._of(which).get("out")
        return call.write(self._fine[self.names[which]] if said is None else bytes.fromhex(said))

    def _failure(self, call: HostCall, which: int) -> int:
        return call.write(bytes.fromhex(self._of(which).get("fail", "")))

    def _chunk(self, call: HostCall, which: int) -> int:
        chunks = self._of(which).get("chunks", ())
        if self._told >= len(chunks):
            return 0
        self._told += 1
        return call.write(bytes.fromhex(chunks[self._told - 1]) or b" ")

    def _code(self, _call: HostCall, which: int) -> int:
        return int(self._of(which).get("rc", 0))


@functools.cache
def puppet(generation: str) -> Puppet:
    """The one of a generation; it is compiled once."""
    return Puppet(generation)


class Pieces:
    """An open reply that comes in pieces."""

    def __init__(self, reply: HTTPResponse, pieces: Sequence[bytes]) -> None:
        self.status, self.headers = reply.status, reply.headers
        self._pieces = [piece for piece in pieces if piece]

    def read(self) -> bytes:
        """The next piece, b"" at the end."""
        return self._pieces.pop(0) if self._pieces else b""

    def close(self) -> None:
        """Nothing to free."""


class Network:
    """Answers every request with the same reply; streams come cut at `cuts`."""

    def __init__(self, reply: HTTPResponse, cuts: Sequence[int] = ()) -> None:
        self.reply = reply
        self.cuts = cuts

    def send(self, request: HTTPRequest, grant: Any, meter: Meter, *, secrets: Any) -> HTTPResponse:
        """The whole reply."""
        meter.http_request()
        return self.reply

    def stream(self, request: HTTPRequest, grant: Any, meter: Meter, *, secrets: Any) -> Pieces:
        """The reply in pieces."""
        meter.http_request()
        body = self.reply.body
        places = sorted({0, len(body), *(min(cut, len(body)) for cut in self.cuts)})
        pieces = [body[a:b] for a, b in pairwise(places)]
        return Pieces(self.reply, pieces)

    def close(self) -> None:
        """Nothing to free."""


LIMITS: Final = Limits(deadline=20, guest_time=10)


def open_provider(
    compiled: CompiledPlugin, network: Network, name: str, config: dict[str, Any]
) -> Provider:
    """A provider of a compiled plugin on a network that is made up. Raises what opening does."""
    spec = Spec(plugin=b"", name=name, config=config, limits=LIMITS)
    opened = open_plugin(
        spec,
        compiled,
        traits_of(compiled),
        network,
        name=name,
        ours=False,
    )
    return Provider(opened, None)


def _streamed(one: Provider) -> Any:
    """The chunks, and either the reply or the error that ended them."""
    chunks = []
    with one.chat_stream("x") as stream:
        try:
            for chunk in stream:
                chunks.append(chunk)
        except Error as error:
            return chunks, (type(error).__name__, str(error))
        reply = stream.response
    return chunks, (reply.text, reply.tool_calls, reply.thinking, reply.usage, reply.finish_reason)


OPERATIONS: Final[dict[str, Any]] = {
    "chat": lambda one: one.chat("x"),
    "chat_stream": _streamed,
    "embed": lambda one: one.embed("x"),
    "complete": lambda one: one.complete("x"),
    "list_models": lambda one: one.list_models(),
    "transcribe": lambda one: one.transcribe(b"x"),
    "speech": lambda one: one.speech("x"),
}
