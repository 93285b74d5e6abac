"""The account of one operation: what is left of its limits, and what its receipt will say.

A meter is made when an operation starts and is shared by everything that works for it: the
sandbox (fuel, guest time), the imports (log lines, host calls) and egress (requests, deadline).
It belongs to one thread at a time; only `cancel` may be called from any thread.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Protocol, TypeVar

from fumehood.errors import Cancelled, Error, Timeout, TooMuch
from fumehood.limits import Exchange, Limits, Receipt

_E = TypeVar("_E", bound=Error)

_now: Final = time.monotonic
UNLIMITED_FUEL: Final = 1 << 62
"""What a store gets where `Limits.fuel` is None: fuel is then still counted, never reached."""
LONGEST: Final = 4e6
"""Seconds of one wait, some six weeks: what every system's calls can express."""
MAX_DENIALS: Final = 32
"""Refusals of one operation that are kept; the others are counted."""


@dataclass(frozen=True, slots=True)
class Denial:
    """A request that was refused, for the audit: a guest may hide a refusal from its caller."""

    reason: str
    host: str | None


class Measured(Protocol):
    """What a receipt asks about memory."""

    def note_peak(self, meter: Meter) -> None:
        """Raise `meter.memory_peak` to what is in use, if `meter` is of the last call."""
        ...


class Meter:
    """Counts one operation against its `Limits`.

    `deadline` is an absolute `time.monotonic()` value; `fuel_left` and `guest_time_left` go down
    as sandbox calls end.
    """

    # Counters start as class attributes: a meter is made for every call of a plugin, and most calls
    # touch none of them (0.40 → 0.2 µs).
    host_calls = 0
    http_requests = 0
    log_bytes = 0
    log_lines = 0
    log_dropped = 0
    memory_peak = 0
    fresh = False
    cancelled: bool
    denials: tuple[Denial, ...] = ()
    denials_more = 0
    source: Measured | None = None
    """The sandbox of the last call: knows the memory it uses."""
    _exchanges: list[Exchange] | None = None
    _cancel_hooks: list[Callable[[], None]] | None = None

    def __init__(
        self, limits: Limits, plugin: str = "plugin", sha256: str = "", operation: str = "call"
    ) -> None:
        self.limits = limits
        self.plugin = plugin
        self.sha256 = sha256
        self.operation = operation
        self.started = started = _now()
        self.deadline = started + limits.deadline
        fuel = limits.fuel
        self.fuel_left = UNLIMITED_FUEL if fuel is None else fuel
        self.guest_time_left = limits.guest_time
        self.cancelled = False  # read twice a call: that costs more than setting it

    @property
    def exchanges(self) -> list[Exchange]:
        """The HTTP exchanges of the operation, in order."""
        if self._exchanges is None:
            self._exchanges = []
        return self._exchanges

    # -- time and cancellation ------------------------------------------------------------

    def remaining(self) -> float:
        """Seconds until the deadline, at most `LONGEST`; raises `Timeout` or `Cancelled` where none
        are left."""
        if self.cancelled:
            raise Cancelled("the operation was cancelled")
        left = self.deadline - time.monotonic()
        if left <= 0:
            raise self.timeout()
        return min(left, LONGEST)

    def timeout(self) -> Timeout:
        """The error for a deadline that passed."""
        return Timeout(
            f"the deadline of {self.limits.deadline:g} s passed",
            limit="deadline",
            hint="raise limits.deadline if the work is legitimate",
        )

    def cancel(self) -> None:
        """Stop the operation as soon as possible. Any thread; idempotent."""
        self.cancelled = True
        for hook in list(self._cancel_hooks or ()):
            hook()

    def on_cancel(self, hook: Callable[[], None]) -> Callable[[], None]:
        """Have `hook` called by `cancel`; returns what removes it again."""
        if self._cancel_hooks is None:
            self._cancel_hooks = []
        hooks = self._cancel_hooks
        hooks.append(hook)
        if self.cancelled:
            hook()
        return lambda: hooks.remove(hook) if hook in hooks else None

    # -- counts ---------------------------------------------------------------------------

    def host_call(self) -> None:
        """Count one call of a host function; raises `TooMuch` beyond `host_calls`."""
        self.host_calls += 1
        if self.host_calls > self.limits.host_calls:
            raise self.too_many_host_calls()

    def too_many_host_calls(self) -> TooMuch:
        """The error for them."""
        return TooMuch(
            f"more than {self.limits.host_calls} host calls in one operation", limit="host_calls"
        )

    def http_request(self) -> None:
        """Count one HTTP request before it is sent; raises `TooMuch` beyond `http_requests`."""
        self.http_requests += 1
        if self.http_requests > self.limits.http_requests:
            raise TooMuch(
                f"more than {self.limits.http_requests} HTTP requests in one operation",
                limit="http_requests",
            )

    def denied(self, reason: str, host: str | None) -> None:
        """Keep a refusal for the audit."""
        if len(self.denials) < MAX_DENIALS:
            self.denials += (Denial(reason, host),)
        else:
            self.denials_more += 1

    def log_budget(self, size: int) -> int:
        """How many of `size` bytes of a log line may be written; a line of no budget counts as
        dropped and gives -1, surplus bytes are counted in `log_dropped` too."""
        if self.log_lines >= self.limits.log_lines or self.log_bytes >= self.limits.log_bytes:
            self.log_dropped += 1
            return -1
        self.log_lines += 1
        room = self.limits.log_bytes - self.log_bytes
        self.log_bytes += min(size, room)
        if size > room:
            self.log_dropped += 1
        return min(size, room)

    # -- the end --------------------------------------------------------------------------

    def receipt(self) -> Receipt:
        """What the operation used so far."""
        if self.source is not None:
            self.source.note_peak(self)
        budget = UNLIMITED_FUEL if self.limits.fuel is None else self.limits.fuel
        return Receipt(
            plugin=self.plugin,
            sha256=self.sha256,
            operation=self.operation,
            fuel=budget - self.fuel_left,
            wall=time.monotonic() - self.started,
            guest_time=self.limits.guest_time - self.guest_time_left,
            memory_peak=self.memory_peak,
            host_calls=self.host_calls,
            log_dropped=self.log_dropped,
            fresh=self.fresh,
            http=list(self.exchanges),
        )

    def sign(self, error: _E) -> _E:
        """`error` with this operation's plugin and receipt, where it has none yet."""
        if error.plugin is None:
            error.plugin = self.plugin
        if error.receipt is None:
            error.receipt = self.receipt()
        return error
