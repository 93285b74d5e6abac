"""The ways in which the stub can misbehave, each by a name.

A name is taken from the queue of `StubServer.behave`, else from the `model` of the request, else
from a path `/behave/NAME`. `NAME-7` gives the number 7 to the behaviour. What is not listed here
is an ordinary model name.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Final

from fumehood.testing.stub.openai import CREATED, usage
from fumehood.testing.stub.replies import (
    JSON_TYPE,
    SSE_TYPE,
    Reply,
    StubRequest,
    dump,
    error_reply,
    json_reply,
)

MIB: Final = 1024 * 1024
RETRY_AFTER: Final = 7


@dataclass(frozen=True, slots=True)
class Scene:
    """What a behaviour gets: the request, its number, a pause that ends with the server, and
    where a redirect leads. `pause(seconds)` is true while the server runs."""

    request: StubRequest
    number: int | None
    pause: Callable[[float], bool]
    redirect_to: str


Behaviour = Callable[[Scene], Reply]


def _chat(text: str) -> dict[str, object]:
    message = {"role": "assistant", "content": text}
    return {
        "id": "chatcmpl-stub",
        "object": "chat.completion",
        "created": CREATED,
        "model": "stub",
        "choices": [{"index": 0, "message": message, "finish_reason": "stop"}],
        "usage": usage("", text[:100]),
    }


def status(scene: Scene) -> Reply:
    """`status-N`: an error reply of that status; 429 says when to come back."""
    number = scene.number or 500
    table = {
        400: ("invalid_request_error", "bad request"),
        401: ("authentication_error", "Incorrect API key provided"),
        403: ("permission_error", "not allowed"),
        404: ("not_found_error", "The model does not exist"),
        429: ("rate_limit_error", "Rate limit reached"),
    }
    kind, message = table.get(number, ("server_error", "The server had an error"))
    headers = (("retry-after", str(RETRY_AFTER)),) if number in (429, 503) else ()
    return error_reply(number, f"{message} (stub)", kind, headers=headers)


def not_json(_scene: Scene) -> Reply:
    """A web page where JSON was due."""
    page = b"<html><body><h1>502 Bad Gateway</h1></body></html>"
    return Reply(200, (("content-type", "text/html"),), page)


def empty(_scene: Scene) -> Reply:
    """Status 200 and no byte."""
    return Reply(200, (JSON_TYPE,))


def invalid_utf8(_scene: Scene) -> Reply:
    """JSON with bytes inside its text that are not UTF-8."""
    return Reply(200, (JSON_TYPE,), dump(_chat("X")).replace(b'"X"', b'"\xff\xfe\x80"'))


def surrogate(_scene: Scene) -> Reply:
    """JSON with an escaped lone surrogate."""
    return Reply(200, (JSON_TYPE,), dump(_chat("X")).replace(b'"X"', b'"\\ud800"'))


def deep_json(_scene: Scene) -> Reply:
    """200,000 open brackets."""
    return Reply(200, (JSON_TYPE,), b"[" * 200_000)


def nan_json(_scene: Scene) -> Reply:
    """NaN and Infinity, which JSON does not have."""
    return Reply(200, (JSON_TYPE,), b'{"choices":[NaN,Infinity]}')


def long_number(_scene: Scene) -> Reply:
    """An integer of 5,000 digits."""
    return Reply(200, (JSON_TYPE,), b'{"created":' + b"9" * 5000 + b"}")


def _repeat(block: bytes, scene: Scene, first: bytes = b"") -> Iterator[bytes]:
    yield first or block
    while scene.pause(0):
        yield block


def endless(scene: Scene) -> Reply:
    """A JSON text that never ends."""
    return Reply(200, (JSON_TYPE,), _repeat(b"a" * 65536, scene, b'{"text":"'))


def endless_sse(scene: Scene) -> Reply:
    """Well-formed events for ever."""
    delta = {"choices": [{"index": 0, "delta": {"content": "and "}, "finish_reason": None}]}
    return Reply(200, (SSE_TYPE,), _repeat(b"data: " + dump(delta) + b"\n\n", scene))


def sse_no_newline(scene: Scene) -> Reply:
    """One event line that never ends."""
    return Reply(200, (SSE_TYPE,), _repeat(b"a" * 65536, scene, b"data: "))


def drip(scene: Scene) -> Reply:
    """One byte every `N` milliseconds (100), for ever."""
    wait = (scene.number or 100) / 1000

    def body() -> Iterator[bytes]:
        yield b"{"
        while scene.pause(wait):
            yield b" "

    return Reply(200, (JSON_TYPE,), body())


def stall(scene: Scene) -> Reply:
    """Headers and one byte, then silence."""

    def body() -> Iterator[bytes]:
        yield b"{"
        while scene.pause(60):
            pass

    return Reply(200, (JSON_TYPE,), body())


def hang(scene: Scene) -> Reply:
    """No answer at all while the server runs."""
    while scene.pause(60):
        pass
    return Reply(abort=True)


def truncated(_scene: Scene) -> Reply:
    """Half of the bytes that the header promised, then the end of the connection."""
    body = dump(_chat("the rest of this answer never arrives"))
    return Reply(200, (JSON_TYPE,), body[: len(body) // 2], length=len(body), close=True)


def reset(_scene: Scene) -> Reply:
    """The connection is reset before any answer."""
    return Reply(abort=True)


def stale(_scene: Scene) -> Reply:
    """A correct reply; the connection is dropped when the next request arrives on it."""
    return replace(json_reply(_chat("this connection will go stale")), stale=True)


def redirect(scene: Scene) -> Reply:
    """`redirect-N`: status N (302) to `StubServer.redirect_to`."""
    return Reply(scene.number or 302, (("location", scene.redirect_to),))


def big(scene: Scene) -> Reply:
    """A correct reply whose text is N MiB (8)."""
    return json_reply(_chat("b" * ((scene.number or 8) * MIB)))


def _packed(coding: str, body: bytes) -> Reply:
    bits = 31 if coding == "gzip" else 15
    packer = zlib.compressobj(6, zlib.DEFLATED, bits)
    packed = packer.compress(body) + packer.flush()
    return Reply(200, (JSON_TYPE, ("content-encoding", coding)), packed)


def gzip_reply(_scene: Scene) -> Reply:
    """A correct reply, gzipped."""
    return _packed("gzip", dump(_chat("this was gzipped")))


def deflate_reply(_scene: Scene) -> Reply:
    """A correct reply, deflated (zlib format, as the RFC has it)."""
    return _packed("deflate", dump(_chat("this was deflated")))


def _bomb(coding: str, mebibytes: int) -> Reply:
    bits = 31 if coding == "gzip" else 15
    packer = zlib.compressobj(9, zlib.DEFLATED, bits)
    block = b" " * MIB
    packed = b"".join(packer.compress(block) for _ in range(mebibytes)) + packer.flush()
    return Reply(200, (JSON_TYPE, ("content-encoding", coding)), packed)


def gzip_bomb(scene: Scene) -> Reply:
    """N MiB (200) of blanks, gzipped to about a thousandth."""
    return _bomb("gzip", scene.number or 200)


def deflate_bomb(scene: Scene) -> Reply:
    """N MiB (200) of blanks, deflated."""
    return _bomb("deflate", scene.number or 200)


def members_bomb(scene: Scene) -> Reply:
    """N MiB (200) of blanks as many gzip members, one after another."""
    packer = zlib.compressobj(9, zlib.DEFLATED, 31)
    member = packer.compress(b" " * MIB) + packer.flush()
    body = member * (scene.number or 200)
    return Reply(200, (JSON_TYPE, ("content-encoding", "gzip")), body)


def nested_bomb(scene: Scene) -> Reply:
    """N MiB (200) of blanks, gzipped twice."""
    inner = _bomb("gzip", scene.number or 200).body
    assert isinstance(inner, bytes)
    packer = zlib.compressobj(9, zlib.DEFLATED, 31)
    packed = packer.compress(inner) + packer.flush()
    return Reply(200, (JSON_TYPE, ("content-encoding", "gzip, gzip")), packed)


def zstd(_scene: Scene) -> Reply:
    """A frame of zstd whose header promises 4 GiB."""
    frame = b"\x28\xb5\x2f\xfd\xe0" + (1 << 32).to_bytes(8, "little") + b"\x03\xff\xff"
    return Reply(200, (JSON_TYPE, ("content-encoding", "zstd")), frame)


def unknown_coding(_scene: Scene) -> Reply:
    """A content coding that the client did not offer."""
    body = dump(_chat("plain after all"))
    return Reply(200, (JSON_TYPE, ("content-encoding", "br")), body)


def header_flood(scene: Scene) -> Reply:
    """N (5,000) reply headers."""
    many = tuple((f"x-flood-{i}", "y" * 50) for i in range(scene.number or 5000))
    return Reply(200, (JSON_TYPE, *many), dump(_chat("after the flood")))


def interim_flood(scene: Scene) -> Reply:
    """N (a milliard) interim replies before the one that was asked for."""
    text = dump(_chat("after the flood"))
    return Reply(200, (JSON_TYPE,), text, interim=scene.number or 10**9)


def odd_header(_scene: Scene) -> Reply:
    """A reply header whose value is not ASCII."""
    return Reply(200, (JSON_TYPE, ("x-odd", "caf\u00e9")), dump(_chat("the odd header")))


def reflect(scene: Scene) -> Reply:
    """The request's own headers come back inside the text: an accidental reflection."""
    seen = "; ".join(f"{name}: {value}" for name, value in scene.request.headers)
    return json_reply(_chat(f"your headers were {seen}"))


def unsafe_text(_scene: Scene) -> Reply:
    """A text that would steer a terminal: escapes, a carriage return, a bidi override."""
    text = "\x1b]0;owned\x07\x1b[2J\x1b[31mred\rhidden \u202egnp.exe\u202c \x9b31m \x00 end"
    return json_reply(_chat(text))


BEHAVIOURS: Final[dict[str, Behaviour]] = {
    "status": status,
    "not-json": not_json,
    "empty": empty,
    "invalid-utf8": invalid_utf8,
    "surrogate": surrogate,
    "deep-json": deep_json,
    "nan-json": nan_json,
    "long-number": long_number,
    "endless": endless,
    "endless-sse": endless_sse,
    "sse-no-newline": sse_no_newline,
    "drip": drip,
    "stall": stall,
    "hang": hang,
    "truncated": truncated,
    "reset": reset,
    "stale": stale,
    "redirect": redirect,
    "big": big,
    "gzip": gzip_reply,
    "deflate": deflate_reply,
    "gzip-bomb": gzip_bomb,
    "deflate-bomb": deflate_bomb,
    "members-bomb": members_bomb,
    "nested-bomb": nested_bomb,
    "zstd": zstd,
    "unknown-coding": unknown_coding,
    "header-flood": header_flood,
    "interim-flood": interim_flood,
    "odd-header": odd_header,
    "reflect": reflect,
    "unsafe-text": unsafe_text,
}

_NAME: Final = re.compile(r"([a-z0-9-]+?)(?:-([0-9]+))?")


def find(name: str) -> tuple[Behaviour, int | None] | None:
    """The behaviour called `name` and its number, or None for an ordinary model name."""
    if name in BEHAVIOURS:
        return BEHAVIOURS[name], None
    match = _NAME.fullmatch(name)
    if match is None or match[1] not in BEHAVIOURS:
        return None
    return BEHAVIOURS[match[1]], int(match[2]) if match[2] else None
