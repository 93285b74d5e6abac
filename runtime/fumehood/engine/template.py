"""Modules and host functions, checked and linked once, ready to be instantiated many times.

A lone module is linked with the kernel when it is compiled (`merge.py`) and is an InstancePre here.
Sets of modules, and kernels of another size, take a kernel instance beside them: a guest linked to
a kernel of its own store cannot be an InstancePre, so each instantiation defines its kernel in a
linker that allows shadowing. A linker used for two stores at once is a data race: each
instantiation borrows one of its own from `_linkers`.
"""

from __future__ import annotations

import contextlib
import functools
import sys
from collections import deque
from collections.abc import Sequence
from ctypes import byref, c_void_p
from dataclasses import dataclass
from typing import Any, Final

import wasmtime

from fumehood import forks
from fumehood.engine import kernel, native
from fumehood.engine.declared import ImportInfo
from fumehood.engine.hostcall import HostImport, Prepared
from fumehood.engine.machine import Machine, machine
from fumehood.engine.module import CompiledModule
from fumehood.engine.pooling import TABLE_ELEMENTS, PoolFullError
from fumehood.engine.sandbox import HOST_CALLBACK_POINTER, Sandbox
from fumehood.errors import ClosedError, HostError, LoadError
from fumehood.limits import Limits
from fumehood.meter import Meter

WASI: Final = "wasi_snapshot_preview1"
_FILE_FUNCTIONS: Final = ("fd_", "path_")
_COMMAND_CALLS: Final = 1_000
_SPARE_LINKERS: Final = 8


@dataclass(frozen=True, slots=True)
class NamedModule:
    """A module and the name that others import it by."""

    name: str
    module: CompiledModule

    @property
    def is_command(self) -> bool:
        """A command (exports `_start`) is made anew for every call of its exports; one that also
        exports `_initialize` is a reactor all the same (extism-abi.md §2.2)."""
        return "_start" in self.module.exports and "_initialize" not in self.module.exports


@dataclass(frozen=True, slots=True)
class Preopen:
    """One folder of the host's that guests see as `guest`."""

    host: str
    guest: str
    read_only: bool = False


class Template:
    """Everything that is made once for a set of modules and host functions.

    `modules` come in the order they are to be instantiated, the main one last. Of host functions
    with the same name the last counts, and one in `extism:host/env` replaces the kernel's
    (extism-abi.md §2.2). With `preopens` the file functions of WASI are wasmtime's own, everything
    else stays ours. Raises LoadError for an import that nothing provides or that has another
    type. Owns its linkers: `close()`.
    """

    def __init__(
        self,
        modules: Sequence[NamedModule],
        imports: Sequence[HostImport],
        preopens: Sequence[Preopen] = (),
    ) -> None:
        if not modules:
            raise LoadError("no module to run")
        if len(modules) > 1:  # the pool is for lone modules
            modules = [NamedModule(named.name, named.module.ordinary()) for named in modules]
        self.modules = tuple(modules)
        self.main = modules[-1].module
        self.engine: Machine = self.main.engine
        """The engine that the sandboxes live in: the ordinary one, or the pool's."""
        self.preopens = tuple(preopens)
        sizes = [m.minimum * kernel.PAGE for n in modules for m in n.module.memories]
        self.memories = max(1, len(sizes))
        """Memories that the modules' limit is shared among."""
        self.largest_minimum = max(sizes, default=0)
        self.silent = not self.main.starts and not any(
            name in self.main.exports for name in ("hs_init", "__wasm_call_ctors", "_initialize")
        )
        """Whether making a merged instance runs no guest code: then no account need be opened."""
        # a kernel, the modules; a command among them is instantiated once a call of it
        commands = any(named.is_command for named in modules[:-1])
        self.instances = len(modules) + 1 + (_COMMAND_CALLS if commands else 0)
        """Instances that one store may hold."""
        self._imports = imports
        self._overflow: Template | None = None
        self._table: list[HostImport] = []
        self._prepared: list[Prepared] = []
        self._wanted: dict[tuple[str, str], int] = {}
        self._overrides: list[int] = []
        self._resolve({(i.namespace, i.name): i for i in imports})
        self._lock = forks.lock()
        self._pre: int | None = None
        self._users = 0
        self._linkers: deque[int] = deque()
        self._closed = False

    # -- checking -------------------------------------------------------------------------

    def _resolve(self, provided: dict[tuple[str, str], HostImport]) -> None:
        linked: dict[str, CompiledModule] = {}
        for named in self.modules:
            for need in named.module.imports:
                self._resolve_one(named.name, need, provided, linked)
            linked[named.name] = named.module

    def _resolve_one(
        self,
        owner: str,
        need: ImportInfo,
        provided: dict[tuple[str, str], HostImport],
        linked: dict[str, CompiledModule],
    ) -> None:
        key = (need.module, need.name)
        where = f"{need.module}::{need.name}"
        if need.module in linked:
            export = linked[need.module].exports.get(need.name)
            if export is None:
                raise LoadError(
                    f"unknown import: `{where}` has not been defined",
                    hint=f"module {need.module!r} does not export it",
                )
            return
        if need.kind != "func":
            raise LoadError(
                f"module {owner!r} imports the {need.kind} {where}; "
                "only functions may be imported from a host"
            )
        if self.preopens and need.module == WASI and need.name.startswith(_FILE_FUNCTIONS):
            return  # wasmtime's own
        host = provided.get(key)
        if host is not None:
            types = (host.params, host.results)
        elif need.module == kernel.NAMESPACE and need.name in kernel.GUEST_FUNCTIONS:
            types = kernel.GUEST_FUNCTIONS[need.name]
        elif need.module == kernel.NAMESPACE:
            raise LoadError(
                f"invalid function import from {kernel.NAMESPACE}: {need.name} "
                f"(type {signature(need.params, need.results)})",
                hint="the plugin's PDK may be newer than this host",
            )
        else:
            raise LoadError(
                f"unknown import: `{where}` has not been defined",
                hint="no host function of that name is given to this plugin",
            )
        if types != (need.params, need.results):
            raise LoadError(
                f"types incompatible: {where} is {signature(*types)}, "
                f"imported as {signature(need.params, need.results)}"
            )
        if host is not None and key not in self._wanted:
            self._wanted[key] = len(self._table)
            if need.module == kernel.NAMESPACE and need.name in kernel.GUEST_FUNCTIONS:
                self._overrides.append(len(self._table))
            self._table.append(host)
            self._prepared.append(Prepared(host))

    # -- linkers --------------------------------------------------------------------------

    def _new_linker(self) -> int:
        linker: int = native.linker_new(self.engine.address)
        try:
            native.linker_allow_shadowing(linker, True)
            if self.preopens:
                native.check(native.linker_define_wasi(linker))
            for index in range(len(self._table)):
                self._define(linker, index)
        except BaseException:
            native.linker_delete(linker)
            raise
        return linker

    def _define(self, linker: int, index: int) -> None:
        item = self._table[index]
        namespace, name = item.namespace.encode(), item.name.encode()
        # Held until the call is over: of two threads that miss the cache at once, one gets an
        # object that nobody else keeps.
        kind = _func_type(item.params, item.results)
        failure = native.check(
            native.linker_define_func_unchecked(
                linker,
                namespace,
                len(namespace),
                name,
                len(name),
                native.pointer(kind),
                HOST_CALLBACK_POINTER,
                index,
                None,
            )
        )
        if failure is not None:
            raise HostError(f"host function {item.name!r} cannot be linked: {failure.root()}")

    def borrow(self) -> int:
        """A linker for one instantiation; give it back with `give_back`."""
        with self._lock:
            if self._closed:
                raise ClosedError("the compiled plugin is closed")
            if self._linkers:
                return self._linkers.popleft()
        return self._new_linker()

    def give_back(self, linker: int) -> None:
        """Return a borrowed linker."""
        with self._lock:
            if not self._closed and len(self._linkers) < _SPARE_LINKERS:
                self._linkers.append(linker)
                return
        native.linker_delete(linker)

    def merged_pre(self, pages: int) -> int | None:
        """The InstancePre of guest and kernel in one, for a kernel of `pages` pages; None where
        they are apart: several modules, folders, a kernel function replaced, another size."""
        if len(self.modules) > 1 or self._overrides or pages != self.main.merged:
            return None
        with self._lock:
            if self._pre is None:
                linker = self._new_linker()
                pre = c_void_p()
                failure = native.check(
                    native.linker_instantiate_pre(linker, self.main.address, byref(pre))
                )
                native.linker_delete(linker)
                if failure is not None or pre.value is None:
                    why = "" if failure is None else f": {failure.root()}"
                    raise LoadError(f"the module cannot be linked{why}")
                self._pre = pre.value
            return self._pre

    def override(self, linker: int) -> None:
        """Put host functions that replace kernel functions back over the kernel."""
        for index in self._overrides:
            self._define(linker, index)

    @property
    def table(self) -> list[Prepared]:
        """The host functions that the modules import, by index."""
        return self._prepared

    # -- use ------------------------------------------------------------------------------

    def instantiate(self, services: object, limits: Limits, meter: Meter) -> Sandbox:
        """A fresh sandbox, its start functions and initialisers run on `meter`'s account.

        Raises what `Sandbox.call` raises.
        """
        with self._lock:
            if self._closed:
                raise meter.sign(ClosedError("the compiled plugin is closed"))
            self._users += 1
        try:
            if self.engine is not machine():
                return self._pooled(services, limits, meter)
            return Sandbox(self, services, limits, meter)
        finally:
            with self._lock:
                self._users -= 1
                self._free_pre()

    def _pooled(self, services: object, limits: Limits, meter: Meter) -> Sandbox:
        """From a slot of the pool; the ordinary way where none is free or none is large enough."""
        if limits.table_elements <= TABLE_ELEMENTS:
            with contextlib.suppress(PoolFullError):
                return Sandbox(self, services, limits, meter)
        with self._lock:
            if self._overflow is None:
                named = NamedModule(self.modules[0].name, self.main.ordinary())
                self._overflow = Template([named], self._imports, self.preopens)
            overflow = self._overflow
        return overflow.instantiate(services, limits, meter)

    def _free_pre(self) -> None:
        """Free the InstancePre of a closed template once nothing is made from it any more."""
        if self._closed and not self._users and self._pre is not None:
            native.instance_pre_delete(self._pre)
            self._pre = None

    def close(self) -> None:
        """Free what linking made. Sandboxes made before live on."""
        with self._lock:
            self._closed = True
            self._free_pre()
            if self._overflow is not None:
                self._overflow.close()
            while self._linkers:
                native.linker_delete(self._linkers.popleft())

    def __del__(self) -> None:
        """For owners that are forgotten instead of closed; see `Entered.__del__`."""
        if "_closed" in self.__dict__ and not sys.is_finalizing():  # set last: it was made
            self.close()


def signature(params: str, results: str) -> str:
    """Types as a reader knows them: `(i64, i32) -> (i64)`."""
    names = {"i": "i32", "I": "i64", "f": "f32", "F": "f64", "v": "v128", "r": "ref"}
    left = ", ".join(names[p] for p in params)
    right = ", ".join(names[r] for r in results)
    return f"({left}) -> ({right})"


@functools.lru_cache(maxsize=256)
def _func_type(params: str, results: str) -> wasmtime.FuncType:
    make: dict[str, Any] = {
        "i": wasmtime.ValType.i32,
        "I": wasmtime.ValType.i64,
        "f": wasmtime.ValType.f32,
        "F": wasmtime.ValType.f64,
    }
    try:
        return wasmtime.FuncType([make[p]() for p in params], [make[r]() for r in results])
    except KeyError as problem:
        raise HostError(
            f"a host function cannot have the type {signature(params, results)}",
            hint="i32, i64, f32 and f64 are supported",
        ) from problem


@functools.lru_cache(maxsize=16)
def kernel_pre(page_count: int, engine: Machine) -> int:
    """Address of an InstancePre of the kernel: it imports nothing, so one serves every store."""
    linker = native.linker_new(engine.address)
    pre = c_void_p()
    failure = native.check(
        native.linker_instantiate_pre(linker, kernel.kernel_module(page_count, engine), byref(pre))
    )
    native.linker_delete(linker)
    if failure is not None or pre.value is None:
        raise HostError("the kernel cannot be linked")
    return pre.value
