"""MessagePack documents between guest and host: the rules of `jsonwire` (docs/wire.md).

What a guest sends is attacker data. `decode` either returns a value or raises `ProtocolError`:
for bytes that are no MessagePack or more than one document, invalid UTF-8, keys that are no text,
extension types (timestamps among them), NaN and infinities, nesting deeper than
`jsonwire.MAX_DEPTH`, and documents whose values would take far more memory than their bytes. Of a
key that stands twice the last value counts. Integers cannot exceed 64 bits here.

Announced lengths are no danger: msgspec lets arrays and maps grow as their items come and reads
text and `bin` only where their bytes are there (`tests/abi/test_msgwire.py` measures it).
"""

from __future__ import annotations

import math
import re
from typing import Any, Final

import msgspec

from fumehood.abi.jsonwire import MAX_DEPTH, MAX_VALUE_BYTES
from fumehood.errors import ProtocolError, UsageError

_decoder: Final = msgspec.msgpack.Decoder()
_encoder: Final = msgspec.msgpack.Encoder()

_SCALARS: Final = frozenset({str, int, bool, bytes, type(None)})
_CONTAINERS: Final = frozenset({dict, list})
_TEXT: Final = frozenset({str})
_FLOATS: Final = frozenset({float})

# What one value costs in memory, as in `jsonwire`: an empty dict or list with its slot, or less.
_DEAREST: Final = 72
_SMALL: Final = MAX_VALUE_BYTES // _DEAREST
"""Documents up to this many bytes cannot hold too much: a value has one byte at least."""

# Values of fixed size in a row, at C speed: one-byte scalars, floats. The rest goes one by one.
_RUN: Final = re.compile(
    rb"[\x00-\x7f\xc0\xc2\xc3\xe0-\xff]+|(?:\xca.{4})+|(?:\xcb.{8})+", re.DOTALL
)


def _extents() -> list[tuple[int, int]]:
    """By first byte: (bytes of what has a fixed size, bytes of a length among them)."""
    table = [(1, 0)] * 256
    for size in range(32):
        table[0xA0 + size] = (1 + size, 0)
    for first, width in ((0xC4, 1), (0xC5, 2), (0xC6, 4), (0xD9, 1), (0xDA, 2), (0xDB, 4)):
        table[first] = (1 + width, width)
    for first, width in ((0xC7, 1), (0xC8, 2), (0xC9, 4)):
        table[first] = (2 + width, width)
    for first, size in ((0xCA, 4), (0xCB, 8), (0xDC, 2), (0xDD, 4), (0xDE, 2), (0xDF, 4)):
        table[first] = (1 + size, 0)
    for power in range(4):
        table[0xCC + power] = table[0xD0 + power] = (1 + (1 << power), 0)
    for power in range(5):
        table[0xD4 + power] = (2 + (1 << power), 0)
    return table


_EXTENTS: Final = _extents()


def decode(data: bytes | bytearray | memoryview, what: str) -> Any:
    """The value of a MessagePack document; `what` names it in errors.

    `bin` becomes bytes. Raises ProtocolError, and nothing else, for whatever is not allowed (see
    the module).
    """
    if len(data) > _SMALL:
        _check_size(bytes(data), what)
    try:
        value = _decoder.decode(data)
    except UnicodeDecodeError as problem:
        raise ProtocolError(f"{what} is not valid UTF-8: {problem.reason}") from None
    except RecursionError:
        raise ProtocolError(f"{what} is nested too deeply") from None
    except (msgspec.MsgspecError, ValueError, TypeError, OverflowError) as problem:
        # TypeError: a key that is an array or a map has no hash
        raise ProtocolError(f"{what} is not valid MessagePack: {problem}") from None
    _check(value, what)
    return value


def encode(value: Any) -> bytes:
    """`value` as a MessagePack document; bytes become `bin`.

    `msgspec.Raw` stands for a document that is MessagePack already. For values that the host or
    the caller made: raises UsageError where they have no MessagePack form.
    """
    try:
        return _encoder.encode(value)
    except UnicodeEncodeError:
        raise UsageError("text with a lone surrogate cannot be sent: it is not Unicode") from None
    except RecursionError:
        raise UsageError("a value nested too deeply, or inside itself, cannot be sent") from None
    except (TypeError, ValueError, OverflowError, msgspec.MsgspecError) as problem:
        raise UsageError(f"a value cannot be sent as MessagePack: {problem}") from None


def _check(value: Any, what: str) -> None:
    """Refuse what JSON has not, level by level."""
    level = [value]
    for depth in range(MAX_DEPTH + 1):
        if depth == MAX_DEPTH and any(type(item) in _CONTAINERS for item in level):
            raise ProtocolError(f"{what} is nested deeper than {MAX_DEPTH}")
        inner: list[Any] = []
        for item in level:
            kind = type(item)
            if kind is dict:
                if not _TEXT.issuperset(map(type, item)):
                    raise ProtocolError(f"{what} has a key that is not text")
                inner += item.values()
            elif kind is list:
                if not _FLOATS.issuperset(map(type, item)) or not math.isfinite(sum(item)):
                    inner += item
            elif kind is float:
                if item - item != 0.0:  # true for NaN and both infinities only
                    raise ProtocolError(f"{what} holds a number that is not finite")
            elif kind not in _SCALARS:
                raise ProtocolError(f"{what} holds an extension type")
        if not inner:
            return
        level = inner


def _check_size(data: bytes, what: str) -> None:
    """Decoded size, before one value is built: sizes of CPython objects with their slots."""
    cost, at, end = 0, 0, len(data)
    while at < end:
        run = _RUN.match(data, at)
        if run is not None:
            # small integers and constants are shared: a slot each; the others are boxed
            size = run.end() - at
            cost += size * 40 if data[at] < 0xCA or data[at] >= 0xE0 else size * 8
            at += size
        else:
            fixed, width = _EXTENTS[data[at]]
            length = int.from_bytes(data[at + 1 : at + 1 + width], "big") if width else 0
            at += fixed + length
            cost += _DEAREST + fixed + length
        if cost > MAX_VALUE_BYTES:
            raise ProtocolError(f"{what} holds too many values ({end} bytes of MessagePack)")
