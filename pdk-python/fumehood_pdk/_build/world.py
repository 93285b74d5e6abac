"""The world that an interpreter sees while a plugin is built: a folder `/app` of files in memory, a clock that stands
still, randomness that is none. Whatever differs from machine to machine would be kept in the plugin for ever.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping
from typing import Any, Final

BAD_FILE, NOT_THERE, INVALID, NOT_HERE = 8, 44, 28, 52
"""WASI's errno: badf, noent, inval, nosys."""
REALTIME: Final = 1_700_000_000 * 10**9
"""What `time.time()` says during a build, in nanoseconds. The other clocks say 0."""
RANDOM: Final = 0x2A
_ROOT: Final = 3
_DIRECTORY, _REGULAR, _TERMINAL = 3, 4, 2


class Exited(Exception):
    """The guest ended its process with a status."""

    def __init__(self, status: int) -> None:
        super().__init__(f"exit status {status}")
        self.status = status


class World:
    """WASI preview 1 over `files`, a mapping of names below `/app` to bytes. `memory` is set before the first call."""

    def __init__(self, files: Mapping[str, bytes]) -> None:
        self.read: Callable[[int, int], bytes] = lambda _at, _length: b""
        self.write: Callable[[int, bytes], None] = lambda _at, _data: None
        self.output = {1: bytearray(), 2: bytearray()}
        self._files = dict(files)
        self._open: dict[int, tuple[str, int]] = {}

    def function(self, name: str) -> Callable[..., Any]:
        """The WASI function `name`; those that no build needs answer that they are not there."""
        found: Callable[..., Any] | None = getattr(self, f"_{name}", None)
        return found or (lambda *_arguments: NOT_HERE)

    # -- process ------------------------------------------------------------------------------

    def _environ_sizes_get(self, count: int, size: int) -> int:
        return self._put(count, 0) or self._put(size, 0)

    def _environ_get(self, _pointers: int, _buffer: int) -> int:
        return 0

    def _clock_res_get(self, _clock: int, to: int) -> int:
        return self._put64(to, 1)

    def _clock_time_get(self, clock: int, _precision: int, to: int) -> int:
        return self._put64(to, REALTIME if clock == 0 else 0)

    def _random_get(self, to: int, length: int) -> int:
        self.write(to, bytes([RANDOM]) * length)
        return 0

    def _sched_yield(self) -> int:
        return 0

    def _proc_exit(self, status: int) -> None:
        raise Exited(status)

    # -- files --------------------------------------------------------------------------------

    def _fd_prestat_get(self, fd: int, to: int) -> int:
        return self._put(to, 0) or self._put(to + 4, 4) if fd == _ROOT else BAD_FILE

    def _fd_prestat_dir_name(self, fd: int, to: int, length: int) -> int:
        if fd != _ROOT:
            return BAD_FILE
        self.write(to, b"/app"[:length])
        return 0

    def _fd_fdstat_get(self, fd: int, to: int) -> int:
        kind = self._kind(fd)
        if kind is None:
            return BAD_FILE
        self.write(to, struct.pack("<BxHxxxxQQ", kind, 0, 2**29 - 1, 2**29 - 1))
        return 0

    def _fd_fdstat_set_flags(self, _fd: int, _flags: int) -> int:
        return 0

    def _fd_filestat_get(self, fd: int, to: int) -> int:
        kind = self._kind(fd)
        if kind is None:
            return BAD_FILE
        size = len(self._files[self._open[fd][0]]) if fd in self._open else 0
        return self._stat(to, kind, size)

    def _path_filestat_get(self, fd: int, _flags: int, path: int, length: int, to: int) -> int:
        if fd != _ROOT:
            return BAD_FILE
        name = self._path(path, length)
        if name == ".":
            return self._stat(to, _DIRECTORY, 0)
        if name not in self._files:
            return NOT_THERE
        return self._stat(to, _REGULAR, len(self._files[name]))

    def _path_open(
        self, fd: int, _dirflags: int, path: int, length: int, oflags: int, _rights: int, _inherit: int, _flags: int, to: int
    ) -> int:
        if fd != _ROOT:
            return BAD_FILE
        name = self._path(path, length)
        if oflags or name not in self._files:
            return NOT_THERE  # nothing is created, and there are no folders below
        number = next(n for n in range(_ROOT + 1, 1024) if n not in self._open)
        self._open[number] = (name, 0)
        return self._put(to, number)

    def _fd_close(self, fd: int) -> int:
        return 0 if self._open.pop(fd, None) else BAD_FILE

    def _fd_read(self, fd: int, vectors: int, count: int, to: int) -> int:
        if fd == 0:
            return self._put(to, 0)
        if fd not in self._open:
            return BAD_FILE
        name, at = self._open[fd]
        done = 0
        for pointer, length in self._vectors(vectors, count):
            data = self._files[name][at : at + length]
            self.write(pointer, data)
            at += len(data)
            done += len(data)
        self._open[fd] = (name, at)
        return self._put(to, done)

    def _fd_write(self, fd: int, vectors: int, count: int, to: int) -> int:
        if fd not in self.output:
            return BAD_FILE
        done = 0
        for pointer, length in self._vectors(vectors, count):
            self.output[fd] += self.read(pointer, length)
            done += length
        return self._put(to, done)

    def _fd_seek(self, fd: int, offset: int, whence: int, to: int) -> int:
        if fd not in self._open:
            return BAD_FILE
        name, at = self._open[fd]
        at = offset + (0, at, len(self._files[name]))[whence]
        if at < 0:
            return INVALID
        self._open[fd] = (name, at)
        return self._put64(to, at)

    def _fd_tell(self, fd: int, to: int) -> int:
        return self._put64(to, self._open[fd][1]) if fd in self._open else BAD_FILE

    # -- helpers --------------------------------------------------------------------------------

    def _kind(self, fd: int) -> int | None:
        if fd in (0, 1, 2):
            return _TERMINAL
        return _DIRECTORY if fd == _ROOT else _REGULAR if fd in self._open else None

    def _path(self, pointer: int, length: int) -> str:
        return self.read(pointer, length).decode("utf-8", "replace")

    def _vectors(self, pointer: int, count: int) -> list[tuple[int, int]]:
        raw = self.read(pointer, 8 * count)
        return [struct.unpack_from("<II", raw, 8 * index) for index in range(count)]

    def _stat(self, to: int, kind: int, size: int) -> int:
        self.write(to, struct.pack("<QQQQQQQQ", 1, 1, kind, 1, size, 0, 0, 0))
        return 0

    def _put(self, to: int, value: int) -> int:
        self.write(to, struct.pack("<I", value))
        return 0

    def _put64(self, to: int, value: int) -> int:
        self.write(to, struct.pack("<Q", value))
        return 0
