"""One HTTP/1.1 connection of a thread's, over h11: the twin of `ahttp.Connection`."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import h11
import httpcore

from fumehood.egress.exchange import HEAD_BYTES
from fumehood.egress.kept import READ, Kept, Request


class HTTP1(Kept):
    """See `Kept`. `forward` is the proxy where the peer is one that forwards requests."""

    def __init__(
        self,
        stream: httpcore.NetworkStream,
        expiry: float,
        forward: httpcore.Proxy | None = None,
    ) -> None:
        super().__init__(stream, expiry)
        self.reason = ""
        self._forward = forward
        self._http = h11.Connection(h11.CLIENT, max_incomplete_event_size=HEAD_BYTES)

    def exchange(self, request: Request) -> None:
        """See `Kept`."""
        target, headers, body = request.target, request.headers, request.body
        if self._forward is not None:
            target = f"{request.scheme}://{request.host}:{request.port}{target}"
            headers = [*self._forward.headers, *headers]
        send = self._http.send
        data = send(h11.Request(method=request.method, target=target, headers=headers)) or b""
        if body:
            data += send(h11.Data(data=body)) or b""
        data += send(h11.EndOfMessage()) or b""
        with contextlib.suppress(httpcore.WriteError):
            # a server may refuse before it has read everything; its answer counts
            self.wire.write(data)
        while True:
            event = self._event()
            if isinstance(event, h11.Response):
                break
            if isinstance(event, h11.InformationalResponse) and event.status_code == 101:
                break
        self.status = event.status_code
        self.reason = bytes(event.reason).decode("latin-1")
        self.headers = [(bytes(name), bytes(value)) for name, value in event.headers.raw_items()]
        self.version = b"HTTP/" + event.http_version

    def chunks(self) -> Iterator[bytes]:
        """See `Kept`: as they come."""
        while True:
            event = self._event()
            if isinstance(event, h11.Data):
                yield bytes(event.data)
            else:
                return

    def reuse(self) -> bool:
        """See `Kept`."""
        http = self._http
        if http.our_state is not h11.DONE or http.their_state is not h11.DONE:
            return False
        if http.trailing_data[0]:
            return False
        http.start_next_cycle()
        return True

    def _event(self) -> object:
        while True:
            try:
                event = self._http.next_event()
            except h11.RemoteProtocolError as problem:
                raise httpcore.RemoteProtocolError(str(problem)) from None
            if event is not h11.NEED_DATA:
                return event
            data = self.wire.read(READ)
            if not data and self._http.their_state is h11.SEND_RESPONSE:
                raise httpcore.RemoteProtocolError(
                    "Server disconnected without sending a response."
                )
            self._http.receive_data(data)
