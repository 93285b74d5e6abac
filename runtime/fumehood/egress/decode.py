"""Bounded decoding of reply bodies: gzip and deflate, a piece at a time. Pure.

httpx's decoders turn 200 KB into one chunk of 200 MiB (threats.md); these give out at most 64 KiB
at once and the caller counts. A whole reply that turns out too large costs its compressed size
and `KEPT` bytes, not its decoded size: it is counted first and decoded once more only if it fits.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from typing import Final

from fumehood.errors import TooMuch, TransportError

ACCEPTED: Final = "gzip, deflate"
PIECE: Final = 64 * 1024
KEPT: Final = 2 * 1024 * 1024
"""Decoded bytes of a compressed reply that are kept while the rest is only counted."""

_SLACK: Final = 64 * 1024
"""What a coding may add to a body that does not shrink."""


def too_large(limit: int) -> TooMuch:
    """The error for a reply above `limit` bytes."""
    return TooMuch(f"the reply has more than {limit} bytes", limit="response_bytes")


def coding_of(values: list[str]) -> str | None:
    """The one coding that `content-encoding` headers declare: gzip, deflate or None.

    Raises TransportError for any other, and for codings inside each other: nobody asked for them.
    """
    names = [n.strip().lower() for value in values for n in value.split(",")]
    names = [n for n in names if n not in ("", "identity")]
    if not names:
        return None
    if len(names) == 1 and names[0] in ("gzip", "x-gzip", "deflate"):
        return names[0].removeprefix("x-")
    shown = ", ".join(names)[:100]
    raise TransportError(
        f"the reply is encoded as {shown!r}; only {ACCEPTED} were offered", kind="protocol"
    )


class Inflater:
    """Undoes one coding. `feed` gives pieces of at most 64 KiB; `finish` checks the end."""

    def __init__(self, coding: str) -> None:
        self._coding = coding
        self._gzip = coding == "gzip"
        self._inner = zlib.decompressobj(31) if self._gzip else None
        self._head = b""
        self._done = False

    def feed(self, data: bytes) -> Iterator[bytes]:
        """The decoded pieces of `data`. Raises TransportError for what is no such coding."""
        if self._inner is None:
            # Two bytes tell a zlib header from the bare deflate that some servers send instead.
            data = self._head = self._head + data
            if len(data) < 2:
                return
            wrapped = data[0] & 15 == 8 and int.from_bytes(data[:2], "big") % 31 == 0
            self._inner = zlib.decompressobj(15 if wrapped else -15)
        more = False
        while (data or more) and not self._done:
            self._head = b"fed"
            try:
                piece = self._inner.decompress(data, PIECE)
            except zlib.error as problem:
                raise TransportError(
                    f"the reply is not the {self._coding} it says: {problem}",
                    kind="protocol",
                ) from None
            # A full piece may leave output behind although all input is consumed.
            more = len(piece) == PIECE
            data = self._inner.unconsumed_tail
            if self._inner.eof:
                more = False
                data = self._next_member(self._inner.unused_data)
            if piece:
                yield piece

    def finish(self) -> None:
        """Raises TransportError where the coding was cut off; an empty body is a whole one."""
        if self._head and not self._done and not (self._inner and self._inner.eof):
            raise TransportError("the encoded reply ends in the middle", kind="protocol")

    def _next_member(self, rest: bytes) -> bytes:
        """What of `rest`, behind the end of one gzip member, is another."""
        if not rest:
            return b""
        if self._gzip and rest.startswith(b"\x1f"):
            self._inner = zlib.decompressobj(31)
            return rest
        self._done = True  # padding and trailing rubbish are no part of the reply
        return b""


class _Pile:
    """Bytes put together in large blocks: a body in chunks of two bytes would otherwise cost
    twenty times its size in objects."""

    def __init__(self) -> None:
        self._blocks: list[bytes] = []
        self._open = bytearray()

    def add(self, data: bytes) -> None:
        if len(self._open) + len(data) > PIECE:
            self._close()
        if len(data) >= PIECE:
            self._blocks.append(data)
        else:
            self._open += data

    def blocks(self) -> list[bytes]:
        self._close()
        return self._blocks

    def _close(self) -> None:
        if self._open:
            self._blocks.append(bytes(self._open))
            self._open.clear()


class BoundedBody:
    """Collects one whole reply body under a limit of decoded bytes."""

    def __init__(self, coding: str | None, limit: int) -> None:
        self._limit = limit
        self._coding = coding
        self._inflater = Inflater(coding) if coding else None
        self._raw = _Pile()
        self._plain = _Pile()
        self.received = 0
        self._decoded = 0

    def feed(self, data: bytes) -> None:
        """Take raw bytes. Raises TooMuch or TransportError."""
        self.received += len(data)
        if self._inflater is None:
            if self.received > self._limit:
                raise too_large(self._limit)
            self._plain.add(data)
            return
        if self.received > self._limit + _SLACK:
            raise too_large(self._limit)
        self._raw.add(data)
        for piece in self._inflater.feed(data):
            self._decoded += len(piece)
            if self._decoded > self._limit:
                raise too_large(self._limit)
            if self._decoded <= KEPT:
                self._plain.add(piece)

    def finish(self) -> bytes:
        """The decoded body."""
        if self._inflater is not None:
            self._inflater.finish()
            if self._decoded > KEPT:
                again = Inflater(self._coding or "")
                raw = self._raw.blocks()
                return b"".join(piece for data in raw for piece in again.feed(data))
        return b"".join(self._plain.blocks())


class BoundedStream:
    """Decodes a streamed reply under a limit of decoded bytes."""

    def __init__(self, coding: str | None, limit: int) -> None:
        self._limit = limit
        self._inflater = Inflater(coding) if coding else None
        self.received = 0
        self._decoded = 0

    def feed(self, data: bytes) -> Iterator[bytes]:
        """The decoded pieces of `data`. Raises TooMuch or TransportError."""
        self.received += len(data)
        if self.received > self._limit + (_SLACK if self._inflater else 0):
            raise too_large(self._limit)
        if self._inflater is None:
            yield data
            return
        for piece in self._inflater.feed(data):
            self._decoded += len(piece)
            if self._decoded > self._limit:
                raise too_large(self._limit)
            yield piece

    def finish(self) -> None:
        """Raises TransportError where the coding was cut off."""
        if self._inflater is not None:
            self._inflater.finish()
