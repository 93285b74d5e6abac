"""A body, cut into lines: stream parsers get one line a call (provider-abi.md §1.3, hazard 9)."""

from __future__ import annotations

from typing import Final

from fumehood.errors import TooMuch
from fumehood.limits import MIB

MAX_LINE: Final = 8 * MIB
"""Bytes of one line. A line travels to the guest as decimal numbers, four times its size."""


class LineSplitter:
    """Cuts bytes after each newline, however they arrive. CR and blank lines are kept."""

    __slots__ = ("_parts", "_size")

    def __init__(self) -> None:
        self._parts: list[bytes] = []
        self._size = 0

    def feed(self, data: bytes) -> list[bytes]:
        """The lines that `data` completes, each with its newline.

        Raises TooMuch where a line grows beyond `MAX_LINE`.
        """
        lines = data.split(b"\n")
        rest = lines.pop()
        whole: list[bytes] = []
        for line in lines:
            if self._parts:
                self._parts.append(line)
                whole.append(self._checked(b"".join(self._parts)) + b"\n")
                self._parts, self._size = [], 0
            else:
                whole.append(self._checked(line) + b"\n")
        if rest:
            self._parts.append(rest)
            self._size += len(rest)
            if self._size > MAX_LINE:
                raise _too_long()
        return whole

    def end(self) -> bytes:
        """The last line: what is left, with a newline; a bare newline where nothing is left."""
        rest = b"".join(self._parts)
        self._parts, self._size = [], 0
        return self._checked(rest) + b"\n"

    @staticmethod
    def _checked(line: bytes) -> bytes:
        if len(line) > MAX_LINE:
            raise _too_long()
        return line


def _too_long() -> TooMuch:
    return TooMuch(f"a line of the streamed reply exceeds {MAX_LINE} bytes", limit="response_bytes")
