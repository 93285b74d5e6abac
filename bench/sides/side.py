"""What every side has in common: a side makes jobs, bench/worker.py runs and times them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

Job = Callable[[], Any]
"""What is timed. Its result is bytes (or None), the same at every run, or the whole answer of the
side where the job measures itself: a dict."""


class Side:
    """One who does the work.

    Arguments of the constructor and of every method below it are JSON. Each public method but
    `imported` is a kind of work: it prepares and gives the job.
    """

    def imported(self) -> None:
        """Import what its user imports. Nothing of that is part of any other job."""

    def job(self, work: str, **arguments: Any) -> Job:
        """The job of a request."""
        if work == "imported":
            return self.imported
        self.imported()
        made: Job = getattr(self, work)(**arguments)
        return made


def payload(size: int) -> bytes:
    """`size` bytes that are not all alike."""
    return (bytes(range(32, 127)) * (size // 95 + 1))[:size]
