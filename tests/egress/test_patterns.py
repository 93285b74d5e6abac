from __future__ import annotations

from ipaddress import ip_address

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fumehood.egress.patterns import (
    Pattern,
    extism_pattern,
    glob_matches,
    provider_pattern,
    url_pattern,
)
from fumehood.egress.url import parse_authority
from tests.counts import HYPOTHESIS_EXAMPLES


def _names(pattern: str, host: str, *, extism: bool) -> bool:
    made = extism_pattern(pattern) if extism else provider_pattern(pattern)
    name, _, address = parse_authority(host)
    return made.names(name, address)


@pytest.mark.parametrize(
    ("pattern", "host", "allowed"),
    [
        # the table of extism-abi.md §3.4, with our two additions
        ("*", "api.example.com", True), ("**", "api.example.com", True), ("*", "127.0.0.1", True),
        ("127.*", "127.0.0.1", True), ("*.0.1", "127.0.0.1", True),
        ("127.?.0.1", "127.0.0.1", True), ("[1]27.0.0.1", "127.0.0.1", True),
        ("127.0.0.[!2]", "127.0.0.1", True), ("127.0.0.[!1]", "127.0.0.1", False),
        ("12**", "127.0.0.1", False), ("{a,b}.c", "a.c", False), ("*.x.y", "x.y", False),
        ("*.x.y", "a.x.y", True), ("*.x.y", "a.b.x.y", True), ("LOCALHOST", "localhost", True),
        ("localhost", "LOCALHOST", True), ("host:80", "host", False),
        ("http://host", "host", False), ("user@host", "host", False), ("[::1]", "[::1]", True),
        ("::1", "[::1]", True), ("[::1]", "[::2]", False), ("*::1]", "[::1]", True),
        # and around it
        ("127.1", "127.0.0.1", False), ("127.0.0.1", "127.1", True), ("", "host", False),
        ("a?", "ab", True), ("a?", "a", False), ("a[b-d]", "ac", True), ("a[b-d]", "ae", False),
        ("a[!b-d]", "ae", True), ("a[", "a", False), ("a[z-b]", "ac", False),
        ("a[!z-b]", "ac", True), ("a[]]", "a", False), ("a***b", "axb", False),
        ("**a", "ba", False), ("a[b-]c", "abc", True), ("a[b-]c", "a-c", True),
        ("host.", "host", False), ("a[b-dx]", "ax", True), ("a[b-dxy-z]", "ay", True),
        ("?2606:*", "[2606:4700::1]", True), ("2606:*", "[2606:4700::1]", False),
        ("[2606:4700::1", "[2606:4700::1]", False), ("a[b-dxy-z]", "aw", False),
        ("a[!]b", "ab", False), ("[xyz", "x", False), ("*a*", "bab", True),
    ],
)  # fmt: skip
def test_extism(pattern: str, host: str, allowed: bool) -> None:
    assert _names(pattern, host, extism=True) is allowed


def test_invalid_globs_are_compared_literally() -> None:
    assert glob_matches("12**", "12**")
    assert glob_matches("a[", "a[")
    assert not glob_matches("a[", "a")
    assert glob_matches("a/**/b", "a/x/b")
    assert glob_matches("**", "anything")
    assert glob_matches("a/**", "a/x")
    assert not glob_matches("a**", "ax")
    assert not glob_matches("a.b", "axb")


@pytest.mark.parametrize(
    ("pattern", "host", "allowed"),
    [
        ("api.example.com", "api.example.com", True), ("API.Example.com.", "api.example.com", True),
        ("api.example.com", "api.example.com.evil.com", False),
        ("api.example.com", "xapi.example.com", False), ("example.com", "api.example.com", False),
        ("*", "api.example.com", True), ("*", "10.0.0.1", True),
        ("*.openai.azure.com", "mine.openai.azure.com", True),
        ("*.openai.azure.com", "openai.azure.com", False),
        ("*.openai.azure.com", "evil-openai.azure.com", False),
        ("*.openai.azure.com", "a.b.openai.azure.com", False),
        ("*.openai.azure.com", "mine.openai.azure.com.evil.com", False),
        ("*.0.1", "127.0.0.1", None), ("*.com", "127.0.0.1", False),
        ("127.*", "127.0.0.1", True), ("127.*", "128.0.0.1", False),
        ("127.0.*", "127.1.0.1", False),
        ("127.*", "127.evil.com", False), ("10.1.2.*", "10.1.2.9", True),
        ("127.0.0.1", "127.1", True), ("127.1", "127.0.0.1", True), ("[::1]", "[::1]", True),
        ("[::1]", "[::2]", False), ("a*b.com", "axb.com", None), ("a.*.com", "a.b.com", None),
        ("*x.com", "ax.com", None), ("", "h", None), ("http://h", "h", None), ("u@h", "h", None),
        ("h:0", "h", None), ("*:0", "h", None), ("::1", "[::1]", None), ("hé", "h", None),
        ("*.", "h", None), ("1.2.3.4.*", "1.2.3.4", None), ("*:x", "h", None),
    ],
)  # fmt: skip
def test_provider(pattern: str, host: str, allowed: bool | None) -> None:
    if allowed is None:
        with pytest.raises(ValueError, match=r"."):
            provider_pattern(pattern)
    else:
        assert _names(pattern, host, extism=False) is allowed


def test_kinds() -> None:
    kinds = {e: provider_pattern(e).kind for e in ("*", "*:80", "h", "*.x.y", "1.2.*")}
    assert kinds == {"*": "any", "*:80": "any", "h": "exact", "*.x.y": "label", "1.2.*": "octets"}
    globs = {e: extism_pattern(e).kind for e in ("*", "**", "h", "h*", "h?", "h[", "[::1]", "a:1")}
    assert globs == {
        "*": "any", "**": "any", "h": "exact", "h*": "glob", "h?": "glob", "h[": "glob",
        "[::1]": "exact", "a:1": "glob",
    }  # fmt: skip


def test_ports_and_paths() -> None:
    plain = provider_pattern("h")
    assert (plain.port, plain.prefix, plain.scheme, plain.operator) == (None, None, None, True)
    assert provider_pattern("h:81").port == 81
    assert provider_pattern("[::1]:81").port == 81
    assert provider_pattern("*.x.y:81").port == 81
    assert provider_pattern("*:81").port == 81
    assert provider_pattern("10.*:81").port == 81
    assert provider_pattern(" h ").host == "h"
    assert provider_pattern("h/").prefix is None
    assert plain.opens("/anything")
    prefix = provider_pattern("h:81/v1/")
    assert (prefix.port, prefix.prefix) == (81, "/v1/")
    below = provider_pattern("h/v1")
    assert below.opens("/v1")
    assert below.opens("/v1/chat")
    assert not below.opens("/v1x")
    assert not below.opens("/v2")
    for path in ("/v1/a%2fb", "/v1/a%5Cb", "/v1/..%252f", "/v1/%252e%252E/v2", "/v1/%25252e./v2",
                 "/v1/%c0%ae%C0%AE/v2", "/v1/..;/v2", "/v1/.;x/v2"):  # fmt: skip
        assert not below.opens(path)
    for path in ("/v1/a..;b", "/v1/100%25", "/v1/a;b", "/v1/%2e"):
        assert below.opens(path)
    assert not below.opens("/v1/a%5Cb")
    for made in (provider_pattern("*/p"), provider_pattern("*.x/p"), provider_pattern("1.*/p")):
        assert made.prefix == "/p"


def test_url_pattern() -> None:
    made = url_pattern("https://API.x/v1", operator=False)
    assert (made.host, made.port, made.scheme, made.operator) == ("api.x", 443, "https", False)
    assert url_pattern("http://[::1]:8/").address is not None
    with pytest.raises(ValueError, match="scheme"):
        url_pattern("localhost:11434")


@pytest.mark.parametrize(
    ("pattern", "grants"),
    [
        ("127.0.0.1", True), ("[::1]", True), ("127.*", True), ("*", False), ("localhost", False),
        ("*.x", False), ("h", False),
    ],
)  # fmt: skip
def test_which_entries_grant_addresses(pattern: str, grants: bool) -> None:
    assert provider_pattern(pattern).grants_address is grants
    assert provider_pattern(pattern, operator=False).grants_address is False


@pytest.mark.parametrize(
    ("pattern", "grants"),
    [
        ("127.*", True), ("127.?.0.1", True), ("[1]27.0.0.1", False), ("*.0.1", False),
        ("1*", False), ("127.0.0.1", True), ("[::1]", True), ("*", False), ("127*", False),
    ],
)  # fmt: skip
def test_which_globs_grant_addresses(pattern: str, grants: bool) -> None:
    assert extism_pattern(pattern).grants_address is grants


def test_localhost() -> None:
    assert provider_pattern("localhost").grants_localhost
    assert extism_pattern("LocalHost").grants_localhost
    assert not provider_pattern("localhost", operator=False).grants_localhost
    assert not provider_pattern("*").grants_localhost
    assert not extism_pattern("local*").grants_localhost
    assert not provider_pattern("*.localhost").grants_localhost


@settings(max_examples=HYPOTHESIS_EXAMPLES, deadline=None)
@given(st.text("*?[]!-{}ab.1:/", max_size=12), st.text("ab1.", min_size=1, max_size=8))
def test_any_glob_compiles_and_answers(pattern: str, host: str) -> None:
    assert extism_pattern(pattern).names(host, None) in (True, False)


def test_every_field_of_a_pattern() -> None:
    """An entry is what its text says, field by field."""
    made = provider_pattern("*:81/v1/", operator=False)
    assert made == Pattern("*:81/v1/", "any", "*", 81, None, "/v1/", False)
    assert provider_pattern("*") == Pattern("*", "any", "*")
    assert provider_pattern("*.x.y") == Pattern("*.x.y", "label", "x.y")
    assert provider_pattern("10.*") == Pattern("10.*", "octets", "10.")
    assert provider_pattern("h") == Pattern("h", "exact", "h")
    url = url_pattern("http://h:81/p", operator=False)
    assert url == Pattern("http://h:81", "exact", "h", 81, "http", None, False)
    assert url_pattern("https://h").operator is True
    assert extism_pattern("*") == Pattern("*", "any", "*")
    assert extism_pattern("**") == Pattern("**", "any", "*")
    assert extism_pattern("A*") == Pattern("A*", "glob", "a*")
    assert extism_pattern("Host") == Pattern("Host", "exact", "host")
    assert extism_pattern("a b") == Pattern("a b", "glob", "a b")
    assert extism_pattern("[::1]") == Pattern("[::1]", "exact", "::1", address=ip_address("::1"))
    assert extism_pattern("[::1") == Pattern("[::1", "glob", "[::1")
    assert extism_pattern("::1]") == Pattern("::1]", "glob", "::1]")


@pytest.mark.parametrize(
    ("prefix", "path", "opens"),
    [
        ("h/v1/", "/v1/x", True), ("h/v1/", "/v1/", True), ("h/v1/", "/v1", False),
        ("h/v1", "/v1", True), ("h/v1", "/v1/x", True), ("h/v1", "/v12", False),
        ("h/v1//", "/v1/x", True), ("h/vX/", "/v/", False), ("h/v X", "/v%20X/y", True),
    ],
)  # fmt: skip
def test_prefixes(prefix: str, path: str, opens: bool) -> None:
    assert provider_pattern(prefix).opens(path) is opens


def test_classes_of_globs_have_their_edges() -> None:
    assert glob_matches("[a-a]x", "ax")
    assert glob_matches("[abc]", "b")
    assert not glob_matches("[ab]", "X")
    assert not glob_matches("[acx]", "XX")
    label = provider_pattern("*.x", operator=False)
    assert label.operator is False
    assert not label.names(".x", None)
