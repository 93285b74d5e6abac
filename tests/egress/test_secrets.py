from __future__ import annotations

import base64
import random

import pytest

from fumehood.abi.http import HTTPRequest
from fumehood.egress.binding import bind, parse_binding
from fumehood.egress.client import Client
from fumehood.egress.policy import Grant, Target, decide
from fumehood.egress.secrets import NO_SECRETS, Secrets, Slot
from fumehood.egress.tokens import CORE_LENGTH, mint
from fumehood.errors import ConfigError, EgressDenied, TransportError
from fumehood.limits import Limits
from fumehood.meter import Denial, Meter
from tests.egress.servers import Peer, always, chunked, raw, serving

VALUE = "sk-proj-CANARY/0123456789+abc="
HOST = "api.example.com"


def make(*, hosts: tuple[str, ...] = (HOST,), value: str = VALUE, **more: object) -> Slot:
    more.setdefault("source", "env:MY_KEY")
    return Slot.create("api_key", value, [parse_binding(h) for h in hosts], **more)  # type: ignore[arg-type]


def target(
    url: str = f"https://{HOST}/v1", headers: tuple[tuple[str, str], ...] = (), size: int = 0
) -> Target:
    return decide(Grant.extism(["*"], private=["0.0.0.0/0"]), "POST", url, headers, size)


def refuse(secrets: Secrets, request: Target, body: bytes = b"") -> EgressDenied:
    with pytest.raises(EgressDenied) as caught:
        secrets.substitute(request, body)
    assert caught.value.reason == "secret"
    assert caught.value.host == request.url.host
    assert VALUE not in str(caught.value)
    return caught.value


# -- tokens ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "prefix"),
    [
        ("sk-proj-abcdefgh", "sk-proj-"), ("sk-ant-oat01-abc", "sk-ant-oat01-"),
        ("sk-ant-api03-abc", "sk-ant-api03-"), ("sk-abcdefgh", "sk-"), ("gsk_abcdef", "gsk_"),
        ("AIzaSyAbc", "AIza"), ("plainvalue", ""),
    ],
)  # fmt: skip
def test_tokens_have_the_shape_of_their_maker(value: str, prefix: str) -> None:
    token, core = mint(value)
    assert token == prefix + core
    assert len(core) == CORE_LENGTH
    assert core.isalnum()
    assert core.isascii()
    assert mint(value)[0] != token
    assert mint(value, random.Random(1)) == mint(value, random.Random(1))


def test_a_token_is_stable_and_says_nothing() -> None:
    slot = make()
    secrets = Secrets([slot])
    assert secrets.token_for("api_key") == secrets.token_for("api_key") == slot.token
    assert slot.token != VALUE
    assert VALUE[8:] not in slot.token
    with pytest.raises(KeyError):
        secrets.token_for("other")
    assert secrets.names == ("api_key",)
    assert secrets.given == ()
    assert Secrets([make(rng=random.Random(5))]).token_for("api_key") == (
        Secrets([make(rng=random.Random(5))]).token_for("api_key")
    )


def test_repr_shows_no_value() -> None:
    slot = make()
    secrets = Secrets([slot])
    for thing in (slot, secrets, [slot], {"x": secrets}, secrets._replies, secrets.stream()):
        assert "CANARY" not in repr(thing)
        assert "CANARY" not in str(thing)
        assert slot.token not in repr(thing)
    assert repr(secrets) == "Secrets(api_key)"


# -- what can be a slot ------------------------------------------------------------------------


def test_the_shortest_slot() -> None:
    assert make(value="12345678").slot
    with pytest.raises(ConfigError, match="fewer than 8") as caught:
        make(value="1234567")
    assert caught.value.problems == [
        ("secrets.api_key", "the value has fewer than 8 characters, so it cannot be a slot")
    ]
    assert make(value="short", slot=False).token == "short"


@pytest.mark.parametrize(
    "value", ["", "with space", "line\nbreak", "tab\tinside", "ümlaut-key", "nul\0"]
)
def test_values_that_no_header_can_hold(value: str) -> None:
    with pytest.raises(ConfigError, match="cannot be a slot") as caught:
        make(value=value)
    assert "slot = false" in (caught.value.hint or "")
    assert value == "" or value not in str(caught.value)


def test_bad_header_names() -> None:
    with pytest.raises(ConfigError) as caught:
        make(headers=["x y"])
    assert caught.value.problems[0][0] == "secrets.api_key.headers"


# -- substitution ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "form"),
    [
        ("authorization", "Bearer {}"), ("authorization", "bearer  {}"), ("Authorization", "{}"),
        ("authorization", "Token {}"), ("x-api-key", "{}"), ("api-key", "{}"),
        ("X-Goog-Api-Key", "{}"),
    ],
)  # fmt: skip
def test_the_default_headers(name: str, form: str) -> None:
    secrets = Secrets([make()])
    token = secrets.token_for("api_key")
    sent = secrets.substitute(target(headers=((name, form.format(token)), ("x", "y"))), b"body")
    assert sent.headers == ((name.lower(), form.format(VALUE)), ("x", "y"))


def test_a_request_without_the_token_is_untouched() -> None:
    secrets = Secrets([make()])
    request = target("https://elsewhere.example/?a=b", (("authorization", "Bearer own"),))
    assert secrets.substitute(request, b"x") is request
    assert NO_SECRETS.substitute(request, b"x") is request
    assert not NO_SECRETS


def test_declared_headers_are_the_whole_set() -> None:
    secrets = Secrets([make(headers=["X-Custom"])])
    token = secrets.token_for("api_key")
    sent = secrets.substitute(target(headers=(("x-custom", token),)), b"")
    assert sent.headers == (("x-custom", VALUE),)
    denied = refuse(secrets, target(headers=(("x-api-key", token),)))
    assert denied.hint == ('api_key = { from = "env:MY_KEY", headers = ["x-custom", "x-api-key"] }')


def test_a_declared_query_parameter() -> None:
    secrets = Secrets([make(query=["key"])])
    token = secrets.token_for("api_key")
    sent = secrets.substitute(target(f"https://{HOST}/v1?alt=sse&key={token}&x"), b"")
    assert sent.url.query == "alt=sse&key=sk-proj-CANARY%2F0123456789%2Babc%3D&x"
    assert str(sent.url).startswith(f"https://{HOST}/v1?")
    sent = secrets.substitute(target(f"https://{HOST}/v1?%6bey={token}"), b"")
    assert "CANARY" in (sent.url.query or "")
    denied = refuse(secrets, target(f"https://{HOST}/v1?key=x{token}"))
    assert "slot = false" in (denied.hint or "")


def test_an_undeclared_query_parameter() -> None:
    secrets = Secrets([make()])
    token = secrets.token_for("api_key")
    denied = refuse(secrets, target(f"https://{HOST}/v1?key={token}"))
    assert denied.hint == 'api_key = { from = "env:MY_KEY", query = ["key"] }'
    assert refuse(secrets, target(f"https://{HOST}/v1?{token}=1")).hint is None
    assert refuse(secrets, target(f"https://{HOST}/v1?{token}")).hint is None


def test_other_places() -> None:
    secrets = Secrets([make(query=["key"])])
    token = secrets.token_for("api_key")
    core = token.removeprefix("sk-proj-")
    for request, body in [
        (target(), b'{"key": "' + token.encode() + b'"}'),
        (target(), core.encode()),
        (target(f"https://{HOST}/{token}"), b""),
        (target(f"https://{HOST}/a/{core}/b"), b""),
    ]:
        denied = refuse(secrets, request, body)
        assert denied.hint == 'api_key = { from = "env:MY_KEY", slot = false }'
    for header in [
        ("x-other", token), ("user-agent", f"me {core}"), ("x", f"key={token}"),
    ]:  # fmt: skip
        denied = refuse(secrets, target(headers=(header,)))
        assert f'"{header[0]}"]' in (denied.hint or "")
    for value in (
        f"Bearer {token} extra", f"Bearer x{token}", f"Digest username={token}", f"{token}x",
        f"a b {token}", core, f"Bearer {core}", f" {token},{token}",
    ):  # fmt: skip
        denied = refuse(secrets, target(headers=(("authorization", value),)))
        assert "slot = false" in (denied.hint or "")
    assert refuse(secrets, target(headers=((f"x-{core[:30]}{core[30:]}", "1"),))).hint is None


@pytest.mark.parametrize("user", ["", "u", "us", "user"])
def test_basic_cannot_be_a_slot(user: str) -> None:
    secrets = Secrets([make()])
    packed = base64.b64encode(f"{user}:{secrets.token_for('api_key')}".encode()).decode()
    denied = refuse(secrets, target(headers=(("authorization", f"Basic {packed}"),)))
    assert "encoded in header authorization" in denied.message
    assert "slot = false" in (denied.hint or "")


def test_several_slots() -> None:
    one = make(query=["one"])
    two = Slot.create("other", "another-value", [parse_binding(HOST)])
    secrets = Secrets([one, two])
    request = target(
        f"https://{HOST}/?one={one.token}",
        (("authorization", f"Bearer {two.token}"), ("x-api-key", one.token)),
    )
    sent = secrets.substitute(request, b"")
    assert sent.headers == (("authorization", "Bearer another-value"), ("x-api-key", VALUE))
    assert "CANARY" in (sent.url.query or "")


# -- hosts -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("bound", "url", "goes"),
    [
        (HOST, f"https://{HOST}/", True), (HOST, f"https://{HOST}:8443/", True),
        (HOST, "https://other.example.com/", False), (HOST, f"http://{HOST}/", False),
        (f"{HOST}:443", f"https://{HOST}/", True), (f"{HOST}:443", f"https://{HOST}:8443/", False),
        (f"https://{HOST}/v1", f"https://{HOST}/v2", True),
        (f"https://{HOST}", f"https://{HOST}:8443/", False),
        (f"http://{HOST}", f"http://{HOST}/", True), (f"http://{HOST}", f"https://{HOST}/", False),
        (f"{HOST}/v1", f"https://{HOST}/v1/chat", True), (f"{HOST}/v1", f"https://{HOST}/", False),
        ("*.example.com", f"https://{HOST}/", True), ("*.example.com", "https://x.y/", False),
        ("127.0.0.1", "http://127.0.0.1:8000/", True), ("localhost", "http://localhost:1/", True),
        ("8.8.8.8", "http://8.8.8.8/", False), ("8.8.8.8", "https://8.8.8.8/", True),
        ("127.*", "http://127.0.0.9/", True),
    ],
)  # fmt: skip
def test_bound_hosts(bound: str, url: str, goes: bool) -> None:
    secrets = Secrets([make(hosts=(bound,), query=["k"])])
    token = secrets.token_for("api_key")
    request = target(url, (("authorization", f"Bearer {token}"),))
    if goes:
        assert secrets.substitute(request, b"").headers == (("authorization", f"Bearer {VALUE}"),)
    else:
        denied = refuse(secrets, request)
        assert "not bound" in denied.message
        assert (denied.hint or "").startswith('api_key = { from = "env:MY_KEY", hosts = ["')
        # The line that is printed does allow it.
        inner = (denied.hint or "").partition("[")[2].rpartition("]")[0]
        hosts = tuple(h.strip().strip('"') for h in inner.split(","))
        again = Secrets([make(hosts=hosts)])
        retry = target(url, (("authorization", again.token_for("api_key")),))
        assert again.substitute(retry, b"")
        refuse(secrets, target(f"{url}?k={token}"))


def test_bind() -> None:
    def texts(**more: object) -> list[str]:
        return [b.text for b in bind("api_key", **more)]  # type: ignore[arg-type]

    known = "https://api.openai.com"
    source = "env:OPENAI_API_KEY"
    assert texts(source=source) == [known]
    assert texts(source=source, hosts=["a.b"], base_url="https://c.d/v1") == ["a.b"]
    assert texts(source=source, base_url="https://c.d/v1", allowed_hosts=["e.f"]) == [
        "https://c.d", known,
    ]  # fmt: skip
    assert texts(source=source, allowed_hosts=["e.f", "*", " *:80", "*.g.h"]) == [
        "e.f", "*.g.h", known,
    ]  # fmt: skip
    assert texts(source="file:x", allowed_hosts=["e.f", "e.f"]) == ["e.f"]
    assert texts(base_url=known, source=source) == [known]


def test_a_secret_without_a_host_is_an_error_that_says_what_to_add() -> None:
    for more in ({}, {"source": "env:AWS_SECRET_ACCESS_KEY"}, {"allowed_hosts": ["*"]}):
        with pytest.raises(ConfigError, match="no host is named") as caught:
            bind("api_key", **more)  # type: ignore[arg-type]
        assert caught.value.problems == [("secrets.api_key", "no host is bound to it")]
        assert 'hosts = ["api.example.com"] }' in (caught.value.hint or "")


@pytest.mark.parametrize(
    ("more", "key"),
    [
        ({"hosts": ["*"]}, "secrets.api_key.hosts"), ({"hosts": ["a b"]}, "secrets.api_key.hosts"),
        ({"base_url": "localhost:1"}, "base_url"), ({"allowed_hosts": ["a*b"]}, "allowed_hosts"),
    ],
)  # fmt: skip
def test_bind_refuses(more: dict[str, object], key: str) -> None:
    with pytest.raises(ConfigError, match="cannot be used") as caught:
        bind("api_key", **more)  # type: ignore[arg-type]
    assert caught.value.problems[0][0] == key


# -- given to the guest ------------------------------------------------------------------------


def given(*hosts: str) -> Secrets:
    return Secrets([make(hosts=hosts, slot=False)])


def test_slot_false_gives_the_value() -> None:
    secrets = given(HOST)
    assert secrets.token_for("api_key") == VALUE
    assert secrets.given == ("api_key",)
    request = target(headers=(("authorization", f"Basic {VALUE}"),))
    assert secrets.substitute(request, VALUE.encode()) is request
    assert secrets.scrub(VALUE.encode()) == VALUE.encode()  # the guest has it anyway
    assert secrets.scrub_text(f"log {VALUE}") == "log <secret api_key>"


@pytest.mark.parametrize(
    ("bound", "granted", "fine"),
    [
        ([HOST], [HOST], True), ([HOST], [], True), ([HOST], [HOST, "other.example"], False),
        ([HOST], ["*"], False), ([HOST], ["*.example.com"], False),
        (["*.example.com"], [HOST], True), (["*.example.com"], ["*.example.com"], True),
        (["*.example.com"], ["*.other.com"], False), ([HOST], [f"{HOST}:8443"], True),
        ([f"{HOST}:8443"], [HOST], False), ([f"{HOST}:8443"], [f"{HOST}:8443"], True),
        (["127.*"], ["127.0.0.1"], True), (["127.*"], ["127.*"], True),
        (["10.*"], ["127.*"], False),
        ([f"{HOST}/v1"], [HOST], False), ([f"{HOST}/v1"], [f"{HOST}/v1"], True),
    ],
)  # fmt: skip
def test_slot_false_needs_every_granted_host_bound(
    bound: list[str], granted: list[str], fine: bool
) -> None:
    secrets = given(*bound)
    if fine:
        secrets.check(Grant.of(granted))
    else:
        with pytest.raises(ConfigError, match="slot = false needs every granted host") as caught:
            secrets.check(Grant.of(granted))
        assert "slot = false, hosts = [" in (caught.value.hint or "")


def test_slots_need_no_such_check() -> None:
    Secrets([make()]).check(Grant.of(["*"]))


# -- what comes back ---------------------------------------------------------------------------


def test_errors_are_scrubbed() -> None:
    slot = make()
    secrets = Secrets([slot])
    error = TransportError(f"bad {VALUE}", hint=f"use {VALUE}")
    error.guest_error = f"guest {VALUE}"
    assert secrets.scrub_error(error) is error
    assert "CANARY" not in f"{error} {error!r} {error.args} {error.guest_error}"
    assert slot.token in str(error)
    plain = TransportError("fine")
    assert secrets.scrub_error(plain).message == "fine"


def test_over_the_wire(client: Client) -> None:
    def reflect(peer: Peer) -> None:
        while (seen := peer.request()) is not None:
            body = f'{{"you sent": "{seen.header("authorization")}"}}'.encode()
            peer.reply(body, headers=[("x-echo", seen.header("authorization") or "")])

    with serving(reflect) as server:
        slot = make(hosts=("127.0.0.1",))
        secrets = Secrets([slot])
        grant = Grant.of(["127.0.0.1"], ports=[server.port])
        account = Meter(Limits())
        request = HTTPRequest(
            "POST", server.url, (("authorization", f"Bearer {slot.token}"),), b"body"
        )
        reply = client.send(request, grant, account, secrets=secrets)
        assert server.seen[0].header("authorization") == f"Bearer {VALUE}"
        assert reply.body == f'{{"you sent": "Bearer {slot.token}"}}'.encode()
        assert reply.header("x-echo") == f"Bearer {slot.token}"
        assert reply.header("content-length") is None
        with client.stream(request, grant, account, secrets=secrets) as stream:
            assert b"".join(stream.lines()) == reply.body
            assert ("x-echo", f"Bearer {slot.token}") in stream.headers
        assert "CANARY" not in repr(account.receipt())


def test_a_reply_split_over_chunks(client: Client) -> None:
    slot = make(hosts=("127.0.0.1",))
    secrets = Secrets([slot])
    pieces = [bytes([b]) for b in f"data: {VALUE}\n".encode()]
    with serving(chunked(*pieces)) as server:
        grant = Grant.of(["127.0.0.1"], ports=[server.port])
        with client.stream(
            HTTPRequest("GET", server.url), grant, Meter(Limits()), secrets=secrets
        ) as stream:
            assert list(stream.lines()) == [f"data: {slot.token}\n".encode()]


def test_errors_that_quote_the_server_are_scrubbed(client: Client) -> None:
    slot = make(hosts=("127.0.0.1",))
    with serving(raw(f"bad {VALUE}\r\n\r\n".encode())) as server:
        grant = Grant.of(["127.0.0.1"], ports=[server.port])
        with pytest.raises(TransportError) as caught:
            client.send(
                HTTPRequest("GET", server.url), grant, Meter(Limits()), secrets=Secrets([slot])
            )
    assert "CANARY" not in str(caught.value)
    assert slot.token in str(caught.value)


def test_a_refused_secret_sends_nothing_and_is_reported() -> None:
    account = Meter(Limits())
    with serving(always()) as server, Client() as client:
        slot = make()
        grant = Grant.of(["127.0.0.1"], ports=[server.port])
        request = HTTPRequest("POST", server.url, (("x-api-key", slot.token),))
        with pytest.raises(EgressDenied) as caught:
            client.send(request, grant, account, secrets=Secrets([slot]))
        assert caught.value.reason == "secret"
        assert account.denials == (Denial("secret", "127.0.0.1"),)
        assert server.connections == 0


def test_a_redirect_does_not_carry_the_secret_to_another_host(client: Client) -> None:
    slot = make(hosts=("127.0.0.1",), query=["key"])
    secrets = Secrets([slot])
    headers = (("authorization", f"Bearer {slot.token}"),)

    with serving(always(b"other")) as other:

        def bounce(peer: Peer) -> None:
            while (seen := peer.request()) is not None:
                # The server knows the real key and reflects it into the location.
                key = (seen.header("authorization") or "").removeprefix("Bearer ")
                place = seen.line.split()[1]
                there = {
                    "/plain": f"http://localhost:{other.port}/",
                    "/leak": f"http://localhost:{other.port}/?key={key}",
                    "/path": f"http://localhost:{other.port}/{key}",
                }[place]
                peer.reply(b"", "302 Found", [("location", there)])

        with serving(bounce) as server:
            grant = Grant.extism(["127.0.0.1", "localhost"])
            request = HTTPRequest("GET", f"{server.url}/plain", headers)
            reply = client.send(request, grant, Meter(Limits()), secrets=secrets, follow=5)
            assert reply.body == b"other"
            assert "CANARY" not in other.seen[0].raw
            for path in ("/leak", "/path"):
                request = HTTPRequest("GET", f"{server.url}{path}", headers)
                with pytest.raises(EgressDenied) as caught:
                    client.send(request, grant, Meter(Limits()), secrets=secrets, follow=5)
                assert caught.value.reason == "secret"
            assert other.connections == 1
