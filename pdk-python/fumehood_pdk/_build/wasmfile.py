"""A core module as its sections, taken apart and put together again."""

from __future__ import annotations

import struct
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

HEADER: Final = b"\0asm\1\0\0\0"
TYPE, IMPORT, FUNCTION, TABLE, MEMORY, GLOBAL, EXPORT, START, ELEMENT, CODE, DATA, DATA_COUNT = range(1, 13)
I32, I64, F32, F64 = 0x7F, 0x7E, 0x7D, 0x7C


def uleb(number: int) -> bytes:
    """Unsigned LEB128."""
    out = bytearray()
    while True:
        byte, number = number & 0x7F, number >> 7
        out.append(byte | (0x80 if number else 0))
        if not number:
            return bytes(out)


def sleb(number: int) -> bytes:
    """Signed LEB128."""
    out = bytearray()
    while True:
        byte, number = number & 0x7F, number >> 7
        last = number == (-1 if byte & 0x40 else 0)
        out.append(byte if last else byte | 0x80)
        if last:
            return bytes(out)


class Reader:
    """Reads a section from its beginning."""

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.at = 0

    def byte(self) -> int:
        """One byte."""
        self.at += 1
        return self.data[self.at - 1]

    def number(self) -> int:
        """Unsigned LEB128."""
        value = shift = 0
        while True:
            byte = self.byte()
            value |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:
                return value

    def take(self, length: int) -> bytes:
        """`length` bytes."""
        self.at += length
        return self.data[self.at - length : self.at]

    def name(self) -> str:
        """A length and that many bytes of UTF-8."""
        return self.take(self.number()).decode()

    def skip(self) -> None:
        """One LEB128 of either sort."""
        while self.byte() & 0x80:
            pass


def name(text: str) -> bytes:
    """A name as sections write it."""
    data = text.encode()
    return uleb(len(data)) + data


@dataclass(slots=True)
class Export:
    """An export: `kind` 0 function, 1 table, 2 memory, 3 global."""

    name: str
    kind: int
    index: int


@dataclass(slots=True)
class Global:
    """A global with its initialiser's code, `end` included."""

    type: int
    mutable: bool
    init: bytes


class Module:
    """Sections in their order; `get` and `put` work on the one with an id. Custom sections stay where they are."""

    def __init__(self, data: bytes) -> None:
        if data[:8] != HEADER:
            raise ValueError("not a core module")
        self._sections: list[tuple[int, bytes]] = []
        reader = Reader(data)
        reader.at = 8
        while reader.at < len(data):
            kind = reader.byte()
            self._sections.append((kind, reader.take(reader.number())))

    def get(self, kind: int) -> bytes:
        """The contents of the section `kind`; empty when there is none."""
        return next((content for number, content in self._sections if number == kind), b"")

    def put(self, kind: int, content: bytes) -> None:
        """Replace the section `kind`, which must be there."""
        index = next(i for i, (number, _) in enumerate(self._sections) if number == kind)
        self._sections[index] = (kind, content)

    def has(self, kind: int) -> bool:
        """Whether there is a section `kind`."""
        return any(number == kind for number, _ in self._sections)

    def encode(self) -> bytes:
        """The module's bytes."""
        return HEADER + b"".join(bytes([kind]) + uleb(len(content)) + content for kind, content in self._sections)

    @property
    def exports(self) -> list[Export]:
        """What it exports."""
        reader = Reader(self.get(EXPORT))
        return [Export(reader.name(), reader.byte(), reader.number()) for _ in range(reader.number())]

    @exports.setter
    def exports(self, exports: list[Export]) -> None:
        rows = [name(item.name) + bytes([item.kind]) + uleb(item.index) for item in exports]
        self.put(EXPORT, uleb(len(rows)) + b"".join(rows))

    @property
    def globals(self) -> list[Global]:
        """The globals that it defines."""
        reader = Reader(self.get(GLOBAL))
        found = []
        for _ in range(reader.number()):
            kind, mutable, start = reader.byte(), bool(reader.byte()), reader.at
            _skip_constant(reader)
            found.append(Global(kind, mutable, reader.data[start : reader.at]))
        return found

    @globals.setter
    def globals(self, items: list[Global]) -> None:
        rows = [bytes([item.type, item.mutable]) + item.init for item in items]
        self.put(GLOBAL, uleb(len(rows)) + b"".join(rows))

    def rename_imports(self, rename: Callable[[str, str], tuple[str, str]]) -> None:
        """Give imported functions other names; their types and indices stay. Every import must be a function."""
        reader = Reader(self.get(IMPORT))
        rows = []
        for _ in range(reader.number()):
            module, field = rename(reader.name(), reader.name())
            if reader.byte() != 0:
                raise ValueError("an import that is no function")
            rows.append(name(module) + name(field) + b"\0" + uleb(reader.number()))
        self.put(IMPORT, uleb(len(rows)) + b"".join(rows))

    def memory(self, pages: int, segments: list[tuple[int, bytes]]) -> None:
        """Let the one memory begin with `pages` pages of 64 KiB, holding `segments` of (address, bytes)."""
        reader = Reader(self.get(MEMORY))
        if reader.number() != 1:
            raise ValueError("not exactly one memory")
        flags = reader.byte()
        reader.number()
        maximum = uleb(reader.number()) if flags & 1 else b""
        self.put(MEMORY, b"\1" + bytes([flags]) + uleb(pages) + maximum)
        rows = [b"\0\x41" + sleb(at) + b"\x0b" + uleb(len(data)) + data for at, data in segments]
        self.put(DATA, uleb(len(rows)) + b"".join(rows))
        if self.has(DATA_COUNT):
            self.put(DATA_COUNT, uleb(len(rows)))


def constant(kind: int, value: float) -> bytes:
    """An initialiser of a number."""
    if kind == I32:
        return b"\x41" + sleb(int(value)) + b"\x0b"
    if kind == I64:
        return b"\x42" + sleb(int(value)) + b"\x0b"
    if kind == F32:
        return b"\x43" + struct.pack("<f", value) + b"\x0b"
    if kind == F64:
        return b"\x44" + struct.pack("<d", value) + b"\x0b"
    raise ValueError(f"a global of type {kind:#x} cannot be kept")


def _skip_constant(reader: Reader) -> None:
    while True:
        opcode = reader.byte()
        if opcode == 0x0B:
            return
        if opcode in (0x41, 0x42, 0x23, 0xD2):  # i32.const, i64.const, global.get, ref.func
            reader.skip()
        elif opcode in (0x43, 0x44):  # f32.const, f64.const
            reader.take(4 if opcode == 0x43 else 8)
        elif opcode == 0xD0:  # ref.null
            reader.byte()
        else:
            raise ValueError(f"an initialiser with the instruction {opcode:#x}")
