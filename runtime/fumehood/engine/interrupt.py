"""Ctrl-C while a guest runs.

Python delivers SIGINT by raising at the next bytecode of the main thread. While a guest runs, that
is the first bytecode of one of our ctypes callbacks, before any `try` there: ctypes would print
the exception, drop it and let the guest go on. So a call on the main thread swaps in a handler that
only notes the signal (0.35 µs a call), and puts the old one back after.
"""

from __future__ import annotations

import _signal  # type: ignore[import-not-found]  # the C module below `signal`, without stubs
import os
import threading
from collections.abc import Callable
from typing import Any, Final

SIGINT: Final = 2
usual: Final = _signal.default_int_handler
main: int | None = threading.main_thread().ident


def _after_fork() -> None:
    global main  # noqa: PLW0603 - the forking thread is the child's main thread
    main = threading.get_ident()


os.register_at_fork(after_in_child=_after_fork)

Handler = Callable[[int, Any], Any]
swap: Final[Callable[[int, Handler], Any]] = _signal.signal
current: Final = _signal.getsignal


class Interrupts:
    """The SIGINT of one sandbox: `pending` is what the previous handler raised."""

    __slots__ = ("in_host", "old", "pending")

    def __init__(self) -> None:
        self.pending: BaseException | None = None
        self.in_host = False
        """True while a host function's Python code runs: there the old handler may raise."""
        self.old: Handler | None = None

    def arm(self, thread: int) -> None:
        """Take SIGINT over where `thread`, the caller's, is the main one.

        `signal.signal` itself costs 5.4 µs for its enum; the C function below it 0.17.
        """
        if thread != main:
            return
        old = current(SIGINT)
        if not callable(old):  # ignored, default, or not Python's: then nothing is raised here
            return
        self.old = old
        swap(SIGINT, self)

    @property
    def armed(self) -> bool:
        """Whether `disarm` must be called."""
        return self.old is not None

    def disarm(self) -> None:
        """Give SIGINT back; what came meanwhile is in `pending`."""
        swap(SIGINT, self.old)  # type: ignore[arg-type]  # set by `arm`
        self.old = None

    def take(self) -> BaseException | None:
        """What is pending, which is then no longer so."""
        pending, self.pending = self.pending, None
        return pending

    def __call__(self, signum: int, frame: Any) -> None:
        """The handler itself: a bound method kept here would be a cycle for the collector."""
        old = self.old
        if old is None:
            return
        if self.in_host:
            old(signum, frame)
            return
        try:
            old(signum, frame)
        except BaseException as raised:  # noqa: BLE001 - kept, and raised when the guest has stopped
            self.pending = raised
