"""Connections between exchanges, with a peer that is only pretended."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import httpcore
import pytest

from fumehood.egress.kept import Request
from fumehood.egress.pool import Pool
from fumehood.errors import ClosedError

REPLY = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nhi"


class Stream(httpcore.NetworkStream):
    """Answers each request with `REPLY`."""

    def __init__(self, reply: bytes = REPLY) -> None:
        self.reply = reply
        self.closed = False
        self.readable = False
        self._pending = b""

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        data, self._pending = self._pending[:max_bytes], self._pending[max_bytes:]
        return data

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        self._pending += self.reply

    def close(self) -> None:
        self.closed = True

    def get_extra_info(self, info: str) -> Any:
        return self.readable if info == "is_readable" else None


class Backend(httpcore.NetworkBackend):
    """Dials streams and keeps them."""

    def __init__(self, reply: bytes = REPLY) -> None:
        self.reply = reply
        self.dialled: list[tuple[str, int, Stream]] = []

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> Stream:
        stream = Stream(self.reply)
        self.dialled.append((host, port, stream))
        return stream


def pool(backend: Backend, *, most: int = 2, expiry: float = 60.0) -> Pool:
    return Pool(
        ssl_context=None,
        max_keepalive_connections=most,
        keepalive_expiry=expiry,
        network_backend=backend,
    )


def request(host: str = "a", port: int = 80) -> Request:
    return Request("GET", "http", host, port, "/", [(b"host", host.encode())])


def whole(one: Pool, asked: Request) -> bytes:
    connection = one.exchange(asked)
    body = b"".join(connection.chunks())
    one.give(asked, connection)
    return body


def test_a_connection_serves_its_origin_again_and_no_other() -> None:
    backend = Backend()
    one = pool(backend, most=3)
    for host, port in (("a", 80), ("a", 80), ("b", 80), ("a", 81), ("a", 80)):
        assert whole(one, request(host, port)) == b"hi"
    assert [entry[:2] for entry in backend.dialled] == [("a", 80), ("b", 80), ("a", 81)]


def test_the_oldest_of_too_many_idle_ones_is_closed() -> None:
    backend = Backend()
    one = pool(backend, most=1)
    asked = request()
    first, second = one.exchange(asked), one.exchange(asked)
    for connection in (first, second):
        assert b"".join(connection.chunks()) == b"hi"
        one.give(asked, connection)
    assert [stream.closed for _, _, stream in backend.dialled] == [True, False]


def test_what_was_not_read_to_its_end_is_not_kept() -> None:
    backend = Backend()
    one = pool(backend)
    asked = request()
    one.give(asked, one.exchange(asked))
    assert backend.dialled[0][2].closed
    assert whole(one, asked) == b"hi"
    assert len(backend.dialled) == 2


def test_what_ended_or_was_idle_for_too_long_is_not_used_again() -> None:
    for expiry, readable in ((60.0, True), (-1.0, False)):
        backend = Backend()
        one = pool(backend, expiry=expiry)
        assert whole(one, request()) == b"hi"
        backend.dialled[0][2].readable = readable
        assert whole(one, request()) == b"hi"
        assert [stream.closed for _, _, stream in backend.dialled] == [True, False]


def test_bytes_after_a_reply_end_the_connection() -> None:
    backend = Backend(REPLY + REPLY)
    one = pool(backend)
    assert whole(one, request()) == b"hi"
    assert backend.dialled[0][2].closed


def test_a_failed_exchange_leaves_nothing_behind() -> None:
    backend = Backend(b"nonsense\r\n\r\n")
    one = pool(backend)
    with pytest.raises(httpcore.RemoteProtocolError):
        one.exchange(request())
    assert backend.dialled[0][2].closed
    assert not one._busy


def test_giving_twice_is_giving_once() -> None:
    backend = Backend()
    one = pool(backend)
    asked = request()
    connection = one.exchange(asked)
    assert b"".join(connection.chunks()) == b"hi"
    one.give(asked, connection)
    one.give(asked, connection)
    assert one.exchange(asked) is connection
    assert one.exchange(asked) is not connection


def test_closing_ends_what_is_used_and_what_is_not() -> None:
    backend = Backend()
    one = pool(backend)
    asked = request()
    used, idle = one.exchange(asked), one.exchange(asked)
    assert b"".join(idle.chunks()) == b"hi"
    one.give(asked, idle)
    one.close()
    one.close()
    assert all(stream.closed for _, _, stream in backend.dialled)
    one.give(asked, used)
    with pytest.raises(ClosedError):
        one.exchange(asked)
