"""Finding the bulk descriptor of a module: the names of docs/wire.md, read from the file.

Only for modules that wasmtime has validated. What does not look as the document says is passed
over, never an error: such a plugin is called as any other.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from fumehood.engine.wasmcode import (
    KINDS,
    UnusualError,
    read_sleb,
    read_uleb,
    skip_immediates,
    skip_leb,
)

if TYPE_CHECKING:
    from fumehood.engine.declared import ExportInfo, ImportInfo

DESCRIPTOR: Final = "fumehood_bulk"
RESERVE: Final = "fumehood_reserve"
NAMES: Final = "fumehood_bulk:"
"""How an export begins whose name goes on with the names of exports, commas between."""

_MAX_GLOBALS: Final = 10_000
"""Read one by one in Python; a plugin has a handful."""
_GLOBAL: Final = 6
_EXPORT: Final = 7
_I32: Final = 0x7F
_I32_CONST: Final = 0x41
_END: Final = 0x0B
_ALIGN: Final = 4


@dataclass(frozen=True, slots=True)
class BulkInfo:
    """The descriptor's `address`, and the exports that keep to it: `only` these, None for all."""

    address: int
    only: frozenset[str] | None


def bulk_info(
    imports: Collection[ImportInfo],
    exports: Mapping[str, ExportInfo],
    sections: Mapping[int, bytes],
) -> BulkInfo | None:
    """What the module says of its descriptor, None for a module without the two exports.

    Memory 0 must be the module's own and exported as `memory`, the global of its own, immutable
    and a constant, the address aligned. Raises IndexError or UnusualError for what no validated
    module can be.
    """
    descriptor, reserve, memory = (exports.get(n) for n in (DESCRIPTOR, RESERVE, "memory"))
    if descriptor is None or reserve is None or memory is None:
        return None
    if (descriptor.kind, reserve.kind, memory.kind) != ("global", "func", "memory"):
        return None
    if (reserve.params, reserve.results) != ("i", "i"):
        return None
    kinds = [need.kind for need in imports]
    if "memory" in kinds:  # else the one that is exported is its own, and its only one
        return None
    index = _index(sections[_EXPORT], DESCRIPTOR.encode()) - kinds.count("global")
    try:
        address = _constant(sections.get(_GLOBAL, b"\0"), index)
    except UnusualError:
        return None
    if address is None or address % _ALIGN:
        return None
    lists = [name.removeprefix(NAMES) for name in exports if name.startswith(NAMES)]
    only = frozenset(name for names in lists for name in names.split(","))
    return BulkInfo(address, only if lists else None)


def _index(data: bytes, wanted: bytes) -> int:
    """The index of the export `wanted`, which is there."""
    count, at = read_uleb(data, 0)
    for _ in range(count):
        size, at = read_uleb(data, at)
        name = data[at : at + size]
        index, at = read_uleb(data, at + size + 1)
        if name == wanted:
            return index
    raise UnusualError("an export that is not there")


def _constant(data: bytes, wanted: int) -> int | None:
    """The value of the immutable i32 global at `wanted`, None for another kind of global."""
    if not 0 <= wanted < _MAX_GLOBALS:
        return None
    _, at = read_uleb(data, 0)
    for _ in range(wanted):
        at = _skip_global(data, at)
    if data[at] != _I32 or data[at + 1] or data[at + 2] != _I32_CONST:
        return None
    value, at = read_sleb(data, at + 3)
    return value & 0xFFFF_FFFF if data[at] == _END else None


def _skip_global(data: bytes, at: int) -> int:
    # a typed reference (0x63, 0x64) is followed by its heap type
    at = (skip_leb(data, at + 1) if data[at] in (0x63, 0x64) else at + 1) + 1
    while data[at] != _END:
        at = skip_immediates(data, at + 1, KINDS[data[at]])
    return at + 1
