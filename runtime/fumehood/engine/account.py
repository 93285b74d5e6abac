"""What one entry into a guest may use: fuel, time, and who may stop it.

`Entered` is the part of a sandbox that is the same for every kind of guest: it holds the store,
gives it fuel and a place in the ticker's rounds before the guest runs, and settles with the
operation's `Meter` afterwards.
"""

from __future__ import annotations

import ctypes
import logging
import sys
import threading
import time
import weakref
from ctypes import byref, c_uint64, c_void_p
from typing import TYPE_CHECKING, Any, Final, Self

from fumehood.engine import failure as failures
from fumehood.engine import native
from fumehood.engine.interrupt import Interrupts
from fumehood.engine.ticker import entered, owner_of
from fumehood.errors import Cancelled, Error, ReentryError, Timeout

if TYPE_CHECKING:
    from fumehood.engine.ticker import Ticker
    from fumehood.limits import Limits
    from fumehood.meter import Meter

_log = logging.getLogger("fumehood.engine")
_now: Final = time.monotonic
_ident: Final = threading.get_ident
_set_fuel: Final = native.set_fuel
_get_fuel: Final = native.get_fuel
_MOST_OWED: Final = 1_000_000


class Entered:
    """A store and the account of the call that runs in it. One call at a time (`lock`).

    Written for the path of every call: a small call of a guest costs about 3 µs in all, and each
    attribute read here counts (`make bench`, small call).
    """

    __slots__ = (
        "__weakref__",
        "_credit",
        "_fuel",
        "_fuel_ref",
        "_ticker",
        "close_wanted",
        "closed",
        "context",
        "context_address",
        "dead",
        "deadline",
        "exit_status",
        "guest_until",
        "host_error",
        "inside",
        "interrupts",
        "limits",
        "lock",
        "meter",
        "notes",
        "overdrawn",
        "owed",
        "pinned",
        "services",
        "store",
        "timed_out",
    )

    def __init__(
        self, engine: int, ticker: Ticker, services: object, limits: Limits, meter: Meter
    ) -> None:
        self.limits = limits
        self.services = services
        self.meter = meter
        self.dead = False
        self.closed = False
        self.close_wanted = False
        self.pinned = False
        """Something outside holds a view into the store: it may never be deleted."""
        self.exit_status: int | None = None
        self.host_error: BaseException | None = None
        self.timed_out: str | None = None
        self.notes = ""
        """What the guest wrote to its standard error; a note on traps, nothing more."""
        self.interrupts = Interrupts()
        self.lock = threading.Lock()
        self.overdrawn = False
        self.deadline = self.guest_until = 0.0
        self._ticker = ticker
        self.inside = 0
        """The thread that is inside the guest, 0 for none."""
        self._credit = min(meter.fuel_left >> 12, _MOST_OWED)
        self._fuel = c_uint64()
        self._fuel_ref = byref(self._fuel)
        self.store = native.store_new(engine, None, None)
        self.context_address: int = native.store_context(self.store)
        self.context: Any = byref(ctypes.c_char.from_address(self.context_address))
        native.epoch_callback(self.store, _EPOCH_POINTER, self.context_address, None)
        native.set_epoch_deadline(self.context_address, 1)
        self.owed = 0
        """Fuel of host calls that the store does not know of yet."""
        entered[self.context_address] = weakref.ref(self)

    # -- before and after -------------------------------------------------------------------

    def acquire(self, meter: Meter) -> None:
        """Take `lock`, after other threads' calls. Raises ReentryError inside a call of our own."""
        if not self.lock.acquire(False):
            self.wait(meter)

    def wait(self, meter: Meter) -> None:
        """Take `lock`, which somebody holds; see `acquire`. Raises Timeout at the deadline."""
        if self.inside == _ident():
            raise meter.sign(
                ReentryError(
                    "a sandbox cannot be called from inside its own host function",
                    hint="call it after the host function has returned",
                )
            )
        left = min(max(0.0, meter.deadline - _now()), threading.TIMEOUT_MAX)
        if not self.lock.acquire(timeout=left):
            raise meter.sign(meter.timeout())

    def enter(self) -> None:
        """Start the clock, the fuel and the ticker, and take SIGINT over, for one entry into the
        guest. Raises Cancelled and Timeout where nothing is left."""
        meter = self.meter
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
        # One unit more than is left: wasmtime checks at loops and entries only, so a guest may
        # overdraw by less than a block, and nothing left then means that it did.
        fuel = self._fuel
        fuel.value = meter.fuel_left + 1
        _set_fuel(self.context, fuel)
        self.interrupts.arm(thread)

    def wake_ticker(self) -> None:
        """Have the clock tick. Raises HostError where the process gets no thread for it."""
        try:
            self._ticker.poke()
        except BaseException:
            self.inside = 0  # nobody goes in without a clock
            raise

    def leave(self) -> float:
        """Book what the entry cost, whatever came of it. The time it ended."""
        now = _now()
        meter = self.meter
        meter.guest_time_left = self.guest_until - now
        _get_fuel(self.context, self._fuel_ref)
        left = self._fuel.value
        if self.owed:
            left -= self.owed
            self.owed = 0
        if left > 0:
            meter.fuel_left = left - 1
        else:
            meter.fuel_left = 0
            self.overdrawn = True
        self.inside = 0
        if self.interrupts.armed:  # at the end: until then no Ctrl-C can leave half of this undone
            self.interrupts.disarm()
        return now

    def check_account(self) -> None:
        """After a clean return: was the fuel overdrawn, did Ctrl-C come at the last moment?"""
        if self.overdrawn:
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
        """Take fuel during a host call; False, with none left, where it does not suffice.

        Small amounts are only noted, up to a 4096th of the budget: to ask the store each time
        costs a host call 0.3 µs.
        """
        owed = self.owed + amount
        if owed <= self._credit:
            self.owed = owed
            return True
        self.owed = 0
        _get_fuel(self.context, self._fuel_ref)
        left = self._fuel.value - owed
        self._fuel.value = max(left, 0)
        _set_fuel(self.context, self._fuel)
        return left > 0

    def not_guest_time(self, seconds: float) -> None:
        """Keep the time of a slow host function out of the guest's own; the deadline still
        counts."""
        self.guest_until += seconds

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
        if now >= self.deadline:
            return "deadline"
        if now >= self.guest_until:
            return "guest_time"
        return None

    # -- memory, when a receipt is wanted ---------------------------------------------------

    def note_peak(self, meter: Meter) -> None:
        """Book the memory in use into `meter`, if it is the one of the last call.

        Memory never shrinks, so asking when a receipt is wanted is as good as asking at the end of
        every call, and costs only those who ask (0.25 µs). Nothing is asked while another thread's
        call runs.
        """
        if self.lock.acquire(False):
            try:
                self.book_peak(meter)
            finally:
                self.lock.release()

    def book_peak(self, meter: Meter) -> None:
        """The same for whoever holds `lock`."""
        if not self.closed and meter is self.meter:
            meter.memory_peak = max(meter.memory_peak, self.memory_now())

    def memory_now(self) -> int:
        """Bytes in use, as far as they are known."""
        return self.guest_memory_size()

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

    def pin(self) -> None:
        """The store may never be deleted, neither by `close` nor because nobody uses it."""
        self.pinned = True

    def release(self) -> None:
        """Give up what looks into the store, before it is deleted."""

    def close(self) -> None:
        """Free the store. Idempotent; waits for a call of another thread, and from inside an own
        host function takes effect when the call ends."""
        self.dead = True
        if self.inside == _ident():
            self.close_wanted = True
            return
        with self.lock:
            if self.closed:
                return
            self.book_peak(self.meter)
            self.meter.source = None
            self.closed = True
            self.release()
            entered.pop(self.context_address, None)
            if self.pinned:
                _log.warning("a view of a plugin's memory outlived its call: the store stays")
            else:
                native.store_delete(self.store)

    def __del__(self) -> None:
        """For owners that are forgotten instead of closed. A weak reference's callback will not do:
        the collector runs those first, and a `__del__` of somebody's that then closes or calls
        would reach a store that is gone. Not at the end of the process: wasmtime-py may be gone by
        then, and the system frees everything anyway."""
        if getattr(self, "store", 0) and not self.closed and not sys.is_finalizing():
            self.dead = self.closed = True
            entered.pop(getattr(self, "context_address", 0), None)
            if not self.pinned:
                native.store_delete(self.store)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()


def _on_epoch(context: int, env: int, delta: Any, kind: Any) -> int:
    """Runs on the guest's thread at most once a tick; an error pointer unwinds the guest.

    A store in which nobody has entered yet is being made: wasmtime's own initialisation runs, no
    guest code.
    """
    try:
        owner = owner_of(env)
        reason = None if owner is None or not owner.deadline else owner.stop_reason()
        if reason is None:
            delta[0] = 1
            kind[0] = 0  # WASMTIME_UPDATE_DEADLINE_CONTINUE
            return 0
        if owner is not None:
            owner.timed_out = reason
    except BaseException as raised:  # noqa: BLE001 - must not be dropped by ctypes
        found = owner_of(env)
        if found is not None:
            found.host_error = raised
    error: int = native.error_new(b"stopped")
    return error


_EPOCH_CALLBACK: Final = native.EPOCH_CALLBACK(_on_epoch)
_EPOCH_POINTER: Final = ctypes.cast(_EPOCH_CALLBACK, c_void_p)
