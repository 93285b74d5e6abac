"""`AsyncClient`: the way out for event loops, the twin of `client.Client`.

What is decided, sent and kept is the same code (`policy`, `exchange`, `decode`, `secrets`); only
the waiting differs. What takes long for large bodies (scanning, inflating, scrubbing) is done on
a thread, so that no reply holds the event loop up.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import AsyncGenerator, Callable, Iterable, Iterator
from types import TracebackType
from typing import Any, Final, Self, TypeVar

from anyio import to_thread
from anyio.lowlevel import EventLoopToken, checkpoint, current_token

from fumehood import forks
from fumehood.abi.http import HTTPRequest, HTTPResponse
from fumehood.egress.apools import AnyConnection, AsyncPools
from fumehood.egress.awire import Waits
from fumehood.egress.decode import BoundedBody, BoundedStream
from fumehood.egress.exchange import (
    CHUNK_CAP,
    Lines,
    RawHeaders,
    decide_request,
    open_reply,
    redirect,
    reply_headers,
    scrubbed,
    wire_headers,
)
from fumehood.egress.failures import boundary, translated
from fumehood.egress.policy import Grant, Headers, Target
from fumehood.egress.resolver import Resolver, SystemResolver
from fumehood.egress.secrets import NO_SECRETS, Secrets
from fumehood.egress.transport import Network
from fumehood.egress.wire import Operation
from fumehood.errors import (
    ClosedError,
    TooMuch,
    TransportError,
    UsageError,
)
from fumehood.limits import Exchange
from fumehood.meter import Meter

_T = TypeVar("_T")

INLINE: Final = 64 * 1024
"""Bytes of a body that are worked on where they arrive; more go to a thread."""

INLINE_CODED: Final = 512
"""The same of a compressed body: up to a thousand times that comes out."""


class AsyncClient:
    """Sends requests of guests on one event loop (asyncio or trio), the one of its first request.

    Arguments as for `Client`. Owns its connections until `close`, which may be called anywhere
    once no request is under way. A request whose task is cancelled closes its socket at once.
    """

    def __init__(
        self,
        *,
        ca_file: str | None = None,
        proxy: str | None = None,
        proxy_private: Iterable[str] = (),
        http2: bool = False,
        resolver: Resolver | None = None,
    ) -> None:
        network = Network(ca_file, proxy, tuple(proxy_private), http2)
        self._pools = AsyncPools(resolver or SystemResolver(), network)
        self._loop: EventLoopToken | None = None
        self._closed = False
        forks.watch(self)

    def forked(self) -> None:
        """This is the child of a fork: it may use this on a loop of its own."""
        self._loop = None
        self._pools.forked()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close every connection. Idempotent; later requests raise ClosedError."""
        self._closed = True
        self._pools.close()

    async def send(
        self,
        request: HTTPRequest,
        grant: Grant,
        meter: Meter,
        *,
        secrets: Secrets | None = None,
        follow: int = 0,
    ) -> HTTPResponse:
        """Send one request and read the whole reply. As `Client.send`."""
        secrets = secrets or NO_SECRETS
        limit = meter.limits.request_bytes
        body = request.body
        self._check()
        with boundary(secrets, meter):
            target = await _worked(len(body), decide_request, grant, request, limit)
            for left in range(follow, -1, -1):
                reply = await self._whole(target, body, grant, meter, secrets)
                following = redirect(grant, target, body, reply, limit) if follow else None
                if following is None:
                    return reply
                if left:
                    target, body = following
            raise TransportError(f"more than {follow} redirects", kind="protocol")

    async def stream(
        self,
        request: HTTPRequest,
        grant: Grant,
        meter: Meter,
        *,
        secrets: Secrets | None = None,
    ) -> AsyncResponseStream:
        """Send one request and read the head of the reply. As `Client.stream`."""
        secrets = secrets or NO_SECRETS
        self._check()
        with boundary(secrets, meter):
            limit = meter.limits.request_bytes
            target = await _worked(len(request.body), decide_request, grant, request, limit)
            exchange = await _Exchange.begin(
                self._pools, target, request.body, grant=grant, meter=meter, secrets=secrets
            )
            try:
                return AsyncResponseStream(exchange, secrets)
            except BaseException:
                exchange.close()
                raise

    async def _whole(
        self, target: Target, body: bytes, grant: Grant, meter: Meter, secrets: Secrets
    ) -> HTTPResponse:
        exchange = await _Exchange.begin(
            self._pools, target, body, grant=grant, meter=meter, secrets=secrets
        )
        with contextlib.closing(exchange):
            coding = exchange.coding
            inline = INLINE_CODED if coding else INLINE
            collected = BoundedBody(coding, meter.limits.response_bytes)
            while (chunk := await exchange.read()) is not None:
                if coding and len(chunk) > inline:
                    await _worked(INLINE + 1, collected.feed, chunk)
                else:
                    collected.feed(chunk)

            def finish() -> HTTPResponse:
                plain = collected.finish()
                content = scrubbed(secrets, plain, meter.remaining)
                rewritten = coding is not None or len(content) != len(plain)
                headers = reply_headers(exchange.raw_headers, secrets, rewritten=rewritten)
                return HTTPResponse(exchange.status, headers, content, exchange.version)

            size = INLINE + 1 if exchange.received > inline else 0
            return await _worked(size, finish)

    def _check(self) -> None:
        if self._closed:
            raise ClosedError("the client is closed")
        token = current_token()
        if self._loop is None:
            self._loop = token
        elif self._loop != token:
            raise UsageError(
                "this client belongs to another event loop", hint="open one for each event loop"
            )


async def _worked(size: int, call: Callable[..., _T], *arguments: Any) -> _T:
    """`call(*arguments)`: here where it concerns few bytes, else on a thread."""
    if size <= INLINE:
        return call(*arguments)
    return await to_thread.run_sync(call, *arguments)


class _Exchange:
    """One request and its reply on one connection: head read, body to come.

    Owns the connection until `close`, which also writes the line of the receipt.
    """

    def __init__(
        self, pools: AsyncPools, target: Target, body: bytes, grant: Grant, meter: Meter
    ) -> None:
        self.meter = meter
        self.status = 0
        self.received = 0
        self._pools = pools
        self._grant = grant
        self._url = target.url
        self._method = target.method
        self._sent = len(body)
        self._waits = Waits(Operation.begin(meter, target.url))
        self._began = time.monotonic()
        self._connection: AnyConnection | None = None
        self._closed = False
        self.coding: str | None = None
        self.raw_headers: RawHeaders = []
        self.version = ""

    @classmethod
    async def begin(
        cls,
        pools: AsyncPools,
        target: Target,
        body: bytes,
        *,
        grant: Grant,
        meter: Meter,
        secrets: Secrets,
    ) -> _Exchange:
        """Send the request, read the reply's head."""
        sent = await _worked(len(body), secrets.substitute, target, body)
        meter.remaining()
        meter.http_request()
        exchange = cls(pools, target, body, grant, meter)
        try:
            await exchange._send(sent, body)
        except BaseException:
            exchange.close()
            raise
        return exchange

    async def _send(self, sent: Target, body: bytes) -> None:
        headers = wire_headers(sent, body)
        limit = self.meter.limits.response_bytes
        while True:
            waits = self._waits
            try:
                with translated(self._url.host):
                    connection = self._connection = self._pools.take(
                        self._grant, self._url
                    ) or await self._pools.open(self._grant, self._url, waits)
                    await connection.request(waits, sent.method, sent.url.target, headers, body)
                break
            except TransportError as lost:
                # On a connection that was kept alive the request goes out once more; see Client.
                if lost.kind != "reset" or waits.operation.dialled:
                    raise
                if self._connection is not None:
                    self._connection.close()
                waits.close()
                self._waits = Waits(Operation.begin(self.meter, self._url))
        self.status = connection.status
        self.raw_headers = connection.headers
        self.version = connection.version
        self.coding = open_reply(self.status, self.raw_headers, sent.method, limit)

    async def read(self) -> bytes | None:
        """The next raw bytes of the body, or None at its end."""
        self.meter.remaining()
        connection = self._connection
        assert connection is not None
        with translated(self._url.host):
            chunk = await connection.read(self._waits)
        if connection.pieces > CHUNK_CAP:
            raise TooMuch(
                f"the reply comes in more than {CHUNK_CAP} pieces", limit="response_bytes"
            )
        if chunk is not None:
            self.received += len(chunk)
        return chunk

    def close(self) -> None:
        """Give the connection back, or close it where the reply was not read to its end. Needs no
        event loop. Idempotent."""
        if self._closed:
            return
        self._closed = True
        self._waits.close()
        if self._connection is not None:
            self._pools.give(self._grant, self._url, self._connection)
        self.meter.exchanges.append(
            Exchange(
                self._method,
                self._url.host,
                self._url.port,
                self.status or None,
                self._sent,
                self.received,
                time.monotonic() - self._began,
            )
        )


class AsyncResponseStream:
    """A reply whose body comes by and by: decoded, bounded, scrubbed. As `ResponseStream`; nothing
    is read before it is asked for, so a slow reader slows the sender."""

    def __init__(
        self,
        exchange: _Exchange,
        secrets: Secrets = NO_SECRETS,
    ) -> None:
        self._exchange = exchange
        self._secrets = secrets
        self._scrub = secrets.stream()
        self._body = BoundedStream(exchange.coding, exchange.meter.limits.response_bytes)
        self._pieces: Iterator[bytes] = iter(())
        self._ended = False
        self._closed = False
        self.status = exchange.status
        self.version = exchange.version
        self.headers: Headers = reply_headers(
            exchange.raw_headers, secrets, rewritten=exchange.coding is not None or bool(secrets)
        )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def __del__(self) -> None:
        if not getattr(self, "_closed", True):
            self.close()

    def close(self) -> None:
        """Give up what was not read. Needs no event loop. Idempotent."""
        if not self._closed:
            self._closed = True
            self._exchange.close()

    async def read(self) -> bytes:
        """The next bytes of the body, at most 64 KiB; none at its end. As `ResponseStream.read`."""
        if self._closed and not self._ended:
            raise ClosedError("the reply is closed")
        try:
            with boundary(self._secrets, self._exchange.meter):
                while not self._ended:
                    data = await self._step()
                    if data:
                        return data
        except BaseException:
            self.close()
            raise
        self.close()
        return b""

    async def lines(self) -> AsyncGenerator[bytes, None]:
        """The body by lines. As `ResponseStream.lines`; close it where it is left early
        (`contextlib.aclosing`)."""
        lines = Lines(self._exchange.meter.limits.response_bytes)
        try:
            while chunk := await self.read():
                for line in lines.feed(chunk):
                    yield line
        except TooMuch:
            self.close()
            raise
        if rest := lines.rest():
            yield rest

    async def _step(self) -> bytes:
        """Move on by one piece; may give nothing yet."""
        piece = next(self._pieces, None)
        if piece is not None:
            if self._exchange.coding:
                await checkpoint()  # one read may inflate to a thousand pieces
            return self._scrub.feed(piece)
        chunk = await self._exchange.read()
        if chunk is None:
            self._body.finish()
            self._ended = True
            return self._scrub.finish()
        self._pieces = self._body.feed(chunk)
        return b""
