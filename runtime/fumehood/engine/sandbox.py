"""One instance of a plugin: a store, a kernel, the guest's modules; called with bytes.

The life of a call: registers and input are written into the kernel's memory, fuel and deadline are
set, the guest is entered once, the result registers are read, checked and copied. What ended badly
is read by `engine/failure.py`. After a trap, a timeout or an exit the sandbox is dead.
"""

from __future__ import annotations

import ctypes
import threading
import time
from ctypes import byref, c_uint64, c_void_p
from typing import TYPE_CHECKING, Any, Final

import wasmtime

from fumehood.abi.memory import Block, check_range, find_block
from fumehood.engine import failure as failures
from fumehood.engine import kernel, native
from fumehood.engine.hostcall import CALL_FUEL, HostCall, decode_arguments, encode_results
from fumehood.engine.interrupt import Interrupts
from fumehood.engine.machine import machine
from fumehood.errors import (
    Cancelled,
    ClosedError,
    Error,
    HostError,
    OutOfMemory,
    ProtocolError,
    ReentryError,
    Timeout,
    TooMuch,
)

if TYPE_CHECKING:
    from fumehood.engine.template import Template
    from fumehood.limits import Limits
    from fumehood.meter import Meter

_now: Final = time.monotonic
_ident: Final = threading.get_ident
_TABLES: Final = 16
_COMMAND_CALLS: Final = 1_000
_KERNEL_NAME: Final = kernel.NAMESPACE.encode()
_ALIGN: Final = -8

_run: Final = native.call
_pack_input: Final = kernel.INPUT.pack_into
_read_result: Final = kernel.RESULT.unpack_from
_set_fuel: Final = native.set_fuel
_get_fuel: Final = native.get_fuel
_RESULT_AT: Final = kernel.RESULT_AT
_FIRST: Final = kernel.FIRST

_live: dict[int, Sandbox] = {}
"""Store context address to sandbox: how the two static callbacks find theirs. One callback for the
whole process instead of a closure per store, which would keep every store alive."""


class ExitRequest(Exception):
    """A guest called `proc_exit(status)`; raised by the WASI import, never leaves the engine."""

    def __init__(self, status: int) -> None:
        super().__init__(status)
        self.status = status


class GoneError(ClosedError):
    """A call found the sandbox dead before it began: nothing of it was run."""


class Sandbox:
    """Made by `Template.instantiate`. Not for concurrent use: calls from several threads are
    serialised, a call from inside one of its own host functions raises ReentryError."""

    def __init__(self, template: Template, services: object, limits: Limits, meter: Meter) -> None:
        self.limits = limits
        self.services = services
        self.meter = meter
        self.dead = False
        self.exit_status: int | None = None
        self.host_error: BaseException | None = None
        self.timed_out: str | None = None
        self.host_call = HostCall(self)
        self.interrupts = Interrupts()
        self._arm = self.interrupts.arm
        self._disarm = self.interrupts.disarm
        self._template = template
        self._table = template.table
        self._ticker = machine().ticker
        self._lock = threading.Lock()
        self._owner = 0
        self._closed = False
        self._close_wanted = False
        self._deadline = 0.0
        self._guest_until = 0.0
        self._host_time = 0.0
        self._overdrawn = False
        self._functions: dict[str, tuple[Any, str]] = {}
        self.notes = ""
        """What the guest wrote to its standard error; a note on traps, nothing more."""
        self._trap = c_void_p()
        self._trap_ref = byref(self._trap)
        self._raw = (c_uint64 * native.RAW_WORDS)()
        self._raw_ref = byref(self._raw)
        self._fuel = c_uint64()
        self._fuel_ref = byref(self._fuel)
        self._guest = native.Instance()
        self._memories: list[Any] = []
        """Each module memory that is exported as `memory`, as a ready argument."""
        self._check_minimum()
        self._open_store()
        try:
            self._enter()
            try:
                self._instantiate()
                self._initialise()
            finally:
                self._leave()
            self._check_account()
        except BaseException as problem:
            self._owner = 0
            self.close()
            if isinstance(problem, Error):
                meter.sign(problem)
            raise
        meter.fresh = True

    # -- making ---------------------------------------------------------------------------

    def _check_minimum(self) -> None:
        sizes = [m.minimum * kernel.PAGE for n in self._template.modules for m in n.module.memories]
        # wasmtime's limiter is per memory: of several memories each gets an equal share
        self._share = self.limits.memory // max(1, len(sizes))
        for size in sizes:
            if size > self._share:
                raise self.meter.sign(
                    OutOfMemory(
                        f"a module needs {size} bytes of memory from the start, "
                        f"{self._share} are allowed",
                        hint="raise limits.memory",
                    )
                )

    def _open_store(self) -> None:
        limits = self.limits
        engine = machine()
        pages = kernel.pages(limits.kernel_memory)
        self._capacity = min(limits.kernel_memory, pages * kernel.PAGE)
        self._store: int = native.store_new(engine.address, None, None)
        self.context_address: int = native.store_context(self._store)
        self._context = byref(ctypes.c_char.from_address(self.context_address))
        native.epoch_callback(self._store, _EPOCH_POINTER, self.context_address, None)
        native.set_epoch_deadline(self.context_address, 1)
        self._kernel = native.Instance()
        self._set_fuel(1_000_000)
        pre = self._template.merged_pre(pages)
        try:
            if pre is None:
                self._make_kernel(pages)
                names = (b"memory", b"meta", b"alloc", b"free")
            else:
                self._make_merged(pre, pages)
                names = (b"fh:memory", b"fh:meta", b"fh:alloc", b"fh:free")
            self._give_folders()
        except BaseException:
            native.store_delete(self._store)
            raise
        self._merged = pre is not None
        memory, meta, alloc, free = (self._export(self._kernel, name) for name in names)
        assert memory is not None
        assert meta is not None
        assert alloc is not None
        assert free is not None
        self.data = self._view(memory)
        self._data_size = len(self.data)
        self._meta_extern = meta
        self._meta = self._view(meta)
        self._kernel_alloc = byref(native.Func(alloc.a, alloc.b))
        self._kernel_free = byref(native.Func(free.a, free.b))
        _live[self.context_address] = self

    def _limit(self, memory: int) -> None:
        """Tell wasmtime the store's limits, `memory` bytes for each memory that grows."""
        modules = self._template.modules
        # a command among the modules is instantiated once a call of it
        commands = any(n.is_command for n in modules[:-1])
        instances = len(modules) + 1 + (_COMMAND_CALLS if commands else 0)
        native.store_limiter(
            self._store,
            memory,
            self.limits.table_elements,
            instances,
            _TABLES * instances,
            instances + 2,
        )

    def _make_kernel(self, pages: int) -> None:
        """A kernel instance of its own; the kernel's size is no matter of the guest's limit."""
        native.store_limiter(self._store, (pages + pages // 2 + 1) * kernel.PAGE, 1, 1, 1, 2)
        from fumehood.engine.template import kernel_pre

        self._pre_instantiate(kernel_pre(pages))
        self._limit(self._share)

    def _make_merged(self, pre: int, pages: int) -> None:
        """Guest and kernel in one. No guest code runs before the guest's own limit is set: its
        start function is an export here."""
        self._limit(max(self._share, pages * kernel.PAGE))
        self._pre_instantiate(pre)
        self._limit(self._share)
        self._guest = self._kernel

    def _pre_instantiate(self, pre: int) -> None:
        failed = native.check(
            native.pre_instantiate(pre, self.context_address, byref(self._kernel), self._trap_ref),
            self._trap,
        )
        if failed is not None:
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

    def _export(self, instance: Any, name: bytes) -> native.Extern | None:
        extern = native.Extern()
        found = native.instance_export_get(
            self.context_address, byref(instance), name, len(name), byref(extern)
        )
        return extern if found else None

    def _view(self, extern: native.Extern) -> memoryview:
        where = ctypes.addressof(extern) + 8
        size = native.memory_data_size(self.context_address, where)
        return native.view(native.memory_data(self.context_address, where), size)

    def _instantiate(self) -> None:
        template = self._template
        self._begin(0)
        if self._merged:
            self._know_memory(self._guest)
            start = self._export(self._guest, b"fh:start")
            if start is not None:
                self._run(start, 0, "the start function")
            return
        linker = template.borrow()
        try:
            self._define(linker, _KERNEL_NAME, self._kernel)
            template.override(linker)
            for named in template.modules:
                if named.is_command and named.module is not template.main:
                    name = named.name.encode()
                    error = native.linker_module(
                        linker, self.context_address, name, len(name), named.module.alone()
                    )
                    self._settle(error, "instantiation")
                    continue
                instance = native.Instance()
                error = native.linker_instantiate(
                    linker,
                    self.context_address,
                    named.module.alone(),
                    byref(instance),
                    self._trap_ref,
                )
                self._settle(error, "instantiation")
                self._know_memory(instance)
                self._guest = instance
                if named.module is not template.main:
                    self._run_if_initialiser(named.module.exports, "_initialize")
                    self._define(linker, named.name.encode(), instance)
        finally:
            template.give_back(linker)

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
                self._run(self._export(self._guest, b"hs_init"), 2, "hs_init")
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

    def _run(self, extern: native.Extern | None, arguments: int, name: str) -> None:
        assert extern is not None
        function = native.Func(extern.a, extern.b)
        words = (c_uint64 * (native.RAW_WORDS * max(1, arguments)))()
        error = native.call(
            self._context, byref(function), byref(words), max(1, arguments), self._trap_ref
        )
        self._settle(error, name)

    # -- the account of a call ------------------------------------------------------------

    def _set_fuel(self, fuel: int) -> None:
        self._fuel.value = fuel
        native.set_fuel(self._context, self._fuel)

    def take_fuel(self, amount: int) -> bool:
        """Take fuel during a host call; False, with none left, where it does not suffice."""
        native.get_fuel(self._context, self._fuel_ref)
        left = self._fuel.value
        if left <= amount:
            self._set_fuel(0)
            return False
        self._set_fuel(left - amount)
        return True

    def _enter(self) -> None:
        """Start the clock, the fuel and the ticker for an entry into the guest."""
        meter = self.meter
        now = _now()
        if meter.cancelled or now >= meter.deadline or meter.guest_time_left <= 0:
            raise self._too_late()
        meter.source = self
        self._owner = _ident()
        self._deadline = meter.deadline
        self._host_time = 0.0
        self._started = now
        self._guest_until = now + meter.guest_time_left
        # One unit more than is left: wasmtime checks at loops and entries only, so a guest may
        # overdraw by less than a block, and nothing left then means that it did.
        fuel = self._fuel
        fuel.value = meter.fuel_left + 1
        _set_fuel(self._context, fuel)
        self._armed = self._arm()
        ticker = self._ticker
        ticker.active.add(self.context_address)
        if ticker.asleep:
            ticker.poke()

    def _leave(self) -> None:
        """Book what the entry cost, whatever came of it."""
        self._ticker.active.discard(self.context_address)
        if self._armed:
            self._disarm()
        meter = self.meter
        meter.guest_time_left -= _now() - self._started - self._host_time
        _get_fuel(self._context, self._fuel_ref)
        left = self._fuel.value
        if left:
            meter.fuel_left = left - 1
        else:
            meter.fuel_left = 0
            self._overdrawn = True
        self._owner = 0

    def note_peak(self, meter: Meter) -> None:
        """Book the memory in use into `meter`, if it is the one of the last call.

        Memory never shrinks, so asking when a receipt is wanted is as good as asking at the end of
        every call, and costs only those who ask (0.25 µs). Nothing is asked while another thread's
        call runs.
        """
        if self._lock.acquire(False):
            try:
                self._book_peak(meter)
            finally:
                self._lock.release()

    def _book_peak(self, meter: Meter) -> None:
        if self._closed or meter is not self.meter:
            return
        (peak,) = kernel.BLOCKS.unpack_from(self._meta, kernel.BUMP_AT)
        meter.memory_peak = max(meter.memory_peak, peak + self.guest_memory_size())

    def _too_late(self) -> Error:
        meter = self.meter
        if meter.cancelled:
            return Cancelled("the operation was cancelled")
        if _now() >= meter.deadline:
            return meter.timeout()
        return self.guest_timeout()

    def _check_account(self) -> None:
        """After a clean return: was the fuel overdrawn, did Ctrl-C come at the last moment?"""
        if self._overdrawn:
            self.dead = True
            raise failures.out_of_fuel(self)
        pending = self.interrupts.pending
        if pending is not None:
            self.interrupts.pending = None
            raise pending

    def guest_timeout(self) -> Timeout:
        """The error for guest time that is used up."""
        return Timeout(
            f"the guest ran for more than {self.meter.limits.guest_time:g} s",
            limit="guest_time",
            hint="raise limits.guest_time if the work is legitimate",
        )

    def stop_reason(self) -> str | None:
        """Why the guest must stop now: cancelled, deadline, guest_time, interrupt; or None."""
        if self.meter.cancelled:
            return "cancelled"
        if self.interrupts.pending is not None:
            return "interrupt"
        now = _now()
        if now >= self._deadline:
            return "deadline"
        if now >= self._guest_until:
            return "guest_time"
        return None

    # -- calling --------------------------------------------------------------------------

    def call(
        self,
        export: str,
        data: bytes | bytearray | memoryview,
        meter: Meter,
        context: object = None,
    ) -> bytes:
        """Call `export` with `data` as input and return its output, a copy.

        Raises, signed with the plugin's name and receipt: LimitError (and its kinds), Cancelled,
        HostFunctionError or what an import raised, PluginError (error text or a return code other
        than 0), Exit, Trap, ProtocolError; ClosedError for a dead or closed sandbox.
        Precedence as api.md "Errors"; extism-abi.md §2.5, §2.6.
        """
        lock = self._lock
        if not lock.acquire(False):
            self._wait(meter)
        try:
            if self.dead:
                raise GoneError("this sandbox is closed", hint="make a new one")
            found = self._functions.get(export) or self._function(export)
            size = len(data)
            if size > meter.limits.input_bytes:
                raise TooMuch(
                    f"an input of {size} bytes; {meter.limits.input_bytes} are allowed",
                    limit="input_bytes",
                )
            self.meter = meter
            self._begin(size)
            if size:
                self.data[_FIRST : _FIRST + size] = data
            if context is not None:
                self.host_call.context = context
            raw = self._raw
            raw[0] = 0
            self._enter()
            try:
                error = _run(self._context, found[0], self._raw_ref, 1, self._trap_ref)
                result = self._finish(error, export, found[1])
            finally:
                self._leave()
                if context is not None:
                    self.host_call.context = None
            if self._overdrawn or self.interrupts.pending is not None:
                self._check_account()
            return result
        except Error as problem:
            self._book_peak(meter)
            raise meter.sign(problem) from problem.__cause__
        finally:
            lock.release()
            if self._close_wanted:
                self.close()

    def _wait(self, meter: Meter) -> None:
        """Wait for another thread's call to end; refuse a call from inside our own."""
        if self._owner == _ident():
            raise meter.sign(
                ReentryError(
                    "a sandbox cannot be called from inside its own host function",
                    hint="call it after the host function has returned",
                )
            )
        self._lock.acquire()

    def _begin(self, size: int) -> None:
        """Reset the kernel and make room for an input of `size` bytes."""
        first = _FIRST
        if not size:
            _pack_input(self._meta, 0, 0, 0, 0, 0, 0, first, 0, self._capacity, 0, 0, 0, 0)
            return
        end = (first + size + 15) & _ALIGN
        if end > self._capacity:
            raise OutOfMemory(
                f"an input of {size} bytes does not fit in {self._capacity} bytes of kernel memory",
                limit="kernel_memory",
                hint="raise limits.kernel_memory",
            )
        limit = size - 7 if size > 7 else 0
        # fmt: off
        _pack_input(
            self._meta, 0, first, size, 0, 0, 0, end, 1, self._capacity, limit, 0, first, size
        )
        # fmt: on

    def _function(self, export: str) -> tuple[Any, str]:
        info = self._template.main.exports.get(export)
        if info is None or info.kind != "func":
            raise ProtocolError(
                f"Function not found: {export}", hint="`fumehood inspect` lists the exports"
            )
        if info.params:
            raise ProtocolError(f"{export}: expected {len(info.params)} arguments, got 0")
        if len(info.results) > 1:
            raise ProtocolError(
                f"Function {export} has {len(info.results)} results, expected 0 or 1"
            )
        extern = self._export(self._guest, export.encode())
        assert extern is not None
        found = (byref(native.Func(extern.a, extern.b)), info.results)
        self._functions[export] = found
        return found

    def _finish(self, error: int | None, export: str, results: str) -> bytes:
        if error or self._trap.value:
            self._settle(error, export)
        at, length, handle, _ = _read_result(self._meta, _RESULT_AT)
        code = 0
        if results:
            code = self._raw[0] & 0xFFFFFFFF if results == "i" else 0xFFFFFFFF
        if handle or code:
            raise failures.returned(self, code)
        now = _now()
        if now >= self._deadline or now >= self._guest_until or self.meter.cancelled:
            self.dead = True
            raise failures.stopped(self, self.stop_reason() or "deadline")
        allowed = self.meter.limits.output_bytes
        if length > allowed:
            raise TooMuch(
                f"an output of {length} bytes; {allowed} are allowed", limit="output_bytes"
            )
        end = at + length
        if end > self._data_size:
            check_range(at, length, self._data_size, "the output")
        return self.data[at:end].tobytes()

    def _settle(self, error: int | None, where: str) -> None:
        """Raise what a failed entry into the guest means; nothing for a clean one or exit(0)."""
        failed = native.check(error, self._trap)
        if failed is None:
            return
        self.dead = True
        problem = failures.trapped(self, failed, where)
        if problem is not None:
            raise problem from getattr(problem, "__cause__", None)

    # -- the kernel's blocks, for host functions ------------------------------------------

    def _table_view(self, count: int) -> memoryview:
        need = kernel.TABLE + 8 * count
        if need > len(self._meta):  # the table grew past the first pages
            self._meta.release()
            self._meta = self._view(self._meta_extern)
        return self._meta[kernel.TABLE : need]

    def block(self, handle: int) -> Block | None:
        """The block that starts at `handle`, freed or not."""
        (count,) = kernel.BLOCKS.unpack_from(self._meta, kernel.BLOCKS_AT)
        with self._table_view(count) as table:
            return find_block(table, count, handle)

    def alloc(self, size: int) -> int:
        """A block, or 0. Runs in the kernel, so that its rules stand in one place."""
        return self._kernel_call(self._kernel_alloc, size)

    def free(self, handle: int) -> None:
        """Free a block; unknown ones are ignored."""
        self._kernel_call(self._kernel_free, handle & 0xFFFFFFFFFFFFFFFF)

    def _kernel_call(self, function: Any, argument: int) -> int:
        words = (c_uint64 * native.RAW_WORDS)(argument)
        trap = c_void_p()
        failed = native.check(
            native.call(self._context, function, byref(words), 1, byref(trap)), trap
        )
        if failed is not None:
            reason = self.stop_reason()
            if reason is not None:
                raise failures.stopped(self, reason)
            raise failures.from_trap(failed)
        return int(words[0])

    def refused(self) -> int:
        """Bytes of the kernel's last refused allocation in this call, 0 if none was."""
        return int(kernel.BLOCKS.unpack_from(self._meta, kernel.REFUSED_AT)[0])

    def error_handle(self) -> int:
        """The guest's error register."""
        return int(kernel.BLOCKS.unpack_from(self._meta, 32)[0])

    def memory_sizes(self) -> list[int]:
        """Bytes of each module memory that is exported as `memory`."""
        return [native.memory_size(self._context, memory) for memory in self._memories]

    def guest_memory_size(self) -> int:
        """Bytes of those memories together."""
        return sum(self.memory_sizes())

    def memory_share(self) -> int:
        """Bytes that one memory may have."""
        return self._share

    # -- the end --------------------------------------------------------------------------

    def close(self) -> None:
        """Free the instance. Idempotent; waits for a call of another thread, and from inside an
        own host function takes effect when the call ends."""
        self.dead = True
        if self._owner == _ident():
            self._close_wanted = True
            return
        with self._lock:
            if self._closed:
                return
            self._book_peak(self.meter)
            self.meter.source = None
            self._closed = True
            self.data.release()
            self._meta.release()
            self._functions.clear()
            _live.pop(self.context_address, None)
            native.store_delete(self._store)

    def __enter__(self) -> Sandbox:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    # -- callbacks ------------------------------------------------------------------------

    def _host_function(self, index: int, caller: int, words: Any) -> None:
        item = self._table[index]
        meter = self.meter
        meter.host_call()
        call = self.host_call
        call.charge(CALL_FUEL + item.charge)
        call.caller = caller
        arguments = decode_arguments(item.params, words)
        interrupts = self.interrupts
        started = _now() if item.timed else 0.0
        interrupts.in_host = True
        try:
            result = item.function(call, *arguments)
        finally:
            interrupts.in_host = False
            if item.timed:
                spent = _now() - started
                self._host_time += spent
                self._guest_until += spent
        encode_results(item.results, result, words)
        reason = self.stop_reason()
        if reason is not None:
            raise failures.stopped(self, reason)


def _on_host_call(env: int | None, caller: int, words: Any, count: int) -> int:
    """Every host function of the process. Nothing may leave it but a trap pointer: ctypes would
    print an exception and hand the guest a zero."""
    sandbox: Sandbox | None = None
    try:
        sandbox = _live[native.caller_context(caller)]
        sandbox._host_function(env or 0, caller, words)
    except BaseException as raised:  # noqa: BLE001 - stored, and raised by the sandbox's caller
        if sandbox is not None:
            if isinstance(raised, ExitRequest):
                sandbox.exit_status = raised.status
            else:
                sandbox.host_error = raised
        trap: int = native.trap_new(b"host function", 13)
        return trap
    return 0


def _on_epoch(context: int, env: int, delta: Any, kind: Any) -> int:
    """Runs on the guest's thread at most once a tick; an error pointer unwinds the guest.

    A store that is not listed yet is being made: wasmtime's own initialisation runs, no guest code.
    """
    try:
        sandbox = _live.get(env)
        reason = None if sandbox is None else sandbox.stop_reason()
        if reason is None:
            delta[0] = 1
            kind[0] = 0  # WASMTIME_UPDATE_DEADLINE_CONTINUE
            return 0
        if sandbox is not None:
            sandbox.timed_out = reason
    except BaseException as raised:  # noqa: BLE001 - must not be dropped by ctypes
        found = _live.get(env)
        if found is not None:
            found.host_error = raised
    error: int = native.error_new(b"stopped")
    return error


_HOST_CALLBACK: Final = native.HOST_CALLBACK(_on_host_call)
HOST_CALLBACK_POINTER: Final = ctypes.cast(_HOST_CALLBACK, c_void_p)
_EPOCH_CALLBACK: Final = native.EPOCH_CALLBACK(_on_epoch)
_EPOCH_POINTER: Final = ctypes.cast(_EPOCH_CALLBACK, c_void_p)
