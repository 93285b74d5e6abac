"""A connection of a thread's that carries one exchange after another; `pool` keeps it between them.

httpcore's own connections go on after a reply that more bytes came with, and take those for the
answer to the next request, which may be another plugin's; its HTTP/2 one lets threads share one
socket, where one of them waits for another without looking at its deadline. Ours do neither.
"""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

import httpcore

from fumehood.egress.exchange import RawHeaders

READ: Final = 64 * 1024
"""Bytes of one read."""


@dataclass(slots=True)
class Request:
    """A request as it is written."""

    method: str
    scheme: str
    host: str
    """The URL's, an IPv6 address in brackets."""
    port: int
    target: str
    """Path and query."""
    headers: RawHeaders = field(repr=False)
    body: bytes = field(default=b"", repr=False)


class Kept(ABC):
    """What both versions share. One thread at a time."""

    def __init__(self, stream: httpcore.NetworkStream, expiry: float) -> None:
        """`expiry` is in seconds; the connection owns `stream`."""
        self.wire = stream
        self.status = 0
        self.headers: RawHeaders = []
        self.version = b""
        self._expiry = expiry
        self._used = time.monotonic()

    @abstractmethod
    def exchange(self, request: Request) -> None:
        """Send a request and read the head of its reply: `status`, `headers`, `version`."""

    @abstractmethod
    def chunks(self) -> Iterator[bytes]:
        """The body of the reply."""

    @abstractmethod
    def reuse(self) -> bool:
        """Make ready for another request. False where the last exchange does not allow it, or
        the server sent more than it should."""

    def rest(self) -> bool:
        """The exchange is over, or was given up: whether there may be another one."""
        self._used = time.monotonic()
        return self.reuse()

    def stands(self) -> bool:
        """Whether it was not idle for too long, and has nothing to read: what can be read then is
        its end or worse."""
        late = time.monotonic() - self._used > self._expiry
        return not late and not self.wire.get_extra_info("is_readable")

    def close(self) -> None:
        """Close the socket. Idempotent."""
        self.wire.close()
