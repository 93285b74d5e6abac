"""Python's `logging` on its way to the host: `logging.getLogger(__name__).info(…)` simply works in a plugin."""

from __future__ import annotations

import logging
from typing import Final

from fumehood_pdk import _host

_LEVELS: Final = (logging.CRITICAL + 1, logging.ERROR, logging.WARNING, logging.INFO, logging.DEBUG, logging.DEBUG)
"""By `init_logging`'s number: off, error, warn, info, debug, trace."""


class _Handler(logging.Handler):
    def emit(self, record: logging.LogRecord) -> None:
        number = record.levelno
        level = 1 if number >= logging.ERROR else 2 if number >= logging.WARNING else 3 if number >= logging.INFO else 4
        try:
            _host.log(level, f"{record.name}: {record.getMessage()}")
        except Exception as problem:  # noqa: BLE001 - a log line that cannot be made must not end the operation
            _host.log(2, f"{record.name}: a log line could not be made: {type(problem).__name__}")


def install() -> None:
    """Send every record of warning level and above to the host until `set_level` says otherwise."""
    root = logging.getLogger()
    if not any(isinstance(handler, _Handler) for handler in root.handlers):
        root.addHandler(_Handler())
        root.setLevel(logging.WARNING)


def set_level(number: int) -> None:
    """The level of `init_logging`: 0 off, 1 error … 5 trace, more counts as trace."""
    logging.getLogger().setLevel(_LEVELS[min(number, 5)])
