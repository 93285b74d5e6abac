"""Guests whose answers never change, and networks of event loops: what `crowd` works with."""

from __future__ import annotations

import functools
from typing import Any, Final

import anyio

from fumehood.abi.http import HTTPResponse
from fuzz.puppet import FINE

REPLY: Final = HTTPResponse(200, (), b"one\ntwo\nthree\nfour\n")
USED: Final = (
    "config_schema", "chat_request", "parse_chat_response", "chat_stream_request",
    "chat_stream_parser_start", "chat_stream_parser_parse", "chat_stream_parser_finish",
    "chat_stream_parser_close", "list_models_request", "parse_list_models_response",
)  # fmt: skip


@functools.cache
def statue(text: str, *, loops: bool = False) -> bytes:
    """A guest of generation C whose answers never change: chats get `text`. One that `loops` does
    so where it should build a request."""
    answers = {name: FINE[name].decode() for name in USED}
    answers["parse_chat_response"] = f'{{"text":"{text}"}}'
    data, functions, at = [], [], 1024
    for name, answer in answers.items():
        data.append(f'(data (i32.const {at}) "{answer.replace(chr(34), chr(92) + "22")}")')
        loop = "(loop (br 0))" if loops and name.endswith("_request") else ""
        functions.append(
            f'(func (export "{name}") (result i32) {loop} '
            f"(call $say (i32.const {at}) (i32.const {len(answer)})) (i32.const 0))"
        )
        at += len(answer)
    return f"""(module
      (import "extism:host/env" "alloc" (func $alloc (param i64) (result i64)))
      (import "extism:host/env" "store_u8" (func $store (param i64 i32)))
      (import "extism:host/env" "output_set" (func $output (param i64 i64)))
      (memory 1) {" ".join(data)}
      (func $say (param $at i32) (param $size i32) (local $out i64) (local $i i32)
        (local.set $out (call $alloc (i64.extend_i32_u (local.get $size))))
        (loop $l
          (call $store (i64.add (local.get $out) (i64.extend_i32_u (local.get $i)))
            (i32.load8_u (i32.add (local.get $at) (local.get $i))))
          (local.set $i (i32.add (local.get $i) (i32.const 1)))
          (br_if $l (i32.lt_u (local.get $i) (local.get $size))))
        (call $output (local.get $out) (i64.extend_i32_u (local.get $size))))
      {" ".join(functions)})""".encode()


class Pieces:
    """An open reply on an event loop."""

    def __init__(self, network: AsyncNetwork) -> None:
        self.status, self.headers = REPLY.status, REPLY.headers
        self._network = network
        self._left = [line + b"\n" for line in REPLY.body.split(b"\n") if line]
        network.open += 1
        self._closed = False

    async def read(self) -> bytes:
        """The next line, b"" at the end."""
        await anyio.sleep(0)
        if not self._left:
            self.close()
            return b""
        return self._left.pop(0)

    def close(self) -> None:
        """Idempotent, as a socket's."""
        if not self._closed:
            self._closed = True
            self._network.open -= 1


class AsyncNetwork:
    """Answers, or never does; knows how many replies are open."""

    def __init__(self, *, silent: bool) -> None:
        self.open = 0
        self._silent = silent

    async def send(self, request: Any, grant: Any, meter: Any, *, secrets: Any) -> HTTPResponse:
        """The whole reply."""
        self.open += 1
        try:
            await (anyio.sleep_forever() if self._silent else anyio.sleep(0))
        finally:
            self.open -= 1
        return REPLY

    async def stream(self, request: Any, grant: Any, meter: Any, *, secrets: Any) -> Pieces:
        """The reply in pieces."""
        await self.send(request, grant, meter, secrets=secrets)
        return Pieces(self)

    def close(self) -> None:
        """Nothing to free."""
