"""The few facts of a Wasm file that wasmtime's reflection does not give.

Read only from modules that wasmtime has validated, but every index is checked all the same.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, TypeAlias

from fumehood.errors import LoadError

Data: TypeAlias = bytes | memoryview

MAX_SECTIONS: Final = 100_000

_MAGIC: Final = b"\0asm"
_COMPONENT: Final = b"\x0d\x00\x01\x00"
_MEMORY_SECTION: Final = 5
_TABLE_SECTION: Final = 4
_TABLE_WITH_VALUE: Final = 0x40
_TYPED_REFERENCES: Final = (0x63, 0x64)
_TYPE_SECTION: Final = 1
_CODE_SECTION: Final = 10
_FUNC_TYPE: Final = 0x60
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


def leb(data: Data, at: int) -> tuple[int, int]:
    """The unsigned number at `at`, and where it ends. Raises IndexError, LoadError."""
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


def _limits(data: Data, at: int) -> tuple[MemoryLimits, int]:
    flags = data[at]
    minimum, at = leb(data, at + 1)
    maximum = None
    if flags & 1:
        maximum, at = leb(data, at)
    return MemoryLimits(minimum, maximum), at


PLAIN_BYTES: Final = 16 * 1024
PLAIN_LOCALS: Final = 2_000
PLAIN_WIDTH: Final = 32
_ONE_BYTE_TYPES: Final = 0x6F
"""From here on. `funcref` may also be written as 0x63 0x70, and who takes that for one byte reads
on in the wrong place, where fewer locals and narrower types may stand: such a file is not plain."""


def is_plain(data: bytes) -> bool:
    """Whether compiling `data` has a small, known bound: at most 16 KiB, 2,000 locals in all and
    32 parameters or results a type. Locals are run-length encoded and types are shared, so size
    alone bounds nothing. False for anything that does not parse."""
    if len(data) > PLAIN_BYTES:
        return False
    try:
        total = 0
        for kind, start, end in sections(data):
            if kind == _TYPE_SECTION and not _narrow(data, start):
                return False
            if kind == _CODE_SECTION:
                total += _locals(data, start)
            if start > end:
                return False
    except (IndexError, LoadError):
        return False
    return total <= PLAIN_LOCALS


def sections(data: Data) -> Iterator[tuple[int, int, int]]:
    """(kind, start, end) of each section; an end may lie behind the file's.

    Raises IndexError where the file ends inside a length, LoadError for more than `MAX_SECTIONS`:
    a section may be three bytes long, and this is Python.
    """
    at = 8
    count = 0
    while at < len(data):
        count += 1
        if count > MAX_SECTIONS:
            raise LoadError(f"the file has more than {MAX_SECTIONS} sections")
        kind = data[at]
        size, at = leb(data, at + 1)
        yield kind, at, at + size
        at += size


def _narrow(data: bytes, at: int) -> bool:
    count, at = leb(data, at)
    for _ in range(count):
        if data[at] != _FUNC_TYPE:
            return False
        at += 1
        for _side in range(2):
            width, at = leb(data, at)
            if width > PLAIN_WIDTH:
                return False
            if any(kind < _ONE_BYTE_TYPES for kind in data[at : at + width]):
                return False
            at += width
    return True


def _locals(data: bytes, at: int) -> int:
    count, at = leb(data, at)
    total = 0
    for _ in range(count):
        size, at = leb(data, at)
        groups, position = leb(data, at)
        for _group in range(groups):
            number, position = leb(data, position)
            total += number
            if data[position] < _ONE_BYTE_TYPES:
                return PLAIN_LOCALS + 1
            position += 1
        at += size
    return total


def memories(data: Data) -> tuple[MemoryLimits, ...]:
    """The memories that a module defines itself, in order (imported ones are not listed)."""
    found: list[MemoryLimits] = []
    try:
        for kind, start, _end in sections(data):
            if kind != _MEMORY_SECTION:
                continue
            count, position = leb(data, start)
            for _ in range(count):
                limits, position = _limits(data, position)
                found.append(limits)
    except IndexError as problem:
        raise LoadError("the module is cut short") from problem
    return tuple(found)


def tables(data: Data) -> tuple[int, ...]:
    """The least number of elements of each table that a validated module defines itself."""
    found: list[int] = []
    try:
        for kind, start, _end in sections(data):
            if kind != _TABLE_SECTION:
                continue
            count, position = leb(data, start)
            for _ in range(count):
                if data[position] == _TABLE_WITH_VALUE or data[position] in _TYPED_REFERENCES:
                    raise LoadError("a table of a proposal that is off")
                limits, position = _limits(data, position + 1)
                found.append(limits.minimum)
    except IndexError as problem:
        raise LoadError("the module is cut short") from problem
    return tuple(found)
