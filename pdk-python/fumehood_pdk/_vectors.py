"""Embeddings are f32 (provider-abi.md §3.7): in JSON each number is the shortest text that a 32-bit float reads back,
in MessagePack that float itself.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Iterable
from typing import Any

from fumehood_pdk import _msgpack

_NUMBERS = frozenset({float, int})
_F32 = struct.Struct("<f")


def encode(vectors: Iterable[Iterable[Any]]) -> bytes:
    """`[[…],…]`. ValueError for what is no finite number."""
    return (
        b"[" + b",".join(b"[" + b",".join([shortest(number) for number in vector]) + b"]" for vector in vectors) + b"]"
    )


def pack(vectors: Iterable[Iterable[Any]]) -> bytes:
    """`[[…],…]` in MessagePack. ValueError for what is no finite number."""
    rows = [_row(list(vector)) for vector in vectors]
    return b"".join([_msgpack.array_head(len(rows)), *rows])


def _row(vector: list[Any]) -> bytes:
    if not _NUMBERS.issuperset(map(type, vector)):
        raise _no_number(next(number for number in vector if type(number) not in _NUMBERS))
    try:
        if not all(map(math.isfinite, vector)):
            raise OverflowError
        numbers = struct.pack(f">{len(vector)}f", *vector)
    except OverflowError:
        raise _not_finite() from None
    row = bytearray(5 * len(vector))
    row[::5] = b"\xca" * len(vector)
    for place in range(4):
        row[place + 1 :: 5] = numbers[place::4]
    return _msgpack.array_head(len(vector)) + row


def _no_number(value: object) -> ValueError:
    return ValueError(f"an embedding holds {value!r}, which is no number")


def _not_finite() -> ValueError:
    return ValueError("an embedding holds a number that is not finite")


def shortest(number: Any) -> bytes:
    """The shortest decimal text of the 32-bit float nearest to `number`."""
    if type(number) is not float and type(number) is not int:
        raise _no_number(number)
    try:
        packed = _F32.pack(number)
    except OverflowError:
        packed = b""
    if not packed or not math.isfinite(_F32.unpack(packed)[0]):
        raise _not_finite()
    value = _F32.unpack(packed)[0]
    # what needs fewer digits loses its zeros below; only the numbers next to zero have fewer than six
    for digits in range(1 if abs(value) < 1e-37 else 6, 10):
        text = f"{value:.{digits - 1}e}"
        if _F32.pack(float(text)) == packed:
            break
    return _laid_out(text).encode()


def _laid_out(text: str) -> str:
    """`-1.250000e-01` as `-0.125`: plain notation between 1e-5 and 1e13, else with an exponent."""
    mantissa, _, exponent = text.partition("e")
    sign = "-" if mantissa.startswith("-") else ""
    digits = mantissa.lstrip("-").replace(".", "").rstrip("0") or "0"
    point = int(exponent) + 1 if digits != "0" else 1
    if 0 < point <= 13:
        if len(digits) <= point:
            return f"{sign}{digits}{'0' * (point - len(digits))}.0"
        return f"{sign}{digits[:point]}.{digits[point:]}"
    if -6 < point <= 0:
        return f"{sign}0.{'0' * -point}{digits}"
    rest = f".{digits[1:]}" if len(digits) > 1 else ""
    return f"{sign}{digits[0]}{rest}e{point - 1:+d}" if point > 0 else f"{sign}{digits[0]}{rest}e{point - 1}"
