"""The few facts of a Wasm file that wasmtime's reflection does not give.

Read only from modules that wasmtime has validated, but every index is checked all the same.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from fumehood.errors import LoadError

_MAGIC: Final = b"\0asm"
_COMPONENT: Final = b"\x0d\x00\x01\x00"
_IMPORT_SECTION: Final = 2
_MEMORY_SECTION: Final = 5
_WAT: Final = re.compile(rb"\(\s*module|;;|\(;|\s+(?:;;|\(;)")


@dataclass(frozen=True, slots=True)
class MemoryLimits:
    """A memory's declared size in pages of 64 KiB; `maximum` None where it declares none."""

    minimum: int
    maximum: int | None


def is_component(data: bytes) -> bool:
    """True for the binary header of a component (bytes 4 to 8)."""
    return data[:4] == _MAGIC and data[4:8] == _COMPONENT


def is_wat(data: bytes) -> bool:
    """True for what existing hosts take for a text module (extism-abi.md §3.1)."""
    return _WAT.match(data) is not None


def _leb(data: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
        shift += 7
        if shift > 63:
            raise LoadError("a length in the module is too long")


def _limits(data: bytes, at: int) -> tuple[MemoryLimits, int]:
    flags = data[at]
    minimum, at = _leb(data, at + 1)
    maximum = None
    if flags & 1:
        maximum, at = _leb(data, at)
    return MemoryLimits(minimum, maximum), at


def memories(data: bytes) -> tuple[MemoryLimits, ...]:
    """The memories that a module defines itself, in order (imported ones are not listed)."""
    found: list[MemoryLimits] = []
    try:
        at = 8
        while at < len(data):
            kind = data[at]
            size, at = _leb(data, at + 1)
            if kind == _MEMORY_SECTION:
                count, position = _leb(data, at)
                for _ in range(count):
                    limits, position = _limits(data, position)
                    found.append(limits)
                break
            at += size
    except IndexError as problem:
        raise LoadError("the module is cut short") from problem
    return tuple(found)
