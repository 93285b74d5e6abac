"""Lines of a streamed body, and the data lines of server-sent events among them."""

from __future__ import annotations

from collections.abc import Iterator


class Lines:
    """Cuts a body into lines wherever its pieces were split."""

    __slots__ = ("_rest",)

    def __init__(self) -> None:
        self._rest = b""

    def feed(self, piece: bytes) -> Iterator[bytes]:
        """The lines that `piece` completes, without their ends. Lines not taken stay to be read."""
        self._rest += piece
        while True:
            line, found, rest = self._rest.partition(b"\n")
            if not found:
                return
            self._rest = rest
            yield line.removesuffix(b"\r")

    def finish(self) -> bytes:
        """What came after the last line end."""
        rest, self._rest = self._rest, b""
        return rest.removesuffix(b"\r")


def data_of(line: bytes) -> bytes | None:
    """The payload of a `data:` line; None for comments, other fields and blank lines."""
    line = line.removeprefix(b"\xef\xbb\xbf")
    if not line.startswith(b"data:"):
        return None
    return line[5:].strip(b" \t\n\r\x0c") or None
