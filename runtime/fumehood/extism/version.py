"""What this host calls itself."""

from __future__ import annotations

from importlib.metadata import version


def extism_version() -> str:
    """The version of fumehood, which is the runtime here."""
    return version("fumehood")
