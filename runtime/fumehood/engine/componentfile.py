"""The few facts of a component file that are wanted before, or beside, wasmtime's own reading."""

from __future__ import annotations

from typing import Final

from fumehood.engine.wasmfile import Data, MemoryLimits, leb, memories, sections
from fumehood.errors import LoadError

_CORE_MODULE: Final = 1
_COMPONENT: Final = 4
_IMPORT: Final = 10
_DEEPEST: Final = 16
"""Components inside components."""
_MOST: Final = 1_000
"""Core modules and components in one file."""

_CORE_SORT: Final = 0x00
_INDEXED: Final = {0x01, 0x04, 0x05}  # function, component, instance: one type index follows
_VALUE: Final = 0x02
_TYPE: Final = 0x03


def component_memories(data: Data) -> tuple[MemoryLimits, ...]:
    """The memories that the core modules inside a component define, in order.

    A module that the component instantiates twice counts once. Raises LoadError for a file that
    is cut short, too deeply nested, or made of too many parts.
    """
    found: list[MemoryLimits] = []
    parts = 0
    pending = [(memoryview(data), 0)]
    while pending:
        view, depth = pending.pop()
        try:
            for kind, start, end in sections(view):
                if kind not in {_CORE_MODULE, _COMPONENT}:
                    continue
                parts += 1
                if depth > _DEEPEST or parts > _MOST:
                    raise LoadError("the component has too many parts, or they are nested too deep")
                if kind == _CORE_MODULE:
                    found.extend(memories(view[start:end]))
                else:
                    pending.append((view[start:end], depth + 1))
        except IndexError as problem:
            raise LoadError("the component is cut short") from problem
    return tuple(found)


def import_names(data: Data) -> list[str]:
    """The names of a component's imports, as far as they can be read without its types.

    Only to refuse early, before minutes of compiling: what is linked is decided on wasmtime's
    reading. Never raises.
    """
    names: list[str] = []
    view = memoryview(data)
    try:
        for kind, start, end in sections(view):
            if end > len(view):
                break
            if kind == _IMPORT:
                _read_imports(view[start:end], names)
    except (IndexError, LoadError, UnicodeDecodeError):
        pass
    return names


def _read_imports(data: Data, names: list[str]) -> None:
    count, at = leb(data, 0)
    for _ in range(count):
        length, at = leb(data, at + 1)  # one byte before it tells kinds of names apart
        names.append(bytes(data[at : at + length]).decode())
        at += length
        sort = data[at]
        if sort == _CORE_SORT:
            _, at = leb(data, at + 2)
        elif sort in _INDEXED:
            _, at = leb(data, at + 1)
        elif sort in {_VALUE, _TYPE}:
            bound = data[at + 1]
            at += 2
            if bound == 0 or sort == _VALUE:
                _, at = leb(data, at)
        else:
            return
