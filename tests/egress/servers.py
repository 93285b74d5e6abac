"""Small threaded servers on loopback, each with a script of raw bytes and a record of what came."""

from __future__ import annotations

import contextlib
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

Handler = Callable[["Peer"], None]


@dataclass
class Seen:
    """One request as it arrived."""

    line: str
    headers: list[tuple[str, str]]
    body: bytes
    connection: int
    sni: str | None = None

    def header(self, name: str) -> str | None:
        return next((v for n, v in self.headers if n.lower() == name), None)

    @property
    def raw(self) -> str:
        heads = "\n".join(f"{n}: {v}" for n, v in self.headers)
        return f"{self.line}\n{heads}\n\n{self.body.decode('latin-1')}"


@dataclass
class Peer:
    """One connection, for a handler."""

    sock: socket.socket
    server: Server
    number: int
    buffer: bytes = b""

    def request(self) -> Seen | None:
        """Read one request, or None at the end of the connection."""
        while b"\r\n\r\n" not in self.buffer:
            data = self.sock.recv(65536)
            if not data:
                return None
            self.buffer += data
        head, _, self.buffer = self.buffer.partition(b"\r\n\r\n")
        line, *rest = head.decode("latin-1").split("\r\n")
        headers = [(n, v.strip()) for n, _, v in (h.partition(":") for h in rest)]
        length = int(next((v for n, v in headers if n.lower() == "content-length"), "0"))
        while len(self.buffer) < length:
            data = self.sock.recv(65536)
            if not data:
                return None
            self.buffer += data
        body, self.buffer = self.buffer[:length], self.buffer[length:]
        seen = Seen(line, headers, body, self.number, self.server.sni)
        self.server.seen.append(seen)
        return seen

    def reply(
        self,
        body: bytes = b"",
        status: str = "200 OK",
        headers: list[tuple[str, str]] | None = None,
    ) -> None:
        """Send a whole reply."""
        lines = [f"HTTP/1.1 {status}", f"content-length: {len(body)}"]
        lines += [f"{n}: {v}" for n, v in headers or []]
        self.sock.sendall("\r\n".join(lines).encode("latin-1") + b"\r\n\r\n" + body)

    def send(self, data: bytes) -> None:
        self.sock.sendall(data)


@dataclass
class Server:
    """Accepts on 127.0.0.1 until closed; every connection runs `handler` in its own thread."""

    handler: Handler
    tls: ssl.SSLContext | None = None
    host: str = "127.0.0.1"
    connections: int = 0
    seen: list[Seen] = field(default_factory=list)
    sni: str | None = None
    port: int = 0

    def __post_init__(self) -> None:
        family = socket.AF_INET6 if ":" in self.host else socket.AF_INET
        self._listener = socket.create_server((self.host, 0), family=family)
        self.port = self._listener.getsockname()[1]
        self._open: set[socket.socket] = set()
        self._lock = threading.Lock()
        self.stopping = threading.Event()
        self._threads = [threading.Thread(target=self._accept, daemon=True)]
        self._threads[0].start()

    @property
    def url(self) -> str:
        return f"{'https' if self.tls else 'http'}://{self.host}:{self.port}"

    def _accept(self) -> None:
        while True:
            try:
                sock, _ = self._listener.accept()
            except OSError:
                return
            with self._lock:
                self.connections += 1
                number = self.connections
                self._open.add(sock)
            thread = threading.Thread(target=self._serve, args=(sock, number), daemon=True)
            self._threads.append(thread)
            thread.start()

    def _serve(self, sock: socket.socket, number: int) -> None:
        raw = sock
        try:
            if self.tls is not None:
                self.tls.sni_callback = lambda _s, name, _c: setattr(self, "sni", name)
                sock = self.tls.wrap_socket(sock, server_side=True)
                with self._lock:
                    self._open.discard(raw)
                    self._open.add(sock)
            self.handler(Peer(sock, self, number))
        except (OSError, ValueError):
            pass  # the client went away: what the tests look at is on its side
        finally:
            with self._lock:
                self._open.discard(sock)
                self._open.discard(raw)
            with contextlib.suppress(OSError):
                sock.close()
            raw.close()

    def close(self) -> None:
        self.stopping.set()
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        with self._lock:
            still = list(self._open)
        for sock in still:
            with contextlib.suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join(5)


@contextlib.contextmanager
def serving(
    handler: Handler, *, tls: ssl.SSLContext | None = None, host: str = "127.0.0.1"
) -> Iterator[Server]:
    """A server for the length of a with-statement."""
    server = Server(handler, tls, host)
    try:
        yield server
    finally:
        server.close()


def always(
    body: bytes = b"hello", status: str = "200 OK", headers: list[tuple[str, str]] | None = None
) -> Handler:
    """Answers every request of a connection alike."""

    def handle(peer: Peer) -> None:
        while peer.request() is not None:
            peer.reply(body, status, headers)

    return handle


def raw(data: bytes) -> Handler:
    """Answers one request with these bytes and closes."""

    def handle(peer: Peer) -> None:
        if peer.request() is not None:
            peer.send(data)

    return handle


def chunked(*chunks: bytes, headers: str = "", hold: bool = False) -> Handler:
    """Answers with a chunked body; with `hold` it never ends."""

    def handle(peer: Peer) -> None:
        if peer.request() is None:
            return
        peer.send(f"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n{headers}\r\n".encode())
        for chunk in chunks:
            peer.send(b"%x\r\n%s\r\n" % (len(chunk), chunk))
        if hold:
            peer.server.stopping.wait(30)
        else:
            peer.send(b"0\r\n\r\n")

    return handle
