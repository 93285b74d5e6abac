"""A compiled component and the shape it must have: our world, `pdk-python/wit/plugin.wit`.

Two exports, `list-exports: func() -> string` and `call: func(name: string, input: string) ->
result<string, string>`, and at most one import, the interface `INTERFACE` with functions of numbers
and strings. wasmtime lets a host define a function of any type, so every type is compared here,
once, when a component is loaded: behind this no value is of a kind that nobody expects.
"""

from __future__ import annotations

import ctypes
import hashlib
from collections import OrderedDict
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any, Final

import wasmtime
from wasmtime import component as wit

from fumehood import forks
from fumehood.engine import native
from fumehood.engine import native_component as raw
from fumehood.engine.component_machine import component_machine
from fumehood.engine.componentfile import component_memories, import_names
from fumehood.engine.declared import ImportInfo
from fumehood.engine.module import machine_code
from fumehood.engine.wasmfile import MemoryLimits
from fumehood.errors import LoadError

INTERFACE: Final = "fumehood:plugin/host@0.1.0"
CALL: Final = "call"
LIST: Final = "list-exports"
_KEPT: Final = 64
_HINT: Final = (
    "build it against fumehood's own WIT, with WASI stubbed (componentize-py --stub-wasi)"
)


@dataclass(frozen=True, slots=True)
class WitFunction:
    """A host function of `INTERFACE`: `function(call, *arguments)`, `call` a `ComponentCall`.

    Types are those of WIT: u8, u64, string; a result is a number or None. Strings arrive as bytes
    (UTF-8). `charge` is fuel beyond `CALL_FUEL`. What it raises stops the guest and reaches the
    caller.
    """

    name: str
    params: tuple[str, ...]
    result: str | None
    function: Callable[..., Any]
    charge: int = 0


@dataclass(frozen=True)
class CompiledComponent:
    """Compiled code; shared by every sandbox made from it, never freed while one may be."""

    sha256: str
    size: int
    imports: tuple[ImportInfo, ...]
    memories: tuple[MemoryLimits, ...]
    handle: wasmtime.component.Component = field(repr=False)
    address: int = field(repr=False)
    call_index: int = field(repr=False)
    list_index: int = field(repr=False)


_lock = forks.lock()
_compiled: OrderedDict[str, CompiledComponent] = OrderedDict()


def load_component(source: bytes, functions: Iterable[WitFunction]) -> CompiledComponent:
    """Compile a component and compare it with our world; the same bytes once a process.

    Raises LoadError: not valid, WASI or anything else imported, an export missing or of another
    type.
    """
    source = bytes(source)
    digest = hashlib.sha256(source).hexdigest()
    with _lock:
        known = _compiled.get(digest)
        if known is not None:
            _compiled.move_to_end(digest)
            return known
    component = _load(source, digest, list(functions))
    with _lock:
        _compiled[digest] = component
        while len(_compiled) > _KEPT:
            _compiled.popitem(last=False)
    return component


def _load(source: bytes, digest: str, functions: list[WitFunction]) -> CompiledComponent:
    for name in import_names(source):
        _check_interface(name)
    limits = component_memories(source)
    address = machine_code(source, digest, component_machine())
    pointer: Any = ctypes.cast(address, ctypes.POINTER(native.bindings.wasmtime_component_t))
    handle = wit.Component._from_ptr(pointer)  # takes ownership, for reflection
    try:
        kind = handle.type
        engine = component_machine().engine
        imports = _check_imports(kind.imports(engine), functions)
        exports = {name: _item(extern) for name, extern in kind.exports(engine).items()}
    except UnicodeDecodeError as problem:
        raise LoadError("an import or export name is not UTF-8") from problem
    _check_export(exports, LIST, [], "string")
    _check_export(exports, CALL, ["string", "string"], "result<string, string>")
    return CompiledComponent(
        sha256=digest,
        size=len(source),
        imports=imports,
        memories=limits,
        handle=handle,
        address=address,
        call_index=_index(address, CALL),
        list_index=_index(address, LIST),
    )


def _index(address: int, name: str) -> int:
    found = raw.export_index(address, name)
    assert found is not None
    return found


def _item(extern: Any) -> Any:
    """The type of an import or export; releases before 50 hand it over without a wrapper."""
    return extern.ty if hasattr(extern, "ty") else extern


def _check_interface(name: str) -> None:
    if name == INTERFACE:
        return
    if name.startswith("wasi:"):
        raise LoadError(f"the component imports {name!r}: components get no WASI here", hint=_HINT)
    raise LoadError(
        f"unknown import: the component imports {name!r}, only {INTERFACE!r} is provided",
        hint=_HINT,
    )


def _check_imports(imports: dict[str, Any], functions: list[WitFunction]) -> tuple[ImportInfo, ...]:
    provided = {function.name: function for function in functions}
    found: list[ImportInfo] = []
    for interface, extern in imports.items():
        _check_interface(interface)
        kind = _item(extern)
        if not isinstance(kind, wit.ComponentInstanceType):
            raise LoadError(f"types incompatible: {INTERFACE} is imported as no interface")
        for name, inner in kind.exports(component_machine().engine).items():
            where = f"{INTERFACE}.{name}"
            function = provided.get(name)
            if function is None:
                raise LoadError(f"unknown import: `{where}` has not been defined", hint=_HINT)
            ours = (list(function.params), function.result)
            theirs = _signature(_item(inner))
            if theirs != ours:
                raise LoadError(f"types incompatible: {where} is imported with another type")
            found.append(ImportInfo(INTERFACE, name, "func"))
    return tuple(found)


def _check_export(exports: dict[str, Any], name: str, params: list[str], result: str) -> None:
    if name not in exports:
        raise LoadError(
            f"the component does not export `{name}`: it was not built for fumehood", hint=_HINT
        )
    if _signature(exports[name]) != (params, result):
        raise LoadError(
            f"types incompatible: `{name}` must be a function ({', '.join(params)}) -> {result}",
            hint=_HINT,
        )


def _signature(kind: Any) -> tuple[list[str], str | None] | None:
    """The types of a function as WIT writes them; None for what is no function."""
    if not isinstance(kind, wit.FuncType):
        return None
    result = None if kind.result is None else _type(kind.result)
    return [_type(value) for _name, value in kind.params], result


def _type(value: Any) -> str:
    if isinstance(value, wit.ResultType):
        ok = "_" if value.ok is None else _type(value.ok)
        err = "_" if value.err is None else _type(value.err)
        return f"result<{ok}, {err}>"
    for known, name in _KNOWN:
        if isinstance(value, known):
            return name
    return "?"


_KNOWN: Final[tuple[tuple[type, str], ...]] = (
    (wit.String, "string"),
    (wit.U8, "u8"),
    (wit.U64, "u64"),
)
