"""Connections: pools by grant and scheme on our own network back end.

The back end dials the address that was decided on, never a name, while Host, SNI and certificate
check keep the name. Pools are keyed by grant, so a connection that is kept alive never serves an
entry that was not granted its address.
"""

from __future__ import annotations

import functools
import os
import socket
import ssl
import threading
import time
import weakref
from base64 import b64encode
from collections import OrderedDict
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import unquote

import certifi
import httpcore

from fumehood.egress.policy import Grant, decide_address
from fumehood.egress.pool import Pool
from fumehood.egress.resolver import Resolver
from fumehood.egress.url import URL, IPAddress, parse_url
from fumehood.egress.wire import Operation, SocketStream, connect, current
from fumehood.errors import ClosedError, ConfigError, EgressDenied, TransportError

POOLS: Final = 64
"""Idle pools that are kept."""

KEPT_ALIVE: Final = 8
"""Idle connections of one pool."""

KEEP_TIME: Final = 15.0
"""Seconds that a connection stays idle."""

ATTEMPTS: Final = 4
"""Addresses of one name that are tried."""


@dataclass(frozen=True, slots=True)
class Proxy:
    """The operator's proxy. With one, the address check applies to it and not to the targets."""

    url: URL
    grant: Grant = field(repr=False)
    authorization: bytes | None = field(default=None, repr=False)

    @classmethod
    def parse(cls, text: str, private: Iterable[str] = ()) -> Proxy:
        """`http://[user:password@]host:port`, or `https://…`.

        A proxy given by address or as `localhost` may have any address, a name only a public one
        or one in `private`. Raises ConfigError.
        """
        head, mark, rest = text.partition("://")
        userinfo, at, host = rest.rpartition("@")
        try:
            url = parse_url(f"{head}{mark}{host}")
        except ValueError as problem:
            raise ConfigError(
                f"network.proxy cannot be used: {problem}",
                problems=[("network.proxy", str(problem))],
            ) from None
        grant = Grant.of(base_url=url.origin, private=private)
        basic = b"Basic " + b64encode(unquote(userinfo).encode()) if at else None
        return cls(url, grant, basic)


@dataclass(frozen=True, slots=True)
class Network:
    """What the operator says about the network: a CA file that replaces the bundle, a proxy
    (`proxy_private`: networks that its name may resolve to), and whether to ask for HTTP/2.

    `check` it before use.
    """

    ca_file: str | None = None
    proxy: str | None = field(default=None, repr=False)  # may hold a password
    proxy_private: tuple[str, ...] = ()
    http2: bool = False

    def check(self) -> Proxy | None:
        """The proxy, parsed. Raises ConfigError for what cannot be used, now and not at the first
        request."""
        if self.http2:
            try:
                import h2  # noqa: F401 - only looked for
            except ImportError:
                raise ConfigError(
                    "network.http2 needs the package h2",
                    problems=[("network.http2", "the package h2 is not installed")],
                    hint="pip install 'fumehood[http2]'",
                ) from None
        if self.ca_file is not None:
            tls_context(self.ca_file)
        return Proxy.parse(self.proxy, self.proxy_private) if self.proxy is not None else None


@functools.lru_cache(maxsize=8)
def tls_context(ca_file: str | None, http2: bool = False) -> ssl.SSLContext:
    """A verifying context: the CA bundle that ships with httpx, or the operator's instead.

    The environment (`SSL_CERT_FILE`) has no say. With `http2` that is offered first. Raises
    ConfigError for a file that is no bundle.
    """
    try:
        context = ssl.create_default_context(cafile=ca_file or certifi.where())
    except (OSError, ValueError) as problem:
        raise ConfigError(
            f"network.ca_file cannot be used: {problem}",
            problems=[("network.ca_file", str(problem))],
        ) from None
    context.set_alpn_protocols(["h2", "http/1.1"] if http2 else ["http/1.1"])
    return context


class Backend(httpcore.NetworkBackend):
    """Dials for one grant: resolves, decides on each address, connects to one that passed."""

    def __init__(
        self,
        grant: Grant,
        resolver: Resolver,
        proxy: Proxy | None,
        opened: Callable[[SocketStream], None],
    ) -> None:
        self._opened = opened
        self._grant = grant
        self._resolver = resolver
        self._proxy = proxy

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.NetworkStream:
        """A stream to a checked address of the current operation's host (or of the proxy)."""
        operation = current.get()
        url = self._proxy.url if self._proxy else operation.url
        if host != url.bracketed or port != url.port:
            raise TransportError(f"{host}:{port} is not what was decided on", kind="protocol")
        grant = self._proxy.grant if self._proxy else self._grant
        addresses = self._addresses(grant, url, operation)
        stream = SocketStream(self._dial(url, addresses, operation))
        self._opened(stream)
        return stream

    def _addresses(self, grant: Grant, url: URL, operation: Operation) -> list[IPAddress]:
        if url.address is not None:
            return granted(grant, url, [url.address])
        found = self._resolver.resolve(url.host, url.port, operation.connecting)
        return granted(grant, url, found)

    @staticmethod
    def _dial(url: URL, addresses: list[IPAddress], operation: Operation) -> socket.socket:
        """Try each address with its share of `connect_time`."""
        problem: Exception = TransportError(f"{url.host} has no address", kind="dns")
        for position, address in enumerate(addresses):
            seconds = operation.connecting() / (len(addresses) - position)
            try:
                return connect(address, url.port, share(operation, seconds))
            except TransportError as error:
                operation.connecting()  # the whole time is up: say so instead
                problem = error
            except OSError as error:
                reason = error.strerror or str(error)
                problem = TransportError(
                    f"no connection to {url.host}:{url.port}: {reason}", kind="connect"
                )
        raise problem


def granted(grant: Grant, url: URL, found: list[IPAddress]) -> list[IPAddress]:
    """The addresses that `url` may be dialled at, in order. Raises EgressDenied where all of
    them are refused."""
    passed: list[IPAddress] = []
    refused: EgressDenied | None = None
    for address in found:
        try:
            decide_address(grant, url, address)
        except EgressDenied as denial:
            refused = refused or denial
        else:
            passed.append(address)
    if refused is not None and not passed:
        raise refused
    return passed[:ATTEMPTS]


def share(operation: Operation, seconds: float) -> Callable[[], float]:
    """A check for one attempt among several."""
    until = time.monotonic() + seconds

    def check() -> float:
        left = operation.connecting()
        mine = until - time.monotonic()
        if mine <= 0:
            raise TransportError(f"{operation.url.host} did not answer", kind="timeout")
        return min(left, mine)

    return check


@dataclass(slots=True)
class Lease:
    """A pool with the number of those who use it."""

    pool: Pool
    users: int = 0


class Pools:
    """The pools of one client, by grant and scheme. Thread-safe."""

    def __init__(self, resolver: Resolver, network: Network) -> None:
        self._resolver = resolver
        self._proxy = network.check()
        self._ca_file = network.ca_file
        self._http2 = network.http2
        self._lock = threading.Lock()
        self._entries: OrderedDict[tuple[Grant, str], Lease] = OrderedDict()
        self._closed = False
        self._streams: weakref.WeakSet[SocketStream] = weakref.WeakSet()
        _living.add(self)

    def acquire(self, grant: Grant, scheme: str) -> Lease:
        """The pool for `grant`; give it back with `release`. Raises ClosedError."""
        key = (grant, scheme)
        with self._lock:
            if self._closed:
                raise ClosedError("the client is closed")
            entry = self._entries.get(key)
            if entry is None:
                entry = self._entries[key] = Lease(self._make(grant, scheme))
            elif len(self._entries) > 1:
                self._entries.move_to_end(key)
            entry.users += 1
            if len(self._entries) > POOLS:
                idle = [k for k, e in self._entries.items() if not e.users]
                self._drop(idle[: len(self._entries) - POOLS])
            return entry

    def release(self, lease: Lease) -> None:
        """The other half of `acquire`."""
        with self._lock:
            lease.users -= 1

    def close(self) -> None:
        """Close every connection. Idempotent."""
        with self._lock:
            self._closed = True
            self._drop(list(self._entries))

    def forked(self) -> None:
        """Forget every connection, in the child of a fork: the parent goes on using them.

        Takes no lock, since a thread that is gone may hold it, and only closes our copies.
        """
        self._lock = threading.Lock()
        self._entries = OrderedDict()
        for stream in list(self._streams):
            stream.close()

    def _drop(self, keys: list[tuple[Grant, str]]) -> None:
        for key in keys:
            self._entries.pop(key).pool.close()

    def _make(self, grant: Grant, scheme: str) -> Pool:
        backend = Backend(grant, self._resolver, self._proxy, self._streams.add)
        return Pool(
            ssl_context=tls_context(self._ca_file, self._http2) if scheme == "https" else None,
            max_keepalive_connections=KEPT_ALIVE,
            keepalive_expiry=KEEP_TIME,
            network_backend=backend,
            proxy=self._via(),
        )

    def _via(self) -> httpcore.Proxy | None:
        """The proxy, in httpcore's words."""
        if self._proxy is None:
            return None
        url, basic = self._proxy.url, self._proxy.authorization
        return httpcore.Proxy(
            httpcore.URL(scheme=url.scheme, host=url.bracketed, port=url.port, target="/"),
            headers=[(b"Proxy-Authorization", basic)] if basic else None,
            ssl_context=tls_context(self._ca_file) if url.scheme == "https" else None,
        )


_living: Final[weakref.WeakSet[Pools]] = weakref.WeakSet()


def _forked() -> None:
    for pools in list(_living):
        pools.forked()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forked)
