"""`set_log_file` and `set_log_custom`: where guests of the Extism face log to (§3.6, §4.1).

One filter and one sink a process, as in the `extism` package; off until one of the two is called.
Both stand on `logging`: guest lines go to the logger `fumehood.extism.guest`, escaped and within
the budget of their operation, so an application may configure that logger instead.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final, cast

from fumehood import forks
from fumehood.errors import HostError, UsageError
from fumehood.imports.log import EXTISM_LEVELS, PluginLog

LOGGER: Final = logging.getLogger("fumehood.extism.guest")
TARGET: Final = "extism::pdk"
BUFFERED_LINES: Final = 10_000
BUFFERED_BYTES: Final = 4 * 1024 * 1024

_OFF: Final = logging.CRITICAL + 1
_NAMES: Final = ("TRACE", "DEBUG", "INFO", "WARN", "ERROR")
_LEVELS: Final = {
    **{name.lower(): level for name, level in zip(_NAMES, EXTISM_LEVELS, strict=True)},
    "off": _OFF,
}
_LABELS: Final = dict(zip(EXTISM_LEVELS, _NAMES, strict=True))

_lock = forks.lock()
_sink: logging.Handler | None = None

if LOGGER.level == logging.NOTSET:  # an application that configured it before keeps its level
    LOGGER.setLevel(_OFF)


class LogFileError(HostError, OSError):
    """The log file cannot be opened; also an `OSError`."""


class _Lines(logging.Formatter):
    """One line a message: time in UTC, level, target, text, the plugin's id."""

    def format(self, record: logging.LogRecord) -> str:
        when = datetime.fromtimestamp(record.created, UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
        label = _LABELS.get(record.levelno, record.levelname)
        plugin = getattr(record, "plugin", "")
        return f'{when} {label:>5} {TARGET}: {record.getMessage()} plugin="{plugin}"'


class _Buffer(logging.Handler):
    """Keeps formatted lines until they are drained; beyond its bounds it only counts."""

    def __init__(self) -> None:
        super().__init__()
        self._lines: list[str] = []
        self._size = 0
        self._dropped = 0

    def emit(self, record: logging.LogRecord) -> None:
        """Keep one line."""
        line = self.format(record) + "\n"
        if len(self._lines) >= BUFFERED_LINES or self._size + len(line) > BUFFERED_BYTES:
            self._dropped += 1
            return
        self._lines.append(line)
        self._size += len(line)

    def take(self) -> list[str]:
        """What was kept, and a last line on what was not."""
        self.acquire()
        try:
            lines, dropped = self._lines, self._dropped
            self._lines, self._size, self._dropped = [], 0, 0
        finally:
            self.release()
        if dropped:
            lines.append(f"{dropped} more lines were dropped: the buffer was full\n")
        return lines


class CustomLogger:
    """What `set_log_custom` returns: `drain()` hands each buffered line to the callback."""

    def __init__(self, f: Callable[[str], Any], buffer: _Buffer | None = None) -> None:
        self.callback: Callable[[str], Any] | None = None
        self._buffer = buffer
        self.set_callback(f)

    def set_callback(self, f: Callable[[str], Any]) -> None:
        """Use another callback from now on."""
        self.callback = f

    def drain(self) -> None:
        """Call the callback with every line since the last time, in order, each with its line
        feed. What the callback raises reaches the caller; that line and those before are gone."""
        if self._buffer is None or self.callback is None:
            return
        for line in self._buffer.take():
            self.callback(line)

    def __del__(self) -> None:
        self.drain()


def parse_filter(text: str | None) -> int:
    """The `logging` level for a level name, or for a filter such as `warn,extism=trace`.

    Of several directives the longest target that `extism::pdk` begins with counts. None is
    `error`. Raises UsageError for what is no level.
    """
    best, found = -1, _OFF
    for directive in (text or "error").split(","):
        target, equals, name = directive.strip().rpartition("=")
        if not equals and name.lower() not in _LEVELS:
            target, name = name, "trace"  # a target alone means all of it
            if "::" not in target and target != "extism":
                raise UsageError(f"{text!r} is no log level", hint=f"one of {', '.join(_LEVELS)}")
        if name.lower() not in _LEVELS:
            raise UsageError(f"{name!r} is no log level", hint=f"one of {', '.join(_LEVELS)}")
        if (not target or f"{TARGET}::".startswith(f"{target}::")) and len(target) > best:
            best, found = len(target), _LEVELS[name.lower()]
    return found


def set_log_file(file: str, level: str | None = None) -> None:
    """Log guests' lines to a file (appended to), `"-"` or `"stderr"`, or `"stdout"`.

    `level` is a name or a filter; the default is `error`. Process-wide; a later call replaces the
    sink. Raises LogFileError, which is an OSError, where the file cannot be opened.
    """
    number = parse_filter(level)
    handler: logging.Handler
    if file in ("-", "stderr"):
        handler = logging.StreamHandler(sys.stderr)
    elif file == "stdout":
        handler = logging.StreamHandler(sys.stdout)
    else:
        try:
            handler = logging.FileHandler(Path(file), encoding="utf-8")
        except (OSError, ValueError) as problem:
            raise LogFileError(f"the log file {file!r} cannot be opened: {problem}") from problem
    _install(handler, number)


def set_log_custom(f: Callable[[str], Any], level: str | None = None) -> CustomLogger:
    """Buffer guests' lines for `f`, which gets them one by one from `CustomLogger.drain`.

    Process-wide; a later call replaces the sink. The buffer keeps 10,000 lines or 4 MiB; what
    comes beyond is counted and reported.
    """
    number = parse_filter(level)
    buffer = _Buffer()
    _install(buffer, number)
    return CustomLogger(f, buffer)


def plugin_log(plugin: str) -> PluginLog:
    """The log of one plugin of this face; `plugin` is its id."""
    log = PluginLog("extism")
    # An adapter, not a logger of its own: `logging` keeps every logger for ever.
    # It has the methods that a PluginLog uses.
    log.logger = cast("logging.Logger", logging.LoggerAdapter(LOGGER, {"plugin": plugin}))
    return log


def _install(handler: logging.Handler, level: int) -> None:
    global _sink  # noqa: PLW0603 - one sink a process is the package's contract
    handler.setFormatter(_Lines())
    with _lock:
        if _sink is not None:
            LOGGER.removeHandler(_sink)
            _sink.close()
        LOGGER.addHandler(handler)
        LOGGER.setLevel(level)
        LOGGER.propagate = False
        _sink = handler
