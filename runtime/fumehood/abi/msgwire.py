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

# What values cost in memory, as in `jsonwire`: sizes of CPython objects with their slots, from
# above. The dearest is an empty dict; a list shares its floats' slots only.
_DEAREST: Final = 72
_SHORT: Final = 40
_FLOAT: Final = 8
"""These two are for each byte of the document: a float takes five or nine of them."""
_STEP: Final = 128
"""At least this is charged for what is gone through one by one, so that the scan ends soon."""

_SMALL: Final = MAX_VALUE_BYTES // _DEAREST
"""Documents up to this many bytes cannot hold too much: a value has one byte at least."""

_FIXED_TEXTS: Final = b"|".join(b"%c.{%d}" % (0xA0 + size, size) for size in range(32))
# Floats in a row, or other values of fixed size and the heads of small arrays and maps, at C speed.
_RUN: Final = re.compile(
    rb"(?:\xca.{4}|\xcb.{8})++|(?:[\x00-\x9f\xc0\xc2\xc3\xe0-\xff]++|[\xcc\xd0].|[\xcd\xd1].{2}"
    rb"|[\xce\xd2].{4}|[\xcf\xd3].{8}|" + _FIXED_TEXTS + rb")++",
    re.DOTALL,
)
_FLOATS_BEGIN: Final = b"\xca\xcb"
_SMALL_HEADS: Final = bytes(range(0x80, 0xA0))

# By first byte: how many bytes a length has, and whether so many bytes follow it.
_LENGTHS: Final = {
    **{0xC4: (1, True), 0xC5: (2, True), 0xC6: (4, True)},
    **{0xD9: (1, True), 0xDA: (2, True), 0xDB: (4, True)},
    **{0xDC: (2, False), 0xDD: (4, False), 0xDE: (2, False), 0xDF: (4, False)},
}


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
    level, depth = [value], 0
    while level:
        if depth == MAX_DEPTH and not _CONTAINERS.isdisjoint(map(type, level)):
            raise ProtocolError(f"{what} is nested deeper than {MAX_DEPTH}")
        inner: list[Any] = []
        for item in level:
            kind = type(item)
            if kind is dict:
                if not _TEXT.issuperset(map(type, item)):
                    raise ProtocolError(f"{what} has a key that is not text")
                if not _SCALARS.issuperset(map(type, item.values())):
                    inner += item.values()
            elif kind is list:
                if _FLOATS.issuperset(map(type, item)):
                    if not math.isfinite(sum(item)):
                        inner += item
                elif not _SCALARS.issuperset(map(type, item)):
                    inner += item
            elif kind is float:
                if item - item != 0.0:  # true for NaN and both infinities only
                    raise ProtocolError(f"{what} holds a number that is not finite")
            elif kind not in _SCALARS:
                raise ProtocolError(f"{what} holds an extension type")
        level, depth = inner, depth + 1


def _check_size(data: bytes, what: str) -> None:
    """Decoded size, before one value is built. What is no MessagePack ends the scan: `decode`
    refuses it."""
    cost, at, end = 0, 0, len(data)
    while at < end:
        at, more = step(data, at)
        cost += more
        if cost > MAX_VALUE_BYTES:
            raise ProtocolError(f"{what} holds too many values ({end} bytes of MessagePack)")


def step(data: bytes, at: int) -> tuple[int, int]:
    """Where the value that begins at `at` ends, or a run of small ones (of large arrays and maps:
    their head), and what it costs. Extension types and nonsense end with the document."""
    run = _RUN.match(data, at)
    if run is not None:
        found = run[0]
        if found[0] in _FLOATS_BEGIN:
            return run.end(), max(_STEP, len(found) * _FLOAT)
        heads = len(found) - len(found.translate(None, _SMALL_HEADS))
        return run.end(), max(_STEP, heads * _DEAREST + len(found) * _SHORT)
    width, follow = _LENGTHS.get(data[at], (0, False))
    if width == 0:
        return len(data), 0
    begin = at + 1 + width
    length = int.from_bytes(data[at + 1 : begin], "big") if follow else 0
    return begin + length, _STEP + length
