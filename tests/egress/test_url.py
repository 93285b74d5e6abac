from __future__ import annotations

import re
from ipaddress import IPv6Address, ip_address

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fumehood.egress import url as urls
from fumehood.egress.url import (
    URL_CAP,
    URLError,
    _text6,
    join,
    parse_authority,
    parse_host,
    parse_url,
)
from tests.counts import HYPOTHESIS_EXAMPLES


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("https://api.example.com", "https://api.example.com/"),
        ("HTTPS://API.Example.COM:443/v1", "https://api.example.com/v1"),
        ("http://h:80/", "http://h/"),
        ("https://h:80/", "https://h:80/"),
        ("http://h:/p", "http://h/p"),
        ("http://h:00080/p", "http://h/p"),
        ("http://h.:8080/", "http://h:8080/"),
        ("http://h?q", "http://h/?q"),
        ("http://h/?", "http://h/?"),
        ("http://h#frag", "http://h/"),
        ("http://h/a?b#c?d", "http://h/a?b"),
        ("http://h/a/../b/./c", "http://h/b/c"),
        ("http://h/a/%2e%2E/b/%2e/c", "http://h/b/c"),
        ("http://h/../../x", "http://h/x"),
        ("http://h/a/..", "http://h/"),
        ("http://h/a/b/..", "http://h/a/"),
        ("http://h/a/.", "http://h/a/"),
        ("http://h//a//", "http://h//a//"),
        ('http://h/a b<>"`{}é', "http://h/a%20b%3C%3E%22%60%7B%7D%C3%A9"),
        ("http://h/%zz%41?%zz'", "http://h/%zz%41?%zz%27"),
        ("http://h/?a b\\c{é}", "http://h/?a%20b%5Cc%7B%C3%A9%7D"),
        ("http://h/~user/$&+,;=:@!*'()[]", "http://h/~user/$&+,;=:@!*'()[]"),
        ("http://my_host-1.lan/", "http://my_host-1.lan/"),
        ("http://xn--nxasmq6b.example/", "http://xn--nxasmq6b.example/"),
        ("http://[::1]:8080/", "http://[::1]:8080/"),
        ("http://[0:0:0:0:0:0:0:1]/", "http://[::1]/"),
        ("http://[FE80::A]/", "http://[fe80::a]/"),
        ("http://[::ffff:127.0.0.1]/", "http://[::ffff:7f00:1]/"),
        ("http://[::ffff:7f00:1]/", "http://[::ffff:7f00:1]/"),
    ],
)
def test_normalises(text: str, shown: str) -> None:
    assert str(parse_url(text)) == shown
    assert str(parse_url(shown)) == shown


@pytest.mark.parametrize(
    "host",
    [
        "127.0.0.1", "127.1", "127.0.1", "2130706433", "0x7f000001", "0x7f.1", "0X7F.0.0.1",
        "0177.0.0.1", "017700000001", "0x7f.0x0.0x0.0x1", "127.0.0.1.", "0177.1", "127.0x1",
        "0x7f.0.1", "00000000177.0.0.1",
    ],
)  # fmt: skip
def test_every_spelling_of_an_ipv4_address_is_that_address(host: str) -> None:
    assert parse_host(host) == ("127.0.0.1", ip_address("127.0.0.1"))


def test_ipv4_boundaries() -> None:
    assert parse_host("0")[0] == "0.0.0.0"
    assert parse_host("4294967295")[0] == "255.255.255.255"
    assert parse_host("0x")[0] == "0.0.0.0"
    assert parse_host("1.16777215")[0] == "1.255.255.255"
    assert parse_host("1.2.65535")[0] == "1.2.255.255"
    assert parse_host("1.2.3.255")[0] == "1.2.3.255"
    assert parse_host("1.2.0x3.04")[0] == "1.2.3.4"
    assert parse_host("255.255.255.255")[0] == "255.255.255.255"
    assert parse_host("255.1")[0] == "255.0.0.1"


@pytest.mark.parametrize(
    "host",
    [
        "4294967296", "1.16777216", "1.2.65536", "1.2.3.256", "256.1", "1.2.3.4.5", "08.1", "09",
        "1..2", "a.1", "1.0x1g.3", "0x" + "f" * 40, "", ".", "..", "a..b", ".a",
        "a b", "a/b", "a!b", "-a", "a-", "a.-b", "é", "a" * 64, "a." * 127 + "bcd", "a,b", "a*",
        "$h", "[::1]",
    ],
)  # fmt: skip
def test_hosts_refused(host: str) -> None:
    with pytest.raises(URLError) as caught:
        parse_host(host)
    assert caught.value.reason == "host"


def test_host_length_boundaries() -> None:
    assert parse_host("a" * 63)[0] == "a" * 63
    longest = "a." * 126 + "b"
    assert len(longest) == 253
    assert parse_host(longest)[0] == longest
    assert parse_host(longest + ".")[0] == longest
    with pytest.raises(URLError, match="253"):
        parse_host("aa." + "a." * 125 + "b")


@pytest.mark.parametrize(
    ("text", "reason", "words"),
    [
        ("", "url", "no scheme"),
        ("api.example.com/v1", "url", "no scheme"),
        ("//h/", "url", "no scheme"),
        ("127.0.0.1:80", "url", "no scheme"),
        ("localhost:11434", "scheme", "'localhost'"),
        ("ftp://h/", "scheme", "'ftp'"),
        ("file:///etc/passwd", "scheme", "'file'"),
        ("ws://h", "scheme", "'ws'"),
        ("javascript:alert(1)", "scheme", "'javascript'"),
        ("http:h", "url", "no //"),
        ("http:/h", "url", "no //"),
        ("http:\\\\h", "url", "no //"),
        ("http://", "host", "no host"),
        ("http:///h", "host", "no host"),
        ("http://:80/", "host", "no host"),
        ("http://user@h/", "host", "user information"),
        ("http://user:pw@h/", "host", "user information"),
        ("http://a@b@h/", "host", "user information"),
        ("http://evil\\@h/", "host", "user information"),
        ("http://h\\evil/", "host", "backslash"),
        ("http://h/a\\b", "url", "backslash"),
        ("http://%68/", "host", "percent-encoded"),
        ("http://h%00/", "host", "percent-encoded"),
        ("http://[fe80::1%25eth0]/", "host", "percent-encoded"),
        ("http://hé/", "host", "ASCII"),
        ("http://h\u3002com/", "host", "ASCII"),
        ("http://h\uff0ecom/", "host", "ASCII"),
        ("http://①②⑦.0.0.1/", "host", "ASCII"),
        ("http://h/\x00", "url", "control"),
        ("http://h\r\n/", "url", "control"),
        ("http://h/\x7f", "url", "control"),
        ("http://h/\x85", "url", "control"),
        ("\thttp://h/", "url", "control"),
        (" http://h/", "url", "no scheme"),
        ("http://h /", "host", "host name"),
        ("http://[::1/", "host", "brackets"),
        ("http://[::1]x/", "host", "brackets"),
        ("http://[::g]/", "host", "not an IPv6"),
        ("http://[127.0.0.1]/", "host", "not an IPv6"),
        ("http://[]/", "host", "not an IPv6"),
        ("http://::1/", "host", "needs brackets"),
        ("http://h:80:80/", "host", "needs brackets"),
        ("http://h:x/", "url", "not a port"),
        ("http://h:-1/", "url", "not a port"),
        ("http://h:0/", "url", "not a port"),
        ("http://h:65536/", "url", "not a port"),
        ("http://h:000000080/", "url", "not a port"),
        ("http://h:٣/", "host", "ASCII"),
        ("http://h/\ud800", "url", "surrogate"),
        ("http://h/?\ud800", "url", "surrogate"),
        ("http://h/" + "a" * URL_CAP, "url", "longer"),
    ],
)
def test_refused(text: str, reason: str, words: str) -> None:
    with pytest.raises(URLError, match=re.escape(words)) as caught:
        parse_url(text)
    assert caught.value.reason == reason


def test_parts() -> None:
    url = parse_url("https://Api.Example.com:8443/a%2Fb?x=1")
    assert (url.scheme, url.host, url.port, url.path, url.query) == (
        "https", "api.example.com", 8443, "/a%2Fb", "x=1",
    )  # fmt: skip
    assert url.address is None
    assert url.authority == "api.example.com:8443"
    assert url.target == "/a%2Fb?x=1"
    assert url.origin == "https://api.example.com:8443"
    v6 = parse_url("http://[::1]:81/")
    assert (v6.host, v6.bracketed, v6.authority) == ("::1", "[::1]", "[::1]:81")
    assert v6.address == ip_address("::1")
    assert parse_url("http://h:1/").port == 1
    assert parse_url("http://h:65535/").port == 65535
    text = "http://h/" + "a" * (URL_CAP - 9)
    assert str(parse_url(text)) == text


def test_authority() -> None:
    assert parse_authority("h") == ("h", None, None)
    assert parse_authority("h:5") == ("h", 5, None)
    assert parse_authority("[::1]") == ("::1", None, ip_address("::1"))
    assert parse_authority("[::1]:5") == ("::1", 5, ip_address("::1"))


@pytest.mark.parametrize(
    ("reference", "result"),
    [
        ("/x", "https://h:8/x"),
        ("x", "https://h:8/a/x"),
        ("../x", "https://h:8/x"),
        ("?y", "https://h:8/a/b?y"),
        ("", "https://h:8/a/b?q"),
        ("#z", "https://h:8/a/b?q"),
        ("//other/x", "https://other/x"),
        ("http://other", "http://other/"),
        (" /x\t", "https://h:8/x"),
        ("/x?a\\b", "https://h:8/x?a%5Cb"),
    ],
)
def test_join(reference: str, result: str) -> None:
    assert str(join(parse_url("https://h:8/a/b?q"), reference)) == result


@pytest.mark.parametrize("reference", ["/\\evil", "\\\\evil", "/a\nb", "ftp://h/", "//u@h", "x:y"])
def test_join_refuses(reference: str) -> None:
    with pytest.raises(URLError):
        join(parse_url("https://h/a"), reference)


@settings(max_examples=HYPOTHESIS_EXAMPLES, deadline=None)
@given(st.text(max_size=60) | st.text("http:/@\\%#?.[]0x127", max_size=40).map("http://".__add__))
def test_any_text_parses_or_raises_one_error(text: str) -> None:
    try:
        url = parse_url(text)
    except URLError:
        return
    assert parse_url(str(url)) == url
    assert str(url).isascii()
    assert " " not in str(url)
    assert "\\" not in str(url)


def test_mapped_addresses_have_one_text_on_every_python() -> None:
    class Newer(IPv6Address):
        def __str__(self) -> str:  # as from Python 3.13 on
            return "::ffff:127.0.0.1"

    assert _text6(Newer("::ffff:127.0.0.1")) == "::ffff:7f00:1"


def test_every_letter_may_stand_in_a_host() -> None:
    for letter in "ABCDEFGHIJKLMNOPQRSTUVWXYZ":
        url = parse_url(f"https://a{letter}b.example/{letter}")
        assert (url.host, url.path) == (f"a{letter.lower()}b.example", f"/{letter}")


def test_what_is_remembered_holds_no_query_and_is_short() -> None:
    urls._known.cache_clear()
    for _ in range(3):
        assert parse_url("https://h.example/v1/chat").path == "/v1/chat"
        assert parse_url("https://h.example/v1?key=sk-secret").query == "key=sk-secret"
        parse_url("https://h.example/" + "a" * 300)
        with pytest.raises(URLError):
            parse_url("https://user@h.example/")
    assert urls._known.cache_info().currsize == 1
    assert urls._known.cache_info().hits == 2
    parse_url("https://h.example/v1/chat")
    assert urls._known.cache_info().hits == 3
    for size, kept in ((257, 1), (256, 2)):
        parse_url("https://h.example/".ljust(size, "a"))
        assert urls._known.cache_info().currsize == kept
