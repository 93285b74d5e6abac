"""Ends operations that were dropped instead of closed, away from the thread that collected them.

A stream is collected wherever the garbage collector happens to run: on an event loop, or between
two lines of code that holds a lock. Freeing its instance may wait for the guest to stop, and its
audit line for the disk. So all that is done there is to name what there is to do; one thread does
it, which is started beforehand, in ordinary code.
"""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Callable
from queue import SimpleQueue
from typing import Final

from fumehood.errors import Error

log = logging.getLogger("fumehood.provider")


class Reaper:
    """Runs what is left to it, in order."""

    def __init__(self) -> None:
        self.forget()

    def forget(self) -> None:
        """Start anew: in the child of a fork, whose threads are gone. What the parent was to do
        stays the parent's."""
        self._left: SimpleQueue[Callable[[], None]] = SimpleQueue()  # its `put` is reentrant
        self._lock = threading.Lock()
        self._running = False

    def ready(self) -> None:
        """See to it that there is a thread; to be called before anything can be left to it."""
        if not self._running:
            with self._lock:
                if not self._running:
                    threading.Thread(
                        target=self._run, args=(self._left,), name="fumehood-reaper", daemon=True
                    ).start()
                    self._running = True

    def leave(self, end: Callable[[], None]) -> None:
        """Have `end` called soon. From anywhere, collectors and signal handlers too."""
        self._left.put(end)

    def wait(self, seconds: float) -> bool:
        """Until all that was left so far is done; False where that takes longer. For tests."""
        done = threading.Event()
        self.ready()
        self.leave(done.set)
        return done.wait(seconds)

    @staticmethod
    def _run(left: SimpleQueue[Callable[[], None]]) -> None:
        while True:
            end = left.get()
            try:
                end()
            except Error as error:  # nobody waits for it
                log.warning("ending an operation that was dropped: %s", error)
            del end


reaper: Final = Reaper()
"""The process's own."""

if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=reaper.forget)
