"""`BuildError`: why a plugin cannot be built."""

from __future__ import annotations


class BuildError(Exception):
    """The author's to mend: the message names the file, package or import, `hint` what to do about it."""

    def __init__(self, message: str, hint: str | None = None) -> None:
        super().__init__(message)
        self.hint = hint
