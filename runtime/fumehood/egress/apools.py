"""Connections of event loops: dialled to checked addresses, kept by grant and origin.

As in `transport`, the address that was decided on is dialled, never a name, and a connection that
is kept alive never serves a grant that was not given its address.
"""

from __future__ import annotations

import functools
from collections import OrderedDict, deque
from typing import TYPE_CHECKING, Final, TypeAlias

import anyio
import httpcore
from anyio import to_thread

from fumehood.egress.ahttp import Connection
from fumehood.egress.awire import TLS, Stream, Waits, connect
from fumehood.egress.policy import Grant
from fumehood.egress.resolver import LOOKUPS, Resolver
from fumehood.egress.transport import Network, Proxy, granted, share, tls_context
from fumehood.egress.url import URL, IPAddress
from fumehood.errors import TransportError

if TYPE_CHECKING:
    from fumehood.egress.ahttp2 import Connection2

IDLE: Final = 1024
"""Idle connections that are kept: as many as a busy loop uses again at once."""

_Key = tuple[Grant, str, str, int]

AnyConnection: TypeAlias = "Connection | Connection2"


class AsyncPools:
    """The connections of one client. Belongs to one event loop."""

    def __init__(self, resolver: Resolver, network: Network) -> None:
        self._resolver = resolver
        self._proxy = network.check()
        self._ca_file = network.ca_file
        self._http2 = network.http2
        self._idle: OrderedDict[_Key, deque[AnyConnection]] = OrderedDict()
        self._count = 0
        self._lookups: anyio.CapacityLimiter | None = None
        self._closed = False
        self._trusted = False

    def take(self, grant: Grant, url: URL) -> AnyConnection | None:
        """An idle connection that still stands, or None."""
        idle = self._idle.get(_key(grant, url))
        while idle:
            self._count -= 1
            connection = idle.pop()  # the one used last is the likeliest to stand
            if connection.stands():
                return connection
            connection.close()
        return None

    def give(self, grant: Grant, url: URL, connection: AnyConnection) -> None:
        """Keep a connection that can be used again; else, and beyond their number, close one."""
        if self._closed or not connection.reuse():
            connection.close()
            return
        key = _key(grant, url)
        idle = self._idle.setdefault(key, deque())
        self._idle.move_to_end(key)
        idle.append(connection)
        self._count += 1
        while self._count > IDLE:
            self._drop_oldest()
        self._forget_expired()

    async def open(self, grant: Grant, url: URL, waits: Waits) -> AnyConnection:
        """A new connection to a checked address of `url`'s host, or through the proxy."""
        proxy = self._proxy
        if url.scheme == "https" or (proxy is not None and proxy.url.scheme == "https"):
            await self._trust()
        if proxy is None:
            stream = await self._dial(grant, url, waits)
            return await self._speaking(waits, stream, url)
        stream = await self._dial(proxy.grant, proxy.url, waits)
        if proxy.url.scheme == "https":
            stream = await self._secured(waits, stream, proxy.url)
        if url.scheme == "http":
            return Connection(stream, proxy)
        try:
            await _tunnel(waits, stream, url, proxy)
        except BaseException:
            stream.close()
            raise
        return await self._speaking(waits, stream, url)

    def close(self) -> None:
        """Close every idle connection, and those that come back later. Idempotent."""
        self._closed = True
        while self._count:
            self._drop_oldest()

    def forked(self) -> None:
        """This is the child of a fork: the parent goes on using the connections."""
        self._lookups = None
        while self._count:
            self._drop_oldest()

    async def _trust(self) -> None:
        """Have the contexts made that handshakes ask for: reading a bundle takes 20 ms, once."""
        if not self._trusted:
            await to_thread.run_sync(tls_context, self._ca_file)
            if self._http2:
                await to_thread.run_sync(functools.partial(tls_context, self._ca_file, http2=True))
            self._trusted = True

    async def _speaking(self, waits: Waits, stream: Stream, url: URL) -> AnyConnection:
        """The connection to the origin itself, in what its handshake agreed on."""
        if url.scheme != "https":
            return Connection(stream)
        if not self._http2:
            return Connection(await self._secured(waits, stream, url))
        context = tls_context(self._ca_file, http2=True)
        secured = await TLS.handshake(waits, stream, context, url.bracketed)
        if secured.protocol != "h2":
            return Connection(secured)
        from fumehood.egress.ahttp2 import Connection2

        return Connection2(secured)

    async def _secured(self, waits: Waits, stream: Stream, url: URL) -> Stream:
        return await TLS.handshake(waits, stream, tls_context(self._ca_file), url.bracketed)

    async def _dial(self, grant: Grant, url: URL, waits: Waits) -> Stream:
        """Try each granted address with its share of `connect_time`."""
        operation = waits.operation
        operation.connecting()
        addresses = granted(grant, url, await self._addresses(url, waits))
        problem: Exception = TransportError(f"{url.host} has no address", kind="dns")
        for position, address in enumerate(addresses):
            seconds = operation.connecting() / (len(addresses) - position)
            try:
                return await connect(waits, address, url.port, share(operation, seconds))
            except TransportError as error:
                operation.connecting()  # the whole time is up: say so instead
                problem = error
            except OSError as error:
                reason = error.strerror or str(error)
                problem = TransportError(
                    f"no connection to {url.host}:{url.port}: {reason}", kind="connect"
                )
        raise problem

    async def _addresses(self, url: URL, waits: Waits) -> list[IPAddress]:
        if url.address is not None:
            return [url.address]
        if self._lookups is None:
            self._lookups = anyio.CapacityLimiter(LOOKUPS)
        # The thread looks at the meter all the time, and the operation's end cancels that.
        return await to_thread.run_sync(
            self._resolver.resolve,
            url.host,
            url.port,
            waits.operation.connecting,
            abandon_on_cancel=True,
            limiter=self._lookups,
        )

    def _drop(self, idle: deque[AnyConnection]) -> None:
        self._count -= 1
        idle.popleft().close()

    def _drop_oldest(self) -> None:
        key, idle = next(iter(self._idle.items()))
        if idle:
            self._drop(idle)
        if not idle:
            del self._idle[key]

    def _forget_expired(self) -> None:
        """Close what idled for too long at the origin that was used longest ago."""
        idle = next(iter(self._idle.values()))
        if not idle or idle[0].expired:
            self._drop_oldest()


async def _tunnel(waits: Waits, stream: Stream, url: URL, proxy: Proxy) -> None:
    """Have the proxy connect `stream` to `url`'s host. Raises httpcore.ProxyError."""
    target = f"{url.bracketed}:{url.port}"
    headers = [(b"host", target.encode("ascii")), (b"accept", b"*/*")]
    if proxy.authorization:
        headers.append((b"proxy-authorization", proxy.authorization))
    connection = Connection(stream)
    await connection.request(waits, "CONNECT", target, headers, b"")
    if not 200 <= connection.status <= 299:
        raise httpcore.ProxyError(f"{connection.status} {connection.reason}")


def _key(grant: Grant, url: URL) -> _Key:
    return grant, url.scheme, url.host, url.port
