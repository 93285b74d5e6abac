"""The connections of one grant and scheme, kept between exchanges and dialled by `transport`'s back
end. An exchange goes straight to a connection: httpcore's pool costs it 0.05 ms of 0.7.
"""

from __future__ import annotations

import ssl
import threading

import httpcore

from fumehood.egress.connection1 import HTTP1
from fumehood.egress.kept import Kept, Request
from fumehood.errors import ClosedError


class Pool:
    """Connections to origins of one scheme. Thread-safe.

    `network_backend` dials; `ssl_context` says which versions of HTTP an `https` server is
    offered. Through `proxy` a tunnel leads to such an origin, and requests to others are forwarded.
    There is no limit on open connections: waiting for one could not be cancelled, and callers are
    bounded by their own threads.
    """

    def __init__(
        self,
        *,
        ssl_context: ssl.SSLContext | None,
        max_keepalive_connections: int,
        keepalive_expiry: float,
        network_backend: httpcore.NetworkBackend,
        proxy: httpcore.Proxy | None = None,
    ) -> None:
        self._context = ssl_context
        self._backend = network_backend
        self._most = max_keepalive_connections
        self._expiry = keepalive_expiry
        self._via = proxy
        self._lock = threading.Lock()
        self._idle: list[tuple[str, int, Kept]] = []
        """With the host and port they lead to, the one used last at the end."""
        self._busy: set[Kept] = set()
        self._closed = False

    def exchange(self, request: Request) -> Kept:
        """Send a request and read the head of its reply; the connection is the caller's until
        `give`. Raises what the back end and httpcore raise, ClosedError."""
        connection = self._take(request.host, request.port)
        if connection is None:
            connection = self._dial(request)
            with self._lock:
                if not self._closed:
                    self._busy.add(connection)
            if self._closed:
                connection.close()
                raise ClosedError("the client is closed")
        try:
            connection.exchange(request)
        except BaseException:
            self._forget(connection)
            raise
        return connection

    def give(self, request: Request, connection: Kept) -> None:
        """The exchange is over, or was given up: keep the connection or close it. Idempotent."""
        with self._lock:
            if connection not in self._busy:
                return
        try:
            kept = connection.rest()
        except BaseException:
            self._forget(connection)
            raise
        dropped = connection
        with self._lock:
            if kept and connection in self._busy:
                self._busy.discard(connection)
                self._idle.append((request.host, request.port, connection))
                if len(self._idle) <= self._most:
                    return
                dropped = self._idle.pop(0)[2]
        self._forget(dropped)

    def close(self) -> None:
        """Close every connection, whether it is used or not. Idempotent."""
        with self._lock:
            self._closed = True
            found = [*self._busy, *(each[2] for each in self._idle)]
            self._busy.clear()
            self._idle.clear()
        for connection in found:
            connection.close()

    def _take(self, host: str, port: int) -> Kept | None:
        """An idle connection that leads there and still stands."""
        while True:
            with self._lock:
                if self._closed:
                    raise ClosedError("the client is closed")
                for index in range(len(self._idle) - 1, -1, -1):
                    there, at, connection = self._idle[index]
                    if there == host and at == port:
                        del self._idle[index]
                        self._busy.add(connection)
                        break
                else:
                    return None
            if connection.stands():
                return connection
            self._forget(connection)

    def _forget(self, connection: Kept) -> None:
        with self._lock:
            self._busy.discard(connection)
        connection.close()

    # -- dialling ---------------------------------------------------------------------------

    def _dial(self, request: Request) -> Kept:
        """A connection to the request's origin, in what its handshake agreed on."""
        name, port = request.host, request.port
        if request.scheme == "http":
            forward = self._via
            stream = self._to_proxy(forward) if forward else self._connect(name, port)
            return HTTP1(stream, self._expiry, forward)
        stream = self._tunnel(self._via, name, port) if self._via else self._connect(name, port)
        assert self._context is not None
        stream = stream.start_tls(self._context, name)
        if stream.get_extra_info("ssl_object").selected_alpn_protocol() != "h2":
            return HTTP1(stream, self._expiry)
        from fumehood.egress.connection2 import HTTP2

        return HTTP2(stream, self._expiry)

    def _connect(self, name: str, port: int) -> httpcore.NetworkStream:
        return self._backend.connect_tcp(name, port)

    def _to_proxy(self, proxy: httpcore.Proxy) -> httpcore.NetworkStream:
        name = proxy.url.host.decode("ascii")
        stream = self._connect(name, proxy.url.origin.port)
        return stream.start_tls(proxy.ssl_context, name) if proxy.ssl_context else stream

    def _tunnel(self, proxy: httpcore.Proxy, name: str, port: int) -> httpcore.NetworkStream:
        """Have the proxy connect us to the origin. Raises httpcore.ProxyError."""
        stream = self._to_proxy(proxy)
        target = f"{name}:{port}"
        headers = [(b"Host", target.encode("ascii")), (b"Accept", b"*/*"), *proxy.headers]
        connection = HTTP1(stream, self._expiry)
        try:
            connection.exchange(Request("CONNECT", "http", name, port, target, headers))
            if not 200 <= connection.status <= 299:
                raise httpcore.ProxyError(f"{connection.status} {connection.reason}")
        except BaseException:
            connection.close()
            raise
        return stream
