"""An exclusive lock on an open file, between threads and processes."""

from __future__ import annotations

import os
import sys
import time
from types import TracebackType
from typing import Final

RETRY: Final = 0.01
"""Seconds between two attempts, at most: the system's own waiting knows no time limit."""

if sys.platform == "win32":
    import msvcrt

    # Windows' locks are on byte ranges and mandatory, so the byte lies beyond any file's end.
    _WHERE: Final = (1 << 62) - 1

    def _acquire(fd: int) -> bool:
        os.lseek(fd, _WHERE, os.SEEK_SET)
        try:
            msvcrt.locking(fd, msvcrt.LK_NBLCK, 1)
        except OSError:
            return False
        return True

    def _release(fd: int) -> None:
        os.lseek(fd, _WHERE, os.SEEK_SET)
        msvcrt.locking(fd, msvcrt.LK_UNLCK, 1)

else:
    import fcntl

    def _acquire(fd: int) -> bool:
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True

    def _release(fd: int) -> None:
        fcntl.flock(fd, fcntl.LOCK_UN)


class locked:  # noqa: N801 - used like a function; each audited call takes it
    """Hold the lock of an open file. The descriptor should be this block's own: one that threads
    share, or that a forked child inherited, holds the lock for all of them.

    Raises TimeoutError where it is not to be had for `patience` seconds, OSError where the file
    system has no locks.
    """

    __slots__ = ("_fd", "_patience")

    def __init__(self, fd: int, patience: float) -> None:
        self._fd = fd
        self._patience = patience

    def __enter__(self) -> None:
        if _acquire(self._fd):
            return
        until = time.monotonic() + self._patience
        pause = RETRY / 64
        while not _acquire(self._fd):
            if time.monotonic() >= until:
                raise TimeoutError("another process holds the lock")
            time.sleep(pause)
            pause = min(2 * pause, RETRY)

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        _release(self._fd)
