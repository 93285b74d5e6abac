from __future__ import annotations

from ipaddress import ip_address

import pytest

from fumehood.abi.http import HTTPRequest, HTTPResponse
from fumehood.egress.client import Client
from fumehood.egress.policy import Grant
from fumehood.egress.resolver import Check
from fumehood.egress.url import IPAddress
from fumehood.errors import EgressDenied, TooMuch, TransportError
from fumehood.limits import Limits
from fumehood.meter import Meter
from tests.egress.servers import Handler, Peer, Server, always, serving

HEADERS = (("authorization", "Bearer token"), ("x-api-key", "k"), ("content-type", "text/plain"))


class Loopback:
    """Every name is 127.0.0.1."""

    def resolve(self, host: str, port: int, check: Check) -> list[IPAddress]:
        return [ip_address("127.0.0.1")]


def to(location: str, status: int = 302, then: bytes = b"arrived") -> Handler:
    """Redirects `/` and answers everything else."""

    def handle(peer: Peer) -> None:
        while (seen := peer.request()) is not None:
            if seen.line.split()[1] == "/":
                peer.reply(b"moved", f"{status} Moved", [("location", location)])
            else:
                peer.reply(then)

    return handle


def go(
    server: Server,
    *,
    grant: Grant | None = None,
    method: str = "POST",
    follow: int = 10,
    account: Meter | None = None,
    host: str = "127.0.0.1",
) -> HTTPResponse:
    body = b"body" if method != "GET" else b""
    request = HTTPRequest(method, f"http://{host}:{server.port}/", HEADERS, body)
    grant = grant or Grant.extism(["127.0.0.1", "localhost"])
    with Client(resolver=Loopback()) as client:
        return client.send(request, grant, account or Meter(Limits(deadline=10)), follow=follow)


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_redirects_are_returned_by_default(status: int) -> None:
    with serving(to("/next", status)) as server:
        reply = go(server, follow=0)
        assert (reply.status, reply.body) == (status, b"moved")
        assert reply.header("location") == "/next"
        assert len(server.seen) == 1


def test_a_stream_returns_them_too() -> None:
    with serving(to("/next")) as server, Client() as client:
        request = HTTPRequest("GET", server.url)
        grant = Grant.of(["127.0.0.1"], ports=[server.port])
        with client.stream(request, grant, Meter(Limits())) as stream:
            assert stream.status == 302
        assert len(server.seen) == 1


@pytest.mark.parametrize(
    ("status", "method", "then", "body"),
    [
        (301, "POST", "GET", b""), (302, "POST", "GET", b""), (303, "POST", "GET", b""),
        (303, "PUT", "GET", b""), (301, "PUT", "PUT", b"body"), (302, "DELETE", "DELETE", b"body"),
        (307, "POST", "POST", b"body"), (308, "PUT", "PUT", b"body"), (302, "GET", "GET", b""),
    ],
)  # fmt: skip
def test_methods_and_bodies(status: int, method: str, then: str, body: bytes) -> None:
    with serving(to("next", status)) as server:
        assert go(server, method=method).body == b"arrived"
        last = server.seen[-1]
    assert last.line == f"{then} /next HTTP/1.1"
    assert last.body == body
    assert last.header("authorization") == "Bearer token"  # the same origin
    assert (last.header("content-type") is None) is (then == "GET" and method != "GET")


def test_all_guest_headers_are_dropped_when_the_host_changes() -> None:
    with (
        serving(always(b"other")) as other,
        serving(to(f"http://localhost:{other.port}/n")) as server,
    ):
        account = Meter(Limits(deadline=10))
        assert go(server, account=account).body == b"other"
        assert {n for n, _ in other.seen[0].headers} == {
            "host", "user-agent", "accept", "accept-encoding",
        }  # fmt: skip
        assert other.seen[0].header("host") == f"localhost:{other.port}"
        assert account.http_requests == 2
        assert [(e.host, e.status) for e in account.exchanges] == [
            ("127.0.0.1", 302), ("localhost", 200),
        ]  # fmt: skip


def test_they_are_dropped_when_the_port_changes() -> None:
    with (
        serving(always(b"other")) as other,
        serving(to(f"http://127.0.0.1:{other.port}/")) as server,
    ):
        go(server)
        assert other.seen[0].header("authorization") is None


@pytest.mark.parametrize(
    ("location", "reason"),
    [
        ("http://evil.example/", "host"), ("http://10.0.0.1/", "host"),
        ("http://169.254.169.254/latest", "host"), ("//evil.example/", "host"),
        ("http://[::1]/", "host"), ("ftp://127.0.0.1/", "scheme"), ("file:///etc/passwd", "scheme"),
        ("http://127.0.0.1@evil.example/", "host"), ("http://evil.example\\@127.0.0.1/", "host"),
        ("\\\\evil.example", "url"), ("http://127.0.0.1:99999/", "url"),
    ],
)  # fmt: skip
def test_each_hop_is_decided(location: str, reason: str) -> None:
    with serving(to(location)) as server:
        with pytest.raises(EgressDenied) as caught:
            go(server)
    assert caught.value.reason == reason
    assert len(server.seen) == 1


def test_the_address_of_each_hop_is_decided() -> None:
    with serving(always()) as inner, serving(to(f"http://public.example:{inner.port}/")) as server:
        with pytest.raises(EgressDenied) as caught:
            go(server, grant=Grant.extism(["127.0.0.1", "public.example"]))
        assert caught.value.reason == "address"
        assert inner.connections == 0


def test_a_private_literal_needs_its_own_grant_on_every_hop() -> None:
    with serving(always()) as inner, serving(to(f"http://127.0.0.1:{inner.port}/")) as server:
        with pytest.raises(EgressDenied) as caught:
            go(server, grant=Grant.extism(["localhost", "*"]), host="localhost")
        assert caught.value.reason == "address"
        assert inner.connections == 0


def test_too_many() -> None:
    with serving(to("/", 307)) as server:
        with pytest.raises(TransportError, match="more than 3 redirects") as caught:
            go(server, follow=3)
        assert caught.value.kind == "protocol"
        assert len(server.seen) == 4


def test_hops_count_as_requests() -> None:
    with serving(to("/", 307)) as server, pytest.raises(TooMuch):
        go(server, account=Meter(Limits(deadline=10, http_requests=2)))


def test_a_redirect_without_location_is_a_reply() -> None:
    with serving(always(b"x", "302 Found")) as server:
        assert go(server).status == 302
