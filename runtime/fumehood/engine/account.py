"""What one entry into a guest may use: fuel, time, and who may stop it.

`Entered` is the part of a sandbox that is the same for every kind of guest: it holds the store,
gives it fuel and a place in the ticker's rounds before the guest runs, and settles with the
operation's `Meter` afterwards.
"""

from __future__ import annotations

import ctypes
import threading
import time
from ctypes import byref, c_uint64, c_void_p
from typing import TYPE_CHECKING, Any, Final, Self

from fumehood.engine import failure as failures
from fumehood.engine import native
from fumehood.engine.interrupt import Interrupts
from fumehood.errors import Cancelled, Error, ReentryError, Timeout

if TYPE_CHECKING:
    from fumehood.engine.ticker import Ticker
    from fumehood.limits import Limits
    from fumehood.meter import Meter

_now: Final = time.monotonic
_ident: Final = threading.get_ident

entered: dict[int, Entered] = {}
"""Store context address to owner: how static callbacks find theirs. A closure per store would keep
every store alive."""


class Entered:
    """A store and the account of the call that runs in it. One call at a time (`lock`)."""

    def __init__(
        self, engine: int, ticker: Ticker, services: object, limits: Limits, meter: Meter
    ) -> None:
        self.limits = limits
        self.services = services
        self.meter = meter
        self.dead = False
        self.closed = False
        self.exit_status: int | None = None
        self.host_error: BaseException | None = None
        self.timed_out: str | None = None
        self.notes = ""
        self.interrupts = Interrupts()
        self.lock = threading.Lock()
        self._ticker = ticker
        self._owner = 0
        self._deadline = self._guest_until = self._started = 0.0
        self._overdrawn = self._armed = False
        self._fuel = c_uint64()
        self._fuel_ref = byref(self._fuel)
        self.store: int = native.store_new(engine, None, None)
        self.context_address: int = native.store_context(self.store)
        self.context: Any = byref(ctypes.c_char.from_address(self.context_address))
        native.epoch_callback(self.store, _EPOCH_POINTER, self.context_address, None)
        native.set_epoch_deadline(self.context_address, 1)
        entered[self.context_address] = self

    # -- before and after -------------------------------------------------------------------

    def acquire(self, meter: Meter) -> None:
        """Wait for other threads' calls to end. Raises ReentryError inside a call of our own."""
        if self.lock.acquire(blocking=False):
            return
        if self._owner == _ident():
            raise meter.sign(
                ReentryError(
                    "a sandbox cannot be called from inside its own host function",
                    hint="call it after the host function has returned",
                )
            )
        self.lock.acquire()

    def enter(self) -> None:
        """Arm fuel, deadline and SIGINT. Raises Cancelled and Timeout where nothing is left."""
        meter = self.meter
        now = _now()
        if meter.cancelled or now >= meter.deadline or meter.guest_time_left <= 0:
            raise self._too_late()
        self.host_error = None
        self.timed_out = None
        self._owner = _ident()
        self._deadline = meter.deadline
        self._started = now
        self._guest_until = now + meter.guest_time_left
        # one unit more than is left: nothing left then means that the guest overdrew
        self._fuel.value = meter.fuel_left + 1
        native.set_fuel(self.context, self._fuel)
        self._armed = self.interrupts.arm()
        ticker = self._ticker
        ticker.active.add(self.context_address)
        if ticker.asleep:
            ticker.poke()

    def leave(self) -> None:
        """Settle with the meter."""
        self._ticker.active.discard(self.context_address)
        if self._armed:
            self.interrupts.disarm()
        meter = self.meter
        meter.guest_time_left -= _now() - self._started
        native.get_fuel(self.context, self._fuel_ref)
        left = self._fuel.value
        self._overdrawn = not left
        meter.fuel_left = left - 1 if left else 0
        self._owner = 0

    def check_account(self) -> None:
        """After a clean return: was the fuel overdrawn, did Ctrl-C come at the last moment?"""
        if self._overdrawn:
            self.dead = True
            raise failures.out_of_fuel(self)
        pending = self.interrupts.pending
        if pending is not None:
            self.interrupts.pending = None
            raise pending

    def _too_late(self) -> Error:
        meter = self.meter
        if meter.cancelled:
            return Cancelled("the operation was cancelled")
        if _now() >= meter.deadline:
            return meter.timeout()
        return self.guest_timeout()

    # -- while it runs ----------------------------------------------------------------------

    def take_fuel(self, amount: int) -> bool:
        """Take fuel during a host call; False, with none left, where it does not suffice."""
        native.get_fuel(self.context, self._fuel_ref)
        left = self._fuel.value
        self._fuel.value = left - amount if left > amount else 0
        native.set_fuel(self.context, self._fuel)
        return left > amount

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

    # -- what failures ask: a kind of guest that can say more overrides them ------------------

    def refused(self) -> int:
        """Bytes that a kernel refused."""
        return 0

    def memory_sizes(self) -> list[int]:
        """Bytes of each guest memory that is known."""
        return []

    def guest_memory_size(self) -> int:
        """Their sum."""
        return sum(self.memory_sizes())

    def memory_share(self) -> int:
        """Bytes that one memory may have."""
        return self.limits.memory

    # -- the end ----------------------------------------------------------------------------

    def close(self) -> None:
        """Free the store. Idempotent."""
        if self.closed:
            return
        self.closed = True
        self.dead = True
        entered.pop(self.context_address, None)
        native.store_delete(self.store)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()


def _on_epoch(context: int, env: int, delta: Any, kind: Any) -> int:
    """Runs on the guest's thread at most once a tick; an error pointer unwinds the guest."""
    try:
        owner = entered.get(env)
        reason = None if owner is None else owner.stop_reason()
        if owner is not None and reason is None:
            delta[0] = 1
            kind[0] = 0  # WASMTIME_UPDATE_DEADLINE_CONTINUE
            return 0
        if owner is not None:
            owner.timed_out = reason
    except BaseException as raised:  # noqa: BLE001 - must not be dropped by ctypes
        found = entered.get(env)
        if found is not None:
            found.host_error = raised
    error: int = native.error_new(b"stopped")
    return error


_EPOCH_CALLBACK: Final = native.EPOCH_CALLBACK(_on_epoch)
_EPOCH_POINTER: Final = ctypes.cast(_EPOCH_CALLBACK, c_void_p)
