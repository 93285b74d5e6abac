"""The world of a component. WASI is stubbed there: whatever CPython asks of it in C ends the instance. So what Python
code can ask for is answered before it gets that far: clocks and randomness by fumehood's own imports, files and waiting
by the exceptions that a machine without any would raise.

`prepare` replaces the functions before the plugin is imported, since a plugin may take them by name; until `go_live`
they are the old ones, for the build has files and a clock.
"""

from __future__ import annotations

import builtins
import errno
import io
import os
import re
import sys
import time
import types
from collections.abc import Callable
from typing import Any, Final, NoReturn, Protocol, TextIO

from fumehood_pdk import _host

_SECOND: Final = 1_000_000_000
_CLOCKS: Final = ("monotonic", "perf_counter", "process_time", "thread_time")
_FILES: Final = (
    "chdir", "chmod", "fdopen", "ftruncate", "link", "listdir", "lstat", "mkdir", "open", "readlink", "remove",
    "rename", "replace", "rmdir", "scandir", "stat", "statvfs", "symlink", "truncate", "unlink", "utime",
)  # fmt: skip
_DESCRIPTORS: Final = (
    "close", "dup", "dup2", "fstat", "fsync", "lseek", "pipe", "pread", "pwrite", "read", "readv", "sendfile", "write",
    "writev",
)  # fmt: skip

DEEPEST: Final = 500
"""Levels of a JSON document."""
_BRACKETS: Final = re.compile(r'"[^"\\]*(?:\\.[^"\\]*)*"?|[\[\]{}]', re.DOTALL)


class Host(Protocol):
    """The imports, as componentize-py binds them."""

    def log(self, level: int, message: str) -> None:
        """A line for the plugin's log."""

    def now(self) -> int:
        """Nanoseconds since 1970."""

    def monotonic(self) -> int:
        """Nanoseconds of a clock that only goes forward."""

    def random(self) -> int:
        """64 bits."""


class _Switch:
    """Off while the plugin is built."""

    live = False


def prepare(host: Host) -> None:
    """Replace what cannot work. Before anything of the plugin's is imported."""
    for name in ("_datetime", "_zoneinfo"):  # the first has a clock in C, the second needs it; both exist in Python too
        sys.modules[name] = None  # type: ignore[assignment]
    _clocks(host)
    _randomness(host)
    _files()
    _json_depth()
    os.environ.clear()  # the builder's own
    sys.stdin = io.StringIO()
    sys.stdout = sys.__stdout__ = _Output(sys.stdout)  # type: ignore[misc, assignment]
    sys.stderr = sys.__stderr__ = _Errors(sys.stderr)  # type: ignore[misc, assignment]


def go_live(host: Host) -> None:
    """From here on the host answers. After the last import, before the interpreter is kept."""
    _host.log_sink = host.log
    importer: Any = sys.modules["_frozen_importlib_external"]
    importer._io = types.SimpleNamespace(FileIO=_no_file, open_code=_no_file)
    _Switch.live = True


def _replace(module: Any, name: str, new: Callable[..., Any]) -> None:
    """`new` stands in for a function once the component is live."""
    old = getattr(module, name, None)
    if old is None:
        return

    def replaced(*arguments: Any, **keywords: Any) -> Any:
        return (new if _Switch.live else old)(*arguments, **keywords)

    replaced.__name__ = replaced.__qualname__ = name
    setattr(module, name, replaced)


# -- clocks -------------------------------------------------------------------------------------------


def _clocks(host: Host) -> None:
    _replace(time, "time", lambda: host.now() / _SECOND)
    _replace(time, "time_ns", host.now)
    for name in _CLOCKS:
        _replace(time, name, lambda: host.monotonic() / _SECOND)
        _replace(time, f"{name}_ns", host.monotonic)

    def nanoseconds(clock: int) -> int:
        return host.now() if clock == time.CLOCK_REALTIME else host.monotonic()

    _replace(time, "clock_gettime", lambda clock: nanoseconds(clock) / _SECOND)
    _replace(time, "clock_gettime_ns", nanoseconds)
    _replace(time, "sleep", _no_sleep)
    gmtime, strftime, asctime = time.gmtime, time.strftime, time.asctime

    def at(seconds: float | None = None) -> time.struct_time:
        return gmtime(host.now() / _SECOND if seconds is None else seconds)

    _replace(time, "gmtime", at)
    _replace(time, "localtime", at)  # there is no time zone in a plugin
    _replace(time, "ctime", lambda seconds=None: asctime(at(seconds)))
    _replace(time, "asctime", lambda moment=None: asctime(at() if moment is None else moment))
    _replace(time, "strftime", lambda form, moment=None: strftime(form, at() if moment is None else moment))


def _no_sleep(_seconds: float) -> NoReturn:
    raise OSError(errno.ENOTSUP, "a component cannot wait")


# -- randomness ---------------------------------------------------------------------------------------


def _randomness(host: Host) -> None:
    def urandom(size: int) -> bytes:
        words = range(-(-size // 8))
        return b"".join([host.random().to_bytes(8, "little") for _ in words])[:size]

    _replace(os, "urandom", urandom)
    _replace(os, "getrandom", lambda size, flags=0: urandom(size))
    import random

    random._urandom = os.urandom  # type: ignore[attr-defined] # SystemRandom's, and so secrets'
    seed_in_c = random.Random.seed

    def seed(self: random.Random, a: Any = None, version: int = 2) -> None:
        if a is None and _Switch.live:
            a = int.from_bytes(urandom(32), "little")
        seed_in_c(self, a, version)

    random.Random.seed = seed  # type: ignore[method-assign]
    random.seed = random._inst.seed


# -- depth --------------------------------------------------------------------------------------------


def _json_depth() -> None:
    """The interpreter's own limit on recursion in C is made for another stack than a host's: a reply of a thousand
    nested lists would end the instance. Half of that is an exception, as everywhere else."""
    import json.decoder

    decode = json.decoder.JSONDecoder.raw_decode

    def raw_decode(self: json.decoder.JSONDecoder, s: str, idx: int = 0) -> tuple[Any, int]:
        if s.count("[") + s.count("{") > DEEPEST and _deeper(s, DEEPEST):
            raise RecursionError("the document is nested too deeply")
        return decode(self, s, idx)

    json.decoder.JSONDecoder.raw_decode = raw_decode  # type: ignore[method-assign]


def _deeper(text: str, than: int) -> bool:
    depth = 0
    for found in _BRACKETS.finditer(text):
        bracket = found[0]
        if bracket in "[{":
            depth += 1
            if depth > than:
                return True
        elif bracket in "]}":
            depth -= 1
    return False


# -- files, descriptors, the process ------------------------------------------------------------------


def _files() -> None:
    _replace(builtins, "open", _no_file)
    io.open = builtins.open
    _replace(io, "open_code", _no_file)
    for name in _FILES:
        _replace(os, name, _no_file)
    for name in _DESCRIPTORS:
        _replace(os, name, _no_descriptor)
    _replace(os, "access", lambda *_arguments, **_keywords: False)
    _replace(os, "isatty", lambda _fd: False)
    _replace(os, "getcwd", lambda: "/")
    _replace(os, "getcwdb", lambda: b"/")
    _replace(os, "times", lambda: os.times_result((0.0, 0.0, 0.0, 0.0, 0.0)))
    _replace(os, "_exit", _no_exit)


def _no_file(path: object = "", *_arguments: Any, **_keywords: Any) -> NoReturn:
    raise FileNotFoundError(errno.ENOENT, "there are no files in a plugin", path)


def _no_descriptor(*_arguments: Any, **_keywords: Any) -> NoReturn:
    raise OSError(errno.EBADF, os.strerror(errno.EBADF))


def _no_exit(status: int) -> NoReturn:
    raise SystemExit(status)  # there is no process to end; the call ends, and says so


class _Output(io.TextIOBase):
    """Standard output: after the build nobody reads it. A plugin may hold on to it: it is the same object all along."""

    def __init__(self, old: TextIO) -> None:
        self._old = old

    def writable(self) -> bool:
        """True."""
        return True

    def write(self, text: str) -> int:
        """Drop `text`; while the plugin is built, print it."""
        if not _Switch.live:
            return self._old.write(text)
        self.drain(text)
        return len(text)

    def drain(self, text: str) -> None:
        """What becomes of `text`."""


class _Errors(_Output):
    """Standard error: whole lines go to the log, for debugging."""

    _rest = ""

    def drain(self, text: str) -> None:
        """Keep `text` up to its last line break, and log what is whole."""
        *lines, rest = (self._rest + text).split("\n")
        self._rest = rest[-1000:]
        for line in lines:
            _host.log(4, line)
