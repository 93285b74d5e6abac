"""One thread that advances the engine's epoch while a guest runs.

Incrementing the epoch is engine-wide, so only this thread does it: each store has its own
deadline, counted in ticks (extism-abi.md §7.2). It sleeps while no call is under way.
"""

from __future__ import annotations

import os
import threading
import time
import weakref
from typing import Any, Final

from fumehood.engine import native
from fumehood.errors import HostError

TICK: Final = 0.01
"""Seconds. A deadline is noticed at most one tick late."""
_LINGER: Final = 50
"""Idle ticks before the thread goes to sleep, so that calls in a row never wake it."""


entered: dict[int, weakref.ref[Any]] = {}
"""Store context address to its `account.Entered`: how static callbacks find theirs. Neither this
nor a closure per store keeps one alive that nobody uses any more. Owners put themselves in, and
take themselves out before their store is deleted: a plain dictionary, since every host call looks
here (a WeakValueDictionary takes 0.15 µs longer)."""


def owners() -> list[Any]:
    """Those who live."""
    # copied in one step of the interpreter: other threads make and drop stores
    found = [reference() for reference in list(entered.values())]
    return [owner for owner in found if owner is not None]


def owner_of(context: int) -> Any:
    """Whose store this is, None where he is gone."""
    reference = entered.get(context)
    return None if reference is None else reference()


def busy() -> bool:
    """Whether any thread is inside a guest."""
    return any(owner.inside for owner in owners())


class Ticker:
    """Ticks while anybody is inside a guest. Who enters one sets its `inside`, then `used`, and
    calls `poke` where `asleep` is true."""

    def __init__(self, engine: int) -> None:
        self._engine = engine
        self.used = False
        """A guest was entered since the last tick."""
        self.asleep = True
        self._wake = threading.Event()
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        os.register_at_fork(after_in_child=self._after_fork)

    def poke(self) -> None:
        """See to it that the thread runs. To be called by who is inside and finds `asleep`
        true; each of the two is changed before the other is read, on both sides, so a call never
        runs without ticks."""
        with self._lock:
            if self._thread is None:
                thread = threading.Thread(target=self._run, name="fumehood-ticker", daemon=True)
                try:
                    thread.start()
                except RuntimeError as problem:
                    raise HostError(
                        f"there is no thread for the clock that ends guests: {problem}",
                        hint="the process has as many threads as it may have",
                    ) from problem
                self._thread = thread
            self.asleep = False
            self._wake.set()

    def _run(self) -> None:
        idle = 0
        while True:
            time.sleep(TICK)
            native.increment_epoch(self._engine)
            if self.used:
                self.used = False
                idle = 0
                continue
            idle += 1
            if idle < _LINGER:
                continue
            idle = 0
            self._wake.clear()
            self.asleep = True
            if not busy():
                self._wake.wait()
            self.asleep = False

    def _after_fork(self) -> None:
        """Only the forking thread lives on in the child: the ticker must be started anew there,
        at once if that thread is inside a call (a host function that forked)."""
        self._wake = threading.Event()
        self._lock = threading.Lock()
        self._thread = None
        self.asleep = True
        if busy():
            self.poke()
