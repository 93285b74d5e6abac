"""A connection of a thread's that carries one exchange after another, as httpcore's pool wants it.

httpcore's own connections go on after a reply that more bytes came with, and take those for the
answer to the next request, which may be another plugin's; its HTTP/2 one lets threads share one
socket, where one of them waits for another without looking at its deadline. Ours do neither.
"""

from __future__ import annotations

import threading
import time
from abc import abstractmethod
from collections.abc import Iterable, Iterator
from typing import Final

import httpcore

from fumehood.egress.exchange import RawHeaders

READ: Final = 64 * 1024
"""Bytes of one read."""


class Kept(httpcore.ConnectionInterface):
    """What both versions share: who uses it, and since when nobody does."""

    def __init__(
        self, origin: httpcore.Origin, stream: httpcore.NetworkStream, expiry: float
    ) -> None:
        """`expiry` is in seconds; the connection owns `stream`."""
        self.wire = stream
        self.status = 0
        self.headers: RawHeaders = []
        self.version = b""
        self._origin = origin
        self._expiry = expiry
        self._lock = threading.Lock()
        self._idle = True
        self._idle_since = time.monotonic()
        self._closed = False

    @abstractmethod
    def exchange(self, request: httpcore.Request, body: bytes) -> None:
        """Send a request and read the head of its reply: `status`, `headers`, `version`."""

    @abstractmethod
    def chunks(self) -> Iterator[bytes]:
        """The body of the reply."""

    @abstractmethod
    def reuse(self) -> bool:
        """Make ready for another request. False where the last exchange does not allow it, or
        the server sent more than it should."""

    def handle_request(self, request: httpcore.Request) -> httpcore.Response:
        """Send a request, read the head of its reply. Raises ConnectionNotAvailable where somebody
        else uses the connection."""
        with self._lock:
            if self._closed or not self._idle:
                raise httpcore.ConnectionNotAvailable
            self._idle = False
        assert isinstance(request.stream, Iterable)
        try:
            self.exchange(request, b"".join(request.stream))
        except BaseException:
            self.close()
            raise
        return httpcore.Response(
            self.status,
            headers=self.headers,
            content=_Body(self),
            extensions={"http_version": self.version},
        )

    def done(self) -> None:
        """The reply is over, or was given up."""
        with self._lock:
            if self._idle or self._closed:
                return
            if self.reuse():
                self._idle_since = time.monotonic()
                self._idle = True
                return
        self.close()

    def can_handle_request(self, origin: httpcore.Origin) -> bool:
        """Whether it leads to `origin`."""
        return origin == self._origin

    def is_available(self) -> bool:
        """Whether it can take a request now."""
        return self._idle and not self._closed

    def has_expired(self) -> bool:
        """Whether it was idle for too long; or it can be read, and so ended or worse."""
        if not self._idle:
            return False
        late = time.monotonic() - self._idle_since > self._expiry
        return late or bool(self.wire.get_extra_info("is_readable"))

    def is_idle(self) -> bool:
        """Whether nobody uses it."""
        return self._idle

    def is_closed(self) -> bool:
        """Whether it can be forgotten."""
        return self._closed

    def close(self) -> None:
        """Close the socket. Idempotent."""
        self._closed = True
        self.wire.close()

    def info(self) -> str:
        """For httpcore's `repr`."""
        return "closed" if self._closed else "idle" if self._idle else "active"


class _Body:
    """The body of a reply; closing it gives the connection back."""

    def __init__(self, connection: Kept) -> None:
        self._connection = connection

    def __iter__(self) -> Iterator[bytes]:
        return self._connection.chunks()

    def close(self) -> None:
        """The reply is over, or was given up. Idempotent."""
        self._connection.done()
