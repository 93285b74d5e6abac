"""What a refused URL, request, header or grant is told: reason, message, and the line to add.

Pinned in `wording.json`, since people act on these words. After a deliberate change,
`python -m tests.egress.test_wording` records them anew; read the diff.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from ipaddress import ip_address
from pathlib import Path
from typing import Any, Final

import pytest

from fumehood.egress.patterns import provider_pattern, url_pattern
from fumehood.egress.policy import Grant, clean_headers, decide, decide_address
from fumehood.egress.url import URLError, join, parse_authority, parse_host, parse_url
from fumehood.errors import ConfigError, EgressDenied, TooMuch
from tests.egress.ssrf import REFUSED

RECORD: Final = Path(__file__).with_name("wording.json")
GRANT: Final = Grant.of(
    ["api.example.com", "*.tenant.example", "paths.example/v1", "10.*"],
    base_url="https://base.example:444/x",
    ports=[8443],
)
URL: Final = parse_url("http://h:8080/")
BASE: Final = parse_url("https://h/a")

URLS: Final = [
    *REFUSED, "", "x" * 8193, "https://" + "a" * 254 + "/", "https://" + "a" * 64 + ".b/",
    "https://1.2.3.4.5/", "https://1.2.3.0x/", "https://1.2.3.256/", "https://999999999999/",
    "https://1.2.3.08/",
    "https://" + "1" * 32 + "/", "https://" + "1" * 33 + "/",
    "https://h:99999/", "https://h:/", "https://::1/", "https://[::1/",
    "https://[zz]/", "https://h/\ud800", "https://h/a\\b", "https://u@h/", "https://h%41/",
    "https://é/", "https:///", "h/x", "mailto:x", "https://-a.b/", "https://a-.b/", "https://a_b/",
]  # fmt: skip
PATTERNS: Final = [
    "", " ", "http://h", "u@h", "h:0", "*:0", "::1", "hé", "*.", "1.2.3.4.*", "*:x", "a*b.com",
    "a.*.com", "*x.com", "*.0.1", "*.127.0.0.1", "h/p:x", "h h", "*.a b",
]  # fmt: skip
REQUESTS: Final[dict[str, tuple[str, str]]] = {
    "host": ("GET", "https://other.example/"),
    "host with a port": ("GET", "https://other.example:8443/"),
    "host in clear text": ("GET", "http://other.example/"),
    "scheme": ("GET", "http://base.example:444/"),
    "port": ("GET", "https://api.example.com:1/"),
    "port of a base_url": ("GET", "https://base.example:8443/"),
    "path": ("GET", "https://paths.example/v2"),
    "encoded path": ("GET", "https://paths.example/v1/%2e%2e%2fx"),
    "method": ("CONNECT", "https://api.example.com/"),
    "long method": ("X" * 100, "https://api.example.com/"),
    "no address of the pattern's": ("GET", "https://11.0.0.1/"),
    "loopback": ("GET", "http://127.0.0.1/"),
}
ADDRESSES: Final = [
    "127.0.0.1", "10.0.0.1", "169.254.169.254", "0.0.0.0", "224.0.0.1", "100.64.0.1", "::1", "::",
    "fe80::1", "fd00::1", "::ffff:10.0.0.1", "64:ff9b::7f00:1", "2002:7f00:1::",
]  # fmt: skip
HEADERS: Final = [
    ("a b", "x"), ("", "x"), ("é", "x"), ("a" * 257, "x"), ("a", "x\r\nB: y"), ("a", "\x7f"),
    ("host", "evil"), ("Host", "h:80"), ("content-length", "4"), ("Content_Length", "03"),
    ("Connection", "x"), ("transfer_encoding", "x"), ("Proxy-X", "x"), ("cookie", "x"),
]  # fmt: skip
GRANTS: Final[dict[str, dict[str, Any]]] = {
    "hosts": {"allowed_hosts": ["h", "a*b", "http://h"]},
    "base_url": {"base_url": "ftp://h/"},
    "default_url": {"default_url": "h"},
    "private": {"private": ["10.0.0.0/8", "10.0.0.1/8", "x"]},
    "ports": {"ports": [1, 0, 65536, True, "80"]},
    "all": {"allowed_hosts": [""], "base_url": "x", "private": ["y"], "ports": [-1]},
}


def told(attempt: Callable[[], object]) -> list[Any]:
    """What the attempt is told; its result's text where it is taken."""
    try:
        return ["taken", str(attempt())]
    except URLError as error:
        return ["URLError", str(error), error.reason]
    except EgressDenied as error:
        return ["EgressDenied", error.message, error.reason, error.host, error.hint]
    except ConfigError as error:
        return ["ConfigError", error.message, [list(problem) for problem in error.problems]]
    except TooMuch as error:
        return ["TooMuch", error.message, error.limit]
    except ValueError as error:
        return ["ValueError", str(error)]


def resolved(host: str, address: str) -> None:
    decide_address(GRANT, parse_url(f"https://{host}/"), ip_address(address))


CASES: Final[dict[str, Callable[[], object]]] = {
    **{f"url {url[:100]!a}": (lambda url=url: parse_url(url)) for url in URLS},
    **{f"decide {url[:100]!a}": (lambda url=url: decide(GRANT, "GET", url)) for url in REFUSED},
    **{f"entry {text!a}": (lambda text=text: provider_pattern(text)) for text in PATTERNS},
    **{
        f"request, {name}": (lambda method=method, url=url: decide(GRANT, method, url))
        for name, (method, url) in REQUESTS.items()
    },
    **{
        f"{host} at {address}": (lambda host=host, address=address: resolved(host, address))
        for host in ("api.example.com", "localhost")
        for address in ADDRESSES
    },
    **{
        f"header {name[:20]!a} {value!a}": (
            lambda name=name, value=value: clean_headers([(name, value)], URL, 3)
        )
        for name, value in HEADERS
    },
    **{f"grant, {name}": (lambda words=words: Grant.of(**words)) for name, words in GRANTS.items()},
    **{
        f"join {reference!a}": (lambda reference=reference: join(BASE, reference))
        for reference in (
            "/\\e",
            "a\nb",
            "?a\\b",
            "x?y\\z?",
            "\\",
            "ftp://h/",
            " /x\t",
            "\x0bx",
            "XaX",
            "\x85a",
        )
    },
    "headers through decide": lambda: decide(
        GRANT, "GET", "https://api.example.com/", [("host", "other")]
    ),
    "length through decide": lambda: decide(
        GRANT, "GET", "https://api.example.com/", [("content-length", "3")], 4
    ),
    "right length through decide": lambda: decide(
        GRANT, "GET", "https://api.example.com/", [("content-length", "0"), ("a", "\t X \t")]
    ),
    "body": lambda: decide(GRANT, "POST", "https://api.example.com/", (), 11, limit=10),
    "clear text in base_url": lambda: url_pattern("mailto:x"),
    "host alone": lambda: parse_host("a b"),
    "authority alone": lambda: parse_authority("h:x"),
}


@pytest.mark.parametrize("name", CASES)
def test_wording(name: str) -> None:
    assert told(CASES[name]) == json.loads(RECORD.read_text())[name]


if __name__ == "__main__":
    record = {name: told(attempt) for name, attempt in CASES.items()}
    RECORD.write_text(json.dumps(record, indent=1) + "\n")
