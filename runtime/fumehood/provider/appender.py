"""The file of chained lines (`chain`) as its writers share it: threads, processes, forked children.

The file is kept open: to open it anew costs as much as to write a line. Its lock is of the open
file, so the threads of a process share it and take a lock of their own before; a forked child opens
the file again. Where the name leads to another file by now, as after a rotation, lines go on there.
"""

from __future__ import annotations

import contextlib
import os
import stat
import time
from pathlib import Path
from typing import Final, Protocol

from fumehood import forks
from fumehood.abi import jsonwire
from fumehood.provider import chain
from fumehood.provider.filelock import acquire, attempt, locked, release

PATIENCE: Final = 30.0
"""Seconds to wait for other processes that write the file."""
_FIRST: Final = b'{"seq":1,'
"""How the first line of all begins."""
_BLOCK: Final = 16 * 1024
_FLAGS: Final = os.O_RDWR | os.O_APPEND | os.O_CREAT | getattr(os, "O_BINARY", 0)


class Link(Protocol):
    """A line that becomes part of the chain, made to be encoded as JSON."""

    seq: int
    """Its first field."""
    prev: str
    """Its last."""


class Appender:
    """Writes lines to the end of one file. Safe between threads and processes, and across `fork`:
    each line is written under the locks, after the line that is then last."""

    def __init__(self, path: Path, sync: float | None) -> None:
        """`sync`: 0 forces every line to the disk; else the seconds that lines may wait for the
        next one; None leaves it to the system.

        Raises OSError where the file cannot be written, ValueError where it holds something else.
        """
        self._path = os.fspath(path)
        self._sync = sync
        self._synced = time.monotonic()
        self._waiting = False
        self._closed = False
        self._ending = False
        """Closed while a line is written."""
        self._fd: int | None = None
        # The last line as we wrote it: known without reading it again as long as the file ends
        # there, since writers only append. What somebody else changed without changing the size is
        # not read, and the next line does not fit it.
        self._end = -1
        self._seq, self._hash = 0, chain.START
        self._inside = -1
        """`forks.count` while a thread of this process writes."""
        self._threads = forks.rlock()
        try:
            fd = self._open()
            with locked(fd, PATIENCE):
                _last(fd)
                if sync is not None:
                    os.fsync(fd)
                    _sync_folder(path.parent)
        except BaseException:
            self._forget()
            raise

    def __del__(self) -> None:
        """A file that nobody closed."""
        if getattr(self, "_fd", None) is not None:
            self._forget()

    def append(self, line: Link) -> bool:
        """Write a line: sets its `seq` and `prev`, and seals it (`chain.seal`). False, and nothing
        is written, where this very thread is writing one: then garbage is collected in the midst of
        it, and what is collected cannot have its line yet.

        Raises OSError where it cannot be written, nothing of it being left; ValueError where the
        file ends with something else than a line, or was closed.
        """
        with self._threads:
            if self._inside == forks.count:
                return False
            if self._closed:
                raise ValueError("the file was closed")
            self._inside = forks.count
            try:
                fd = self._fd
                if fd is None or self._forks != forks.count:  # or a child of who opened it
                    fd = self._open()
                if not attempt(fd):  # it nearly always does, and costs a step less
                    acquire(fd, time.monotonic() + PATIENCE)
                try:
                    found = os.stat(self._path)  # noqa: PTH116 - a Path makes it slower by half
                except OSError:
                    found = None
                if (
                    found is None
                    or found.st_ino != self._inode
                    or found.st_dev != self._device  # the name leads elsewhere by now
                ):
                    fd = self._open()
                    acquire(fd, time.monotonic() + PATIENCE)
                    found = os.fstat(fd)
                self._write(fd, found.st_size, line)
                release(fd)
            except BaseException:
                self._forget()  # gives the lock back too, where Ctrl-C left it held
                raise
            finally:
                self._inside = -1
                if self._ending:
                    self._forget()
        return True

    def close(self) -> None:
        """End it; force to the disk what waits for that. Idempotent."""
        with self._threads:
            self._closed = True
            self._ending = self._inside == forks.count
            if not self._ending:
                self._forget()

    def _open(self) -> int:
        """Open the file in the place of the one before. Raises OSError, ValueError where it is no
        file."""
        self._forget()
        fd = os.open(self._path, _FLAGS, 0o600)
        found = os.fstat(fd)
        self._fd, self._forks = fd, forks.count
        self._device, self._inode = found.st_dev, found.st_ino
        if not stat.S_ISREG(found.st_mode):
            raise ValueError(f"{self._path} is not a file")
        return fd

    def _forget(self) -> None:
        """Close the file, force to the disk what waits for that, and give the lock back: after a
        fork both are the parent's. A descriptor that somebody closed for us, as programs do that
        detach themselves, may be another file's by now: that stays open."""
        fd, self._fd, self._end = self._fd, None, -1
        waiting, self._waiting = self._waiting, False
        if fd is None:
            return
        with contextlib.suppress(OSError):
            found = os.fstat(fd)
            if (found.st_dev, found.st_ino) != (self._device, self._inode):
                return
            try:
                if self._forks == forks.count:
                    release(fd)
                    if waiting:
                        os.fsync(fd)
            finally:
                os.close(fd)

    def _write(self, fd: int, size: int, line: Link) -> None:
        """Append to the file, which is locked and of `size` bytes."""
        if size == self._end:  # nobody wrote since
            seq, line.prev, torn = self._seq, self._hash, False
        else:
            seq, line.prev, torn = _last(fd)
        self._end = -1
        line.seq = seq + 1
        text, sealed = chain.seal(jsonwire.encode(line))
        if torn:
            text = b"\n" + text
        done = 0
        try:
            while done < len(text):
                done += os.write(fd, text[done:] if done else text)
        except OSError:
            with contextlib.suppress(OSError):
                os.ftruncate(fd, size)  # half a line would break the chain
            raise
        self._end, self._seq, self._hash = size + done, seq + 1, sealed
        sync = self._sync
        if sync is None:
            return
        now = time.monotonic()
        self._waiting = now - self._synced < sync
        if not self._waiting:
            os.fsync(fd)
            self._synced = now


def _last(fd: int) -> tuple[int, str, bool]:
    """Number and hash of the file's last line, and whether a torn one comes after it.

    Raises ValueError where the file is no file of such lines.
    """
    size = os.lseek(fd, 0, os.SEEK_END)
    if size == 0:
        return 0, chain.START, False
    text = b""
    start = size
    while start > 0 and size - start < chain.MAX_LINE:
        step = min(start, _BLOCK)
        start -= step
        os.lseek(fd, start, os.SEEK_SET)
        text = _read(fd, step) + text
        end = text.rfind(b"\n")
        first = text.rfind(b"\n", 0, end) if end > 0 else -1
        if end < 0 or (first < 0 and start > 0):
            continue
        link = chain.parse(text[first + 1 : end])
        if link is None:
            break
        return link.seq, link.hash, end + 1 < len(text)
    if start == 0 and b"\n" not in text and _FIRST.startswith(text[: len(_FIRST)]):
        return 0, chain.START, True  # the first line of all is torn
    raise ValueError("its last line is not an audit line")


def _read(fd: int, count: int) -> bytes:
    parts: list[bytes] = []
    while count > 0 and (part := os.read(fd, count)):
        parts.append(part)
        count -= len(part)
    return b"".join(parts)


def _sync_folder(folder: Path) -> None:
    """Make a new file's name durable, where the system can."""
    if os.name != "posix":
        return
    fd = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
