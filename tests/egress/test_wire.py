from __future__ import annotations

import select
import socket
import ssl
import threading
from collections.abc import Iterator
from ipaddress import ip_address

import httpcore
import pytest

from fumehood.abi.http import HTTPRequest
from fumehood.egress import client as client_room
from fumehood.egress import transport
from fumehood.egress.client import Client
from fumehood.egress.policy import Grant
from fumehood.egress.pool import Pool
from fumehood.egress.resolver import Check
from fumehood.egress.transport import Backend
from fumehood.egress.url import IPAddress, parse_url
from fumehood.egress.wire import Operation, SocketStream, TLSStream, connect, current
from fumehood.errors import TransportError
from fumehood.limits import Limits
from fumehood.meter import Meter
from tests.egress.conftest import Authority
from tests.egress.servers import always, serving


def operation(**limits: float) -> Operation:
    return Operation.begin(Meter(Limits(**limits)), parse_url("https://api.example/"))  # type: ignore[arg-type]


@pytest.fixture
def pair() -> Iterator[tuple[SocketStream, socket.socket]]:
    ours, theirs = socket.socketpair()
    ours.setblocking(False)
    theirs.settimeout(5)
    token = current.set(operation(idle_time=2))
    yield SocketStream(ours), theirs
    current.reset(token)
    ours.close()
    theirs.close()


def test_a_socket_stream(pair: tuple[SocketStream, socket.socket]) -> None:
    stream, far = pair
    far.sendall(b"hello")
    assert stream.read(100) == b"hello"
    assert stream.get_extra_info("is_readable") is False
    stream.write(b"back")
    assert far.recv(100) == b"back"
    assert stream.get_extra_info("ssl_object") is None
    far.close()
    assert stream.get_extra_info("is_readable") is True
    assert stream.read(100) == b""
    stream.close()
    stream.close()
    assert stream.get_extra_info("is_readable") is True
    with pytest.raises(httpcore.ReadError):
        stream.read(1)
    with pytest.raises(httpcore.WriteError):
        stream.write(b"x")


def test_a_broken_pipe(pair: tuple[SocketStream, socket.socket]) -> None:
    stream, far = pair
    far.close()
    with pytest.raises(httpcore.WriteError):
        for _ in range(10):
            stream.write(b"x" * 65536)


def test_where_poll_is_not_there(
    pair: tuple[SocketStream, socket.socket], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delattr(select, "poll", raising=False)
    stream, far = pair
    timer = threading.Timer(0.1, far.sendall, (b"later",))
    timer.start()
    assert stream.read(100) == b"later"
    timer.join()
    data = bytes(8 << 20)
    received = bytearray()

    def drain() -> None:
        while len(received) < len(data):
            received.extend(far.recv(1 << 20))

    thread = threading.Thread(target=drain)
    thread.start()
    stream.write(data)
    thread.join()
    assert bytes(received) == data


def test_connect_refused_closes_the_socket() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    with pytest.raises(OSError, match="refused"):
        connect(ip_address("127.0.0.1"), port, lambda: 5.0)


def tls_pair(authority: Authority) -> tuple[TLSStream, ssl.SSLSocket]:
    ours, theirs = socket.socketpair()
    ours.setblocking(False)
    theirs.settimeout(5)
    box: list[ssl.SSLSocket] = []
    server = authority.server("api.example")
    thread = threading.Thread(
        target=lambda: box.append(server.wrap_socket(theirs, server_side=True))
    )
    thread.start()
    context = ssl.create_default_context(cafile=authority.file)
    stream = SocketStream(ours).start_tls(context, "api.example")
    thread.join()
    assert isinstance(stream, TLSStream)
    return stream, box[0]


def test_tls_garbage_in_the_middle(authority: Authority) -> None:
    token = current.set(operation())
    try:
        stream, far = tls_pair(authority)
        far.sendall(b"fine")
        assert stream.read(100) == b"fine"
        assert stream.get_extra_info("ssl_object") is not None
        raw = far.detach()
        with socket.socket(fileno=raw) as plain:
            plain.sendall(b"this is no TLS record at all, not in the least")
            with pytest.raises(httpcore.ReadError):
                stream.read(100)
            with pytest.raises((httpcore.WriteError, httpcore.ReadError)):
                stream.write(b"x")
        stream.close()
    finally:
        current.reset(token)


def test_a_handshake_with_garbage(authority: Authority) -> None:
    ours, theirs = socket.socketpair()
    ours.setblocking(False)
    token = current.set(operation())
    try:
        theirs.sendall(b"SSH-2.0-nothing of the kind\r\n" * 10)
        context = ssl.create_default_context(cafile=authority.file)
        with pytest.raises(TransportError, match=r"no TLS with api\.example") as caught:
            SocketStream(ours).start_tls(context, "api.example")
        assert caught.value.kind == "tls"
        assert ours.fileno() == -1
    finally:
        current.reset(token)
        theirs.close()


class Several:
    def __init__(self, *addresses: str) -> None:
        self.addresses = [ip_address(a) for a in addresses]

    def resolve(self, host: str, port: int, check: Check) -> list[IPAddress]:
        return self.addresses


def test_the_back_end_dials_only_what_was_decided_on() -> None:
    opened: list[SocketStream] = []
    backend = Backend(Grant.of(["*"]), Several("127.0.0.1"), None, opened.append)
    token = current.set(operation())
    try:
        for host, port in (("evil.example", 443), ("api.example", 22)):
            with pytest.raises(TransportError, match="not what was decided on"):
                backend.connect_tcp(host, port)
    finally:
        current.reset(token)
    assert opened == []


def test_each_address_has_its_share_of_the_time(monkeypatch: pytest.MonkeyPatch) -> None:
    tried: list[str] = []

    def fake(address: IPAddress, port: int, check: Check) -> socket.socket:
        tried.append(str(address))
        assert check() <= 0.4
        while True:
            check()

    monkeypatch.setattr(transport, "connect", fake)
    resolver = Several("8.8.8.8", "1.1.1.1")
    with Client(resolver=resolver) as client:
        request, grant = HTTPRequest("GET", "http://api.example/"), Grant.of(["*"])
        with pytest.raises(TransportError) as caught:
            client.send(request, grant, Meter(Limits(connect_time=0.4)))
    assert caught.value.kind == "timeout"
    assert tried == ["8.8.8.8", "1.1.1.1"]


def test_no_address_at_all() -> None:
    with Client(resolver=Several()) as client, pytest.raises(TransportError) as caught:
        client.send(HTTPRequest("GET", "http://api.example/"), Grant.of(["*"]), Meter(Limits()))
    assert caught.value.kind == "dns"


def test_idle_pools_are_dropped(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transport, "POOLS", 2)
    with serving(always()) as server, Client() as client:
        request = HTTPRequest("GET", server.url)
        grants = [Grant.of(["127.0.0.1"], ports=[server.port, n]) for n in (1, 2, 3)]
        stream = client.stream(request, grants[0], Meter(Limits()))
        for grant in (*grants[1:], grants[1]):
            client.send(request, grant, Meter(Limits()))
        assert len(client._pools._entries) == 2
        assert stream.read() == b"hello"  # a pool in use is kept
        stream.close()
        assert server.connections == 4


def test_whatever_goes_wrong_inside_is_one_of_our_errors(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(self: object, request: object) -> None:
        raise ZeroDivisionError("inside")

    monkeypatch.setattr(Pool, "exchange", broken)
    with Client() as client, pytest.raises(TransportError, match="ZeroDivisionError") as caught:
        client.send(HTTPRequest("GET", "http://8.8.8.8/"), Grant.of(["*"]), Meter(Limits()))
    assert caught.value.kind == "protocol"
    assert isinstance(caught.value.__cause__, ZeroDivisionError)


def test_keyboard_interrupts_pass(monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(self: object, request: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(Pool, "exchange", interrupted)
    account = Meter(Limits())
    with Client() as client, pytest.raises(KeyboardInterrupt):
        client.send(HTTPRequest("GET", "http://8.8.8.8/"), Grant.of(["*"]), account)
    assert len(account.exchanges) == 1
    assert client_room.current.get(None) is None
