"""The one way out: decide, put secrets in, dial the checked address, bound the reply."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from types import TracebackType
from typing import Self

from fumehood.abi.http import HTTPRequest, HTTPResponse
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
from fumehood.egress.failures import boundary, translate
from fumehood.egress.kept import Kept, Request
from fumehood.egress.policy import Grant, Headers, Target
from fumehood.egress.resolver import Resolver, SystemResolver
from fumehood.egress.secrets import NO_SECRETS, Secrets
from fumehood.egress.transport import Lease, Network, Pools
from fumehood.egress.wire import Operation, current
from fumehood.errors import (
    ClosedError,
    TooMuch,
    TransportError,
)
from fumehood.limits import Exchange
from fumehood.meter import Meter


class Client:
    """Sends requests of guests. Thread-safe; owns its connections until `close`.

    `ca_file` replaces the CA bundle; `proxy` is the operator's (`proxy_private`: networks its
    name may resolve to); with `http2` servers are offered HTTP/2, which needs the package h2;
    `resolver` is for tests. The environment (proxies, `.netrc`, CA
    variables) has no say, and there are no cookies. Raises ConfigError.
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
        self._pools = Pools(resolver or SystemResolver(), network)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close every connection. Idempotent; later requests raise ClosedError."""
        self._pools.close()

    def send(
        self,
        request: HTTPRequest,
        grant: Grant,
        meter: Meter,
        *,
        secrets: Secrets | None = None,
        follow: int = 0,
    ) -> HTTPResponse:
        """Send one request and read the whole reply, decoded and scrubbed.

        At most `follow` redirects, each decided and dialled anew and counted as a request; with 0
        a redirect is returned like any reply. Raises EgressDenied, TransportError, Timeout,
        Cancelled, TooMuch or ClosedError, and appends every exchange to `meter.exchanges`.
        """
        secrets = secrets or NO_SECRETS
        limits = meter.limits
        body = request.body
        with boundary(secrets, meter):
            target = decide_request(grant, request, limits.request_bytes)
            for left in range(follow, -1, -1):
                reply = self._whole(target, body, grant, meter, secrets)
                following = (
                    redirect(grant, target, body, reply, limits.request_bytes) if follow else None
                )
                if following is None:
                    return reply
                if left:
                    target, body = following
            raise TransportError(f"more than {follow} redirects", kind="protocol")

    def stream(
        self,
        request: HTTPRequest,
        grant: Grant,
        meter: Meter,
        *,
        secrets: Secrets | None = None,
    ) -> ResponseStream:
        """Send one request and read the head of the reply; the body comes by and by.

        The caller closes the stream. Raises as `send` does; redirects are returned.
        """
        secrets = secrets or NO_SECRETS
        with boundary(secrets, meter):
            target = decide_request(grant, request, meter.limits.request_bytes)
            exchange = _Exchange(
                self._pools, target, request.body, grant=grant, meter=meter, secrets=secrets
            )
            return ResponseStream(exchange, secrets)

    def _whole(
        self, target: Target, body: bytes, grant: Grant, meter: Meter, secrets: Secrets
    ) -> HTTPResponse:
        exchange = _Exchange(self._pools, target, body, grant=grant, meter=meter, secrets=secrets)
        try:
            collected = BoundedBody(exchange.coding, meter.limits.response_bytes)
            exchange.drain(collected.feed)
            plain = collected.finish()
            content = scrubbed(secrets, plain, meter.remaining)
            rewritten = exchange.coding is not None or len(content) != len(plain)
            headers = reply_headers(exchange.raw_headers, secrets, rewritten=rewritten)
            return HTTPResponse(exchange.status, headers, content, exchange.version)
        finally:
            exchange.close()


class _Exchange:
    """One request and its reply on one connection: head read, body to come.

    Owns the connection until `close`, which also writes the line of the receipt.
    """

    def __init__(
        self,
        pools: Pools,
        target: Target,
        body: bytes,
        *,
        grant: Grant,
        meter: Meter,
        secrets: Secrets,
    ) -> None:
        sent = secrets.substitute(target, body)
        meter.remaining()
        meter.http_request()
        url = target.url
        self.status = 0
        self.received = 0
        self._count = 0
        self._method = target.method
        self._sent = len(body)
        self._operation = Operation.begin(meter, url)
        self._began = time.monotonic()
        self._connection: Kept | None = None
        self._chunks: Iterator[bytes] = iter(())
        self._pools = pools
        lease = pools.acquire(grant, url.scheme)
        self._lease: Lease | None = lease
        try:
            self._request = request = Request(
                sent.method,
                url.scheme,
                url.bracketed,
                url.port,
                sent.url.target,
                wire_headers(sent, body),
                body,
            )
            while self._connection is None:
                try:
                    with _entered(self._operation):
                        self._connection = lease.pool.exchange(request)
                except TransportError as lost:
                    # A server may close a kept-alive connection at any time. Where it did so
                    # without a byte of reply the request goes out once more, as curl does it;
                    # each such connection is gone afterwards, so this ends with one of our own.
                    if lost.kind != "reset" or self._operation.dialled:
                        raise
                    self._operation = Operation.begin(meter, url)
            self._operation.headed = True
            self.status = self._connection.status
            self.raw_headers: RawHeaders = self._connection.headers
            self.version = self._connection.version.decode("ascii", "replace")
            limit = meter.limits.response_bytes
            self.coding = open_reply(self.status, self.raw_headers, sent.method, limit)
            self._chunks = self._connection.chunks()
        except BaseException:
            self.close()
            raise

    @property
    def meter(self) -> Meter:
        """The account that this exchange is on."""
        return self._operation.meter

    def read(self) -> bytes | None:
        """The next raw bytes of the body, or None at its end."""
        self.meter.remaining()
        with _entered(self._operation):
            chunk = next(self._chunks, None)
        if chunk is not None:
            self._counted(chunk)
        return chunk

    def drain(self, feed: Callable[[bytes], None]) -> None:
        """Give all raw bytes of the body to `feed`, as they come."""
        remaining = self.meter.remaining
        remaining()
        with _entered(self._operation):
            for chunk in self._chunks:
                self._counted(chunk)
                feed(chunk)
                remaining()

    def _counted(self, chunk: bytes) -> None:
        self.received += len(chunk)
        self._count += 1
        if self._count > CHUNK_CAP:
            raise TooMuch(
                f"the reply comes in more than {CHUNK_CAP} pieces", limit="response_bytes"
            )

    def close(self) -> None:
        """Give the connection back, or close it where the reply was not read to its end."""
        lease, self._lease = self._lease, None
        if lease is None:
            return
        try:
            if self._connection is not None:
                with _entered(self._operation):
                    lease.pool.give(self._request, self._connection)
        finally:
            self._pools.release(lease)
            self.meter.exchanges.append(
                Exchange(
                    self._method,
                    self._operation.url.host,
                    self._operation.url.port,
                    self.status or None,
                    self._sent,
                    self.received,
                    time.monotonic() - self._began,
                )
            )


class ResponseStream:
    """A reply whose body comes by and by: decoded, bounded, scrubbed.

    `status`, `headers` (lower-case names). A context manager; `close` is idempotent, and reading
    after it raises ClosedError. One thread at a time.
    """

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

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def __del__(self) -> None:
        # A stream that is dropped must not leave its connection open in the pool.
        if not getattr(self, "_closed", True):
            self.close()

    def close(self) -> None:
        """Give up what was not read. Idempotent."""
        if not self._closed:
            self._closed = True
            self._exchange.close()

    def read(self) -> bytes:
        """The next bytes of the body, at most 64 KiB or one read; none at its end.

        Raises TransportError, Timeout, Cancelled, TooMuch (`response_bytes`) or ClosedError; after
        an error the stream is closed.
        """
        if self._closed and not self._ended:
            raise ClosedError("the reply is closed")
        try:
            with boundary(self._secrets, self._exchange.meter):
                while not self._ended:
                    data = self._step()
                    if data:
                        return data
        except BaseException:
            self.close()
            raise
        self.close()
        return b""

    def _step(self) -> bytes:
        """Move on by one piece; may give nothing yet."""
        piece = next(self._pieces, None)
        if piece is not None:
            return self._scrub.feed(piece)
        chunk = self._exchange.read()
        if chunk is None:
            self._body.finish()
            self._ended = True
            return self._scrub.finish()
        self._pieces = self._body.feed(chunk)
        return b""

    def lines(self) -> Iterator[bytes]:
        """The body by lines, each with its `\\n` (and a `\\r` before it), blank ones included; the
        last may have none. Raises as `read`, and TooMuch for a line above 8 MiB."""
        lines = Lines(self._exchange.meter.limits.response_bytes)
        try:
            while chunk := self.read():
                yield from lines.feed(chunk)
        except TooMuch:
            self.close()
            raise
        if rest := lines.rest():
            yield rest


class _entered:  # noqa: N801 - used like a function; as a generator it would cost 3 µs, four times
    """Around every entry into a connection: the wire knows the operation, and httpcore's errors
    become ours."""

    __slots__ = ("_operation", "_token")

    def __init__(self, operation: Operation) -> None:
        self._operation = operation

    def __enter__(self) -> None:
        self._token = current.set(self._operation)

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        current.reset(self._token)
        if error is not None:
            translate(error, self._operation.url.host)
