from __future__ import annotations

import gc
import gzip
import random
import socket
import threading
import time
import zlib

import pytest

from fumehood.abi.http import HTTPRequest
from fumehood.egress.client import Client, ResponseStream
from fumehood.egress.policy import Grant
from fumehood.errors import Cancelled, ClosedError, EgressDenied, Timeout, TooMuch, TransportError
from fumehood.limits import Limits
from fumehood.meter import Meter
from tests.counts import DROPPED_STREAMS, LONG
from tests.egress.servers import Peer, Server, always, chunked, raw, serving


def open_stream(client: Client, server: Server, account: Meter | None = None) -> ResponseStream:
    grant = Grant.of(["127.0.0.1"], ports=[server.port])
    account = account or Meter(Limits(deadline=10))
    return client.stream(HTTPRequest("GET", server.url), grant, account)


def read_all(stream: ResponseStream) -> bytes:
    out = b""
    while data := stream.read():
        out += data
    return out


def test_a_stream(client: Client) -> None:
    account = Meter(Limits())
    with serving(chunked(b"data: 1\n\n", b"data: 2\n", b"\n", headers="X-Id: 7\r\n")) as server:
        with open_stream(client, server, account) as stream:
            assert stream.status == 200
            assert stream.version == "HTTP/1.1"
            assert stream.headers == (("x-id", "7"),)
            assert account.exchanges == []
            assert read_all(stream) == b"data: 1\n\ndata: 2\n\n"
            assert stream.read() == b""
        assert stream.read() == b""
        assert account.exchanges[0].received == 18
        open_stream(client, server).close()
        assert [seen.connection for seen in server.seen] == [1, 2]


def test_the_connection_is_given_back_at_the_end_of_the_body(client: Client) -> None:
    with serving(always(b"abc")) as server:
        stream = open_stream(client, server)
        assert read_all(stream) == b"abc"
        second = open_stream(client, server)
        assert read_all(second) == b"abc"
        assert server.connections == 1
        second.close()
        second.close()


def test_chunks_come_as_they_are_sent(client: Client) -> None:
    go = threading.Event()

    def slow(peer: Peer) -> None:
        peer.request()
        peer.send(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n6\r\nfirst\n\r\n")
        go.wait(10)
        peer.send(b"7\r\nsecond\n\r\n0\r\n\r\n")

    with serving(slow) as server, open_stream(client, server) as stream:
        lines = stream.lines()
        assert next(lines) == b"first\n"
        go.set()
        assert list(lines) == [b"second\n"]


@pytest.mark.parametrize(
    "chunks",
    [
        [b"a\n\r\n", b"b\r\n\n", b"c"],
        [b"a", b"\n", b"\r", b"\n", b"b\r", b"\n", b"\nc"],
        [b"a\n\r\nb\r\n\nc"],
    ],
)
def test_lines(client: Client, chunks: list[bytes]) -> None:
    with serving(chunked(*chunks)) as server, open_stream(client, server) as stream:
        assert list(stream.lines()) == [b"a\n", b"\r\n", b"b\r\n", b"\n", b"c"]


def test_lines_of_an_empty_body(client: Client) -> None:
    with serving(always(b"")) as server, open_stream(client, server) as stream:
        assert list(stream.lines()) == []


def test_a_line_is_capped(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fumehood.egress.exchange.LINE_CAP", 10)
    with serving(chunked(b"123456789\n", b"12345", b"6789\n", b"\n")) as server:
        with open_stream(client, server) as stream:
            assert list(stream.lines()) == [b"123456789\n", b"123456789\n", b"\n"]
    for chunks in ([b"1234567890\n"], [b"ok\n1234567890\n"], [b"12345", b"678901"], [b"1" * 99]):
        with serving(chunked(*chunks, hold=True)) as server:
            stream = open_stream(client, server)
            with pytest.raises(TooMuch, match="more than 10 bytes") as caught:
                list(stream.lines())
            assert caught.value.limit == "response_bytes"
            with pytest.raises(ClosedError):
                stream.read()


def test_a_stream_without_newlines_ends(client: Client) -> None:
    def endless(peer: Peer) -> None:
        peer.request()
        peer.send(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n")
        while True:
            peer.send(b"10000\r\n" + b"x" * 0x10000 + b"\r\n")

    with serving(endless) as server, open_stream(client, server) as stream:
        with pytest.raises(TooMuch):
            list(stream.lines())


def test_response_bytes_at_the_boundary(client: Client) -> None:
    for coding, pack in [(None, bytes), ("gzip", gzip.compress), ("deflate", zlib.compress)]:
        headers = f"content-encoding: {coding}\r\n" if coding else ""
        with serving(chunked(pack(b"x" * 1000), headers=headers)) as server:
            with open_stream(client, server, Meter(Limits(response_bytes=1000))) as stream:
                assert read_all(stream) == b"x" * 1000
                assert stream.headers == ()
            with open_stream(client, server, Meter(Limits(response_bytes=999))) as stream:
                with pytest.raises(TooMuch):
                    read_all(stream)


def test_deadline_idle_and_cancel(client: Client) -> None:
    with serving(chunked(b"part", hold=True)) as server:
        with open_stream(client, server, Meter(Limits(deadline=0.3))) as stream:
            assert stream.read() == b"part"
            with pytest.raises(Timeout):
                stream.read()
            with pytest.raises(ClosedError):
                stream.read()
        with open_stream(client, server, Meter(Limits(idle_time=0.2))) as stream:
            assert stream.read() == b"part"
            with pytest.raises(TransportError, match="silent"):
                stream.read()
        account = Meter(Limits())
        with open_stream(client, server, account) as stream:
            assert stream.read() == b"part"
            timer = threading.Timer(0.1, account.cancel)
            timer.start()
            began = time.monotonic()
            with pytest.raises(Cancelled):
                stream.read()
            assert time.monotonic() - began < 5
            timer.join()


def test_an_endless_stream_of_small_pieces_meets_the_deadline(client: Client) -> None:
    def drip(peer: Peer) -> None:
        peer.request()
        peer.send(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n")
        while not peer.server.stopping.wait(0.01):
            peer.send(b"8\r\n: ping\n\n\r\n")

    with serving(drip) as server:
        with open_stream(client, server, Meter(Limits(deadline=0.3))) as stream:
            with pytest.raises(Timeout):
                list(stream.lines())


def test_a_body_that_breaks_off(client: Client) -> None:
    data = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n4\r\npart\r\n"
    with serving(raw(data)) as server, open_stream(client, server) as stream:
        assert stream.read() == b"part"
        with pytest.raises(TransportError) as caught:
            stream.read()
        assert caught.value.kind == "reset"


def test_an_encoded_body_that_breaks_off(client: Client) -> None:
    packed = gzip.compress(b"x" * 1000)[:-5]
    headers = "content-encoding: gzip\r\n"
    with serving(chunked(packed, headers=headers)) as server:
        with open_stream(client, server) as stream, pytest.raises(TransportError, match="middle"):
            read_all(stream)


def test_a_denied_stream(client: Client) -> None:
    with serving(always()) as server, pytest.raises(EgressDenied):
        client.stream(HTTPRequest("GET", server.url), Grant(), Meter(Limits()))
    assert server.connections == 0


def _ended(server: Server, connections: int) -> bool:
    """Whether the server sees that the client closed them all."""
    until = time.monotonic() + 5
    while time.monotonic() < until:
        with server._lock:
            if not server._open:
                return server.connections == connections
        time.sleep(0.005)
    return False


def watch(peer: Peer) -> None:
    """Streams until the client closes."""
    peer.request()
    peer.send(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n")
    peer.sock.recv(1)


def test_a_closed_or_dropped_stream_leaves_no_socket(client: Client) -> None:
    with serving(watch) as server:
        stream = open_stream(client, server)
        assert stream.read() == b"abc"
        stream.close()
        stream = open_stream(client, server)
        assert stream.read() == b"abc"
        del stream
        with open_stream(client, server):
            pass
        lines = open_stream(client, server).lines()
        del lines
        gc.collect()
        assert _ended(server, 4)


def watch_some(peer: Peer) -> None:
    """As `watch`, with a length of the body that differs from stream to stream."""
    peer.request()
    peer.send(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n")
    for _ in range(peer.number % 5):
        peer.send(b"4\r\nabc\n\r\n")
    peer.sock.recv(1)


@pytest.mark.timeout(1800 if LONG else 120)
def test_many_streams_dropped_at_random_points() -> None:
    rng = random.Random(6)
    with serving(watch_some) as server, Client() as client:
        account = Meter(Limits(http_requests=DROPPED_STREAMS, deadline=1500))
        for _ in range(DROPPED_STREAMS):
            stream = open_stream(client, server, account)
            lines = stream.lines()
            for _ in range(rng.randrange(3)):
                if server.connections % 5 > 2:  # else it may hold no line and never end
                    next(lines)
            if rng.random() < 0.5:
                stream.close()
            del stream, lines
        gc.collect()
        assert len(account.exchanges) == DROPPED_STREAMS
        assert sum(e.users for e in client._pools._entries.values()) == 0
        client.close()
        assert _ended(server, server.connections)


def test_closing_the_client_ends_its_streams() -> None:
    with serving(watch) as server:
        client = Client()
        stream = open_stream(client, server)
        assert stream.read() == b"abc"
        client.close()
        with pytest.raises(TransportError):
            stream.read()
        stream.close()
        assert _ended(server, 1)


def test_ipv6_loopback(client: Client) -> None:
    try:
        socket.create_server(("::1", 0), family=socket.AF_INET6).close()
    except OSError as problem:
        pytest.skip(f"this machine has no IPv6 loopback: {problem}")
    with serving(always(b"six"), host="::1") as server:
        grant = Grant.of([f"[::1]:{server.port}"])
        request = HTTPRequest("GET", f"http://[::1]:{server.port}/")
        assert client.send(request, grant, Meter(Limits())).body == b"six"
        assert server.seen[0].header("host") == f"[::1]:{server.port}"
