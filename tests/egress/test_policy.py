from __future__ import annotations

import dataclasses
from ipaddress import ip_address

import pytest

from fumehood.egress import policy
from fumehood.egress.policy import (
    HEADER_BYTES,
    HEADER_COUNT,
    KEPT_URL,
    KEPT_URLS,
    METHODS,
    Grant,
    clean_headers,
    decide,
    decide_address,
    host_line,
)
from fumehood.egress.url import parse_url
from fumehood.errors import ConfigError, EgressDenied, TooMuch
from tests.egress.ssrf import REFUSED


def refuse(grant: Grant, url: str, method: str = "GET", **more: object) -> EgressDenied:
    with pytest.raises(EgressDenied) as caught:
        decide(grant, method, url, **more)  # type: ignore[arg-type]
    return caught.value


# -- names -------------------------------------------------------------------------------------


def test_nothing_is_granted_by_default() -> None:
    for grant in (Grant(), Grant.of([]), Grant.extism(None), Grant.extism([])):
        denied = refuse(grant, "https://api.example.com/v1")
        assert denied.reason == "host"
        assert denied.host == "api.example.com"
        assert denied.hint == 'allowed_hosts = ["api.example.com"]'
        assert "'api.example.com' is not granted" in denied.message


def test_a_granted_request() -> None:
    target = decide(
        Grant.of(["api.example.com"]), "post", "https://API.example.com/v1?x#y", [("X-A", " b ")], 3
    )
    assert target.method == "POST"
    assert str(target.url) == "https://api.example.com/v1?x"
    assert target.headers == (("x-a", "b"),)
    assert decide(Grant.of(["api.example.com"]), "GET", target.url).url is target.url


@pytest.mark.parametrize("url", REFUSED)
def test_spellings_are_refused(url: str) -> None:
    grant = Grant.of(["api.example.com", "*.tenant.example"], ports=[8443])
    denied = refuse(grant, url)
    assert denied.reason in {"url", "scheme", "host", "port", "address"}


def test_there_are_enough_spellings() -> None:
    assert len(set(REFUSED)) == len(REFUSED) >= 60


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("https://user@h/", "host"), ("ftp://h/", "scheme"), ("nonsense", "url"),
        ("https://h:99999/", "url"),
    ],
)  # fmt: skip
def test_what_is_no_url(url: str, reason: str) -> None:
    denied = refuse(Grant.of(["h"]), url)
    assert denied.reason == reason
    assert denied.message.startswith("the request was refused: ")
    assert denied.hint is None


# -- ports, schemes, paths ---------------------------------------------------------------------


def test_ports() -> None:
    plain = Grant.of(["h"])
    assert decide(plain, "GET", "https://h/").url.port == 443
    assert decide(plain, "GET", "http://h/").url.port == 80
    denied = refuse(plain, "https://h:8443/")
    assert (denied.reason, denied.host) == ("port", "h")
    assert denied.message == "port 8443 of 'h' is not granted"
    assert denied.hint == 'allowed_hosts = ["h:8443"]'
    assert refuse(plain, "https://h:80/").reason == "port"
    opened = Grant.of(["h"], ports=[8443])
    assert decide(opened, "GET", "https://h:8443/").url.port == 8443
    assert decide(opened, "GET", "http://h/").url.port == 80
    entry = Grant.of(["h:8443"])
    assert decide(entry, "GET", "https://h:8443/").url.port == 8443
    assert refuse(entry, "https://h/").reason == "port"
    assert refuse(Grant.of(["h:8443"], ports=[9]), "https://h:9/").reason == "port"
    both = Grant.of(["h:8443", "h"])
    assert decide(both, "GET", "https://h/").url.port == 443
    assert decide(Grant.extism(["h"]), "GET", "https://h:12345/").url.port == 12345


def test_the_hint_grants_what_was_denied() -> None:
    for url in ("https://h:8443/", "http://[2606:4700::1]:81/", "http://10.0.0.7:81/", "http://x/"):
        hint = refuse(Grant(), url).hint
        assert hint is not None
        entry = hint.removeprefix('allowed_hosts = ["').removesuffix('"]')
        assert decide(Grant.of([entry]), "GET", url).url == parse_url(url)


def test_base_url_binds_scheme_and_port() -> None:
    grant = Grant.of(base_url="https://h:8443/v1")
    assert decide(grant, "GET", "https://h:8443/elsewhere")
    denied = refuse(grant, "http://h:8443/")
    assert denied.reason == "scheme"
    assert denied.message == "http is not granted for 'h'"
    assert denied.hint == 'allowed_hosts = ["h:8443"]'
    assert refuse(grant, "https://h/").reason == "port"


def test_path_prefix() -> None:
    grant = Grant.of(["h/v1"])
    assert decide(grant, "GET", "https://h/v1/chat")
    for path in ("/v2", "/v1x", "/v1/../v2", "/v1/%2e%2e/v2", "/v1/a%2f..%2f..%2fv2"):
        denied = refuse(grant, f"https://h{path}")
        assert denied.reason == "path"
        assert denied.message == "the path is not below a granted one on 'h'"
        assert denied.hint is None
    assert decide(Grant.of(["h/v1", "h/v2"]), "GET", "https://h/v2")


# -- addresses ---------------------------------------------------------------------------------

PRIVATE = ["127.0.0.1", "10.0.0.1", "169.254.169.254", "0.0.0.0", "100.64.0.1"]


@pytest.mark.parametrize("address", PRIVATE)
def test_literals(address: str) -> None:
    url = f"http://{address}/"
    assert decide(Grant.of([address]), "GET", url)
    assert decide(Grant.of([f"{address}:80"]), "GET", url)
    assert decide(Grant.of(base_url=url), "GET", url)
    assert decide(Grant.of([address.split(".", maxsplit=1)[0] + ".*"]), "GET", url)
    assert decide(Grant.extism([address]), "GET", url)
    assert decide(Grant.of(["*"], private=[f"{address}/32"]), "GET", url)
    for grant in (
        Grant.of(["*"]),
        Grant.extism(["*"]),
        Grant.extism(["*" + address[3:]]),
        Grant.of(default_url=url),
        Grant.of(["*"], default_url=url),
        Grant.of(["*"], private=["192.168.0.0/16"]),
    ):
        denied = refuse(grant, url)
        assert denied.reason == "address"
        assert denied.host == address


def test_the_hint_of_a_literal() -> None:
    assert refuse(Grant.of(["*"]), "http://127.0.0.1:81/").hint == (
        'allowed_hosts = ["127.0.0.1:81"]'
    )
    assert refuse(Grant.of(["*"]), "http://10.0.0.1/").hint == 'allowed_hosts = ["10.0.0.1"]'
    for never in ("169.254.169.254", "0.0.0.0", "224.0.0.1", "240.0.0.1"):
        assert refuse(Grant.of(["*"]), f"http://{never}/").hint is None
    message = refuse(Grant.of(["*"]), "http://10.0.0.1/").message
    assert message == "'10.0.0.1' is a private address and not granted"


def test_a_public_literal_needs_only_its_name() -> None:
    assert decide(Grant.of(["*"]), "GET", "http://8.8.8.8/")
    assert refuse(Grant.of(["8.8.4.4"]), "http://8.8.8.8/").reason == "host"


def test_a_plugins_own_default_names_a_host_but_grants_no_address() -> None:
    ollama = "http://localhost:11434"
    url = parse_url(ollama)
    grant = Grant.of(default_url=ollama)
    assert decide(grant, "GET", ollama)  # the name, that is
    with pytest.raises(EgressDenied) as caught:
        decide_address(grant, url, ip_address("127.0.0.1"))
    assert caught.value.hint == 'allowed_hosts = ["localhost:11434"]'
    assert "'localhost' (127.0.0.1) is a loopback address" in caught.value.message
    granted = Grant.of(["localhost"], default_url=ollama)
    assert decide(granted, "GET", ollama)
    decide_address(granted, url, ip_address("127.0.0.1"))
    decide_address(granted, url, ip_address("::1"))


def test_localhost_is_loopback_only() -> None:
    url = parse_url("http://localhost/")
    for grant in (Grant.of(["localhost"]), Grant.extism(["localhost"])):
        decide_address(grant, url, ip_address("127.0.0.1"))
        with pytest.raises(EgressDenied):
            decide_address(grant, url, ip_address("10.0.0.1"))
    for grant in (Grant.of(["*"]), Grant.of(["127.0.0.1", "*"]), Grant.extism(["local*"])):
        with pytest.raises(EgressDenied):
            decide_address(grant, url, ip_address("127.0.0.1"))


@pytest.mark.parametrize("entry", ["api.example.com", "*", "*.example.com", "127.0.0.1"])
def test_a_name_never_grants_a_private_address(entry: str) -> None:
    url = parse_url("http://api.example.com/")
    grant = Grant.of([entry, "api.example.com"])
    decide_address(grant, url, ip_address("8.8.8.8"))
    for address in ("127.0.0.1", "10.0.0.5", "::1", "::ffff:10.0.0.5", "64:ff9b::a00:5"):
        with pytest.raises(EgressDenied) as caught:
            decide_address(grant, url, ip_address(address))
        assert caught.value.reason == "address"


def test_grants_private_are_addresses_that_names_may_resolve_to() -> None:
    url = parse_url("http://api.example.com/")
    grant = Grant.of(["api.example.com"], private=["10.0.0.0/8", "fd00::/8"])
    for address in ("10.0.0.5", "::ffff:10.0.0.5", "fd00::1"):
        decide_address(grant, url, ip_address(address))
    for address in ("11.0.0.1", "8.8.8.8"):
        decide_address(grant, url, ip_address(address))  # public
    for address in ("127.0.0.1", "fe80::1", "64:ff9b::a00:5"):
        with pytest.raises(EgressDenied):
            decide_address(grant, url, ip_address(address))


def test_the_hint_of_a_name() -> None:
    url = parse_url("http://api.example.com/")
    grant = Grant.of(["api.example.com"])

    def hint(address: str) -> str | None:
        with pytest.raises(EgressDenied) as caught:
            decide_address(grant, url, ip_address(address))
        return caught.value.hint

    assert hint("10.0.0.5") == 'private = ["10.0.0.5/32"] under [providers.grants]'
    assert hint("::ffff:10.0.0.5") == 'private = ["10.0.0.5/32"] under [providers.grants]'
    assert hint("fd00::1") == 'private = ["fd00::1/128"] under [providers.grants]'
    assert hint("169.254.169.254") is None
    assert hint("0.0.0.0") is None


def test_a_literal_grants_only_itself() -> None:
    url = parse_url("http://127.0.0.1/")
    grant = Grant.of(["127.0.0.1"])
    decide_address(grant, url, ip_address("127.0.0.1"))
    decide_address(grant, url, ip_address("::ffff:127.0.0.1"))
    with pytest.raises(EgressDenied):
        decide_address(grant, url, ip_address("10.0.0.1"))
    with pytest.raises(EgressDenied):
        decide_address(grant, url, ip_address("127.0.0.2"))


# -- methods, sizes, headers -------------------------------------------------------------------


def test_the_set_of_methods() -> None:
    assert {"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"} == METHODS


@pytest.mark.parametrize("method", sorted(METHODS))
def test_methods(method: str) -> None:
    assert decide(Grant.of(["h"]), method.lower(), "http://h/").method == method


@pytest.mark.parametrize("method", ["CONNECT", "TRACE", "", "GET ", "G\r\nT", "PURGE", "GET\u0130"])
def test_methods_refused(method: str) -> None:
    denied = refuse(Grant.of(["h"]), "http://h/", method)
    assert denied.reason == "method"
    assert denied.message.startswith(f"method {method!r} is not one of DELETE, GET, HEAD")
    assert denied.host == "h"


def test_a_long_method_is_not_quoted_whole() -> None:
    message = refuse(Grant.of(["h"]), "http://h/", "M" * 100).message
    assert message.startswith(f"method '{'M' * 32}' is")


def test_the_size_of_a_request() -> None:
    grant = Grant.of(["h"])
    assert decide(grant, "POST", "http://h/", body_size=10, limit=10)
    with pytest.raises(TooMuch) as caught:
        decide(grant, "POST", "http://h/", body_size=11, limit=10)
    assert caught.value.limit == "request_bytes"
    assert "11 bytes, 10 are allowed" in caught.value.message
    default = 32 * 1024 * 1024
    assert decide(grant, "POST", "http://h/", body_size=default)
    with pytest.raises(TooMuch):
        decide(grant, "POST", "http://h/", body_size=default + 1)


URL = parse_url("http://h:8080/")


@pytest.mark.parametrize(
    "name",
    [
        "Connection", "Keep-Alive", "TE", "Trailer", "Transfer-Encoding", "Upgrade",
        "HTTP2-Settings", "Cookie", "Cookie2", "Expect", "Proxy-Authorization", "Proxy-Connection",
        "proxy-x", "Proxy_Authorization", "transfer_encoding",
    ],
)  # fmt: skip
def test_headers_that_are_the_hosts(name: str) -> None:
    with pytest.raises(EgressDenied) as caught:
        clean_headers([(name, "x")], URL, 0)
    assert caught.value.reason == "header"
    assert repr(name) in caught.value.message


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("a b", "x"), ("", "x"), ("a:", "x"), ("a\n", "x"), ("é", "x"), ("a" * 257, "x"),
        ("a", "x\r\nB: y"), ("a", "x\n"), ("a", "\x00"), ("a", "\x7f"), ("a", "\x1f"),
        ("a", "\x0b"), ("a", "\x08"), ("host", "evil"), ("host", "h"), ("host", "h:80"),
        ("host", ""), ("h_ost", "\r"), ("content-length", "4"), ("content-length", "+3"),
        ("content-length", "03"), ("content-length", "3, 3"), ("content-length", ""),
        ("content-length", "３"), ("content_length", "9"),
    ],
)  # fmt: skip
def test_headers_refused(name: str, value: str) -> None:
    with pytest.raises(EgressDenied) as caught:
        clean_headers([(name, value)], URL, 3)
    assert caught.value.reason == "header"
    assert caught.value.host == "h"


def test_headers_dropped_and_kept() -> None:
    headers = [
        ("Host", "H:8080"), ("Content-Length", "3"), ("Content-Length", " 3 "),
        ("Accept-Encoding", "br"), ("X-Text", "é"), ("Authorization", "\tBearer x "),
        ("X-Tab", " \ta\tb\t "), ("X-Empty", ""), ("X-Twice", "1"), ("X-Twice", "2"),
    ]  # fmt: skip
    assert clean_headers(headers, URL, 3) == (
        ("authorization", "Bearer x"), ("x-tab", "a\tb"), ("x-empty", ""), ("x-twice", "1"),
        ("x-twice", "2"),
    )  # fmt: skip


def test_host_header_on_the_default_port() -> None:
    for value in ("h", "h:80", "H"):
        assert clean_headers([("host", value)], parse_url("http://h/"), 0) == ()
    for value in ("[::1]", "[::1]:443"):
        assert clean_headers([("host", value)], parse_url("https://[::1]/"), 0) == ()
    with pytest.raises(EgressDenied):
        clean_headers([("host", "h:443")], parse_url("http://h/"), 0)


def test_header_count_and_bytes() -> None:
    most = [(f"x{i}", "v") for i in range(HEADER_COUNT)]
    assert len(clean_headers(most, URL, 0)) == HEADER_COUNT
    with pytest.raises(EgressDenied, match=r"^129 request headers, 128 are allowed") as caught:
        clean_headers([*most, ("y", "v")], URL, 0)
    assert caught.value.reason == "header"
    assert clean_headers([("x", "v" * (HEADER_BYTES - 1))], URL, 0)
    with pytest.raises(EgressDenied, match=r"^request headers of more than 65536 bytes") as caught:
        clean_headers([("x", "v" * HEADER_BYTES)], URL, 0)
    assert caught.value.reason == "header"
    with pytest.raises(EgressDenied, match=f"^'{'x ' * 32}' is not a header name"):
        clean_headers([("x " * 40, "v")], URL, 0)
    assert clean_headers([("x" * 256, "v")], URL, 0)


# -- the grant ---------------------------------------------------------------------------------


def test_every_problem_of_a_grant_is_listed() -> None:
    with pytest.raises(ConfigError) as caught:
        Grant.of(
            ["ok", "http://x", "a*b"],
            base_url="localhost:1",
            default_url="??",
            ports=[0, 65536, True, 80, "80"],  # type: ignore[list-item]
            private=["10.0.0.0/33", "10.0.0.1/8", "10.0.0.0/8"],
        )
    assert [key for key, _ in caught.value.problems] == [
        "allowed_hosts[1]", "allowed_hosts[2]", "base_url", "default_url", "grants.private[0]",
        "grants.private[1]", "grants.ports[0]", "grants.ports[1]", "grants.ports[2]",
        "grants.ports[4]",
    ]  # fmt: skip
    said = dict(caught.value.problems)
    assert said["base_url"].startswith("'localhost:1': scheme 'localhost'")
    assert said["default_url"].startswith("'??': the URL has no scheme")
    assert said["grants.ports[4]"] == "'80' is not a port"
    assert said["grants.ports[0]"] == "0 is not a port"
    assert caught.value.message.startswith("the grant cannot be used: allowed_hosts[1]: 'http://x'")
    with pytest.raises(ConfigError, match=r"10\.0\.0\.0/33"):
        Grant.extism(["*"], private=["10.0.0.0/33"])


def test_grants_are_values() -> None:
    one = Grant.of(["h", "h"], ports=[1, 1], private=["10.0.0.0/8"])
    two = Grant.of(["h"], ports=[1], private=["10.0.0.0/8"])
    assert one == two
    assert hash(one) == hash(two)
    assert one != Grant.of(["h"], ports=[2], private=["10.0.0.0/8"])
    assert Grant.of(ports=[65535, 1]).ports == frozenset({1, 65535})


def test_a_granted_url_is_decided_once(monkeypatch: pytest.MonkeyPatch) -> None:
    grant = Grant.of(["api.example.com"])
    urls = [f"https://api.example.com/{n}" for n in range(KEPT_URLS)]
    long = "https://api.example.com/".ljust(KEPT_URL, "x")
    query, beyond = "https://api.example.com/?k", "https://api.example.com/more"
    later = Grant.of(["api.example.com"])
    for url in (*urls, beyond):
        decide(grant, "GET", url)
    for url in (query, long + "x", long):
        decide(later, "GET", url)
    asked: list[str] = []
    monkeypatch.setattr(policy, "_decide_host", lambda _grant, url: asked.append(str(url)))
    for url in (beyond, *urls):
        assert str(decide(grant, "GET", url).url) == url
    assert asked == urls  # one too many, and it began anew
    assert len(grant._known) == 1
    asked.clear()
    for url in (query, long + "x", long):
        decide(later, "GET", url)
    assert asked == [query, long + "x"]  # no query is kept, nor what is long


def test_a_refusal_is_decided_anew_and_what_is_known_is_no_part_of_the_value() -> None:
    grant = Grant.of(["api.example.com"])
    for _ in range(2):
        assert refuse(grant, "https://other.example.com/").reason == "host"
        assert refuse(grant, "https://api.example.com:1/").reason == "port"
    decide(grant, "GET", "https://api.example.com/")
    assert grant == Grant.of(["api.example.com"])
    assert hash(grant) == hash(Grant.of(["api.example.com"]))
    assert "_known" not in repr(grant)
    narrower = dataclasses.replace(grant, hosts=())
    assert refuse(narrower, "https://api.example.com/").reason == "host"


def test_host_line() -> None:
    assert host_line(parse_url("https://h/")) == 'allowed_hosts = ["h"]'
    assert host_line(parse_url("http://[::1]:8/")) == 'allowed_hosts = ["[::1]:8"]'


def test_a_manifests_grant_opens_all_ports_and_the_private_networks_given() -> None:
    grant = Grant.extism(["a*"], private=["10.0.0.0/8"])
    assert grant.ports is None
    assert [str(net) for net in grant.private] == ["10.0.0.0/8"]
    assert Grant.extism(None) == Grant((), None, ())


def test_only_blanks_are_taken_off_a_value() -> None:
    kept = clean_headers([("a", " \tXvX\t ")], parse_url("https://h/"), 0)
    assert kept == (("a", "XvX"),)
