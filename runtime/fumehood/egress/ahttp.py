"""One HTTP/1.1 connection on an event loop, over h11, as httpcore drives it.

httpcore's own asynchronous connections cannot be given up without an event loop (a reply that is
dropped would stay in the pool), end in asynchronous generators that trio warns about, and look at
every connection of a pool for each request; this one is closed by closing its socket.
"""

from __future__ import annotations

import contextlib
import time
from typing import Final

import h11
import httpcore
from anyio.lowlevel import checkpoint

from fumehood.egress.awire import Stream, Waits
from fumehood.egress.exchange import HEAD_BYTES, RawHeaders
from fumehood.egress.transport import KEEP_TIME, Proxy
from fumehood.egress.wire import HEAD_READ

_READ: Final = 64 * 1024
_EVENTS: Final = 64
"""Events between two looks at the event loop."""


class Connection:
    """Carries one request after another. `status`, `headers`, `version` are the last reply's."""

    def __init__(self, stream: Stream, proxy: Proxy | None = None) -> None:
        """`proxy` is given where the peer is one that forwards requests."""
        self.stream = stream
        self.status = 0
        self.reason = ""
        self.headers: RawHeaders = []
        self.version = ""
        self.pieces = 0
        """Pieces that the body of the last reply came in so far."""
        self._http = h11.Connection(h11.CLIENT, max_incomplete_event_size=HEAD_BYTES)
        self._proxy = proxy
        self._idle_since = 0.0
        self._ended = False
        self._problem: str | None = None

    async def request(
        self, waits: Waits, method: str, target: str, headers: RawHeaders, body: bytes
    ) -> None:
        """Send a request and read the head of the reply."""
        if self._proxy is not None:
            target = f"{waits.operation.url.origin}{target}"
            if self._proxy.authorization:
                headers = [(b"proxy-authorization", self._proxy.authorization), *headers]
        send = self._http.send
        data = send(h11.Request(method=method, target=target, headers=headers)) or b""
        if body:
            data += send(h11.Data(data=body)) or b""
        data += send(h11.EndOfMessage()) or b""
        with contextlib.suppress(httpcore.WriteError):
            # a server may refuse before it has read everything; its answer counts
            await self.stream.write(waits, data, waits.operation.idle)
        while True:
            event = await self._event(waits, HEAD_READ)
            if isinstance(event, h11.Response):
                break
            if isinstance(event, h11.InformationalResponse) and event.status_code == 101:
                break
        self.pieces = 0
        self._ended = False
        self.status = event.status_code
        self.reason = bytes(event.reason).decode("latin-1")
        self.headers = [(bytes(name), bytes(value)) for name, value in event.headers.raw_items()]
        self.version = f"HTTP/{event.http_version.decode('ascii', 'replace')}"

    async def read(self, waits: Waits) -> bytes | None:
        """The next bytes of the body, None at its end: what one read brought, of however many
        chunks."""
        parts: list[bytes] = []
        while not self._ended:
            try:
                event = self._next() if parts else await self._event(waits)
            except httpcore.RemoteProtocolError:
                if not parts:
                    raise
                break  # said again when there is nothing else
            if event is h11.NEED_DATA:
                break
            if isinstance(event, h11.Data):
                parts.append(bytes(event.data))
                self.pieces += 1
                if self.pieces % _EVENTS == 0:
                    await checkpoint()
                    break
            else:
                self._ended = True
        return b"".join(parts) or None

    def reuse(self) -> bool:
        """Make ready for another request. False where the last exchange does not allow it, or
        the server sent more than it should."""
        http = self._http
        if http.our_state is not h11.DONE or http.their_state is not h11.DONE:
            return False
        if http.trailing_data[0]:
            return False
        http.start_next_cycle()
        self._idle_since = time.monotonic()
        return True

    @property
    def expired(self) -> bool:
        """Whether it was idle for too long."""
        return time.monotonic() - self._idle_since > KEEP_TIME

    def stands(self) -> bool:
        """Whether an idle connection can carry a request: the server may have ended it."""
        return not self.expired and not self.stream.ended()

    def close(self) -> None:
        """Close the socket. Idempotent."""
        self.stream.close()

    def _next(self) -> object:
        try:
            return self._http.next_event()
        except h11.RemoteProtocolError as problem:
            if self._problem is None:  # h11 only says it the first time
                self._problem = str(problem)
            raise httpcore.RemoteProtocolError(self._problem) from None

    async def _event(self, waits: Waits, size: int = _READ) -> object:
        while True:
            event = self._next()
            if event is not h11.NEED_DATA:
                return event
            data = await self.stream.read(waits, size)
            if not data and self._http.their_state is h11.SEND_RESPONSE:
                raise httpcore.RemoteProtocolError(
                    "Server disconnected without sending a response."
                )
            self._http.receive_data(data)
