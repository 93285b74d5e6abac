"""An exclusive lock on an open file, between threads and processes."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
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


@contextmanager
def locked(fd: int, patience: float) -> Iterator[None]:
    """Hold the lock of an open file. The descriptor should be this block's own: one that threads
    share, or that a forked child inherited, holds the lock for all of them.

    Raises TimeoutError where it is not to be had for `patience` seconds, OSError where the file
    system has no locks.
    """
    until = time.monotonic() + patience
    pause = RETRY / 64
    while not _acquire(fd):
        if time.monotonic() >= until:
            raise TimeoutError("another process holds the lock")
        time.sleep(pause)
        pause = min(2 * pause, RETRY)
    try:
        yield
    finally:
        _release(fd)
