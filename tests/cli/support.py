"""Names that the tests of the command line share."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

PLUGIN = "bundled:openai"


@dataclass(frozen=True)
class Ran:
    """How a command ended."""

    code: int
    out: str
    err: str


Run = Callable[..., Ran]
