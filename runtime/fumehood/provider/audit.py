"""One JSON line per provider call, appended to a file. No prompt, no key, no path or query."""

from __future__ import annotations

import datetime
import os
import threading
from pathlib import Path

from fumehood.abi import jsonwire
from fumehood.errors import ConfigError, Error, HostError
from fumehood.limits import Receipt


class Audit:
    """Appends to one file; shared by the providers of a registry, safe between threads.

    A line goes out in one write to a file opened for appending, so that processes which share it
    do not tear each other's lines.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        """Raises ConfigError where the file cannot be written."""
        self._path = Path(path)
        self._lock = threading.Lock()
        try:
            self._fd = os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        except OSError as problem:
            raise ConfigError(f"the audit file cannot be written: {problem}") from None

    def write(self, receipt: Receipt, error: Error | None) -> None:
        """Record one call. Raises HostError where the line cannot be written: a call that leaves
        no trace would be worse than one that fails."""
        line = jsonwire.encode(
            {
                "time": datetime.datetime.now(datetime.UTC).isoformat(timespec="milliseconds"),
                "outcome": "done" if error is None else error.code,
                **receipt.to_dict(),
            }
        )
        with self._lock:
            if self._fd < 0:
                raise HostError("the audit file was closed")
            try:
                os.write(self._fd, line + b"\n")
            except OSError as problem:
                raise HostError(f"the audit line cannot be written: {problem}") from None

    def close(self) -> None:
        """Close the file. Idempotent."""
        with self._lock:
            if self._fd >= 0:
                os.close(self._fd)
            self._fd = -1
