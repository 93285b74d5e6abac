"""The stub's server: threads over `http.server`, HTTP/1.1 with keep-alive, loopback only."""

from __future__ import annotations

import contextlib
import hmac
import http.server
import socket
import socketserver
import ssl
import struct
import threading
import time
from collections import deque
from collections.abc import Iterator
from types import TracebackType
from typing import Any, Final, Self

from fumehood.testing.stub import anthropic, ollama, openai
from fumehood.testing.stub.behaviours import BEHAVIOURS, Scene, find
from fumehood.testing.stub.replies import (
    Answer,
    Reply,
    Routes,
    StubRequest,
    error_reply,
    json_reply,
)

BODY_CAP: Final = 256 * 1024 * 1024
HOST: Final = "127.0.0.1"


class StubServer:
    """A made-up LLM endpoint on loopback, for tests and the demo. No model is behind it.

    `with StubServer() as stub:` serves from a thread; `stub.url` is an OpenAI-style base URL
    (`http://127.0.0.1:PORT/v1/`), `stub.root` the same without `v1/` (Ollama's). `api_key` makes
    every request without that key (bearer or `x-api-key`) a 401. `token_delay` is the pause, in
    seconds, between two pieces of a stream. `requests` holds what arrived, newest last.
    """

    def __init__(
        self,
        *,
        port: int = 0,
        host: str = HOST,
        api_key: str | None = None,
        token_delay: float = 0.0,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self.api_key = api_key
        self.token_delay = token_delay
        self.requests: list[StubRequest] = []
        self.connections = 0
        self.redirect_to = ""
        self.routes = Routes()
        openai.install(self.routes)
        anthropic.install(self.routes)
        ollama.install(self.routes)
        self.routes.add("GET", "/health", lambda _request: json_reply({"status": "ok"}))
        self._queue: deque[str | Reply | Answer] = deque()
        self._closing = threading.Event()
        self._lock = threading.Lock()
        self._live: set[socket.socket] = set()
        self._server = _Server((host, port), self, tls)
        self.host = host
        self.port: int = self._server.server_address[1]
        self._scheme = "http" if tls is None else "https"
        self._thread: threading.Thread | None = None

    # -- addresses ------------------------------------------------------------------------

    @property
    def root(self) -> str:
        """`http://HOST:PORT/`."""
        return f"{self._scheme}://{self.host}:{self.port}/"

    @property
    def url(self) -> str:
        """`http://HOST:PORT/v1/`, what an OpenAI-style `base_url` wants."""
        return f"{self.root}v1/"

    @property
    def open_connections(self) -> int:
        """Connections whose clients have not closed them."""
        with self._lock:
            return len(self._live)

    # -- what it does -----------------------------------------------------------------------

    def behave(self, *steps: str | Reply | Answer) -> None:
        """Queue misbehaviour: each step serves one request, then the stub is ordinary again.

        A step is a name of `behaviours.BEHAVIOURS` (with `-NUMBER` where it takes one), a `Reply`,
        or a function of the request. An unknown name raises ValueError.
        """
        for step in steps:
            if isinstance(step, str) and find(step) is None:
                raise ValueError(f"no behaviour is called {step!r}: one of {sorted(BEHAVIOURS)}")
        with self._lock:
            self._queue.extend(steps)

    def answer(self, request: StubRequest) -> Reply:
        """The reply to `request`: queued behaviour, key check, named behaviour, route."""
        with self._lock:
            self.requests.append(request)
            step = self._queue.popleft() if self._queue else None
        if isinstance(step, Reply):
            return step
        if step is not None and not isinstance(step, str):
            return step(request)
        if step is None and not self._authorized(request):
            return error_reply(401, "Incorrect API key provided (stub)", "authentication_error")
        named = step or request.model
        if not named and "/behave/" in request.path:
            named = request.path.rpartition("/behave/")[2]
        found = find(named) if named else None
        if found is not None:
            behaviour, number = found
            redirect_to = self.redirect_to or f"{self.url}redirected"
            return behaviour(Scene(request, number, self._pause, redirect_to))
        route = self.routes.find(request)
        if route is None:
            return error_reply(404, f"no route {request.method} {request.path}", "not_found_error")
        return route(request)

    def _authorized(self, request: StubRequest) -> bool:
        if self.api_key is None:
            return True
        bearer = (request.header("authorization") or "").removeprefix("Bearer ")
        given = request.header("x-api-key") or bearer
        return hmac.compare_digest(given.encode(), self.api_key.encode())

    def _pause(self, seconds: float) -> bool:
        return not self._closing.wait(seconds)

    # -- life -------------------------------------------------------------------------------

    def start(self) -> Self:
        """Serve from a thread of its own."""
        if self._thread is None:
            self._thread = threading.Thread(
                target=self._server.serve_forever, args=(0.02,), name="fumehood-stub", daemon=True
            )
            self._thread.start()
        return self

    def serve(self) -> None:
        """Serve from this thread until `close` or an interrupt."""
        self._server.serve_forever(0.1)

    def drop_connections(self) -> None:
        """Close every connection that is open now."""
        with self._lock:
            live = list(self._live)
        for connection in live:
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        """Stop serving and drop every connection. Idempotent."""
        if self._closing.is_set():
            return
        self._closing.set()
        if self._thread is not None:
            self._server.shutdown()
            self._thread.join(5)
        self._server.server_close()
        # A handler that was just accepted registers late: give it a moment, then drop it too.
        end = time.monotonic() + 2
        while True:
            self.drop_connections()
            with self._lock:
                if not self._live:
                    return
            if time.monotonic() > end:
                return
            time.sleep(0.002)

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    # -- for the server below -----------------------------------------------------------------

    def opened(self, connection: socket.socket) -> None:
        """A connection was accepted."""
        with self._lock:
            self.connections += 1
            self._live.add(connection)

    def closed(self, connection: socket.socket) -> None:
        """A connection is about to be closed."""
        with self._lock:
            self._live.discard(connection)


_INTERIM_BATCH: Final = 1000


class _Server(socketserver.ThreadingMixIn, socketserver.TCPServer):
    allow_reuse_address = True
    daemon_threads = True
    block_on_close = False
    request_queue_size = 128

    def __init__(
        self, address: tuple[str, int], stub: StubServer, tls: ssl.SSLContext | None
    ) -> None:
        self.stub = stub
        self.tls = tls
        self.resets: set[socket.socket] = set()
        super().__init__(address, _Handler)

    def get_request(self) -> tuple[socket.socket, Any]:
        connection, address = super().get_request()
        if self.tls is not None:
            # The handshake happens at the first read, in the connection's own thread.
            connection = self.tls.wrap_socket(
                connection, server_side=True, do_handshake_on_connect=False
            )
        self.stub.opened(connection)
        return connection, address

    def shutdown_request(self, request: Any) -> None:
        self.stub.closed(request)
        if request in self.resets:
            self.resets.discard(request)
            request.close()  # no shutdown first: with linger 0 this is a reset
        else:
            super().shutdown_request(request)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Clients that go away are this server's daily bread; nothing is printed."""


class _Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: _Server

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the name is inherited
        """No log: `StubServer.requests` is the record."""

    def handle_one_request(self) -> None:
        try:
            super().handle_one_request()
        except (ConnectionError, ssl.SSLError, TimeoutError, ValueError):
            self.close_connection = True

    _stale = False

    def _serve(self) -> None:
        if self._stale:
            self.close_connection = True
            return
        headers = tuple((name.lower(), value) for name, value in self.headers.items())
        body = self._read_body()
        reply = self.server.stub.answer(StubRequest(self.command, self.path, headers, body))
        if reply.abort:
            self._abort()
            return
        for sent in range(0, reply.interim, _INTERIM_BATCH):
            count = min(_INTERIM_BATCH, reply.interim - sent)
            self.wfile.write(b"HTTP/1.1 100 \r\n\r\n" * count)
        self._send(reply)
        self._stale = reply.stale

    # The names are what http.server looks for.
    do_GET = do_POST = do_PUT = do_DELETE = do_PATCH = do_HEAD = do_OPTIONS = _serve  # noqa: N815

    def _read_body(self) -> bytes:
        if self.headers.get("transfer-encoding", "").lower() == "chunked":
            return b"".join(self._read_chunks())
        length = int(self.headers.get("content-length") or 0)
        if length > BODY_CAP:
            raise ConnectionError("more than the stub reads")
        return self.rfile.read(length)

    def _read_chunks(self) -> Iterator[bytes]:
        total = 0
        while size := int(self.rfile.readline(100).split(b";")[0], 16):
            total += size
            if total > BODY_CAP:
                raise ConnectionError("more than the stub reads")
            yield self.rfile.read(size)
            self.rfile.readline(10)
        while self.rfile.readline(1000) not in (b"\r\n", b"\n", b""):
            pass

    def _abort(self) -> None:
        # Linger 0 turns close into a reset.
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.server.resets.add(self.connection)
        self.close_connection = True

    def _send(self, reply: Reply) -> None:
        lines = [f"HTTP/1.1 {reply.status} {self.responses.get(reply.status, ('',))[0]}"]
        lines += [f"{name}: {value}" for name, value in reply.headers]
        body = reply.body
        if isinstance(body, bytes):
            lines.append(f"content-length: {len(body) if reply.length is None else reply.length}")
        else:
            lines.append("transfer-encoding: chunked")
        if reply.close:
            lines.append("connection: close")
            self.close_connection = True
        head = "\r\n".join(lines).encode("latin-1") + b"\r\n\r\n"
        if isinstance(body, bytes):
            self.connection.sendall(head if self.command == "HEAD" else head + body)
            return
        self.connection.sendall(head)
        delay, pause = self.server.stub.token_delay, self.server.stub._pause
        for piece in body:
            self.connection.sendall(b"%x\r\n%b\r\n" % (len(piece), piece))
            if delay and not pause(delay):
                self.close_connection = True
                return
        self.connection.sendall(b"0\r\n\r\n")
