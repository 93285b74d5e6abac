"""MessagePack as the wire has it (docs/wire.md): what JSON can say, and bytes.

The interpreter of a built plugin has the same in C (interpreter/msgpack.c); this is what plain CPython uses.
"""

from __future__ import annotations

import math
import struct
from typing import Any, Final

_DEPTH: Final = 128
"""Levels of containers in a document."""
_F32: Final = struct.Struct(">f")
_F64: Final = struct.Struct(">d")


def packb(value: Any, binary: bool = False) -> bytes:
    """The document of a value. ValueError for what it cannot say: NaN, infinities, lone surrogates, integers beyond 64
    bits, keys that are no texts, unknown objects, and bytes, unless it may hold them (`binary`)."""
    out = bytearray()
    _put(out, value, 0, binary)
    return bytes(out)


def unpackb(data: bytes) -> Any:
    """The value of a document. ValueError for NaN, infinities, texts that are not UTF-8, keys that are no texts,
    extension types, a depth over 128, an end too early or too late. No length that it announces is trusted."""
    reader = _Reader(data)
    value = reader.value(0)
    if reader.at != len(data):
        raise ValueError("bytes follow the MessagePack document")
    return value


def array_head(count: int) -> bytes:
    """What stands before `count` items."""
    out = bytearray()
    _sized(out, count, 0x90, 15, 0xDB)
    return bytes(out)


# -- reading ------------------------------------------------------------------------------------------


class _Reader:
    def __init__(self, data: bytes) -> None:
        self.data = data
        self.at = 0

    def take(self, length: int) -> bytes:
        end = self.at + length
        if end > len(self.data):
            raise ValueError("the MessagePack document ends early")
        taken = self.data[self.at : end]
        self.at = end
        return taken

    def number(self, length: int, *, signed: bool = False) -> int:
        return int.from_bytes(self.take(length), "big", signed=signed)

    def text(self, length: int) -> str:
        return self.take(length).decode()

    def value(self, depth: int) -> Any:
        first = self.number(1)
        if first <= 0x7F:
            return first
        if first <= 0x8F:
            return self.map(first & 15, depth)
        if first <= 0x9F:
            return self.array(first & 15, depth)
        if first <= 0xBF:
            return self.text(first & 31)
        if first >= 0xE0:
            return first - 256
        return self.marked(first, depth)

    def marked(self, first: int, depth: int) -> Any:
        match first:
            case 0xC0:
                return None
            case 0xC2 | 0xC3:
                return first == 0xC3
            case 0xC4 | 0xC5 | 0xC6:
                return self.take(self.number(1 << (first - 0xC4)))
            case 0xCA:
                return _finite(_F32.unpack(self.take(4))[0])
            case 0xCB:
                return _finite(_F64.unpack(self.take(8))[0])
            case 0xCC | 0xCD | 0xCE | 0xCF:
                return self.number(1 << (first - 0xCC))
            case 0xD0 | 0xD1 | 0xD2 | 0xD3:
                return self.number(1 << (first - 0xD0), signed=True)
            case 0xD9 | 0xDA | 0xDB:
                return self.text(self.number(1 << (first - 0xD9)))
            case 0xDC | 0xDD:
                return self.array(self.number(2 << (first - 0xDC)), depth)
            case 0xDE | 0xDF:
                return self.map(self.number(2 << (first - 0xDE)), depth)
        raise ValueError("the MessagePack document holds an extension type or a byte that means nothing")

    def enter(self, least: int, depth: int) -> None:
        if least > len(self.data) - self.at:
            raise ValueError("the MessagePack document ends early")
        if depth >= _DEPTH:
            raise ValueError("the MessagePack document is nested too deeply")

    def array(self, count: int, depth: int) -> list[Any]:
        self.enter(count, depth)
        return [self.value(depth + 1) for _ in range(count)]

    def map(self, count: int, depth: int) -> dict[str, Any]:
        self.enter(2 * count, depth)
        found: dict[str, Any] = {}
        for _ in range(count):
            key = self.key()
            found[key] = self.value(depth + 1)
        return found

    def key(self) -> str:
        first = self.number(1)
        if 0xA0 <= first <= 0xBF:
            return self.text(first & 31)
        if 0xD9 <= first <= 0xDB:
            return self.text(self.number(1 << (first - 0xD9)))
        raise ValueError("a key of the MessagePack document is no text")


def _finite(number: float) -> float:
    if not math.isfinite(number):
        raise ValueError("a number of the MessagePack document is not finite")
    return number


# -- writing ------------------------------------------------------------------------------------------


def _put(out: bytearray, value: Any, depth: int, binary: bool) -> None:
    if isinstance(value, str):
        _text(out, value)
    elif value is None:
        out.append(0xC0)
    elif isinstance(value, bool):
        out.append(0xC3 if value else 0xC2)
    elif isinstance(value, int):
        _integer(out, value)
    elif isinstance(value, float):
        if not math.isfinite(value):
            raise _unsaid("a number that is not finite")
        out += b"\xcb" + _F64.pack(value)
    elif isinstance(value, dict | list | tuple):
        if depth >= _DEPTH:
            raise _unsaid("nested too deeply")
        if isinstance(value, dict):
            _sized(out, len(value), 0x80, 15, 0xDD)
        else:
            _sized(out, len(value), 0x90, 15, 0xDB)
        for item in value:
            if isinstance(value, dict):
                if not isinstance(item, str):
                    raise _unsaid("a key that is no text")
                _text(out, item)
                _put(out, value[item], depth + 1, binary)
            else:
                _put(out, item, depth + 1, binary)
    elif binary and isinstance(value, bytes):
        _sized(out, len(value), 0, -1, 0xC4, has_byte=True)
        out += value
    else:
        raise _unsaid(f"an object of type {type(value).__name__}")


def _unsaid(what: str) -> ValueError:
    return ValueError(f"cannot be written as MessagePack: {what}")


def _text(out: bytearray, text: str) -> None:
    data = text.encode()
    _sized(out, len(data), 0xA0, 31, 0xD9, has_byte=True)
    out += data


def _integer(out: bytearray, number: int) -> None:
    if -32 <= number <= 0x7F:
        out += number.to_bytes(1, "big", signed=number < 0)
        return
    for power in range(4):
        bits = 8 << power
        if 0 <= number < 1 << bits:
            out.append(0xCC + power)
            out += number.to_bytes(bits // 8, "big")
            return
        if -(1 << (bits - 1)) <= number < 0:
            out.append(0xD0 + power)
            out += number.to_bytes(bits // 8, "big", signed=True)
            return
    raise _unsaid("an integer beyond 64 bits")


def _sized(out: bytearray, length: int, tiny: int, most: int, first: int, *, has_byte: bool = False) -> None:
    """The head of `length` items; where no form has a length of one byte, `first` is the one before that of two."""
    if length <= most:
        out.append(tiny | length)
    elif has_byte and length <= 0xFF:
        out += bytes((first, length))
    elif length <= 0xFFFF:
        out.append(first + 1)
        out += length.to_bytes(2, "big")
    else:
        out.append(first + 2)
        out += length.to_bytes(4, "big")
