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
from fumehood.engine import kernel, native
from fumehood.engine.account import entered
from fumehood.engine.hostcall import CALL_FUEL, HostCall, decode_arguments, encode_results
from fumehood.engine.making import Made
from fumehood.errors import ClosedError, Error, ProtocolError, TooMuch

if TYPE_CHECKING:
    from fumehood.engine.blocks import Blocks
    from fumehood.engine.template import Template
    from fumehood.limits import Limits
    from fumehood.meter import Meter

_now: Final = time.monotonic
_ident: Final = threading.get_ident
_run: Final = native.call
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

    def __init__(self, template: Template, services: object, limits: Limits, meter: Meter) -> None:
        self.host_call = HostCall(self)
        self._table = template.table
        self._functions: dict[str, tuple[Any, str]] = {}
        self._raw = (c_uint64 * native.RAW_WORDS)()
        self._raw_ref = byref(self._raw)
        self._output_bytes = limits.output_bytes
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
            limits = meter.limits
            if size > limits.input_bytes:
                raise TooMuch(
                    f"an input of {size} bytes; {limits.input_bytes} are allowed",
                    limit="input_bytes",
                )
            self._output_bytes = limits.output_bytes
            self.meter = meter
            blocks = self.blocks
            assert blocks is not None
            bulk = self.bulk
            if bulk is None:
                blocks.begin(size)
                if size:
                    blocks.data[_FIRST : _FIRST + size] = data
            else:
                bulk.begin(self, export, data, size)
            self.enter()
            try:
                if context is not None:
                    self.host_call.context = context
                error = _run(self.context, function, self._raw_ref, 1, self._trap_ref)
                if error or self._trap.value:
                    self.settle(error, export)
                result = self._result(blocks, results)
            finally:
                self.leave()
                if context is not None:
                    self.host_call.context = None
                if self.host_call.views:
                    self.host_call.release_views()
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
            lock.release()
            if self.close_wanted:
                self.close()

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

    def _result(self, blocks: Blocks, results: str) -> bytes:
        """What the guest left in the registers after it returned: its output, or its failure."""
        at, length, handle, _ = _read_result(blocks.meta, _RESULT_AT)
        code = 0
        if results:
            code = self._raw[0] & 0xFFFFFFFF if results == "i" else 0xFFFFFFFF
        if handle or code:
            raise failures.returned(self, code)
        meter = self.meter
        now = _now()
        if now >= self.deadline or now >= self.guest_until or meter.cancelled:
            self.dead = True
            raise failures.stopped(self, self.stop_reason() or "deadline")
        if self.bulk is not None:
            output = self.bulk.output(self._output_bytes)
            if output is not None:
                return output
        end = at + length
        if end > blocks.size or length > self._output_bytes:
            self._refuse_output(at, length, blocks.size)
        return blocks.data[at:end].tobytes()

    def _refuse_output(self, at: int, length: int, size: int) -> None:
        allowed = self.meter.limits.output_bytes
        if length > allowed:
            raise TooMuch(
                f"an output of {length} bytes; {allowed} are allowed", limit="output_bytes"
            )
        check_range(at, length, size, "the output")

    def reserve(self, size: int) -> int:
        """As `Made.reserve`; the host functions that it called keep nothing."""
        try:
            return super().reserve(size)
        finally:
            self.host_call.release_views()

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
        self.meter.host_call()
        call = self.host_call
        call.caller = caller
        call.charge(CALL_FUEL + item.charge)
        arguments = decode_arguments(item.params, words)
        interrupts = self.interrupts
        started = _now() if item.timed else 0.0
        interrupts.in_host = True
        try:
            result = item.function(call, *arguments)
        finally:
            interrupts.in_host = False
            call.caller = 0
            if item.timed:
                self.not_guest_time(_now() - started)
        encode_results(item.results, result, words)
        reason = self.stop_reason()
        if reason is not None:
            raise failures.stopped(self, reason)


def _on_host_call(env: int | None, caller: int, words: Any, count: int) -> int:
    """Every host function of the process. Nothing may leave it but a trap pointer: ctypes would
    print an exception and hand the guest a zero."""
    sandbox: Any = None
    try:
        sandbox = entered[native.caller_context(caller)]
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
