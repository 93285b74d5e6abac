"""What a module declares: imports, exports and their types, read from the file itself.

wasmtime's reflection speaks of compiled code, and a guest linked with the kernel no longer imports
what it asked for. Only for modules that wasmtime has validated.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from fumehood.engine.bulkfile import BulkInfo, bulk_info
from fumehood.engine.wasmcode import UnusualError, read_sections, read_uleb, skip_leb
from fumehood.errors import LoadError

MAX_DECLARED: Final = 20_000
"""Types, imports or exports of one module. Each becomes an object here, a hundred times the size
of what it takes in the file; large plugins have some hundreds."""
MAX_FUNCTIONS: Final = 500_000
"""Functions of one module; each becomes a number here."""
MAX_GLOBALS: Final = 50_000
"""Globals of one module: each is 16 bytes of every instance, beside the memory that has a limit."""

_LETTERS: Final = {0x7F: "i", 0x7E: "I", 0x7D: "f", 0x7C: "F", 0x7B: "v"}
_REFERENCE: Final = "r"
_KINDS: Final = ("func", "table", "memory", "global", "tag")
_FUNC_TYPE: Final = 0x60
_READ: Final = (1, 2, 3, 6, 7)
"""Sections: types, imports, functions, globals, exports."""


@dataclass(frozen=True, slots=True)
class ImportInfo:
    """One import. `kind` is func, memory, table, global or tag; the types are one letter a
    value: i = i32, I = i64, f = f32, F = f64, v = v128, r = a reference."""

    module: str
    name: str
    kind: str
    params: str = ""
    results: str = ""


@dataclass(frozen=True, slots=True)
class ExportInfo:
    """One export; see `ImportInfo` for `kind` and the type letters."""

    name: str
    kind: str
    params: str = ""
    results: str = ""

    @property
    def callable(self) -> bool:
        """A function without parameters that gives nothing or one i32: what a host may call as
        a plugin function (provider-abi.md §0.1, extism-abi.md §2.5)."""
        return self.kind == "func" and not self.params and self.results in {"", "i"}


@dataclass(frozen=True, slots=True)
class Declared:
    """A module's imports in order, its exports by name; `bulk` as `bulkfile.bulk_info`."""

    imports: tuple[ImportInfo, ...]
    exports: dict[str, ExportInfo]
    bulk: BulkInfo | None


def declarations(wasm: bytes) -> Declared:
    """Read them. Raises LoadError for what no validated module can be, and for more of them than
    a plugin has use for: reading may cost no more memory than the file."""
    sections: dict[int, bytes] = {}
    try:
        for kind, content in read_sections(memoryview(wasm)):
            if kind in _READ:  # the others, code above all, are not worth a copy
                sections[kind] = bytes(content)
        types = _types(sections.get(1, b"\0"))
        imports, functions = _imports(sections.get(2, b"\0"), types)
        _count(sections.get(6, b"\0"), "globals", MAX_GLOBALS)
        functions += _functions(sections.get(3, b"\0"))
        exports = _exports(sections.get(7, b"\0"), types, functions)
        return Declared(imports, exports, bulk_info(imports, exports, sections))
    except (IndexError, UnusualError, UnicodeDecodeError) as problem:
        raise LoadError(f"the module's declarations cannot be read: {problem}") from problem


def _count(data: bytes, what: str, most: int) -> tuple[int, int]:
    count, at = read_uleb(data, 0)
    if count > most:
        raise LoadError(f"the module declares {count} {what}, {most} are allowed")
    return count, at


def _types(data: bytes) -> list[tuple[str, str]]:
    count, at = _count(data, "types", MAX_DECLARED)
    types: list[tuple[str, str]] = []
    for _ in range(count):
        if data[at] != _FUNC_TYPE:
            raise UnusualError("a type that is no function")
        at += 1
        sides = []
        for _side in range(2):
            width, at = read_uleb(data, at)
            letters = []
            for _value in range(width):
                letters.append(_LETTERS.get(data[at], _REFERENCE))
                at = _skip_value(data, at)
            sides.append("".join(letters))
        types.append((sides[0], sides[1]))
    return types


def _skip_value(data: bytes, at: int) -> int:
    # a typed reference (0x63, 0x64) is followed by its heap type
    return skip_leb(data, at + 1) if data[at] in (0x63, 0x64) else at + 1


def _name(data: bytes, at: int) -> tuple[str, int]:
    size, at = read_uleb(data, at)
    return data[at : at + size].decode("utf-8"), at + size


def _skip_limits(data: bytes, at: int) -> int:
    flags = data[at]
    at = skip_leb(data, at + 1)
    return skip_leb(data, at) if flags & 1 else at


def _imports(data: bytes, types: list[tuple[str, str]]) -> tuple[tuple[ImportInfo, ...], list[int]]:
    count, at = _count(data, "imports", MAX_DECLARED)
    found: list[ImportInfo] = []
    functions: list[int] = []
    for _ in range(count):
        module, at = _name(data, at)
        name, at = _name(data, at)
        kind = _KINDS[data[at]]
        at += 1
        if kind == "func":
            index, at = read_uleb(data, at)
            functions.append(index)
            found.append(ImportInfo(module, name, kind, *types[index]))
            continue
        if kind == "table":
            at = _skip_limits(data, _skip_value(data, at))
        elif kind == "memory":
            at = _skip_limits(data, at)
        elif kind == "global":
            at = _skip_value(data, at) + 1
        else:
            at = skip_leb(data, at + 1)
        found.append(ImportInfo(module, name, kind))
    return tuple(found), functions


def _functions(data: bytes) -> list[int]:
    count, at = _count(data, "functions", MAX_FUNCTIONS)
    rest = data[at:]
    if len(rest) == count and rest.isascii():  # each number is one byte: so it is nearly always
        return list(rest)
    found = []
    for _ in range(count):
        index, at = read_uleb(data, at)
        found.append(index)
    return found


def _exports(
    data: bytes, types: list[tuple[str, str]], functions: list[int]
) -> dict[str, ExportInfo]:
    count, at = _count(data, "exports", MAX_DECLARED)
    found: dict[str, ExportInfo] = {}
    for _ in range(count):
        name, at = _name(data, at)
        kind = _KINDS[data[at]]
        index, at = read_uleb(data, at + 1)
        shape = types[functions[index]] if kind == "func" else ("", "")
        found[name] = ExportInfo(name, kind, *shape)
    return found
