"""httpcore's pool with connections of our own (see `kept`), dialled by `transport`'s back end."""

from __future__ import annotations

import ssl
import threading

import httpcore

from fumehood.egress.connection1 import HTTP1
from fumehood.egress.kept import Kept


class Pool(httpcore.ConnectionPool):
    """A pool for origins of one scheme.

    `network_backend` dials; `ssl_context` says which versions of HTTP an `https` server is
    offered. Through `proxy` a tunnel leads to such an origin, and requests to others are forwarded.
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
        super().__init__(
            # No limit on open connections: waiting for one could not be cancelled, and callers are
            # bounded by their own threads.
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
        return _Dialled(self, origin)

    def dial(self, origin: httpcore.Origin) -> Kept:
        """A connection to `origin`, in what its handshake agreed on."""
        name = origin.host.decode("ascii")
        if origin.scheme == b"http":
            forward = self._via
            stream = self._to_proxy(forward) if forward else self._connect(name, origin.port)
            return HTTP1(origin, stream, self._expiry, forward)
        stream = self._tunnel(self._via, origin) if self._via else self._connect(name, origin.port)
        assert self._context is not None
        stream = stream.start_tls(self._context, name)
        if stream.get_extra_info("ssl_object").selected_alpn_protocol() != "h2":
            return HTTP1(origin, stream, self._expiry)
        from fumehood.egress.connection2 import HTTP2

        return HTTP2(origin, stream, self._expiry)

    def _connect(self, name: str, port: int) -> httpcore.NetworkStream:
        return self._backend.connect_tcp(name, port)

    def _to_proxy(self, proxy: httpcore.Proxy) -> httpcore.NetworkStream:
        name = proxy.url.host.decode("ascii")
        stream = self._connect(name, proxy.url.origin.port)
        return stream.start_tls(proxy.ssl_context, name) if proxy.ssl_context else stream

    def _tunnel(self, proxy: httpcore.Proxy, origin: httpcore.Origin) -> httpcore.NetworkStream:
        """Have the proxy connect us to the origin. Raises httpcore.ProxyError."""
        stream = self._to_proxy(proxy)
        url, target = proxy.url, b"%b:%d" % (origin.host, origin.port)
        asked = httpcore.Request(
            "CONNECT",
            httpcore.URL(scheme=url.scheme, host=url.host, port=url.port, target=target),
            headers=[(b"Host", target), (b"Accept", b"*/*"), *proxy.headers],
        )
        connection = HTTP1(url.origin, stream, self._expiry)
        try:
            connection.exchange(asked, b"")
            if not 200 <= connection.status <= 299:
                raise httpcore.ProxyError(f"{connection.status} {connection.reason}")
        except BaseException:
            connection.close()
            raise
        return stream


class _Dialled(httpcore.ConnectionInterface):
    """A connection that is not there yet, and then the one that is."""

    def __init__(self, pool: Pool, origin: httpcore.Origin) -> None:
        self._pool = pool
        self._origin = origin
        self._begun = threading.Lock()
        self._inner: Kept | None = None
        self._closed = False

    def handle_request(self, request: httpcore.Request) -> httpcore.Response:
        """Send a request, read the head of its reply."""
        if self._inner is None:
            # Nobody waits for another's handshake: whoever comes second gets a connection anew.
            if not self._begun.acquire(blocking=False):
                raise httpcore.ConnectionNotAvailable
            try:
                self._inner = self._pool.dial(self._origin)
            except BaseException:
                self._closed = True
                raise
        return self._inner.handle_request(request)

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
