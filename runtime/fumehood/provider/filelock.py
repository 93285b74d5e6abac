"""An exclusive lock on an open file, between threads and processes."""

from __future__ import annotations

import contextlib
import os
import sys
import time
from collections.abc import Iterator
from typing import Final

RETRY: Final = 0.01
"""Seconds between two attempts, at most: the system's own waiting knows no time limit."""

if sys.platform == "win32":
    import msvcrt

    # Windows' locks are on byte ranges and mandatory, so the byte lies beyond any file's end.
    _WHERE: Final = (1 << 62) - 1

    def attempt(fd: int) -> bool:
        """Take the lock if it is to be had now."""
        os.lseek(fd, _WHERE, os.SEEK_SET)
        try:
            msvcrt.locking(fd, msvcrt.LK_NBLCK, 1)
        except OSError:
            return False
        return True

    def release(fd: int) -> None:
        """Give the lock back, if it is held."""
        os.lseek(fd, _WHERE, os.SEEK_SET)
        with contextlib.suppress(OSError):
            msvcrt.locking(fd, msvcrt.LK_UNLCK, 1)

else:
    import fcntl

    def attempt(fd: int) -> bool:
        """Take the lock if it is to be had now."""
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True

    def release(fd: int) -> None:
        """Give the lock back, if it is held."""
        fcntl.flock(fd, fcntl.LOCK_UN)


def acquire(fd: int, until: float) -> None:
    """Take the lock of an open file; `release` it. The descriptor should be the caller's alone: one
    that threads share, or that a forked child inherited, holds the lock for all of them.

    Raises TimeoutError where it is not to be had before `until` (`time.monotonic()`), OSError where
    the file system has no locks.
    """
    pause = RETRY / 64
    while not attempt(fd):
        if time.monotonic() >= until:
            raise TimeoutError("another process holds the lock")
        time.sleep(pause)
        pause = min(2 * pause, RETRY)


@contextlib.contextmanager
def locked(fd: int, patience: float) -> Iterator[None]:
    """Hold the lock of an open file; waits for it as `acquire` does, `patience` seconds."""
    try:
        acquire(fd, time.monotonic() + patience)
        yield
    finally:
        release(fd)
