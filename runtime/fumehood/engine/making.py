"""How a sandbox comes to be: a store under limits, a kernel, the guest's modules, initialisation.

Every guest instruction of it, start functions and initialisers, runs on the operation's account.
"""

from __future__ import annotations

from ctypes import byref, c_uint64, c_void_p
from typing import TYPE_CHECKING, Any, Final

import wasmtime

from fumehood.engine import failure as failures
from fumehood.engine import kernel, native
from fumehood.engine.account import Entered
from fumehood.engine.blocks import Blocks
from fumehood.engine.bulk import Bulk
from fumehood.engine.bulkfile import RESERVE
from fumehood.engine.pooling import PoolFullError, is_full
from fumehood.errors import Error, Exit, HostError, OutOfMemory

if TYPE_CHECKING:
    from fumehood.engine.template import Template
    from fumehood.limits import Limits
    from fumehood.meter import Meter

_TABLES: Final = 16
_KERNEL_NAME: Final = kernel.NAMESPACE.encode()
_MERGED: Final = b"fh:"
_FIRST_FUEL: Final = 1_000_000
"""For wasmtime's own initialisation, before the operation's account is open."""


class Made(Entered):
    """A store with a kernel and the template's modules in it, initialised."""

    __slots__ = (
        "_guest",
        "_kernel",
        "_memories",
        "_share",
        "_template",
        "_trap",
        "_trap_ref",
        "blocks",
        "bulk",
    )

    def __init__(self, template: Template, services: object, limits: Limits, meter: Meter) -> None:
        # wasmtime's limiter is per memory: of several memories each gets an equal share
        self._share = limits.memory // template.memories
        if template.largest_minimum > self._share:
            raise meter.sign(
                OutOfMemory(
                    f"a module needs {template.largest_minimum} bytes of memory from the start, "
                    f"{self._share} are allowed",
                    hint="raise limits.memory",
                )
            )
        engine = template.engine
        super().__init__(engine.address, engine.ticker, services, limits, meter)
        self._template = template
        self._trap = c_void_p()
        self._trap_ref = byref(self._trap)
        self._guest = self._kernel = native.Instance()
        self._memories: list[Any] = []
        """Each module memory that is exported as `memory`, as a ready argument."""
        self.blocks: Blocks | None = None
        self.bulk: Bulk | None = None
        try:
            merged = self._make_store()
            if merged and template.silent:
                self._know_own_memory()
            else:
                self.enter()
                try:
                    self._instantiate(merged)
                    self._initialise()
                finally:
                    self.leave()
                self.check_account()
            if template.main.bulk is not None:
                # the main module is the last one, and exports its memory (`bulkfile.py`)
                self.bulk = Bulk(self.context, self._memories[-1], template.main.bulk)
        except BaseException as problem:
            pending = self.interrupts.take()
            if isinstance(problem, Error):
                self.book_peak(meter)
                meter.sign(problem)
            self.close()
            if pending is not None:  # Ctrl-C stands before what the guest did
                raise pending from problem
            raise
        meter.fresh = True

    # -- the store ------------------------------------------------------------------------

    def _make_store(self) -> bool:
        """Kernel, and a merged guest with it; true where the guest is in."""
        self._fuel.value = _FIRST_FUEL
        native.set_fuel(self.context, self._fuel)
        pages = kernel.pages(self.limits.kernel_memory)
        pre = self._template.merged_pre(pages)
        first = -1
        if pre is None:
            # the kernel's size is no matter of the guest's limit
            size = (pages + pages // 2 + 1) * kernel.PAGE
            native.store_limiter(self.store, size, 1, 1, 1, 2)
            from fumehood.engine.template import kernel_pre

            self._pre_instantiate(kernel_pre(pages, self._template.engine))
            for named in self._template.modules:
                named.module.alone()  # compiles at the first time: no time of the guest's
        else:
            # no guest code runs before the guest's own limit is set: its start is an export here
            first = max(self._share, pages * kernel.PAGE)
            self._limit(first)
            self._pre_instantiate(pre)
            self._guest = self._kernel
        if first != self._share:
            self._limit(self._share)
        self._give_folders()
        prefix = b"" if pre is None else _MERGED
        self.blocks = Blocks(
            self.context,
            capacity=min(self.limits.kernel_memory, pages * kernel.PAGE, kernel.MOST),
            export=lambda name: self._kernel_export(prefix + name),
            failed=self._kernel_failed,
        )
        return pre is not None

    def _limit(self, memory: int) -> None:
        """Tell wasmtime the store's limits, `memory` bytes for each memory that grows."""
        instances = self._template.instances
        native.store_limiter(
            self.store,
            memory,
            self.limits.table_elements,
            instances,
            _TABLES * instances,
            instances + 2,
        )

    def _pre_instantiate(self, pre: int) -> None:
        error = native.pre_instantiate(
            pre, self.context_address, byref(self._kernel), self._trap_ref
        )
        failed = native.check(error, self._trap)
        if failed is not None:
            if is_full(failed):
                raise PoolFullError
            raise failures.unmade(self.limits, failed)

    def _give_folders(self) -> None:
        if not self._template.preopens:
            return
        config = wasmtime.WasiConfig()
        for folder in self._template.preopens:
            try:
                config.preopen_dir(folder.host, folder.guest, fs_mutable=not folder.read_only)
            except wasmtime.WasmtimeError as problem:
                raise HostError(f"the folder {folder.host!r} cannot be opened") from problem
        failed = native.check(native.set_wasi(self.context_address, native.take_pointer(config)))
        if failed is not None:
            raise HostError(f"WASI cannot be set up: {failed.root()}")

    def _kernel_failed(self, failed: native.Failure) -> BaseException:
        reason = self.stop_reason()
        if reason is not None:
            return failures.stopped(self, reason)
        return failures.from_trap(failed)

    # -- the modules ----------------------------------------------------------------------

    def _export(self, instance: Any, name: bytes) -> native.Extern | None:
        extern = native.Extern()
        found = native.instance_export_get(
            self.context_address, byref(instance), name, len(name), byref(extern)
        )
        return extern if found else None

    def _kernel_export(self, name: bytes) -> native.Extern:
        extern = self._export(self._kernel, name)
        if extern is None:
            raise HostError(f"the kernel has no {name.decode()}")
        return extern

    def _instantiate(self, merged: bool) -> None:
        template = self._template
        assert self.blocks is not None
        self.blocks.begin(0)
        if merged:
            self._know_own_memory()
            if template.main.starts:
                self._run(self._export(self._guest, b"fh:start"), 0, "the start function")
            return
        linker = template.borrow()
        try:
            self._define(linker, _KERNEL_NAME, self._kernel)
            template.override(linker)
            for named in template.modules:
                name, code = named.name.encode(), named.module.alone()
                if named.is_command and named.module is not template.main:
                    error = native.linker_module(
                        linker, self.context_address, name, len(name), code
                    )
                    self._made(error, "instantiation")
                    continue
                instance = native.Instance()
                error = native.linker_instantiate(
                    linker, self.context_address, code, byref(instance), self._trap_ref
                )
                self._made(error, "instantiation")
                self._know_memory(instance)
                self._guest = instance
                if named.module is not template.main:
                    self._run_if_initialiser(named.module.exports, "_initialize")
                    self._define(linker, name, instance)
        finally:
            template.give_back(linker)

    def _know_own_memory(self) -> None:
        if "memory" in self._template.main.exports:
            self._know_memory(self._guest)

    def _know_memory(self, instance: Any) -> None:
        memory = self._export(instance, b"memory")
        if memory is not None and memory.kind == native.KIND_MEMORY:
            self._memories.append(native.memory_argument(memory))

    def _define(self, linker: int, name: bytes, instance: Any) -> None:
        failed = native.check(
            native.linker_define_instance(
                linker, self.context_address, name, len(name), byref(instance)
            )
        )
        if failed is not None:
            raise HostError(f"{name!r} cannot be linked: {failed.root()}")

    def _initialise(self) -> None:
        """Runtime initialisation of the main module, once (extism-abi.md §2.3)."""
        exports = self._template.main.exports
        if "hs_init" in exports and exports["hs_init"].kind == "func":
            self._run_if_initialiser(exports, "_initialize")
            if exports["hs_init"].params == "ii":
                # any results are allowed, and wasmtime writes them where the arguments stood
                words = max(2, len(exports["hs_init"].results))
                self._run(self._export(self._guest, b"hs_init"), words, "hs_init")
            return
        for name in ("__wasm_call_ctors", "_initialize"):
            if self._run_if_initialiser(exports, name):
                return

    def _run_if_initialiser(self, exports: Any, name: str) -> bool:
        info = exports.get(name)
        if info is None or info.kind != "func" or info.params or info.results:
            return False
        self._run(self._export(self._guest, name.encode()), 0, name)
        return True

    def reserve(self, size: int) -> int:
        """What the guest's `fumehood_reserve` says to `size`, on the operation's account."""
        self.enter()
        try:
            function = self._export(self._guest, RESERVE.encode())
            given = self._run(function, 1, RESERVE, size)
        finally:
            self.leave()
        self.check_account()
        return given

    def _run(self, extern: native.Extern | None, values: int, name: str, first: int = 0) -> int:
        """Call with `first` and zeros; `values` is the number of its arguments or results, the
        larger one. Gives the first result as an i32."""
        assert extern is not None
        function = native.Func(extern.a, extern.b)
        words = (c_uint64 * (native.RAW_WORDS * max(1, values)))(first)
        error = native.call(
            self.context, byref(function), byref(words), max(1, values), self._trap_ref
        )
        self._made(error, name)
        return int(words[0]) & 0xFFFFFFFF

    def _made(self, error: int | None, where: str) -> None:
        """As `settle`; a guest that has left with `proc_exit(0)` cannot be called any more, and to
        make another one would end in the same way."""
        failed = native.check(error, self._trap)
        if failed is None:
            return
        if is_full(failed):
            raise PoolFullError
        self._fail(failed, where)
        raise Exit(f"{where} exited with status 0: there is nothing left to call", status=0)

    def settle(self, error: int | None, where: str) -> None:
        """Raise what a failed entry into the guest means; nothing for a clean one or exit(0)."""
        failed = native.check(error, self._trap)
        if failed is not None:
            self._fail(failed, where)

    def _fail(self, failed: native.Failure, where: str) -> None:
        self.dead = True
        problem = failures.trapped(self, failed, where)
        if problem is not None:
            raise problem from getattr(problem, "__cause__", None)

    # -- memory, for receipts and failures ------------------------------------------------

    def memory_sizes(self) -> list[int]:
        """Bytes of each module memory that is exported as `memory`."""
        return [native.memory_size(self.context, memory) for memory in self._memories]

    def memory_share(self) -> int:
        """Bytes that one memory may have."""
        return self._share

    def refused(self) -> int:
        """Bytes of the kernel's last refused allocation in this call, 0 if none was."""
        return 0 if self.blocks is None else self.blocks.refused()

    def memory_now(self) -> int:
        """Bytes of the modules' memories, and of the kernel up to its last block."""
        return self.guest_memory_size() + (0 if self.blocks is None else self.blocks.reach())

    def release(self) -> None:
        """Give up what looks into the store."""
        if self.bulk is not None:
            self.bulk.close()
            self.bulk = None
        if self.blocks is not None:
            self.blocks.close()
            self.blocks = None
