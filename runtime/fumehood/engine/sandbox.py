"""One instance of a plugin, called with bytes.

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

from fumehood.abi.memory import check_range
from fumehood.engine import failure as failures
from fumehood.engine import interrupt, kernel, native
from fumehood.engine.hostcall import HostCall
from fumehood.engine.making import Made
from fumehood.engine.ticker import entered
from fumehood.errors import ClosedError, Error, ProtocolError, TooMuch

if TYPE_CHECKING:
    from fumehood.engine.template import Template
    from fumehood.limits import Limits
    from fumehood.meter import Meter

_now: Final = time.monotonic
_ONE: Final = native.ONE
_swap: Final = interrupt.swap
_current: Final = interrupt.current
_SIGINT: Final = interrupt.SIGINT
_ident: Final = threading.get_ident
_Raw: Final[Any] = c_uint64 * native.RAW_WORDS
_ALL: Final = slice(None)
_run: Final = native.call
_set_fuel: Final = native.set_fuel
_get_fuel: Final = native.get_fuel
_caller_context: Final = native.caller_context
_read_result: Final = kernel.RESULT.unpack_from
_RESULT_AT: Final = kernel.RESULT_AT
_FIRST: Final = kernel.FIRST


class ExitRequest(Exception):
    """A guest called `proc_exit(status)`; raised by the WASI import, never leaves the engine."""

    def __init__(self, status: int) -> None:
        super().__init__(status)
        self.status = status


class GoneError(ClosedError):
    """A call found the sandbox dead before it began: nothing of it was run.

    `whose` is its `id`: a host function may let another sandbox's pass.
    """

    def __init__(self, whose: int) -> None:
        super().__init__("this sandbox is closed", hint="make a new one")
        self.whose = whose


class Sandbox(Made):
    """Made by `Template.instantiate`. Calls from several threads are serialised, a call from
    inside one of its own host functions raises ReentryError."""

    __slots__ = (
        "_budget",
        "_budget_argument",
        "_functions",
        "_raw",
        "_raw_ref",
        "_table",
        "host_call",
    )

    def __init__(self, template: Template, services: object, limits: Limits, meter: Meter) -> None:
        self.host_call = HostCall(self)
        self._table = template.table
        self._functions: dict[str, tuple[Any, str]] = {}
        self._raw = _Raw()
        self._raw_ref = byref(self._raw)
        self._budget = meter.fuel_left
        self._budget_argument = native.fuel_argument(self._budget + 1)
        super().__init__(template, services, limits, meter)
        self.host_call.release_views()  # of functions that the initialisers called

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
        lock = self.lock
        if not lock.acquire(False):
            self.wait(meter)
        try:
            if self.dead:
                raise GoneError(id(self))
            function, results = self._functions.get(export) or self._function(export)
            size = len(data)
            if size > meter.limits.input_bytes:
                self._refuse_input(size, meter.limits.input_bytes)
            self.meter = meter
            blocks = self.blocks
            assert blocks is not None
            bulk = self.bulk
            if bulk is None:
                blocks.head[_ALL] = blocks.starts.get(size) or blocks.start(size)
                if size:
                    blocks.data[_FIRST : _FIRST + size] = data
            else:
                bulk.begin(self, export, data, size)
            if self._table:
                self.host_call.context = context

            # `enter`, `Interrupts.arm` and `leave` as they are written in account.py and
            # interrupt.py, without their frames: 0.7 of 3.7 µs (`make bench`, small call).
            now = _now()
            deadline = meter.deadline
            until = now + meter.guest_time_left
            if meter.cancelled or now >= deadline or now >= until:
                raise self._too_late()
            meter.source = self
            self.inside = thread = _ident()
            self.deadline = deadline
            self.guest_until = until
            ticker = self._ticker
            ticker.used = True
            if ticker.asleep:
                self.wake_ticker()
            fuel = self._fuel
            left = meter.fuel_left
            if left == self._budget:
                _set_fuel(self.context, self._budget_argument)
            else:
                fuel.value = left + 1
                _set_fuel(self.context, fuel)
            armed = False
            if thread == interrupt.main:
                old = _current(_SIGINT)
                if old is interrupt.usual or callable(old):
                    interrupts = self.interrupts
                    interrupts.old = old
                    _swap(_SIGINT, interrupts)
                    armed = True

            error = _run(self.context, function, self._raw_ref, _ONE, self._trap_ref)

            now = _now()
            meter.guest_time_left = self.guest_until - now
            _get_fuel(self.context, self._fuel_ref)
            left = fuel.value
            if self.owed:
                left -= self.owed
                self.owed = 0
            if left > 0:
                meter.fuel_left = left - 1
            else:
                meter.fuel_left = 0
                self.overdrawn = True
            self.inside = 0
            if armed:
                _swap(_SIGINT, old)
                interrupts.old = None

            if error or self._trap.value:
                self.settle(error, export)
            at, length, handle = _read_result(blocks.meta, _RESULT_AT)
            code = 0
            if results:
                code = self._raw[0] & 0xFFFFFFFF if results == "i" else 0xFFFFFFFF
            if handle or code:
                raise failures.returned(self, code)
            if now >= deadline or now >= self.guest_until or meter.cancelled:
                self.dead = True
                raise failures.stopped(self, self.stop_reason() or "deadline")
            result = None if bulk is None else bulk.output(meter.limits.output_bytes)
            if result is None:
                end = at + length
                if end > blocks.size or length > meter.limits.output_bytes:
                    self._refuse_output(at, length, blocks.size)
                result = blocks.data[at:end].tobytes()
            if self.overdrawn or self.interrupts.pending is not None:
                self.check_account()
            return result
        except Error as problem:
            pending = self.interrupts.take()  # Ctrl-C stands before what the guest did
            if pending is not None:
                raise pending from problem
            self.book_peak(meter)
            raise meter.sign(problem) from problem.__cause__
        finally:
            if self._table and not self.closed:
                self._forget_call()
            lock.release()
            if self.close_wanted:
                self.close()

    def _forget_call(self) -> None:
        """Take back what host functions were given for one call."""
        host_call = self.host_call
        host_call.context = None
        if host_call.views:
            host_call.release_views()

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

    def _refuse_input(self, size: int, allowed: int) -> None:
        raise TooMuch(f"an input of {size} bytes; {allowed} are allowed", limit="input_bytes")

    def _refuse_output(self, at: int, length: int, size: int) -> None:
        allowed = self.meter.limits.output_bytes
        if length > allowed:
            raise TooMuch(
                f"an output of {length} bytes; {allowed} are allowed", limit="output_bytes"
            )
        check_range(at, length, size, "the output")

    def release(self) -> None:
        """Give up what looks into the store."""
        self._functions.clear()
        self.host_call.release_views()
        del self.host_call  # it knows this sandbox: without it nothing waits for the collector
        super().release()

    # -- host functions -------------------------------------------------------------------

    def host_function(self, index: int, caller: int, words: Any) -> None:
        """One call of a host function by the guest; its failure is raised."""
        item = self._table[index]
        meter = self.meter
        meter.host_calls = count = meter.host_calls + 1
        if count > meter.limits.host_calls:
            raise meter.too_many_host_calls()
        call = self.host_call
        call.caller = caller
        interrupts = self.interrupts
        try:
            owed = self.owed + item.fuel
            if owed <= self._credit:
                self.owed = owed
            else:
                call.charge(item.fuel)
            arguments = item.decode(words)
            if item.timed:
                started = _now()
                interrupts.in_host = True
                try:
                    result = item.function(call, *arguments)
                finally:
                    interrupts.in_host = False
                    self.guest_until += _now() - started  # `not_guest_time`
            else:
                interrupts.in_host = True
                try:
                    result = item.function(call, *arguments)
                finally:
                    interrupts.in_host = False
        finally:
            call.caller = 0
        item.encode(result, words)
        # a deadline that passed meanwhile is seen at the guest's next step: the ticker went on
        if meter.cancelled or interrupts.pending is not None:
            raise failures.stopped(self, self.stop_reason() or "cancelled")


_words: Final[dict[int, Any]] = {}
"""Arguments and results of host calls by their address. They lie on the guest's stack, nearly
always at the same place: to make a pointer object for each call costs 0.1 µs."""
_PLACES: Final = 256
_Words: Final[Any] = c_uint64 * (native.RAW_WORDS * 1024)


def _on_host_call(env: int | None, caller: int, address: int, count: int) -> int:
    """Every host function of the process. Nothing may leave it but a trap pointer: ctypes would
    print an exception and hand the guest a zero."""
    sandbox: Any = None
    try:
        sandbox = entered[_caller_context(caller)]()
        words = _words.get(address)
        if words is None:
            if len(_words) >= _PLACES:
                _words.clear()
            words = _words[address] = _Words.from_address(address)
        sandbox.host_function(env or 0, caller, words)
    except BaseException as raised:  # noqa: BLE001 - stored, and raised by the sandbox's caller
        if isinstance(raised, ExitRequest):
            sandbox.exit_status = raised.status
        elif sandbox is not None:
            sandbox.host_error = raised
        trap: int = native.trap_new(b"host function", 13)
        return trap
    return 0


_HOST_CALLBACK: Final = native.HOST_CALLBACK(_on_host_call)
HOST_CALLBACK_POINTER: Final = ctypes.cast(_HOST_CALLBACK, c_void_p)
