"""Any bytes from a socket where an HTTP reply was due, in pieces of any size.

The egress client as it is, against a server on loopback: a result or a documented error, in time,
and the same one however the bytes are cut.
"""

from __future__ import annotations

import contextlib
import functools
import gzip
import socket
import threading
import time
import zlib
from itertools import pairwise
from typing import Any, Final

from hypothesis import strategies as st

from fumehood.abi.http import HTTPRequest
from fumehood.egress.client import Client
from fumehood.egress.policy import Grant
from fumehood.errors import Error
from fumehood.limits import Limits
from fumehood.meter import Meter
from fumehood.testing import strategies
from fuzz.target import Target, check_error

LIMITS: Final = Limits(deadline=2, idle_time=0.5, connect_time=1, response_bytes=100_000)
SLACK: Final = 3.0


class Server:
    """Sends `pieces` to whoever asks, then ends the connection."""

    def __init__(self) -> None:
        self.pieces: list[bytes] = []
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._socket.getsockname()[1]
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        while True:
            connection, _ = self._socket.accept()
            with connection, contextlib.suppress(OSError):
                connection.settimeout(5)
                connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                self._one(connection)

    def _one(self, connection: socket.socket) -> None:
        seen = b""
        while b"\r\n\r\n" not in seen:
            data = connection.recv(65536)
            if not data:
                return
            seen += data
        for piece in self.pieces:
            connection.sendall(piece)
        # a close with unread input would be a reset, which may overtake what we sent
        connection.shutdown(socket.SHUT_WR)
        while connection.recv(65536):
            pass


@functools.cache
def _server() -> Server:
    return Server()


def exchange(pieces: list[bytes], *, stream: bool) -> tuple[Any, ...]:
    """What one request comes to."""
    server = _server()
    server.pieces = pieces
    url = f"http://127.0.0.1:{server.port}/x"
    grant = Grant.extism(["127.0.0.1"])
    meter = Meter(LIMITS)
    began = time.monotonic()
    with Client() as client:  # a client of its own: no connection of the last case is reused
        try:
            request = HTTPRequest("GET", url, (), b"")
            if stream:
                found = _streamed(client, request, grant, meter)
            else:
                reply = client.send(request, grant, meter)
                found = ("value", reply.status, reply.headers, reply.body)
        except Error as error:
            check_error(error)
            found = (type(error).__name__, getattr(error, "kind", ""))
    spent = time.monotonic() - began
    assert spent < LIMITS.deadline + SLACK, f"{spent:.1f} s"
    return found


def _streamed(client: Client, request: HTTPRequest, grant: Grant, meter: Meter) -> tuple[Any, ...]:
    reply = client.stream(request, grant, meter)
    try:
        body = b""
        while part := reply.read():
            body += part
        return ("value", reply.status, reply.headers, body)
    finally:
        reply.close()


def check(case: dict[str, Any]) -> None:
    """Whole and in pieces, read at once and as a stream: the same."""
    data = bytes.fromhex(case["bytes"])
    places = sorted({0, len(data), *(min(cut, len(data)) for cut in case["cuts"])})
    pieces = [data[a:b] for a, b in pairwise(places)]
    for stream in (False, True):
        whole, cut = exchange([data], stream=stream), exchange(pieces, stream=stream)
        assert whole == cut, f"it depends on the cuts: {whole} and {cut}"
        if whole[0] == "value":
            for _, value in whole[2]:
                assert value.isascii()
            assert len(whole[3]) <= LIMITS.response_bytes


def _body(encoding: str, data: bytes) -> bytes:
    match encoding:
        case "gzip":
            return gzip.compress(data, mtime=0)
        case "deflate":
            return zlib.compress(data)
    return data


def _reply(
    line: str, pairs: list[tuple[str, str]], encoding: str, data: bytes, framing: str, lie: int
) -> bytes:
    body = _body(encoding, data)
    heads = [*pairs]
    if encoding:
        heads.append(("content-encoding", encoding))
    if framing == "length":
        heads.append(("content-length", str(max(0, len(body) + lie))))
    elif framing == "chunked":
        heads.append(("transfer-encoding", "chunked"))
        body = b"".join(b"%x\r\n%b\r\n" % (len(p), p) for p in (body[:3], body[3:]) if p)
        body += b"0\r\n\r\n"
    head = "\r\n".join([line, *(f"{name}: {value}" for name, value in heads)])
    return head.encode("latin-1", "replace") + b"\r\n\r\n" + body


def cases() -> st.SearchStrategy[dict[str, Any]]:
    """Replies that are right, that lie about their length or coding, and damaged ones."""
    right = st.builds(
        _reply,
        st.sampled_from(
            [
                "HTTP/1.1 200 OK", "HTTP/1.0 200 OK", "HTTP/1.1 204 No Content", "HTTP/1.1 100 Go",
                "HTTP/1.1 302 Found", "HTTP/1.1 304 Same", "HTTP/1.1 999 ?", "HTTP/2 200",
                "HTTP/1.1 099 x", "HTTP/1.1 101 Switch", "HTTP/9.9 200 OK",
            ]
        ),
        strategies.headers().map(list),
        st.sampled_from(["", "", "gzip", "deflate", "br", "zstd", "gzip, gzip", "x", "identity"]),
        st.binary(max_size=60) | st.integers(0, 300_000).map(lambda size: b"a" * size),
        st.sampled_from(["length", "chunked", "none"]),
        st.sampled_from([0, 0, 0, -1, 1]),
    )  # fmt: skip
    data = right | strategies.mutated(right) | st.binary(max_size=80)
    cuts = st.lists(st.integers(0, 200), max_size=8)
    return st.builds(lambda raw, places: {"bytes": raw.hex(), "cuts": sorted(places)}, data, cuts)


TARGET: Final = Target("wire", cases, check, weight=3)
