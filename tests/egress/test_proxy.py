"""The operator's proxy: plain forwarding, tunnels, and what is checked."""

from __future__ import annotations

import contextlib
import socket
import threading
from ipaddress import ip_address

import pytest

from fumehood.abi.http import HTTPRequest
from fumehood.egress.client import Client
from fumehood.egress.policy import Grant
from fumehood.egress.resolver import Check
from fumehood.egress.transport import Proxy
from fumehood.egress.url import IPAddress
from fumehood.errors import ConfigError, EgressDenied, TransportError
from fumehood.limits import Limits
from fumehood.meter import Meter
from tests.egress.conftest import Authority
from tests.egress.servers import Peer, always, serving


class Private:
    """Every name is in a private network; loopback for `proxy.example`."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    def resolve(self, host: str, port: int, check: Check) -> list[IPAddress]:
        self.asked.append(host)
        return [ip_address("127.0.0.1")]


def tunnel_to(port: int, status: str = "200 OK") -> object:
    """A CONNECT proxy that leads everything to one port of loopback."""

    def handle(peer: Peer) -> None:
        peer.request()
        peer.send(f"HTTP/1.1 {status}\r\n\r\n".encode())
        if not status.startswith("200"):
            return
        with socket.create_connection(("127.0.0.1", port)) as far:

            def back() -> None:
                with contextlib.suppress(OSError):
                    while data := far.recv(65536):
                        peer.send(data)

            thread = threading.Thread(target=back, daemon=True)
            thread.start()
            while data := peer.sock.recv(65536):
                far.sendall(data)
            far.shutdown(socket.SHUT_RDWR)
            thread.join(5)

    return handle


def test_plain_requests_are_forwarded() -> None:
    resolver = Private()
    with serving(always(b"via")) as proxy:
        text = f"http://us%40er:p%3Aw@127.0.0.1:{proxy.port}"
        with Client(proxy=text, resolver=resolver) as client:
            request = HTTPRequest("GET", "http://api.example/v1?x", (("x-mine", "1"),))
            reply = client.send(request, Grant.of(["api.example"]), Meter(Limits()))
            assert reply.body == b"via"
        seen = proxy.seen[0]
        assert seen.line == "GET http://api.example:80/v1?x HTTP/1.1"
        assert seen.header("host") == "api.example"
        assert seen.header("proxy-authorization") == "Basic dXNAZXI6cDp3"
        assert seen.header("x-mine") == "1"
    assert resolver.asked == []  # the proxy resolves the name, and was given by its address


def test_what_is_not_granted_does_not_reach_the_proxy() -> None:
    with serving(always()) as proxy, Client(proxy=proxy.url) as client:
        for url in ("http://evil.example/", "http://10.0.0.1/", "http://127.0.0.1/"):
            with pytest.raises(EgressDenied):
                client.send(HTTPRequest("GET", url), Grant.of(["api.example"]), Meter(Limits()))
        with pytest.raises(EgressDenied) as caught:
            client.send(HTTPRequest("GET", "http://10.0.0.1/"), Grant.of(["*"]), Meter(Limits()))
        assert caught.value.reason == "address"
        assert proxy.connections == 0


def test_the_address_check_applies_to_the_proxy() -> None:
    request, grant = HTTPRequest("GET", "http://api.example/"), Grant.of(["api.example"])
    with serving(always(b"via")) as proxy:
        text = f"http://proxy.example:{proxy.port}"
        with Client(proxy=text, resolver=Private()) as client:
            with pytest.raises(EgressDenied) as caught:
                client.send(request, grant, Meter(Limits()))
            assert caught.value.host == "proxy.example"
        assert proxy.connections == 0
        with Client(proxy=text, proxy_private=["127.0.0.0/8"], resolver=Private()) as client:
            assert client.send(request, grant, Meter(Limits())).body == b"via"
        with Client(proxy=f"http://localhost:{proxy.port}") as client:
            assert client.send(request, grant, Meter(Limits())).body == b"via"


def test_tunnels_keep_end_to_end_tls(authority: Authority) -> None:
    request, grant = HTTPRequest("GET", "https://api.example/v1"), Grant.of(["api.example"])
    with serving(always(b"origin"), tls=authority.server("api.example")) as origin:
        with serving(tunnel_to(origin.port)) as proxy:  # type: ignore[arg-type]
            with Client(proxy=proxy.url, ca_file=authority.file) as client:
                assert client.send(request, grant, Meter(Limits())).body == b"origin"
                assert client.send(request, grant, Meter(Limits())).body == b"origin"
            assert proxy.seen[0].line == "CONNECT api.example:443 HTTP/1.1"
            assert len(proxy.seen) == 1
            assert origin.seen[0].sni == "api.example"
            with Client(proxy=proxy.url) as client, pytest.raises(TransportError) as caught:
                client.send(request, grant, Meter(Limits()))
            assert caught.value.kind == "tls"


def test_a_tls_proxy(authority: Authority) -> None:
    request, grant = HTTPRequest("GET", "https://api.example/v1"), Grant.of(["api.example"])
    with serving(always(b"origin"), tls=authority.server("api.example")) as origin:
        handler = tunnel_to(origin.port)
        with serving(handler, tls=authority.server("127.0.0.1")) as proxy:  # type: ignore[arg-type]
            with Client(proxy=proxy.url, ca_file=authority.file) as client:
                assert client.send(request, grant, Meter(Limits())).body == b"origin"


def test_a_proxy_that_refuses() -> None:
    request, grant = HTTPRequest("GET", "https://api.example/v1"), Grant.of(["api.example"])
    with serving(tunnel_to(0, "407 Proxy Authentication Required")) as proxy:  # type: ignore[arg-type]
        with (
            Client(proxy=proxy.url) as client,
            pytest.raises(TransportError, match="407") as caught,
        ):
            client.send(request, grant, Meter(Limits()))
    assert caught.value.kind == "connect"


@pytest.mark.parametrize("text", ["proxy:3128", "socks5://proxy:1080", "http://", "http://a b"])
def test_bad_proxies(text: str) -> None:
    with pytest.raises(ConfigError, match=r"network\.proxy") as caught:
        Client(proxy=text)
    assert caught.value.problems[0][0] == "network.proxy"


def test_repr_shows_no_password() -> None:
    assert "pw" not in repr(Proxy.parse("http://user:pw@127.0.0.1:1"))
    assert "dXNlc" not in repr(Proxy.parse("http://user:pw@127.0.0.1:1"))
