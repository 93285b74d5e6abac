"""Reading Wasm binaries: LEB128, sections, and the shape of every instruction that guests may use.

Only for modules that wasmtime has validated. Everything is still bounds-checked, because Python
indexes are; what is unusual raises `UnusualError`, and the caller goes the ordinary way.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, TypeVar

T = TypeVar("T", bytes, memoryview)


class UnusualError(Exception):
    """The module uses something that this reader does not follow. Never leaves the engine."""


def uleb(value: int) -> bytes:
    """Unsigned LEB128."""
    out = bytearray()
    while True:
        byte = value & 0x7F
        value >>= 7
        if not value:
            out.append(byte)
            return bytes(out)
        out.append(byte | 0x80)


def sleb(value: int) -> bytes:
    """Signed LEB128."""
    out = bytearray()
    while True:
        byte = value & 0x7F
        value >>= 7
        if (value == 0 and not byte & 0x40) or (value == -1 and byte & 0x40):
            out.append(byte)
            return bytes(out)
        out.append(byte | 0x80)


def read_uleb(data: bytes | memoryview, at: int) -> tuple[int, int]:
    """(value, position behind it) of an unsigned LEB128 of at most 64 bits."""
    value = shift = 0
    while True:
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
        shift += 7
        if shift > 63:
            raise UnusualError("a number of more than 64 bits")


def read_sleb(data: bytes, at: int) -> tuple[int, int]:
    """(value, position behind it) of a signed LEB128 of at most 70 bits."""
    end = skip_leb(data, at)
    value = 0
    if end - at > 10:
        raise UnusualError("a number of more than 64 bits")
    for shift, byte in enumerate(data[at:end]):
        value |= (byte & 0x7F) << 7 * shift
    if data[end - 1] & 0x40:
        value -= 1 << 7 * (end - at)
    return value, end


def skip_leb(data: bytes, at: int) -> int:
    """The position behind one LEB128."""
    while data[at] >= 0x80:
        at += 1
    return at + 1


def read_sections(data: T) -> Iterator[tuple[int, T]]:
    """(id, content) of every section, custom ones included; of a memoryview, views."""
    at = 8
    while at < len(data):
        kind = data[at]
        size, at = read_uleb(data, at + 1)
        if at + size > len(data):
            raise UnusualError("a section is cut short")
        yield kind, data[at : at + size]
        at += size


# What follows an opcode: nothing, one or two LEBs, a memory argument, a block type, a float, a
# branch table, typed select's list, a call (one function index), the two prefixes; else refuse.
NONE, LEB, LEBS, MEMORY, BLOCK, F32, F64, TABLE, SELECT, CALL, FUNCTION, MISC, SIMD = range(13)
REFUSE: Final = 255


def _kinds() -> bytes:
    kinds = [REFUSE] * 256
    plain = (0x00, 0x01, 0x05, 0x0B, 0x0F, 0x1A, 0x1B, *range(0x45, 0xC5), 0xD1)
    one = (0x0C, 0x0D, *range(0x20, 0x27), 0x3F, 0x40, 0x41, 0x42, 0xD0)
    for opcodes, kind in (
        (plain, NONE),
        (one, LEB),
        ((0x11,), LEBS),
        (range(0x28, 0x3F), MEMORY),
        ((0x02, 0x03, 0x04), BLOCK),
        ((0x43,), F32),
        ((0x44,), F64),
        ((0x0E,), TABLE),
        ((0x1C,), SELECT),
        ((0x10,), CALL),
        ((0xD2,), FUNCTION),
        ((0xFC,), MISC),
        ((0xFD,), SIMD),
    ):
        for opcode in opcodes:
            kinds[opcode] = kind
    return bytes(kinds)


KINDS: Final = _kinds()

_MISC_ONE: Final = frozenset({9, 11, 13, 15, 16, 17})
_MISC_TWO: Final = frozenset({8, 10, 12, 14})
_SATURATING: Final = 7
_SIMD_LOADS: Final = frozenset({*range(12), *range(84, 94)})
_SIMD_LANE_LOADS: Final = frozenset(range(84, 92))
_SIMD_LANES: Final = frozenset(range(21, 35))
_SIMD_LAST: Final = 255
"""Relaxed SIMD begins above; it is off."""
_MEMORY_INDEX: Final = 0x40


def skip_memory_argument(data: bytes, at: int) -> int:
    """Behind alignment, memory index (if any) and offset."""
    align = data[at]
    at = skip_leb(data, at)
    if align & _MEMORY_INDEX:
        at = skip_leb(data, at)
    return skip_leb(data, at)


def skip_immediates(data: bytes, at: int, kind: int) -> int:
    """The position behind the immediates of an opcode of `kind`."""
    if kind == NONE:
        return at
    if kind in (LEB, CALL, FUNCTION):
        return skip_leb(data, at)
    if kind == MEMORY:
        return skip_memory_argument(data, at)
    if kind == BLOCK:
        if data[at] in (0x63, 0x64):
            raise UnusualError("a reference as block type")
        return skip_leb(data, at)
    if kind == LEBS:
        return skip_leb(data, skip_leb(data, at))
    if kind == F32:
        return at + 4
    if kind == F64:
        return at + 8
    if kind == TABLE:
        count, at = read_uleb(data, at)
        for _ in range(count + 1):
            at = skip_leb(data, at)
        return at
    if kind == SELECT:
        count, at = read_uleb(data, at)
        return at + count
    if kind == MISC:
        return _skip_misc(data, at)
    if kind == SIMD:
        return _skip_simd(data, at)
    raise UnusualError(f"opcode {data[at - 1]:#x}")


def _skip_misc(data: bytes, at: int) -> int:
    code, at = read_uleb(data, at)
    if code <= _SATURATING:
        return at
    if code in _MISC_ONE:
        return skip_leb(data, at)
    if code in _MISC_TWO:
        return skip_leb(data, skip_leb(data, at))
    raise UnusualError(f"opcode 0xfc {code}")


def _skip_simd(data: bytes, at: int) -> int:
    code, at = read_uleb(data, at)
    if code > _SIMD_LAST:
        raise UnusualError(f"opcode 0xfd {code}")
    if code in _SIMD_LOADS:
        at = skip_memory_argument(data, at)
        return at + 1 if code in _SIMD_LANE_LOADS else at
    if code in (12, 13):
        return at + 16
    if code in _SIMD_LANES:
        return at + 1
    return at
