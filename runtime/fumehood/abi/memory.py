"""Ranges and block handles: the only place where a guest's numbers become offsets.

Pure functions over memoryviews. A memoryview slice clamps silently, so every range is checked
against the size of what it is cut from before one byte is touched (extism-abi.md §1.7, §6).
"""

from __future__ import annotations

from dataclasses import dataclass
from struct import Struct
from typing import Final

from fumehood.errors import ProtocolError

_ENTRY: Final = Struct("<II")
_FREED: Final = 1 << 31


@dataclass(frozen=True, slots=True)
class Block:
    """One allocation of the kernel: data at `offset`, `length` bytes; `index` in its table."""

    offset: int
    length: int
    freed: bool
    index: int


def check_range(offset: int, length: int, size: int, what: str) -> None:
    """Raise `ProtocolError` unless `length` bytes at `offset` lie within `size` bytes."""
    if offset < 0 or length < 0 or offset > size or length > size - offset:
        raise ProtocolError(f"{what} lies outside its memory: {length} bytes at {offset}")


def find_block(table: memoryview, count: int, handle: int) -> Block | None:
    """The block that starts exactly at `handle`, freed or not; None for anything else.

    `table` begins at the first entry; entries ascend by address (kernel.wat).
    """
    low, high = 0, min(count, len(table) // _ENTRY.size)
    while low < high:
        middle = (low + high) >> 1
        offset, length = _ENTRY.unpack_from(table, middle * 8)
        if offset == handle:
            return Block(offset, length & ~_FREED, bool(length & _FREED), middle)
        if offset < handle:
            low = middle + 1
        else:
            high = middle
    return None
