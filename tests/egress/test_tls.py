from __future__ import annotations

import socket
import ssl
import threading
import time
from ipaddress import ip_address
from pathlib import Path

import pytest

from fumehood.abi.http import HTTPRequest, HTTPResponse
from fumehood.egress.client import Client
from fumehood.egress.policy import Grant
from fumehood.egress.resolver import Check
from fumehood.egress.url import IPAddress
from fumehood.errors import Cancelled, ConfigError, Timeout, TransportError
from fumehood.limits import Limits
from fumehood.meter import Meter
from tests.egress.conftest import Authority
from tests.egress.servers import Peer, Server, always, chunked, serving


class Loopback:
    def resolve(self, host: str, port: int, check: Check) -> list[IPAddress]:
        return [ip_address("127.0.0.1")]


def get(
    client: Client, server: Server, name: str = "api.example", account: Meter | None = None
) -> HTTPResponse:
    grant = Grant.of([f"{name}:{server.port}"], private=["127.0.0.0/8"])
    request = HTTPRequest("GET", f"https://{name}:{server.port}/")
    return client.send(request, grant, account or Meter(Limits(deadline=10)))


@pytest.fixture
def trusting(authority: Authority) -> Client:
    return Client(ca_file=authority.file, resolver=Loopback())


def test_host_and_sni_are_the_names(trusting: Client, authority: Authority) -> None:
    with trusting, serving(always(b"hi"), tls=authority.server("api.example")) as server:
        assert get(trusting, server).body == b"hi"
        assert get(trusting, server).body == b"hi"
        assert server.connections == 1
        assert server.seen[0].sni == "api.example"
        assert server.seen[0].header("host") == f"api.example:{server.port}"


def test_an_address_literal(trusting: Client, authority: Authority) -> None:
    with trusting, serving(always(b"hi"), tls=authority.server("127.0.0.1")) as server:
        assert get(trusting, server, "127.0.0.1").body == b"hi"


def test_a_large_reply_and_request(trusting: Client, authority: Authority) -> None:
    body = bytes(range(256)) * 8192

    def echo(peer: Peer) -> None:
        while (seen := peer.request()) is not None:
            peer.reply(seen.body)

    with trusting, serving(echo, tls=authority.server("api.example")) as server:
        grant = Grant.of([f"api.example:{server.port}"], private=["127.0.0.0/8"])
        url = f"https://api.example:{server.port}/"
        for _ in range(2):
            request = HTTPRequest("POST", url, (), body)
            assert trusting.send(request, grant, Meter(Limits(deadline=20))).body == body
        assert server.connections == 1


def test_a_wrong_name_is_refused(trusting: Client, authority: Authority) -> None:
    with trusting, serving(always(), tls=authority.server("other.example")) as server:
        with pytest.raises(TransportError, match=r"certificate of api\.example") as caught:
            get(trusting, server)
        assert caught.value.kind == "tls"
        assert server.seen == []


def test_an_unknown_authority_is_refused(authority: Authority) -> None:
    with (
        Client(resolver=Loopback()) as client,
        serving(always(), tls=authority.server("api.example")) as server,
    ):
        with pytest.raises(TransportError, match="certificate") as caught:
            get(client, server)
        assert caught.value.kind == "tls"
        assert server.seen == []


def test_the_environment_names_no_authority(
    authority: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", authority.file)
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", authority.file)
    with (
        Client(resolver=Loopback()) as client,
        serving(always(), tls=authority.server("api.example")) as server,
        pytest.raises(TransportError, match="certificate"),
    ):
        get(client, server)


def test_an_old_protocol_is_refused(trusting: Client, authority: Authority) -> None:
    context = authority.server("api.example")
    with pytest.warns(DeprecationWarning, match="TLS"):
        context.maximum_version = ssl.TLSVersion.TLSv1_1
    with pytest.warns(DeprecationWarning, match="TLS"):
        context.minimum_version = ssl.TLSVersion.TLSv1
    with trusting, serving(always(), tls=context) as server:
        with pytest.raises(TransportError) as caught:
            get(trusting, server)
        assert caught.value.kind == "tls"


def test_a_server_that_speaks_no_tls(trusting: Client) -> None:
    def plain(peer: Peer) -> None:
        peer.sock.recv(100)
        peer.send(b"HTTP/1.1 400 Bad Request\r\n\r\n")

    def gone(peer: Peer) -> None:
        peer.sock.recv(100)

    with trusting:
        for handler in (plain, gone):
            with serving(handler) as server, pytest.raises(TransportError) as caught:
                get(trusting, server)
            assert caught.value.kind == "tls"
            assert "no TLS with api.example" in caught.value.message


def test_a_handshake_that_hangs(trusting: Client) -> None:
    def hang(peer: Peer) -> None:
        peer.server.stopping.wait(30)

    with trusting, serving(hang) as server:
        began = time.monotonic()
        with pytest.raises(TransportError, match=r"not connected within 0\.2 s") as caught:
            get(trusting, server, account=Meter(Limits(connect_time=0.2)))
        assert caught.value.kind == "timeout"
        with pytest.raises(Timeout):
            get(trusting, server, account=Meter(Limits(deadline=0.2)))
        account = Meter(Limits())
        timer = threading.Timer(0.1, account.cancel)
        timer.start()
        with pytest.raises(Cancelled):
            get(trusting, server, account=account)
        timer.join()
        assert time.monotonic() - began < 5


def test_a_body_that_stalls(trusting: Client, authority: Authority) -> None:
    context = authority.server("api.example")
    with trusting, serving(chunked(b"part", hold=True), tls=context) as server:
        with pytest.raises(Timeout):
            get(trusting, server, account=Meter(Limits(deadline=0.3)))
        with pytest.raises(TransportError, match="silent"):
            get(trusting, server, account=Meter(Limits(idle_time=0.2)))


def test_a_connection_cut_off_without_the_closing_alert(
    trusting: Client, authority: Authority
) -> None:
    def cut(peer: Peer) -> None:
        peer.request()
        peer.send(b"HTTP/1.1 200 OK\r\nconnection: close\r\n\r\nhalf of it")
        socket.socket.shutdown(peer.sock, socket.SHUT_RDWR)

    with trusting, serving(cut, tls=authority.server("api.example")) as server:
        with pytest.raises(TransportError) as caught:
            get(trusting, server)
        assert caught.value.kind == "reset"


def test_a_connection_closed_in_order(trusting: Client, authority: Authority) -> None:
    def end(peer: Peer) -> None:
        peer.request()
        peer.send(b"HTTP/1.1 200 OK\r\nconnection: close\r\n\r\nall of it")
        assert isinstance(peer.sock, ssl.SSLSocket)
        peer.sock.unwrap().close()

    with trusting, serving(end, tls=authority.server("api.example")) as server:
        assert get(trusting, server).body == b"all of it"


def test_ca_file_must_be_one(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="ca_file") as caught:
        Client(ca_file=str(tmp_path / "none.pem"))
    assert caught.value.problems[0][0] == "network.ca_file"
    rubbish = tmp_path / "rubbish.pem"
    rubbish.write_text("rubbish")
    with pytest.raises(ConfigError):
        Client(ca_file=str(rubbish))
