"""The account of one operation: what is left of its limits, and what its receipt will say.

A meter is made when an operation starts and is shared by everything that works for it: the
sandbox (fuel, guest time), the imports (log lines, host calls) and egress (requests, deadline).
It belongs to one thread at a time; only `cancel` may be called from any thread.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, TypeVar

from fumehood.errors import Cancelled, Error, Timeout, TooMuch
from fumehood.limits import Exchange, Limits, Receipt

_E = TypeVar("_E", bound=Error)

UNLIMITED_FUEL: Final = 1 << 62
"""What a store gets where `Limits.fuel` is None: fuel is then still counted, never reached."""
MAX_DENIALS: Final = 32
"""Refusals of one operation that are kept; the others are counted."""


@dataclass(frozen=True, slots=True)
class Denial:
    """A request that was refused, for the audit: a guest may hide a refusal from its caller."""

    reason: str
    host: str | None


class Meter:
    """Counts one operation against its `Limits`.

    `deadline` is an absolute `time.monotonic()` value; `fuel_left` and `guest_time_left` go down
    as sandbox calls end.
    """

    __slots__ = (
        "_cancel_hooks",
        "cancelled",
        "deadline",
        "denials",
        "denials_more",
        "exchanges",
        "fresh",
        "fuel_left",
        "guest_time_left",
        "host_calls",
        "http_requests",
        "limits",
        "log_bytes",
        "log_dropped",
        "log_lines",
        "memory_peak",
        "operation",
        "plugin",
        "sha256",
        "started",
    )

    def __init__(
        self, limits: Limits, *, plugin: str = "plugin", sha256: str = "", operation: str = "call"
    ) -> None:
        self.limits = limits
        self.plugin = plugin
        self.sha256 = sha256
        self.operation = operation
        self.started = time.monotonic()
        self.deadline = self.started + limits.deadline
        self.fuel_left = UNLIMITED_FUEL if limits.fuel is None else limits.fuel
        self.guest_time_left = limits.guest_time
        self.host_calls = 0
        self.http_requests = 0
        self.log_bytes = 0
        self.log_lines = 0
        self.log_dropped = 0
        self.memory_peak = 0
        self.fresh = False
        self.exchanges: list[Exchange] = []
        self.denials: tuple[Denial, ...] = ()
        self.denials_more = 0
        self.cancelled = False
        self._cancel_hooks: list[Callable[[], None]] | None = None

    # -- time and cancellation ------------------------------------------------------------

    def remaining(self) -> float:
        """Seconds until the deadline; raises `Timeout` or `Cancelled` where none are left."""
        if self.cancelled:
            raise Cancelled("the operation was cancelled")
        left = self.deadline - time.monotonic()
        if left <= 0:
            raise self.timeout()
        return left

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
            raise TooMuch(
                f"more than {self.limits.host_calls} host calls in one operation",
                limit="host_calls",
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
