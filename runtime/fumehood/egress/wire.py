"""Sockets that never block for longer than 50 ms at a time.

Every wait looks at the operation's meter, so a deadline or a cancellation reaches a read, a
write, a connect or a TLS handshake within that time. TLS runs over memory buffers on top of the
same streams, which also gives TLS through a TLS proxy.
"""

from __future__ import annotations

import contextlib
import functools
import math
import os
import select
import socket
import ssl
import time
from collections.abc import Callable
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any, Final

import httpcore

from fumehood.egress.resolver import POLL
from fumehood.egress.url import URL, IPAddress
from fumehood.errors import TransportError
from fumehood.meter import Meter

_READ: Final = "read"
_WRITE: Final = "write"
_TLS_BLOCK: Final = 64 * 1024
HEAD_READ: Final = 4 * 1024
"""Bytes of one read until the reply's head is there. The parser does not look at the clock between
two interim replies, and each takes it some tens of microseconds."""


@dataclass(slots=True)
class Operation:
    """What the wire must know of the request it works for: set around every entry into httpcore."""

    meter: Meter
    url: URL
    connect_until: float
    dialled: bool = False
    """Whether a connection was made for it; else it went out on one that was kept alive."""
    headed: bool = False
    """Whether the head of the reply is there."""

    @classmethod
    def begin(cls, meter: Meter, url: URL) -> Operation:
        """The operation of one request; `connect_time` starts now."""
        return cls(meter, url, time.monotonic() + meter.limits.connect_time)

    def idle(self) -> Callable[[], float]:
        """A check for one wait for the peer: the deadline, cancellation and `idle_time`."""
        limit = self.meter.limits.idle_time
        until = time.monotonic() + limit
        return lambda: self._left(until, f"{self.url.host} was silent for {limit:g} s")

    def connecting(self) -> float:
        """Seconds left for name, connection and handshake; raises as `idle` does."""
        self.dialled = True
        limit = self.meter.limits.connect_time
        return self._left(
            self.connect_until, f"{self.url.host} was not connected within {limit:g} s"
        )

    def _left(self, until: float, message: str) -> float:
        left = self.meter.remaining()
        mine = until - time.monotonic()
        if mine <= 0:
            raise TransportError(message, kind="timeout")
        return min(left, mine)


current: ContextVar[Operation] = ContextVar("fumehood_egress_operation")
"""The operation of this thread; connections outlive it and serve the next one."""


def _ready(sock: socket.socket, way: str, seconds: float) -> bool:
    """Wait until the socket can be read or written, or `seconds` passed."""
    if hasattr(select, "poll"):
        poll = select.poll()
        poll.register(sock, select.POLLIN if way == _READ else select.POLLOUT)
        return bool(poll.poll(math.ceil(seconds * 1000)))
    readers, writers = ([sock], []) if way == _READ else ([], [sock])
    return any(select.select(readers, writers, [sock], seconds))


def _wait(sock: socket.socket, way: str, check: Callable[[], float]) -> None:
    while not _ready(sock, way, min(POLL, check())):
        pass


def connect(address: IPAddress, port: int, check: Callable[[], float]) -> socket.socket:
    """A non-blocking TCP connection to exactly this address. Raises OSError and what `check`
    raises."""
    family = socket.AF_INET if address.version == 4 else socket.AF_INET6
    sock = socket.socket(family, socket.SOCK_STREAM)
    try:
        sock.setblocking(False)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        with contextlib.suppress(BlockingIOError):
            sock.connect((str(address), port))
        _wait(sock, _WRITE, check)
        code = sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        if code:
            raise OSError(code, os.strerror(code))
    except BaseException:
        sock.close()
        raise
    return sock


class SocketStream(httpcore.NetworkStream):
    """A connected non-blocking socket; httpcore's own timeouts are not used."""

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        """Bytes, or none at the end of the stream."""
        operation = current.get()
        size = max_bytes if operation.headed else min(max_bytes, HEAD_READ)
        return self.read_within(size, operation.idle())

    def read_within(self, max_bytes: int, check: Callable[[], float]) -> bytes:
        """As `read`, waiting as long as `check` allows."""
        while True:
            check()  # a peer that always has bytes ready must not keep us from looking
            try:
                return self._sock.recv(max_bytes)
            except (BlockingIOError, InterruptedError):
                _wait(self._sock, _READ, check)
            except OSError as problem:
                raise httpcore.ReadError(str(problem)) from None

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        """Send all of `buffer`; each step may wait `idle_time`."""
        self.write_within(buffer, current.get().idle)

    def write_within(self, buffer: bytes, begin: Callable[[], Callable[[], float]]) -> None:
        """As `write`; `begin` gives the check of each step."""
        view = memoryview(buffer)
        while view:
            try:
                view = view[self._sock.send(view) :]
            except (BlockingIOError, InterruptedError):
                _wait(self._sock, _WRITE, begin())
            except OSError as problem:
                raise httpcore.WriteError(str(problem)) from None

    def close(self) -> None:
        """Close the socket. Idempotent."""
        self._sock.close()

    def start_tls(
        self,
        ssl_context: ssl.SSLContext,
        server_hostname: str | None = None,
        timeout: float | None = None,
    ) -> httpcore.NetworkStream:
        """TLS over this stream, verified against `server_hostname`; closes it on failure."""
        return TLSStream.handshake(self, ssl_context, server_hostname)

    def get_extra_info(self, info: str) -> Any:
        """`is_readable` is what the pool asks of an idle connection: readable means ended."""
        if info == "is_readable":
            return self._sock.fileno() < 0 or _ready(self._sock, _READ, 0)
        return None


class TLSStream(httpcore.NetworkStream):
    """TLS over another of our streams."""

    def __init__(
        self,
        raw: SocketStream | TLSStream,
        tls: ssl.SSLObject,
        incoming: ssl.MemoryBIO,
        outgoing: ssl.MemoryBIO,
    ) -> None:
        self._raw = raw
        self._tls = tls
        self._in = incoming
        self._out = outgoing

    @classmethod
    def handshake(
        cls, raw: SocketStream | TLSStream, context: ssl.SSLContext, hostname: str | None
    ) -> TLSStream:
        """Perform the handshake within `connect_time`. Raises TransportError(kind="tls")."""
        operation = current.get()
        name = (hostname or "").strip("[]")
        try:
            incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
            tls = context.wrap_bio(incoming, outgoing, server_hostname=name)
            stream = cls(raw, tls, incoming, outgoing)
            stream._drive(tls.do_handshake, operation.connecting, lambda: operation.connecting)
        except ssl.SSLCertVerificationError as problem:
            raw.close()
            raise TransportError(
                f"the certificate of {name} is not valid: {problem.verify_message}", kind="tls"
            ) from None
        except (ssl.SSLError, ValueError, httpcore.ReadError, httpcore.WriteError) as problem:
            raw.close()
            reason = getattr(problem, "reason", None) or str(problem) or "connection lost"
            raise TransportError(f"no TLS with {name}: {reason}", kind="tls") from None
        except BaseException:
            raw.close()
            raise
        return stream

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        """Bytes, or none at the end of the stream."""
        operation = current.get()
        size = max_bytes if operation.headed else min(max_bytes, HEAD_READ)
        return self.read_within(size, operation.idle())

    def read_within(self, max_bytes: int, check: Callable[[], float]) -> bytes:
        """As `read`, waiting as long as `check` allows."""
        try:
            data: bytes = self._drive(lambda: self._tls.read(max_bytes), check, lambda: check)
        except ssl.SSLZeroReturnError:
            data = b""
        except ssl.SSLEOFError:
            # Ended without the closing alert: a body with a length or chunks knows by itself
            # whether it is whole; one that ends with the connection cannot be trusted to be.
            raise httpcore.ReadError("the TLS connection was cut off") from None
        except ssl.SSLError as problem:
            raise httpcore.ReadError(problem.reason or "TLS failed") from None
        return data

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        """Send all of `buffer`; each step may wait `idle_time`."""
        self.write_within(buffer, current.get().idle)

    def write_within(self, buffer: bytes, begin: Callable[[], Callable[[], float]]) -> None:
        """As `write`; `begin` gives the check of each step."""
        view = memoryview(buffer)
        try:
            while view:
                step = functools.partial(self._tls.write, view[:_TLS_BLOCK])
                view = view[self._drive(step, begin(), begin) :]
        except ssl.SSLError as problem:
            raise httpcore.WriteError(problem.reason or "TLS failed") from None

    def close(self) -> None:
        """Close the connection, without waiting for the peer's closing alert."""
        self._raw.close()

    def start_tls(
        self,
        ssl_context: ssl.SSLContext,
        server_hostname: str | None = None,
        timeout: float | None = None,
    ) -> httpcore.NetworkStream:
        """TLS inside this TLS: the way through a TLS proxy."""
        return TLSStream.handshake(self, ssl_context, server_hostname)

    def get_extra_info(self, info: str) -> Any:
        """`ssl_object` for the negotiated protocol, `is_readable` as the socket's."""
        if info == "ssl_object":
            return self._tls
        return self._raw.get_extra_info(info)

    def _drive(
        self,
        step: Callable[[], Any],
        check: Callable[[], float],
        begin: Callable[[], Callable[[], float]],
    ) -> Any:
        """Run one TLS operation, moving bytes between its buffers and the raw stream."""
        while True:
            try:
                result = step()
            except ssl.SSLWantReadError:
                self._flush(begin)
                data = self._raw.read_within(_TLS_BLOCK, check)
                if data:
                    self._in.write(data)
                else:
                    self._in.write_eof()
            except ssl.SSLError:
                with contextlib.suppress(httpcore.WriteError):
                    self._flush(begin)  # the alert that tells the peer why
                raise
            else:
                self._flush(begin)
                return result

    def _flush(self, begin: Callable[[], Callable[[], float]]) -> None:
        data = self._out.read()
        if data:
            self._raw.write_within(data, begin)
