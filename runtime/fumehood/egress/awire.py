"""Sockets for event loops: the asynchronous twin of `wire`.

Every wait ends with what its check leaves, with `Meter.cancel` (from any thread) and with the
cancellation of the task. Closing needs no event loop, so that a reply which is dropped, or whose
loop has ended, still gives its socket back.
"""

from __future__ import annotations

import contextlib
import errno
import functools
import os
import socket
import ssl
from collections.abc import Callable
from typing import Any, Final, Protocol

import anyio
import httpcore
from anyio.lowlevel import EventLoopToken, checkpoint, current_token

from fumehood.egress.url import IPAddress
from fumehood.egress.wire import Operation
from fumehood.errors import TransportError

_TLS_BLOCK: Final = 64 * 1024
_WRITE_BLOCK: Final = 256 * 1024
_WRITE_TURN: Final = 1024 * 1024
"""Bytes that are sent between two looks at the event loop: a peer nearby takes them as fast as they
are copied."""

Check = Callable[[], float]
"""Gives the seconds that may still be waited; raises where there are none."""


def soon(token: EventLoopToken, call: Callable[[], object]) -> None:
    """Have `call` run on the event loop of `token`. Any thread; does nothing where it ended."""
    loop: Any = token.native_token
    with contextlib.suppress(RuntimeError):
        if hasattr(loop, "call_soon_threadsafe"):
            loop.call_soon_threadsafe(call)
        else:
            loop.run_sync_soon(call)


class Waits:
    """The waits of one exchange; `close` it, since the meter knows it."""

    def __init__(self, operation: Operation) -> None:
        self.operation = operation
        self._token = current_token()
        self._scope: anyio.CancelScope | None = None
        self._remove = operation.meter.on_cancel(self._cancelled)

    def close(self) -> None:
        """The exchange is over. Idempotent."""
        self._remove()

    async def readable(self, sock: socket.socket, check: Check) -> None:
        """Wait until `sock` can be read. Raises what `check` raises."""
        await self._until(anyio.wait_readable, sock, check)

    async def writable(self, sock: socket.socket, check: Check) -> None:
        """Wait until `sock` can be written. Raises what `check` raises."""
        await self._until(anyio.wait_writable, sock, check)

    async def _until(self, ready: Any, sock: socket.socket, check: Check) -> None:
        while True:
            with anyio.move_on_after(check()) as self._scope:
                await ready(sock)
                return

    def _cancelled(self) -> None:
        soon(self._token, self._wake)

    def _wake(self) -> None:
        if self._scope is not None:
            self._scope.cancel()


class Stream(Protocol):
    """A connection's bytes; httpcore's exceptions say how it was lost."""

    async def read(self, waits: Waits, size: int, check: Check | None = None) -> bytes:
        """At most `size` bytes, none at the end; waits `idle_time` unless `check` is given."""

    async def write(self, waits: Waits, data: bytes, begin: Callable[[], Check]) -> None:
        """All of `data`; `begin` gives the check of each wait."""

    def ended(self) -> bool:
        """Whether an idle connection can be read: then it ended, or worse."""

    def close(self) -> None:
        """Close the socket. Idempotent."""


class Socket:
    """A connected non-blocking socket."""

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock

    async def read(self, waits: Waits, size: int, check: Check | None = None) -> bytes:
        """See `Stream`."""
        check = check or waits.operation.idle()
        while True:
            # Waiting first, though bytes may be there: mostly they are not yet, each system call
            # is a chance for other threads to take the interpreter, and a peer that always has
            # bytes ready must keep neither the check nor the loop's other tasks from their turn.
            await waits.readable(self._sock, check)
            try:
                return self._sock.recv(size)
            except (BlockingIOError, InterruptedError):
                continue
            except OSError as problem:
                raise httpcore.ReadError(str(problem)) from None

    async def write(self, waits: Waits, data: bytes, begin: Callable[[], Check]) -> None:
        """See `Stream`."""
        view = memoryview(data)
        turn = 0
        while view:
            try:
                sent = self._sock.send(view[:_WRITE_BLOCK])
                view = view[sent:]
                turn += sent
                if turn >= _WRITE_TURN:
                    turn = 0
                    await checkpoint()
            except (BlockingIOError, InterruptedError):
                await waits.writable(self._sock, begin())
            except OSError as problem:
                raise httpcore.WriteError(str(problem)) from None

    def ended(self) -> bool:
        """See `Stream`."""
        try:
            self._sock.recv(1, socket.MSG_PEEK)
        except (BlockingIOError, InterruptedError):
            return False
        except OSError:
            return True
        return True

    def close(self) -> None:
        """See `Stream`."""
        self._sock.close()


async def connect(waits: Waits, address: IPAddress, port: int, check: Check) -> Socket:
    """A TCP connection to exactly this address. Raises OSError and what `check` raises."""
    family = socket.AF_INET if address.version == 4 else socket.AF_INET6
    sock = socket.socket(family, socket.SOCK_STREAM)
    try:
        sock.setblocking(False)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        code = sock.connect_ex((str(address), port))
        if code in (errno.EINPROGRESS, errno.EWOULDBLOCK, errno.EINTR):
            await waits.writable(sock, check)
            code = sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        if code:
            raise OSError(code, os.strerror(code))
    except BaseException:
        sock.close()
        raise
    return Socket(sock)


class TLS:
    """TLS over another stream, through memory buffers."""

    def __init__(
        self, raw: Stream, tls: ssl.SSLObject, incoming: ssl.MemoryBIO, outgoing: ssl.MemoryBIO
    ) -> None:
        self._raw = raw
        self._tls = tls
        self._in = incoming
        self._out = outgoing

    @classmethod
    async def handshake(
        cls, waits: Waits, raw: Stream, context: ssl.SSLContext, hostname: str
    ) -> TLS:
        """Perform the handshake within `connect_time`; closes `raw` on failure. Raises
        TransportError(kind="tls")."""
        connecting = waits.operation.connecting
        name = hostname.strip("[]")
        try:
            incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
            tls = context.wrap_bio(incoming, outgoing, server_hostname=name)
            stream = cls(raw, tls, incoming, outgoing)
            await stream._drive(waits, tls.do_handshake, connecting, lambda: connecting)
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

    @property
    def protocol(self) -> str | None:
        """What the handshake agreed on."""
        return self._tls.selected_alpn_protocol()

    async def read(self, waits: Waits, size: int, check: Check | None = None) -> bytes:
        """See `Stream`. An end without TLS's own closing alert is a loss: a body that ends with
        the connection cannot be trusted to be whole."""
        check = check or waits.operation.idle()
        try:
            data: bytes = await self._drive(
                waits, functools.partial(self._tls.read, size), check, lambda: check
            )
        except ssl.SSLZeroReturnError:
            data = b""
        except ssl.SSLEOFError:
            raise httpcore.ReadError("the TLS connection was cut off") from None
        except ssl.SSLError as problem:
            raise httpcore.ReadError(problem.reason or "TLS failed") from None
        return data

    async def write(self, waits: Waits, data: bytes, begin: Callable[[], Check]) -> None:
        """See `Stream`."""
        view = memoryview(data)
        try:
            while view:
                step = functools.partial(self._tls.write, view[:_TLS_BLOCK])
                view = view[await self._drive(waits, step, begin(), begin) :]
        except ssl.SSLError as problem:
            raise httpcore.WriteError(problem.reason or "TLS failed") from None

    def ended(self) -> bool:
        """See `Stream`."""
        return self._raw.ended()

    def close(self) -> None:
        """See `Stream`; does not wait for the peer's closing alert."""
        self._raw.close()

    async def _drive(
        self, waits: Waits, step: Callable[[], Any], check: Check, begin: Callable[[], Check]
    ) -> Any:
        """Run one TLS operation, moving bytes between its buffers and the raw stream."""
        while True:
            try:
                result = step()
            except ssl.SSLWantReadError:
                await self._flush(waits, begin)
                data = await self._raw.read(waits, _TLS_BLOCK, check)
                if data:
                    self._in.write(data)
                else:
                    self._in.write_eof()
            except ssl.SSLError:
                with contextlib.suppress(httpcore.WriteError):
                    await self._flush(waits, begin)  # the alert that tells the peer why
                raise
            else:
                await self._flush(waits, begin)
                return result

    async def _flush(self, waits: Waits, begin: Callable[[], Check]) -> None:
        data = self._out.read()
        if data:
            await self._raw.write(waits, data, begin)
