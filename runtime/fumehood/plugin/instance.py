"""One plugin instance as its users see it: made at its first call, renewed or discarded after a
failure."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Final

from fumehood import forks
from fumehood.engine import GoneError, Sandbox, Template
from fumehood.errors import ClosedError, ReentryError
from fumehood.imports import Services
from fumehood.limits import Limits
from fumehood.meter import Meter

if TYPE_CHECKING:
    from types import TracebackType

    from fumehood.engine.component_sandbox import ComponentSandbox, ComponentTemplate


COMMAND: Final = "_start"
"""A program's main: it runs once in an instance, the next call gets a fresh one (§2.5)."""


class Instance:
    """Calls exports of one sandbox. `close()` it, or use `with`.

    The sandbox is made by the first call, on that call's account. After a trap, a timeout, a
    cancellation, an exit or a memory limit the sandbox is never used again: with `renew` the next
    call makes a new one (config and vars live in `services` and stay), without it `alive` is
    false and further calls raise ClosedError.
    """

    _ending: Sandbox | ComponentSandbox | None = None
    """One that is closed, or waits for its call to end before it can be."""

    def __init__(
        self,
        template: Template | ComponentTemplate,
        services: Services,
        limits: Limits,
        *,
        renew: bool = False,
    ) -> None:
        self.services = services
        self._template = template
        self._limits = limits
        self._renew = renew
        self._sandbox: Sandbox | ComponentSandbox | None = None
        self.ready: Sandbox | ComponentSandbox | None = None
        """The sandbox where one stands ready, never that of a program: the short way, for who calls
        it himself, falls back on `call` here where it raises its GoneError, and calls `settle`
        after any other error."""
        self._once = isinstance(template, Template) and COMMAND in template.main.exports
        self._closed = False
        self._spent = False
        self._making = threading.Lock()
        self._maker = 0
        self._forks = forks.count
        self._making_meter: Meter | None = None

    @property
    def alive(self) -> bool:
        """Whether a further call can succeed."""
        return not self._closed and not (self._spent and not self._renew)

    def call(
        self,
        export: str,
        data: bytes | bytearray | memoryview,
        meter: Meter,
        context: object = None,
    ) -> bytes:
        """Call `export` with `data`; the output, a copy. Raises what `Sandbox.call` raises.

        Calls from several threads are serialised; a call from inside one of the instance's own
        host functions raises ReentryError.
        """
        while True:
            sandbox = self._sandbox
            if sandbox is None or sandbox.dead:  # `close` leaves none
                sandbox = self._make(meter)
            try:
                output = sandbox.call(export, data, meter, context)
            except GoneError as gone:
                if gone.whose == id(sandbox):
                    if self._closed or not self._renew:
                        raise
                    continue  # another thread's call ended this sandbox while we waited for it
                if sandbox.dead:  # a host function let another sandbox's error pass
                    self._discard(sandbox)
                raise
            except BaseException:
                self.settle()
                raise
            if sandbox.dead or (self._renew and export == COMMAND):
                self._discard(sandbox)
            return output

    def settle(self) -> None:
        """Discard the sandbox if a call left it dead."""
        sandbox = self._sandbox
        if sandbox is not None and sandbox.dead:
            self._discard(sandbox)

    def cancel(self) -> None:
        """Stop the call that is inside the guest, or the one that makes the sandbox."""
        meter = self._making_meter
        for sandbox in (self._sandbox, self._ending):
            if sandbox is not None and sandbox.inside:
                sandbox.meter.cancel()
                return
        if meter is not None:
            meter.cancel()

    def _make(self, meter: Meter) -> Sandbox | ComponentSandbox:
        if self._maker == threading.get_ident():
            raise meter.sign(ReentryError("a sandbox cannot be called while it is being made"))
        if self._forks != forks.count:  # whoever was making it is not in this process
            self._making, self._maker, self._forks = threading.Lock(), 0, forks.count
        with self._making:
            self._maker = threading.get_ident()
            self._making_meter = meter
            try:
                if self._closed or (self._spent and not self._renew):
                    raise meter.sign(
                        ClosedError("this plugin instance is closed", hint="open a new one")
                    )
                if self._sandbox is None or self._sandbox.dead:
                    self._spent = True  # stays so where making it fails
                    made = self._template.instantiate(self.services, self._limits, meter)
                    self._sandbox = made
                    self._spent = False
                    if not self.alive:  # closed while it was made: `close` did not see it
                        self._sandbox = None
                        made.close()
                        raise meter.sign(ClosedError("this plugin instance is closed"))
                    if not self._once:
                        self.ready = made
                    return made
                return self._sandbox
            finally:
                self._maker = 0
                self._making_meter = None

    def _discard(self, sandbox: Sandbox | ComponentSandbox) -> None:
        self._spent = True
        if self._sandbox is sandbox:
            self._ending = sandbox  # before it is no longer the one: `cancel` finds it somewhere
            self._sandbox = self.ready = None
            self.services.close()  # the next sandbox does not know the streams of this one
        sandbox.close()
        self._ended(sandbox)

    def _ended(self, sandbox: Sandbox | ComponentSandbox) -> None:
        if self._ending is sandbox:
            self._ending = None

    def reset(self) -> None:
        """Discard the sandbox; with `renew` the next call makes a fresh one."""
        sandbox = self._sandbox
        if sandbox is not None:
            self._discard(sandbox)

    def close(self) -> None:
        """Free the sandbox and the streams it left open. Idempotent."""
        self._closed = True
        self.services.close()
        sandbox = self._sandbox
        if sandbox is not None:
            self._ending = sandbox
            self._sandbox = self.ready = None
            sandbox.close()
            self._ended(sandbox)

    def __enter__(self) -> Instance:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()
