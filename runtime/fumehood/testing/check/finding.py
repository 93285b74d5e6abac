"""`Finding`: one thing that was examined, and what came of it."""

from __future__ import annotations

import enum
from dataclasses import dataclass


class Level(enum.Enum):
    """How much a finding matters."""

    GOOD = "good"
    NOTE = "note"
    """Worth knowing."""
    UNWISE = "unwise"
    """It works, but somebody will stumble over it."""
    WRONG = "wrong"
    """Some host will not load it, or the ABI does not allow it."""


@dataclass(frozen=True, slots=True)
class Finding:
    """`about` names what was examined; `text` may hold the plugin's own words."""

    level: Level
    about: str
    text: str
