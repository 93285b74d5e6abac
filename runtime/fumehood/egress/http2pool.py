"""HTTP/2 for threads: httpcore's pool, with connections that speak what the TLS handshake agreed.

httpcore's own HTTP/2 connection lets threads share one socket, where one of them waits for another
without looking at its deadline; ours carries one exchange at a time. HTTP/1.1 stays httpcore's.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Iterable, Iterator
from typing import Any, Final

import httpcore

from fumehood.egress.http2 import Machine
from fumehood.egress.wire import current

_READ: Final = 64 * 1024


class Pool(httpcore.ConnectionPool):
    """A pool for `https` origins. `backend` dials; through `proxy` a tunnel leads to the origin."""

    def __init__(
        self,
        *,
        ssl_context: Any,
        max_keepalive_connections: int,
        keepalive_expiry: float,
        network_backend: httpcore.NetworkBackend,
        proxy: httpcore.Proxy | None = None,
    ) -> None:
        super().__init__(
            ssl_context=ssl_context,
            proxy=proxy,
            max_connections=None,
            max_keepalive_connections=max_keepalive_connections,
            keepalive_expiry=keepalive_expiry,
            network_backend=network_backend,
        )
        self._context = ssl_context
        self._backend = network_backend
        self._expiry = keepalive_expiry
        self._via = proxy

    def create_connection(self, origin: httpcore.Origin) -> httpcore.ConnectionInterface:
        """A connection that is dialled with its first request."""
        return _Agreed(origin, self._backend, self._context, self._expiry, self._via)


class _Agreed(httpcore.ConnectionInterface):
    """One connection, HTTP/2 or HTTP/1.1 as its handshake has it."""

    def __init__(
        self,
        origin: httpcore.Origin,
        backend: httpcore.NetworkBackend,
        context: Any,
        expiry: float,
        proxy: httpcore.Proxy | None,
    ) -> None:
        self._origin = origin
        self._backend = backend
        self._context = context
        self._expiry = expiry
        self._proxy = proxy
        self._begun = threading.Lock()
        self._inner: httpcore.ConnectionInterface | None = None
        self._closed = False

    def handle_request(self, request: httpcore.Request) -> httpcore.Response:
        """Send a request, read the head of its reply."""
        if self._inner is None:
            # Nobody waits for another's handshake: whoever comes second gets a connection anew.
            if not self._begun.acquire(blocking=False):
                raise httpcore.ConnectionNotAvailable
            try:
                self._inner = self._dial()
            except BaseException:
                self._closed = True
                raise
        return self._inner.handle_request(request)

    def _dial(self) -> httpcore.ConnectionInterface:
        name = self._origin.host.decode("ascii")
        if self._proxy is None:
            stream = self._backend.connect_tcp(name, self._origin.port)
        else:
            stream = self._tunnel(self._proxy)
        stream = stream.start_tls(self._context, name)
        if stream.get_extra_info("ssl_object").selected_alpn_protocol() == "h2":
            return _HTTP2(self._origin, stream, self._expiry)
        return httpcore.HTTP11Connection(self._origin, stream, self._expiry)

    def _tunnel(self, proxy: httpcore.Proxy) -> httpcore.NetworkStream:
        """Have the proxy connect us to the origin. Raises httpcore.ProxyError."""
        url = proxy.url
        stream = self._backend.connect_tcp(url.host.decode("ascii"), url.origin.port)
        if url.scheme == b"https":
            assert proxy.ssl_context is not None
            stream = stream.start_tls(proxy.ssl_context, url.host.decode("ascii"))
        target = b"%b:%d" % (self._origin.host, self._origin.port)
        asked = httpcore.Request(
            "CONNECT",
            httpcore.URL(scheme=url.scheme, host=url.host, port=url.port, target=target),
            headers=[(b"Host", target), (b"Accept", b"*/*"), *proxy.headers],
        )
        connection = httpcore.HTTP11Connection(url.origin, stream)
        try:
            reply = connection.handle_request(asked)
            if not 200 <= reply.status <= 299:
                reason = reply.extensions.get("reason_phrase", b"").decode("ascii", "replace")
                raise httpcore.ProxyError(f"{reply.status} {reason}")
        except BaseException:
            connection.close()
            raise
        tunnel: httpcore.NetworkStream = reply.extensions["network_stream"]
        return tunnel

    def can_handle_request(self, origin: httpcore.Origin) -> bool:
        """Whether it leads to `origin`."""
        return origin == self._origin

    def is_available(self) -> bool:
        """Whether it can take a request now; not while it is dialled."""
        return self._inner is not None and self._inner.is_available()

    def has_expired(self) -> bool:
        """Whether it was idle for too long, or ended."""
        return self._inner is not None and self._inner.has_expired()

    def is_idle(self) -> bool:
        """Whether nobody uses it."""
        return self._inner is not None and self._inner.is_idle()

    def is_closed(self) -> bool:
        """Whether it can be forgotten."""
        return self._closed if self._inner is None else self._inner.is_closed()

    def close(self) -> None:
        """Close the socket. Idempotent."""
        self._closed = True
        if self._inner is not None:
            self._inner.close()

    def info(self) -> str:
        """For httpcore's `repr`."""
        return "connecting" if self._inner is None else self._inner.info()


class _HTTP2(httpcore.ConnectionInterface):
    """An HTTP/2 connection: one exchange at a time."""

    def __init__(
        self, origin: httpcore.Origin, stream: httpcore.NetworkStream, expiry: float
    ) -> None:
        self._origin = origin
        self._stream = stream
        self._expiry = expiry
        self._machine = Machine()
        self._lock = threading.Lock()
        self._idle = True
        self._idle_since = time.monotonic()
        self._closed = False

    def handle_request(self, request: httpcore.Request) -> httpcore.Response:
        """Send a request, read the head of its reply. Raises ConnectionNotAvailable where somebody
        else uses the connection."""
        with self._lock:
            if self._closed or not self._idle:
                raise httpcore.ConnectionNotAvailable
            self._idle = False
        machine = self._machine
        try:
            self._send(machine, request)
            while not machine.status:
                self._advance()
        except BaseException:
            self.close()
            raise
        return httpcore.Response(
            machine.status,
            headers=machine.headers,
            content=_Body(self),
            extensions={"http_version": b"HTTP/2"},
        )

    def _send(self, machine: Machine, request: httpcore.Request) -> None:
        assert isinstance(request.stream, Iterable)
        body = b"".join(request.stream)
        url = request.url
        machine.begin(
            request.method.decode("ascii"),
            url.scheme.decode("ascii"),
            url.target.decode("ascii"),
            list(request.headers),
            body,
        )
        try:
            self._flush()
            while True:
                while machine.fill():
                    self._flush()
                if not machine.stalled:
                    return
                self._advance()
        except httpcore.WriteError:
            machine.give_up()  # a server may refuse before it has read everything

    def _advance(self) -> None:
        """Look at the next frame."""
        current.get().meter.remaining()
        while not self._machine.step():
            with contextlib.suppress(httpcore.WriteError):
                self._flush()
            self._machine.receive(self._stream.read(_READ))

    def _flush(self) -> None:
        data = self._machine.output()
        if data:
            self._stream.write(data)

    def chunks(self) -> Iterator[bytes]:
        """The body of the reply, by frames."""
        machine = self._machine
        while True:
            data = machine.take()
            if data:
                yield data
            elif machine.ended:
                return
            else:
                self._advance()

    def done(self) -> None:
        """The reply is over, or was given up."""
        with self._lock:
            if self._idle or self._closed:
                return
            if self._machine.reuse():
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
        return late or bool(self._stream.get_extra_info("is_readable"))

    def is_idle(self) -> bool:
        """Whether nobody uses it."""
        return self._idle

    def is_closed(self) -> bool:
        """Whether it can be forgotten."""
        return self._closed

    def close(self) -> None:
        """Close the socket. Idempotent."""
        self._closed = True
        self._stream.close()

    def info(self) -> str:
        """For httpcore's `repr`."""
        return "HTTP/2, " + ("closed" if self._closed else "idle" if self._idle else "active")


class _Body:
    """The body of a reply; closing it gives the connection back."""

    def __init__(self, connection: _HTTP2) -> None:
        self._connection = connection

    def __iter__(self) -> Iterator[bytes]:
        return self._connection.chunks()

    def close(self) -> None:
        """The reply is over, or was given up. Idempotent."""
        self._connection.done()
