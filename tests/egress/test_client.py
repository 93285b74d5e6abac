"""The client against real servers on loopback."""

from __future__ import annotations

import gzip
import os
import socket
import threading
import time
import tracemalloc
import zlib
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import pytest

from fumehood.abi.http import HTTPRequest, HTTPResponse
from fumehood.egress import wire
from fumehood.egress.client import Client
from fumehood.egress.exchange import open_reply
from fumehood.egress.policy import Grant
from fumehood.egress.resolver import Check, SystemResolver
from fumehood.egress.url import IPAddress
from fumehood.errors import (
    Cancelled,
    ClosedError,
    EgressDenied,
    Error,
    Timeout,
    TooMuch,
    TransportError,
)
from fumehood.limits import Limits
from fumehood.meter import Meter
from tests.counts import FAILING_CALLS, LONG
from tests.egress.servers import Peer, Server, always, chunked, raw, serving
from tests.egress.ssrf import REFUSED


def meter(**limits: float) -> Meter:
    return Meter(Limits(**{"deadline": 20, "idle_time": 10, **limits}))  # type: ignore[arg-type]


def grant_for(*servers: Server) -> Grant:
    return Grant.of(["127.0.0.1", "localhost"], ports=[s.port for s in servers])


def get(
    client: Client, server: Server, path: str = "/", account: Meter | None = None, **more: object
) -> HTTPResponse:
    request = HTTPRequest("GET", server.url + path)
    return client.send(request, grant_for(server), account or meter(), **more)  # type: ignore[arg-type]


class Table:
    """A resolver that knows what it is told, one answer after the other."""

    def __init__(self, *answers: list[str]) -> None:
        self.answers = list(answers)
        self.asked: list[str] = []

    def resolve(self, host: str, port: int, check: Check) -> list[IPAddress]:
        check()
        self.asked.append(host)
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        return [ip_address(a) for a in answer]


# -- a plain exchange --------------------------------------------------------------------------


def test_request_and_reply(client: Client) -> None:
    with serving(always(b"reply", headers=[("X-Reply", "yes"), ("X-Bad", "\xe9")])) as server:
        account = meter()
        request = HTTPRequest("POST", f"{server.url}/p?q=1#f", (("X-Mine", "1"),), b"body")
        reply = client.send(request, grant_for(server), account)
    assert (reply.status, reply.body, reply.version) == (200, b"reply", "HTTP/1.1")
    assert reply.headers == (("content-length", "5"), ("x-reply", "yes"))
    seen = server.seen[0]
    assert seen.line == "POST /p?q=1 HTTP/1.1"
    assert dict(seen.headers) == {
        "host": f"127.0.0.1:{server.port}", "user-agent": "fumehood", "accept": "*/*",
        "accept-encoding": "gzip, deflate", "x-mine": "1", "content-length": "4",
    }  # fmt: skip
    assert seen.body == b"body"
    (line,) = account.exchanges
    assert (line.method, line.host, line.port, line.status) == (
        "POST",
        "127.0.0.1",
        server.port,
        200,
    )
    assert (line.sent, line.received) == (4, 5)
    assert 0 < line.wall < 10


def test_bodies_and_lengths_by_method(client: Client) -> None:
    with serving(always()) as server:
        for method, body, length in [
            ("GET", b"", None), ("GET", b"x", "1"), ("DELETE", b"xy", "2"), ("POST", b"", "0"),
            ("PUT", b"", "0"), ("DELETE", b"", None),
        ]:  # fmt: skip
            client.send(HTTPRequest(method, server.url, (), body), grant_for(server), meter())
            assert server.seen[-1].header("content-length") == length
            assert server.seen[-1].body == body


def test_head(client: Client) -> None:
    with serving(raw(b"HTTP/1.1 200 OK\r\ncontent-length: 99999999999\r\n\r\n")) as server:
        reply = client.send(HTTPRequest("HEAD", server.url), grant_for(server), meter())
    assert (reply.status, reply.body) == (200, b"")


def test_error_statuses_are_replies(client: Client) -> None:
    for status in (204, 304, 400, 401, 404, 429, 500, 503, 599):
        head = f"HTTP/1.1 {status} Whatever\r\ncontent-length: 0\r\n\r\n".encode()
        with serving(raw(head)) as server:
            assert get(client, server).status == status


def test_a_large_body_both_ways(client: Client) -> None:
    body = os.urandom(4 << 20)

    def echo(peer: Peer) -> None:
        seen = peer.request()
        assert seen is not None
        peer.reply(seen.body)

    with serving(echo) as server:
        request = HTTPRequest("POST", server.url, (), body)
        assert client.send(request, grant_for(server), meter()).body == body


def test_an_early_reply_to_a_large_body_is_read(client: Client) -> None:
    def refuse(peer: Peer) -> None:
        peer.sock.recv(1000)
        peer.reply(b"too large", "413 Payload Too Large")
        peer.sock.shutdown(socket.SHUT_WR)
        while peer.sock.recv(1 << 16):
            pass

    with serving(refuse) as server:
        request = HTTPRequest("POST", server.url, (), bytes(8 << 20))
        assert client.send(request, grant_for(server), meter()).status == 413


def test_hop_by_hop_reply_headers_are_not_the_guests(client: Client) -> None:
    data = (
        b"HTTP/1.1 200 OK\r\nconnection: close\r\nkeep-alive: x\r\nset-cookie: a=b\r\n"
        b"transfer-encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n"
    )
    with serving(raw(data)) as server:
        reply = get(client, server)
    assert reply.headers == (("set-cookie", "a=b"),)
    assert reply.body == b"hi"


def test_no_cookie_is_kept(client: Client) -> None:
    with serving(always(headers=[("set-cookie", "session=1; Path=/")])) as server:
        get(client, server)
        get(client, server)
    assert all(seen.header("cookie") is None for seen in server.seen)


# -- what is denied never connects -------------------------------------------------------------


def test_ssrf_spellings_make_no_connection(monkeypatch: pytest.MonkeyPatch) -> None:
    dialled: list[object] = []
    monkeypatch.setattr(wire.socket.socket, "connect", lambda *a: dialled.append(a))
    resolver = Table(["127.0.0.1"])
    grant = Grant.of(["api.example.com", "*.tenant.example"], ports=[8443])
    denied = 0
    with Client(resolver=resolver) as client:
        for url in REFUSED:
            account = meter()
            with pytest.raises(EgressDenied):
                client.send(HTTPRequest("GET", url), grant, account)
            with pytest.raises(EgressDenied):
                client.stream(HTTPRequest("GET", url), grant, account)
            assert account.exchanges == []
            assert account.http_requests == 0
            denied += len(account.denials)
    assert dialled == []
    assert resolver.asked == []
    assert denied == 2 * len(REFUSED) >= 120


def test_a_wild_card_does_not_open_private_addresses(monkeypatch: pytest.MonkeyPatch) -> None:
    dialled: list[object] = []
    monkeypatch.setattr(wire.socket.socket, "connect", lambda *a: dialled.append(a))
    private = [
        "127.0.0.1", "10.0.0.1", "169.254.169.254", "100.64.0.1", "0.0.0.0", "224.0.0.1", "::1",
        "::", "fe80::1", "fd00::1", "::ffff:127.0.0.1", "64:ff9b::7f00:1", "2002:7f00:1::",
        "2001:0:7f00:1::", "192.0.0.192",
    ]  # fmt: skip
    for address in private:
        with Client(resolver=Table([address])) as client:
            for grant in (Grant.of(["*"]), Grant.extism(["*"]), Grant.of(["innocent.example"])):
                with pytest.raises(EgressDenied) as caught:
                    client.send(HTTPRequest("GET", "http://innocent.example/"), grant, meter())
                assert caught.value.reason == "address"
                assert caught.value.host == "innocent.example"
    assert dialled == []


# -- names and addresses -----------------------------------------------------------------------


def test_rebinding_resolver() -> None:
    # A resolver that answers with a public address first and loopback ever after.
    with serving(always()) as server:
        resolver = Table(["127.0.0.1"], ["10.0.0.9"])
        grant = Grant.of([f"flip.example:{server.port}"], private=["127.0.0.0/8"])
        with Client(resolver=resolver) as client:
            request = HTTPRequest("GET", f"http://flip.example:{server.port}/")
            assert client.send(request, grant, meter()).status == 200
            assert resolver.asked == ["flip.example"]  # resolved once, that address dialled
            assert server.seen[0].header("host") == f"flip.example:{server.port}"
            # A new connection asks again, and the new answer is decided on again.
            other = Grant.of([f"flip.example:{server.port}"], private=["127.0.0.0/16"])
            with pytest.raises(EgressDenied, match=r"10\.0\.0\.9"):
                client.send(request, other, meter())
    assert server.connections == 1


def test_only_granted_addresses_of_several_are_dialled() -> None:
    with serving(always()) as server:
        resolver = Table(["10.0.0.1", "127.0.0.1", "169.254.169.254"])
        grant = Grant.of([f"h.example:{server.port}"], private=["127.0.0.0/8"])
        with Client(resolver=resolver) as client:
            request = HTTPRequest("GET", f"http://h.example:{server.port}/")
            assert client.send(request, grant, meter(connect_time=2)).status == 200


def test_the_next_address_is_tried() -> None:
    with serving(always()) as server:
        with socket.create_server(("127.0.0.2", 0)) as closed:
            closed_port = closed.getsockname()[1]
        assert closed_port != server.port
        resolver = Table(["127.0.0.2", "127.0.0.1"])
        grant = Grant.of([f"h.example:{server.port}"], private=["127.0.0.0/8"])
        with Client(resolver=resolver) as client:
            request = HTTPRequest("GET", f"http://h.example:{server.port}/")
            assert client.send(request, grant, meter()).status == 200


def test_localhost_by_the_system_resolver(client: Client) -> None:
    with serving(always()) as server:
        request = HTTPRequest("GET", f"http://localhost:{server.port}/")
        assert client.send(request, grant_for(server), meter()).status == 200
        assert server.seen[0].header("host") == f"localhost:{server.port}"


def test_a_name_that_does_not_resolve() -> None:
    def lookup(host: str, port: int) -> list[IPAddress]:
        raise socket.gaierror(-2, "Name or service not known")

    with Client(resolver=SystemResolver(lookup)) as client:
        account = meter()
        with pytest.raises(TransportError) as caught:
            client.send(HTTPRequest("GET", "http://no.example/"), Grant.of(["*"]), account)
    assert caught.value.kind == "dns"
    assert "no.example was not found: Name or service not known" in caught.value.message
    assert account.exchanges[0].status is None


def test_a_hung_resolver_does_not_hang_the_caller() -> None:
    release = threading.Event()

    def lookup(host: str, port: int) -> list[IPAddress]:
        release.wait(30)
        return []

    try:
        with Client(resolver=SystemResolver(lookup, lookups=2)) as client:
            request, grant = HTTPRequest("GET", "http://slow.example/"), Grant.of(["*"])
            began = time.monotonic()
            with pytest.raises(Timeout):
                client.send(request, grant, meter(deadline=0.2))
            with pytest.raises(TransportError, match=r"not connected within 0\.2 s") as caught:
                client.send(request, grant, meter(connect_time=0.2))
            assert caught.value.kind == "timeout"
            assert time.monotonic() - began < 5
            # Both threads hang: a third lookup is refused rather than queued.
            with pytest.raises(TransportError, match="too many lookups") as caught:
                client.send(request, grant, meter())
            assert caught.value.kind == "dns"
    finally:
        release.set()


# -- failures of the network -------------------------------------------------------------------


def test_connection_refused(client: Client) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    account = meter()
    grant = Grant.of([f"127.0.0.1:{port}"])
    with pytest.raises(TransportError, match="Connection refused") as caught:
        client.send(HTTPRequest("GET", f"http://127.0.0.1:{port}/"), grant, account)
    assert caught.value.kind == "connect"
    assert account.exchanges[0].status is None


def test_connect_time(client: Client) -> None:
    # A full backlog: the kernel drops further SYNs.
    with socket.create_server(("127.0.0.1", 0), backlog=0) as listener:
        port = listener.getsockname()[1]
        fill = [socket.socket() for _ in range(4)]
        try:
            for sock in fill:
                sock.setblocking(False)
                sock.connect_ex(("127.0.0.1", port))
            grant = Grant.of([f"127.0.0.1:{port}"])
            request = HTTPRequest("GET", f"http://127.0.0.1:{port}/")
            began = time.monotonic()
            with pytest.raises(TransportError) as caught:
                client.send(request, grant, meter(connect_time=0.2))
            assert caught.value.kind == "timeout"
            with pytest.raises(Timeout):
                client.send(request, grant, meter(deadline=0.2))
            assert time.monotonic() - began < 5
        finally:
            for sock in fill:
                sock.close()


@pytest.mark.parametrize(
    ("data", "kind"),
    [
        (b"", "reset"),
        (b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nhalf", "reset"),
        (b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhal", "reset"),
        (b"HTTP/1.1 200 OK\r\n", "reset"),
        (b"rubbish\r\n\r\n", "protocol"),
        (b"HTTP/1.1 999999 X\r\n\r\n", "protocol"),
        (b"HTTP/1.1 200 OK\r\nbad header\r\n\r\n", "protocol"),
        (b"HTTP/1.1 200 OK\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\n", "protocol"),
        (b"HTTP/1.1 200 OK\r\ncontent-length: -1\r\n\r\n", "protocol"),
        (b"HTTP/1.1 200 OK\r\ntransfer-encoding: gzip\r\n\r\n", "protocol"),
        (b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n", "protocol"),
        (b"HTTP/1.1 101 Switching\r\nupgrade: x\r\n\r\n", "protocol"),
        (b"HTTP/1.1 200 OK\r\n" + b"x: y\r\n" * 300 + b"\r\n", "protocol"),
        (b"HTTP/1.1 200 OK\r\nx: " + b"y" * 200_000 + b"\r\n\r\n", "protocol"),
        (b"HTTP/1.1 200 OK\r\ncontent-encoding: br\r\ncontent-length: 1\r\n\r\nx", "protocol"),
        (b"HTTP/1.1 200 OK\r\ncontent-encoding: zstd\r\ncontent-length: 1\r\n\r\nx", "protocol"),
        (b"HTTP/1.1 200 OK\r\ncontent-encoding: gzip, br\r\ncontent-length: 0\r\n\r\n", "protocol"),
        (b"HTTP/1.1 200 OK\r\ncontent-encoding: gzip\r\ncontent-length: 4\r\n\r\nnope", "protocol"),
        (b"HTTP/1.1 200 OK\r\ncontent-encoding: gzip\r\ncontent-length: 1\r\n\r\n\x1f", "protocol"),
    ],
)  # fmt: skip
def test_broken_replies(client: Client, data: bytes, kind: str) -> None:
    with serving(raw(data)) as server:
        account = meter()
        with pytest.raises(TransportError) as caught:
            get(client, server, account=account)
    assert caught.value.kind == kind
    assert len(account.exchanges) == 1
    assert len(caught.value.message) < 400
    assert caught.value.message.isprintable()


def test_300_headers_is_the_reason(client: Client) -> None:
    data = b"HTTP/1.1 200 OK\r\n" + b"".join(b"x%d: y\r\n" % i for i in range(257)) + b"\r\n"
    with serving(raw(data)) as server, pytest.raises(TransportError, match="257 headers, 256"):
        get(client, server)


def test_endless_interim_replies_end_with_the_deadline(client: Client) -> None:
    def interim(peer: Peer) -> None:
        peer.request()
        while not peer.server.stopping.is_set():
            peer.send(b"HTTP/1.1 102 Processing\r\n\r\n" * 100)

    with serving(interim) as server:
        began = time.monotonic()
        with pytest.raises(Timeout):
            get(client, server, account=meter(deadline=0.3))
        assert time.monotonic() - began < 5


# -- limits ------------------------------------------------------------------------------------


def test_response_bytes_at_the_boundary(client: Client) -> None:
    for encode in (None, "gzip", "deflate", "chunked"):
        body = b"x" * 1000
        if encode == "chunked":
            handler = chunked(body[:500], body[500:])
        elif encode is None:
            handler = always(body)
        else:
            packed = gzip.compress(body) if encode == "gzip" else zlib.compress(body)
            handler = always(packed, headers=[("content-encoding", encode)])
        with serving(handler) as server:
            reply = get(client, server, account=meter(response_bytes=1000))
            assert reply.body == body
            assert reply.header("content-encoding") is None
            with pytest.raises(TooMuch) as caught:
                get(client, server, account=meter(response_bytes=999))
            assert caught.value.limit == "response_bytes"


def test_request_bytes_at_the_boundary(client: Client) -> None:
    with serving(always()) as server:
        request = HTTPRequest("POST", server.url, (), b"x" * 100)
        grant = grant_for(server)
        assert client.send(request, grant, meter(request_bytes=100)).status == 200
        with pytest.raises(TooMuch) as caught:
            client.send(request, grant, meter(request_bytes=99))
    assert caught.value.limit == "request_bytes"
    assert len(server.seen) == 1


def test_http_requests_are_counted(client: Client) -> None:
    with serving(always()) as server:
        account = meter(http_requests=2)
        get(client, server, account=account)
        get(client, server, account=account)
        with pytest.raises(TooMuch) as caught:
            get(client, server, account=account)
    assert caught.value.limit == "http_requests"
    assert len(server.seen) == 2
    assert len(account.exchanges) == 2


@pytest.mark.parametrize("coding", ["gzip", "deflate"])
def test_a_bomb_costs_less_than_8_mib(client: Client, coding: str) -> None:
    size = 200 << 20
    packer = zlib.compressobj(9, zlib.DEFLATED, 31 if coding == "gzip" else 15)
    block = bytes(1 << 20)
    bomb = b"".join([packer.compress(block) for _ in range(size >> 20)]) + packer.flush()
    assert len(bomb) < 300_000
    with serving(always(bomb, headers=[("content-encoding", coding)])) as server:
        tracemalloc.start()
        try:
            before = tracemalloc.get_traced_memory()[0]
            tracemalloc.reset_peak()
            with pytest.raises(TooMuch):
                get(client, server, account=meter())
            peak = tracemalloc.get_traced_memory()[1] - before
            tracemalloc.reset_peak()
            request = HTTPRequest("GET", server.url)
            with client.stream(request, grant_for(server), meter()) as stream:
                with pytest.raises(TooMuch):
                    while stream.read():
                        pass
            streamed = tracemalloc.get_traced_memory()[1] - before
        finally:
            tracemalloc.stop()
    assert peak < 8 << 20
    assert streamed < 8 << 20


def test_a_highly_compressed_reply_below_the_limit_is_no_bomb(client: Client) -> None:
    body = bytes(5 << 20)
    with serving(always(gzip.compress(body), headers=[("content-encoding", "gzip")])) as server:
        assert get(client, server).body == body


def test_an_endless_body_ends_at_the_limit(client: Client) -> None:
    def endless(peer: Peer) -> None:
        peer.request()
        peer.send(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n")
        block = b"10000\r\n" + b"x" * 0x10000 + b"\r\n"
        while True:
            peer.send(block)

    with serving(endless) as server:
        account = meter(response_bytes=1 << 20)
        with pytest.raises(TooMuch):
            get(client, server, account=account)
    assert account.exchanges[0].received <= (1 << 20) + (1 << 17)


def test_the_pieces_of_a_body_are_capped(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fumehood.egress.client.CHUNK_CAP", 20)
    with serving(chunked(*[b"a"] * 20)) as server:
        assert get(client, server).body == b"a" * 20
    with serving(chunked(*[b"a"] * 21)) as server, pytest.raises(TooMuch, match="20 pieces"):
        get(client, server)


# -- time --------------------------------------------------------------------------------------


def trickle(peer: Peer) -> None:
    """A slow loris: a byte of a header now and then."""
    peer.request()
    peer.send(b"HTTP/1.1 200 OK\r\nx: ")
    while not peer.server.stopping.wait(0.02):
        peer.send(b"y")


def silent(peer: Peer) -> None:
    peer.request()
    peer.server.stopping.wait(30)


def half(peer: Peer) -> None:
    peer.request()
    peer.send(b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nhalf")
    peer.server.stopping.wait(30)


@pytest.mark.parametrize("handler", [trickle, silent, half])
def test_deadline(client: Client, handler: object) -> None:
    with serving(handler) as server:  # type: ignore[arg-type]
        account = meter(deadline=0.3)
        began = time.monotonic()
        with pytest.raises(Timeout) as caught:
            get(client, server, account=account)
        assert 0.25 < time.monotonic() - began < 5
    assert caught.value.limit == "deadline"
    assert len(account.exchanges) == 1


@pytest.mark.parametrize("handler", [silent, half])
def test_idle_time(client: Client, handler: object) -> None:
    with serving(handler) as server:  # type: ignore[arg-type]
        began = time.monotonic()
        with pytest.raises(TransportError, match=r"silent for 0\.2 s") as caught:
            get(client, server, account=meter(idle_time=0.2))
        assert time.monotonic() - began < 5
    assert caught.value.kind == "timeout"


def test_a_peer_that_does_not_read(client: Client) -> None:
    def deaf(peer: Peer) -> None:
        peer.server.stopping.wait(30)

    with serving(deaf) as server:
        request = HTTPRequest("POST", server.url, (), bytes(16 << 20))
        with pytest.raises(TransportError) as caught:
            client.send(request, grant_for(server), meter(idle_time=0.2))
        assert caught.value.kind == "timeout"
        with pytest.raises(Timeout):
            client.send(request, grant_for(server), meter(deadline=0.2))


@pytest.mark.parametrize("handler", [trickle, silent, half])
def test_cancel_from_another_thread(client: Client, handler: object) -> None:
    with serving(handler) as server:  # type: ignore[arg-type]
        account = meter()
        times: list[float] = []

        def cancel() -> None:
            times.append(time.monotonic())
            account.cancel()

        timer = threading.Timer(0.15, cancel)
        timer.start()
        with pytest.raises(Cancelled):
            get(client, server, account=account)
        assert time.monotonic() - times[0] < 5
        timer.join()


def test_a_cancel_between_the_head_and_no_body(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    account = meter()

    def opened(*arguments: Any) -> str | None:
        account.cancel()
        return open_reply(*arguments)

    for module in ("client", "aclient"):
        monkeypatch.setattr(f"fumehood.egress.{module}.open_reply", opened)
    with serving(always(b"", "204 No Content")) as server, pytest.raises(Cancelled):
        get(client, server, account=account)


def test_nothing_is_sent_after_a_cancel_or_the_deadline(client: Client) -> None:
    with serving(always()) as server:
        cancelled = meter()
        cancelled.cancel()
        with pytest.raises(Cancelled):
            get(client, server, account=cancelled)
        with pytest.raises(Timeout):
            get(client, server, account=meter(deadline=0))
    assert server.connections == 0


# -- connections -------------------------------------------------------------------------------


def test_connections_are_kept_alive_and_separated_by_grant(client: Client) -> None:
    with serving(always()) as server:
        one = grant_for(server)
        two = Grant.of(["127.0.0.1"], ports=[server.port, 1])
        request = HTTPRequest("GET", server.url)
        for grant in (one, one, two, one, two):
            client.send(request, grant, meter())
        assert [seen.connection for seen in server.seen] == [1, 1, 2, 1, 2]


def test_a_kept_connection_does_not_serve_who_is_not_granted_its_address() -> None:
    with serving(always()) as server:
        request = HTTPRequest("GET", f"http://inner.example:{server.port}/")
        granted = Grant.of([f"inner.example:{server.port}"], private=["127.0.0.0/8"])
        other = Grant.of([f"inner.example:{server.port}"])
        with Client(resolver=Table(["127.0.0.1"])) as client:
            assert client.send(request, granted, meter()).status == 200
            with pytest.raises(EgressDenied, match="loopback"):
                client.send(request, other, meter())
    assert server.connections == 1


def test_a_connection_that_the_server_closed_is_not_used_again(client: Client) -> None:
    closed = threading.Event()

    def once(peer: Peer) -> None:
        peer.request()
        peer.reply(b"x")
        peer.sock.shutdown(socket.SHUT_RDWR)
        closed.set()

    with serving(once) as server:
        assert get(client, server).status == 200
        assert closed.wait(5)
        assert get(client, server).status == 200
        assert server.connections == 2


def test_close(client: Client) -> None:
    with serving(always()) as server:
        get(client, server)
        client.close()
        client.close()
        with pytest.raises(ClosedError):
            get(client, server)


def test_many_threads_share_a_client(client: Client) -> None:
    def echo(peer: Peer) -> None:
        while (seen := peer.request()) is not None:
            peer.reply(seen.line.encode())

    with serving(echo) as server:
        wrong: list[str] = []

        def work(name: int) -> None:
            for turn in range(25):
                body = get(client, server, f"/{name}-{turn}").body
                if body != f"GET /{name}-{turn} HTTP/1.1".encode():
                    wrong.append(body.decode())

        threads = [threading.Thread(target=work, args=(n,)) for n in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert wrong == []
        assert server.connections <= 8
        assert len(server.seen) == 200


@pytest.mark.timeout(1800 if LONG else 120)
def test_errors_reach_their_own_thread(client: Client) -> None:
    def fail(peer: Peer) -> None:
        seen = peer.request()
        assert seen is not None
        peer.send(b"rubbish-" + seen.line.split()[1][1:].encode() + b"\r\n\r\n")

    with serving(fail) as server:
        wrong: list[str] = []

        def work(name: int) -> None:
            for turn in range(FAILING_CALLS):
                try:
                    get(client, server, f"/{name}x{turn}")
                except Error as error:
                    if f"rubbish-{name}x{turn}" not in error.message:
                        wrong.append(error.message)
                else:
                    wrong.append("no error")

        threads = [threading.Thread(target=work, args=(n,)) for n in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert wrong == []


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs os.fork")
@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_a_forked_child_opens_its_own_connections(client: Client) -> None:
    with serving(always()) as server:
        get(client, server)
        pid = os.fork()
        if pid == 0:
            code = 1
            try:
                code = 0 if get(client, server).status == 200 else 2
            finally:
                os._exit(code)
        assert os.waitpid(pid, 0)[1] == 0
        get(client, server)
        assert [seen.connection for seen in server.seen] == [1, 2, 1]


# -- the environment ---------------------------------------------------------------------------


def test_the_environment_has_no_say(
    client: Client, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login user password secret\n")
    netrc.chmod(0o600)
    monkeypatch.setenv("NETRC", str(netrc))
    with serving(always(b"proxy")) as proxy, serving(always(b"origin")) as server:
        for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
            monkeypatch.setenv(name, proxy.url)
            monkeypatch.setenv(name.lower(), proxy.url)
        monkeypatch.setenv("NO_PROXY", "")
        assert get(client, server).body == b"origin"
        assert proxy.connections == 0
        assert server.seen[0].header("authorization") is None
        with Client() as fresh:
            assert get(fresh, server).body == b"origin"
        assert proxy.connections == 0


def test_no_debug_log_shows_replies(client: Client, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level("DEBUG"), serving(always(headers=[("x", "canary-value")])) as server:
        get(client, server)
        client.close()
    assert "canary-value" not in caplog.text


@pytest.mark.parametrize("seconds", [1e9, 1e12, 1e300])
def test_times_beyond_what_the_system_can_wait(client: Client, seconds: float) -> None:
    limits = Limits(deadline=seconds, connect_time=seconds, idle_time=seconds)
    with serving(always(b"hello")) as server:
        for host in ("127.0.0.1", "localhost"):
            grant = Grant.of([host], ports=[server.port])
            request = HTTPRequest("GET", f"http://{host}:{server.port}/")
            assert client.send(request, grant, Meter(limits)).body == b"hello"
            with client.stream(request, grant, Meter(limits)) as stream:
                assert stream.read() == b"hello"


def test_what_comes_after_a_reply_is_no_answer_to_the_next_request(client: Client) -> None:
    """Connections are shared by all plugins with one grant."""

    def more(peer: Peer) -> None:
        while peer.request() is not None:
            head = b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\n"
            peer.send(head + b"mine" + head + b"evil")

    with serving(more) as server:
        for number in (1, 2, 3):
            assert get(client, server).body == b"mine"
            assert server.connections == number
