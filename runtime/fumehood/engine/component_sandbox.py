"""One instance of a component, called with text; and what instances of it are made from.

A component has no kernel: the export's name and its input go in as strings, a
`result<string, string>` comes out. Its memories cannot be looked at from here, so a receipt knows
no peak of them, and a guest that dies of its memory limit is a trap unless it says itself what is
wrong.
"""

from __future__ import annotations

import ctypes
import time
from collections import deque
from collections.abc import Iterable, Sequence
from ctypes import byref, c_void_p
from typing import TYPE_CHECKING, Any, Final

from fumehood import forks
from fumehood.engine import failure as failures
from fumehood.engine import native
from fumehood.engine import native_component as raw
from fumehood.engine.account import Entered
from fumehood.engine.component import INTERFACE, CompiledComponent, WitFunction
from fumehood.engine.component_machine import component_machine
from fumehood.engine.hostcall import BYTES_PER_FUEL, CALL_FUEL
from fumehood.engine.sandbox import GoneError
from fumehood.engine.ticker import owner_of
from fumehood.errors import (
    ClosedError,
    Error,
    OutOfFuel,
    OutOfMemory,
    ProtocolError,
    TooMuch,
    Trap,
    UsageError,
)

if TYPE_CHECKING:
    from fumehood.limits import Limits
    from fumehood.meter import Meter

_now: Final = time.monotonic
_PAGE: Final = 65536
_INSTANCES: Final = 200
"""Core instances in one component: componentize-py makes some fifty."""
_TABLES: Final = 16
_SPARE_LINKERS: Final = 8
_KINDS: Final = {"u8": raw.KIND_U8, "u64": raw.KIND_U64, "string": raw.KIND_STRING}


class ComponentCall:
    """What a host function of a component works with; one object a sandbox."""

    __slots__ = ("_sandbox",)

    def __init__(self, sandbox: ComponentSandbox) -> None:
        self._sandbox = sandbox

    @property
    def meter(self) -> Meter:
        """The account of the operation under way."""
        return self._sandbox.meter

    @property
    def services(self) -> Any:
        """What the plugin was given: `imports.Services`."""
        return self._sandbox.services


class ComponentTemplate:
    """A component with its host functions, ready to be instantiated many times.

    `names` are the exports that may be called; without them only `list_exports` is of use. Owns
    its linkers: `close()`.
    """

    def __init__(
        self,
        component: CompiledComponent,
        functions: Sequence[WitFunction],
        names: Iterable[str] = (),
    ) -> None:
        self.component = component
        self.functions = tuple(functions)
        self.names = tuple(names)
        self.callable = frozenset(self.names)
        self.kinds = [[_KINDS[name] for name in function.params] for function in self.functions]
        self._lock = forks.lock()
        self._linkers: deque[int] = deque()
        self._closed = False

    def instantiate(self, services: object, limits: Limits, meter: Meter) -> ComponentSandbox:
        """A fresh sandbox, its start functions run on `meter`'s account. Raises what
        `ComponentSandbox.call` raises."""
        return ComponentSandbox(self, services, limits, meter)

    def borrow(self) -> int:
        """A linker for one instantiation; give it back with `give_back`."""
        with self._lock:
            if self._closed:
                raise ClosedError("the compiled plugin is closed")
            if self._linkers:
                return self._linkers.popleft()
        linker: int = raw.linker_new(component_machine().address)
        raw.define(linker, INTERFACE, [f.name for f in self.functions], _HOST_POINTER)
        return linker

    def give_back(self, linker: int) -> None:
        """Return a borrowed linker."""
        with self._lock:
            if not self._closed and len(self._linkers) < _SPARE_LINKERS:
                self._linkers.append(linker)
                return
        raw.linker_delete(linker)

    def close(self) -> None:
        """Free the linkers. Sandboxes made before live on."""
        with self._lock:
            self._closed = True
            while self._linkers:
                raw.linker_delete(self._linkers.popleft())


class ComponentSandbox(Entered):
    """Made by `ComponentTemplate.instantiate`. Not for concurrent use, as `Sandbox`."""

    def __init__(
        self, template: ComponentTemplate, services: object, limits: Limits, meter: Meter
    ) -> None:
        machine = component_machine()
        self._template = template
        self._share = self._check_minimum(template.component, limits, meter)
        super().__init__(machine.address, machine.ticker, services, limits, meter)
        self.host_call = ComponentCall(self)
        self._arguments = raw.Arguments(2)
        self._instance = raw.Instance()
        try:
            self._instantiate(len(template.component.memories))
        except BaseException as problem:
            self.close()
            if isinstance(problem, Error):
                meter.sign(problem)
            raise
        self._call = self._function(template.component.call_index)
        meter.fresh = True

    @staticmethod
    def _check_minimum(component: CompiledComponent, limits: Limits, meter: Meter) -> int:
        # wasmtime's limiter is per memory: of several memories each gets an equal share
        share = limits.memory // max(1, len(component.memories))
        for memory in component.memories:
            size = memory.minimum * _PAGE
            if size > share:
                raise meter.sign(
                    OutOfMemory(
                        f"the component needs {size} bytes of memory from the start, "
                        f"{share} are allowed",
                        hint="raise limits.memory",
                    )
                )
        return share

    def _instantiate(self, memories: int) -> None:
        native.store_limiter(
            self.store,
            self._share,
            self.limits.table_elements,
            _INSTANCES,
            _TABLES,
            max(1, memories),
        )
        linker = self._template.borrow()
        try:
            self.enter()
            try:
                error = raw.linker_instantiate(
                    linker,
                    self.context_address,
                    self._template.component.address,
                    byref(self._instance),
                )
                self._settle(error, "instantiation")
            finally:
                self.leave()
            self.check_account()
        finally:
            self._template.give_back(linker)

    def _function(self, index: int) -> Any:
        function = raw.Func()
        found = raw.instance_get_func(
            byref(self._instance), self.context_address, index, byref(function)
        )
        assert found
        return byref(function)

    # -- calling ----------------------------------------------------------------------------

    def call(
        self,
        export: str,
        data: bytes | bytearray | memoryview,
        meter: Meter,
        context: object = None,
    ) -> bytes:
        """Call `export` with `data`, which must be UTF-8, and return its output.

        Raises what `Sandbox.call` raises; the guest's error is a PluginError with rc 1.
        `context` is not used: components have no host functions of the caller's.
        """
        self.acquire(meter)
        try:
            if self.dead:
                raise GoneError(id(self))
            self.meter = meter
            if export not in self._template.callable:
                raise ProtocolError(
                    f"Function not found: {export}", hint="`fumehood inspect` lists the exports"
                )
            self._arguments.put(export.encode(), self._input(data, meter))
            try:
                ok, text = self._run()
            finally:
                self._arguments.clear()
            if not ok:
                raise failures.reported(self, text.decode("utf-8", "replace"))
            return text
        except Error as problem:
            pending = self.interrupts.take()
            if pending is not None:
                raise pending from problem
            raise meter.sign(problem) from problem.__cause__
        finally:
            self.lock.release()

    @staticmethod
    def _input(data: bytes | bytearray | memoryview, meter: Meter) -> bytes:
        size = len(data)
        if size > meter.limits.input_bytes:
            raise TooMuch(
                f"an input of {size} bytes; {meter.limits.input_bytes} are allowed",
                limit="input_bytes",
            )
        content = data if isinstance(data, bytes) else bytes(data)
        try:
            content.decode("utf-8")  # what is not text would end the process inside wasmtime
        except UnicodeDecodeError as problem:
            raise UsageError(
                "a component takes text, the input is not UTF-8", hint="encode it, as base64 say"
            ) from problem
        return content

    def _run(self) -> tuple[bool, bytes]:
        arguments = self._arguments
        self.enter()
        try:
            error = raw.call(self._call, self.context, arguments.given, 2, arguments.out, 1)
            self._settle(error, "call")
            # read before anything may raise: wasmtime's copy is freed by it
            ok, text, size = arguments.take_result(self.meter.limits.output_bytes)
            reason = self.stop_reason()
            if reason is not None:
                self.dead = True
                raise failures.stopped(self, reason)
        finally:
            self.leave()
        self.check_account()
        self._check_size(size)
        return ok, text

    def list_exports(self, meter: Meter) -> str:
        """What the component says it exports: names, one a line. Raises what `call` raises."""
        self.acquire(meter)
        try:
            self.meter = meter
            function = self._function(self._template.component.list_index)
            arguments = raw.Arguments(0)
            self.enter()
            try:
                error = raw.call(function, self.context, None, 0, arguments.out, 1)
                self._settle(error, "list-exports")
                text, size = arguments.take_string(meter.limits.output_bytes)
            finally:
                self.leave()
            self.check_account()
            self._check_size(size)
            return text.decode("utf-8", "replace")
        except Error as problem:
            raise meter.sign(problem) from problem.__cause__
        finally:
            self.lock.release()

    def _check_size(self, size: int) -> None:
        allowed = self.meter.limits.output_bytes
        if size > allowed:
            raise TooMuch(f"an output of {size} bytes; {allowed} are allowed", limit="output_bytes")

    def _settle(self, error: int | None, where: str) -> None:
        """Raise what a failed entry into the guest means; nothing for a clean one."""
        failed = raw.check(error)
        if failed is None:
            return
        self.dead = True
        problem = failures.ended(self, failed, where, None)
        assert problem is not None  # nobody exits with status 0 here
        if isinstance(problem, Trap) and failed.code is None:
            problem = _refusal(failed.root()[:300])
        raise problem from getattr(problem, "__cause__", None)

    def memory_share(self) -> int:
        """Bytes that one memory may have."""
        return self._share

    # -- the host's functions ---------------------------------------------------------------

    def host_function(self, index: int, given: Any, count: int, results: Any) -> None:
        """One call of a host function, its arguments and its result in place."""
        item = self._template.functions[index]
        kinds = self._template.kinds[index]
        self.meter.host_call()
        fuel = CALL_FUEL + item.charge
        values = [raw.read_argument(given[i], kinds[i]) for i in range(count)]
        fuel += sum(len(v) // BYTES_PER_FUEL for v in values if isinstance(v, bytes))
        if not self.take_fuel(fuel):
            raise OutOfFuel(
                "the operation's fuel is used up by host calls",
                limit="fuel",
                hint="raise limits.fuel if the work is legitimate",
            )
        self.interrupts.in_host = True
        try:
            result = item.function(self.host_call, *values)
        finally:
            self.interrupts.in_host = False
        if item.result is not None:
            raw.write_number(results[0], _KINDS[item.result], int(result))
        reason = self.stop_reason()
        if reason is not None:
            raise failures.stopped(self, reason)


def _refusal(text: str) -> Error:
    """What wasmtime itself did not let a component do, in its own words."""
    if "memory count too high" in text:
        return OutOfMemory(
            "the component makes more memories than its modules define, limits.memory is shared out"
        )
    if text.startswith("resource limit exceeded"):
        return TooMuch(f"the component is too large: {text}", limit="table_elements")
    return ProtocolError(f"the component broke the rules of the component model: {text}")


def _on_host_call(
    env: int | None, context: int, _kind: int, given: Any, count: int, results: Any, _many: int
) -> int:
    """Every host function of every component. Nothing may leave it but an error pointer: ctypes
    would print an exception and let the guest go on."""
    sandbox = owner_of(context)
    try:
        if not isinstance(sandbox, ComponentSandbox):
            raise KeyError(context)  # a store that is not ours: cannot happen
        sandbox.host_function(env or 0, given, count, results)
    except BaseException as raised:  # noqa: BLE001 - stored, and raised by the sandbox's caller
        if sandbox is not None:
            sandbox.host_error = raised
        error: int = native.error_new(b"host function")
        return error
    return 0


_HOST_CALLBACK: Final = raw.HOST_CALLBACK(_on_host_call)
_HOST_POINTER: Final = ctypes.cast(_HOST_CALLBACK, c_void_p)
