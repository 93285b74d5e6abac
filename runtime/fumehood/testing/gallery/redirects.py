"""Redirects and names that resolve to something else the next time."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from ipaddress import ip_address
from typing import Final

from fumehood.abi.http import HTTPResponse
from fumehood.egress.exchange import redirect
from fumehood.egress.policy import Grant, decide
from fumehood.egress.url import IPAddress
from fumehood.provider import Provider
from fumehood.testing.gallery.attacks import HARMLESS, Attack
from fumehood.testing.gallery.documents import around_key, get, wire
from fumehood.testing.gallery.stage import Fixed, Stage
from fumehood.testing.stub import Reply, StubRequest

RETURNED: Final = "A redirect is an answer like any other: nobody follows it for a provider."
HOPS: Final = "Each hop of a redirect is decided and dialled anew, and counted."
BARE: Final = "What a guest puts into headers stays with the host that it was meant for."
REBIND: Final = "A name is resolved once, and the address that was decided on is dialled."

HERE: Final = ip_address("127.0.0.1")
ELSEWHERE: Final = ip_address("127.0.0.2")

METADATA: Final = ip_address("169.254.169.254")
KEYS: Final = {"Authorization": "Bearer of-the-guest", "X-Api-Key": "of-the-guest", "X-A": "b"}


def _to(location: str, status: int = 302) -> Reply:
    return Reply(status, (("location", location),), b"moved")


# -- returned ----------------------------------------------------------------------------------


def _wire(stage: Stage, guest: str = "qmt_http", status: int = 302) -> None:
    """A redirect to a host that is granted too comes back as it is."""
    target, front = stage.stub(), stage.stub()
    front.behave(lambda _request: _to(f"{target.url}models", status))
    grant = Grant.of(["127.0.0.1"], ports=[front.port, target.port])
    attacker = stage.guest(stage.compiled(guest), client=stage.client(), grant=grant, follow=0)
    attacker.call(wire(f"{front.url}models").encode())
    stage.require(len(front.requests) == 1, "the redirect was asked for again")
    stage.require(not target.connections, "the redirect was followed")


def _provider(stage: Stage) -> None:
    """A provider's redirect with a key in it leads the key nowhere."""
    target, front = stage.stub(), stage.stub()
    front.behave(lambda _request: _to(f"{target.url}chat/completions", 307))
    asked = wire(f"{front.url}chat", method="POST", authorization="Bearer KEY")
    config = {"base_url": front.url, "api_key": "sk-canary-of-a-redirect", "model": "m"}
    with Provider.open(
        stage.attack.source(**around_key(asked)).encode(),
        config=config,
        allowed_hosts=[f"127.0.0.1:{target.port}"],
        limits=stage.limits,
    ) as provider:
        try:
            with stage.outcome.timed():
                provider.chat("hello")
        finally:
            stage.require(len(front.requests) == 1, "the redirect was asked for again")
            stage.require(not target.connections, "the redirect was followed")


# -- followed, hop by hop ------------------------------------------------------------------------


def _hop(stage: Stage, location: str) -> None:
    """`PORT` in the location is the port of a stub that must not be reached."""
    target, front = stage.stub(), stage.stub()
    location = location.replace("PORT", str(target.port))
    front.behave(lambda _request: _to(location))
    attacker = stage.guest(
        stage.compiled("http"),
        client=stage.client(Fixed([[HERE]])),
        grant=Grant.extism(["127.0.0.1", "granted.example"]),
        follow=10,
    )
    try:
        attacker.call(get(f"{front.url}models").encode())
    finally:
        stage.require(not target.connections, f"{location} was reached")


def _endless(stage: Stage) -> None:
    front = stage.stub()
    attacker = stage.guest(
        stage.compiled("http"), client=stage.client(), grant=Grant.extism(["127.0.0.1"]), follow=10
    )
    front.behave(*[lambda _request: _to("/v1/models", 307)] * 20)
    try:
        attacker.call(get(f"{front.url}models").encode())
    finally:
        allowed = stage.limits.http_requests
        stage.require(len(front.requests) <= allowed, f"{len(front.requests)} hops were made")


def _headers(stage: Stage, host: str) -> None:
    """`host` of another stub, which is granted: it gets the request without the guest's headers."""
    target, front = stage.stub(), stage.stub()
    front.behave(lambda _request: _to(f"http://{host}:{target.port}/v1/models"))
    attacker = stage.guest(
        stage.compiled("http"),
        client=stage.client(Fixed([[HERE]])),
        grant=Grant.extism(["127.0.0.1", "localhost"]),
        follow=10,
    )
    attacker.call(get(f"{front.url}models", headers=KEYS).encode())
    seen = target.requests[-1].headers
    stage.require(len(target.requests) == 1, "the hop was not made once")
    stage.require(not any("of-the-guest" in v for _, v in seen), f"the next host got {seen!r}")
    stage.require(not any(n == "x-a" for n, _ in seen), f"the next host got {seen!r}")


def _downgrade(stage: Stage) -> None:
    """The same host without TLS: everybody on the way would read what the guest sent."""
    grant, limit = Grant.extism(["granted.example"]), stage.limits.request_bytes
    asked = decide(grant, "GET", "https://granted.example/a", tuple(KEYS.items()), 0, limit=limit)
    stage.require(len(asked.headers) == len(KEYS), "the first request has not its headers")
    for location in ("http://granted.example/a", "http://granted.example:443/a"):
        reply = HTTPResponse(302, (("location", location),))
        with stage.outcome.timed():
            following = redirect(grant, asked, b"", reply, limit)
        stage.require(following is not None, "the redirect is not followed")
        assert following is not None
        stage.require(not following[0].headers, f"{location} gets {following[0].headers!r}")


# -- names that change -----------------------------------------------------------------------------


def _names(
    stage: Stage, answers: Sequence[Sequence[IPAddress]], requests: int = 1, reached: int = 0
) -> None:
    """A granted name with the given answers; `reached` requests may come to the stub."""
    server = stage.stub()
    resolver = Fixed(answers)
    attacker = stage.guest(
        stage.compiled("http"),
        client=stage.client(resolver),
        grant=Grant.extism(["granted.example"], private=["127.0.0.1/32"]),
        follow=10,
    )
    # the connection is not kept, so that each request asks for the name again
    server.behave(*[_closing] * requests)
    try:
        for _ in range(requests):
            attacker.call(get(f"http://granted.example:{server.port}/").encode())
    finally:
        stage.require(
            len(server.requests) == reached, f"{len(server.requests)} requests, not {reached}"
        )
        stage.require(len(resolver.asked) <= requests, "a name was resolved twice")
        hosts = {request.header("host") for request in server.requests}
        stage.require(hosts <= {f"granted.example:{server.port}"}, f"Host was {hosts}")


def _closing(_request: StubRequest) -> Reply:
    return Reply(200, (), b"hello", close=True)


def _private(stage: Stage, addresses: Sequence[str]) -> None:
    """A granted name that leads to addresses which nobody granted."""
    server = stage.stub()
    attacker = stage.guest(
        stage.compiled("http"),
        client=stage.client(Fixed([[ip_address(text) for text in addresses]])),
        grant=Grant.extism(["granted.example"]),
        follow=10,
    )
    try:
        attacker.call(get(f"http://granted.example:{server.port}/").encode())
    finally:
        stage.require(not server.connections, "a private address was dialled")


def _hop_rebinds(stage: Stage) -> None:
    """The redirect leads back to the same name, which by then is the metadata service."""
    server = stage.stub()
    attacker = stage.guest(
        stage.compiled("http"),
        client=stage.client(Fixed([[HERE], [METADATA]])),
        grant=Grant.extism(["granted.example"], private=["127.0.0.1/32"]),
        follow=10,
    )
    server.behave(lambda _request: Reply(302, (("location", "/secret"),), b"", close=True))
    try:
        attacker.call(get(f"http://granted.example:{server.port}/").encode())
    finally:
        stage.require(len(server.requests) == 1, "the second hop was made")


def _row(
    name: str, group: str, promise: str, run: Callable[[Stage], None], **end: object
) -> Attack:
    expect, guest = str(end.pop("expect", HARMLESS)), str(end.pop("guest", ""))
    return Attack(
        name, group, promise, expect, guest, detail=end, limits={"deadline": 3.0}, run=run
    )


_HOPS: Final = {
    "redirect_to_other_host": ("http://attacker.example/", "host"),
    "redirect_to_metadata": ("http://169.254.169.254/latest/meta-data/", "host"),
    "redirect_to_private_name": ("http://granted.example:PORT/", "address"),
    "redirect_to_localhost": ("http://localhost:PORT/", "host"),
    "redirect_to_loopback6": ("http://[::1]:PORT/", "host"),
    "redirect_to_decimal": ("http://2130706434:PORT/", "host"),
    "redirect_to_network_path": ("//attacker.example/", "host"),
    "redirect_to_file": ("file:///etc/passwd", "scheme"),
    "redirect_to_gopher": ("gopher://127.0.0.1:PORT/_GET", "scheme"),
    "redirect_by_userinfo": ("http://127.0.0.1@attacker.example/", "host"),
    "redirect_by_backslash": ("http://attacker.example\\@127.0.0.1:PORT/", "host"),
}

REDIRECTS: Final = (
    *(
        _row(f"redirect_returned_{status}", "redirects", RETURNED, partial(_wire, status=status))
        for status in (301, 302, 303, 307, 308)
    ),
    _row("redirect_of_stream", "redirects", RETURNED, partial(_wire, guest="stream_open")),
    _row("redirect_of_provider", "redirects", RETURNED, _provider, guest="provider",
         expect="ProviderError", status=307),
    *(
        _row(name, "redirects", HOPS, partial(_hop, location=location), expect="EgressDenied",
             reason=reason)
        for name, (location, reason) in _HOPS.items()
    ),
    _row("redirect_endless", "redirects", HOPS, _endless, expect="TooMuch", limit="http_requests"),
    _row("redirect_drops_headers", "redirects", BARE, partial(_headers, host="localhost")),
    _row("redirect_to_plain_http", "redirects", BARE, _downgrade),
    _row("redirect_other_port", "redirects", BARE, partial(_headers, host="127.0.0.1")),
)  # fmt: skip

REBINDING: Final = (
    _row("rebinding_flip", "rebinding", REBIND, partial(_names, answers=[[HERE], [METADATA]],
         reached=1)),
    _row("rebinding_second_request", "rebinding", REBIND,
         partial(_names, answers=[[HERE], [ELSEWHERE]], requests=2, reached=1),
         expect="EgressDenied", reason="address"),
    _row("rebinding_redirect", "rebinding", REBIND, _hop_rebinds,
         expect="EgressDenied", reason="address"),
    _row("rebinding_loopback", "rebinding", REBIND, partial(_private, addresses=["127.0.0.1"]),
         expect="EgressDenied", reason="address"),
    _row("rebinding_mapped", "rebinding", REBIND, partial(_private, addresses=["::ffff:127.0.0.1"]),
         expect="EgressDenied", reason="address"),
    _row("rebinding_many", "rebinding", REBIND,
         partial(_private, addresses=["10.0.0.1", "127.0.0.1", "::1", "169.254.169.254",
                                      "64:ff9b::7f00:1"]),
         expect="EgressDenied", reason="address"),
)  # fmt: skip
