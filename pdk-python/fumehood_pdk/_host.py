"""The way to the host, whatever carries it.

The core module has the built-in module `_fumehood`; the component sets `log_sink` from its own imports; in plain
CPython (tests, builds) lines go nowhere and there is no HTTP.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from fumehood_pdk import _msgpack

try:
    import _fumehood as _core  # type: ignore[import-not-found, unused-ignore] # built into the Wasm interpreter
except ImportError:
    _core = None

log_sink: Callable[[int, str], None] | None = _core.log if _core else None
"""`(level, line)`: 1 error, 2 warning, 3 information, 4 debugging. None: there is no host."""

http_sink: Callable[[bytes], bytes] | None = _core.http_request if _core else None
"""`qmt_http_request`: a `{"req": …}` document for a `{"resp": …}` one. Only speech uses it."""


def log(level: int, line: str) -> None:
    """Give the host a line; characters that are no text are replaced."""
    if log_sink is not None:
        log_sink(level, line.encode("utf-8", "replace").decode())


def _decimals(data: bytes) -> bytes:
    return b",".join([_TABLE[byte] for byte in data])


_TABLE = tuple(b"%d" % number for number in range(256))


def _from_decimals(text: bytes, start: int) -> tuple[bytes, int] | None:
    end = text.find(b"]", start)
    numbers = text[start:end]
    if end < 0 or numbers.strip(b"0123456789,"):
        return None
    try:
        return bytes(json.loads(b"[%b]" % numbers)), end
    except ValueError:
        return None


decimals: Callable[[bytes], bytes] = _core.decimals if _core else _decimals
"""Bytes as decimals with commas between: `b"a{"` is `b"97,123"`."""

from_decimals: Callable[[bytes, int], tuple[bytes, int] | None] = _core.from_decimals if _core else _from_decimals
"""Reads `97,123]` from an index: the bytes and where the bracket stands; None for anything else."""

packb: Callable[..., bytes] = _core.packb if _core else _msgpack.packb
"""A value as MessagePack: `packb(value, binary=False)`, as in `_msgpack`; arguments by position."""

unpackb: Callable[[bytes], Any] = _core.unpackb if _core else _msgpack.unpackb
"""The value of a MessagePack document, as in `_msgpack`."""
