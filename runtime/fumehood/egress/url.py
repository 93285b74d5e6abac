"""One strict parser of `http(s)` URLs, used both for deciding and for dialling.

It accepts what the WHATWG rules accept as far as guests need it and refuses every spelling on
which two parsers are known to differ: user info, a backslash, a percent-encoded or non-ASCII
host, control characters, white space around the host. What it returns is normalised: there is no
second reading of the text later on (threats.md "SSRF spellings").
"""

from __future__ import annotations

import functools
import re
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address
from typing import Final

IPAddress = IPv4Address | IPv6Address

URL_CAP: Final = 64 * 1024
"""Characters a URL may have."""
_KNOWN_CAP: Final = 256
"""Characters of a URL that is remembered."""

DEFAULT_PORTS: Final = {"http": 80, "https": 443}

_SCHEME: Final = re.compile(r"([A-Za-z][A-Za-z0-9+.\-]*):")
_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f-\x9f]")
_LABEL: Final = re.compile(r"[a-z0-9_](?:[a-z0-9_\-]{0,61}[a-z0-9_])?")
_NUMBER: Final = re.compile(r"0[xX][0-9a-fA-F]*|[0-9]+")
_PORT: Final = re.compile(r"[0-9]{1,8}")
_PATH_ENCODE: Final = re.compile(r"[^\x21\x24-\x3b\x3d\x40-\x5b\x5d-\x5f\x61-\x7a\x7e%]")
_QUERY_ENCODE: Final = re.compile(r"[^\x21\x24-\x26\x28-\x3b\x3d\x3f-\x5b\x5d-\x7a\x7c\x7e%]")
_DOT: Final = re.compile(r"\.|%2[eE]")


class URLError(ValueError):
    """The text is not a URL that may be used; `reason` is `url`, `scheme` or `host`."""

    def __init__(self, message: str, reason: str = "url") -> None:
        super().__init__(message)
        self.reason = reason


@dataclass(frozen=True, slots=True)
class URL:
    """A parsed URL.

    `host` is a lower-case name without trailing dot, or the canonical text of `address` (an IPv6
    host has no brackets here); `port` is the effective one; `path` starts with `/` and has no dot
    segments; `query` is None or the text after `?`. Both are printable ASCII without blanks. The
    fragment is dropped.
    """

    scheme: str
    host: str
    port: int
    path: str
    query: str | None
    address: IPAddress | None

    @property
    def bracketed(self) -> str:
        """The host as it stands in a URL."""
        return f"[{self.host}]" if isinstance(self.address, IPv6Address) else self.host

    @property
    def authority(self) -> str:
        """Host, with the port where it is not the scheme's own: the value of the Host header."""
        if self.port == DEFAULT_PORTS[self.scheme]:
            return self.bracketed
        return f"{self.bracketed}:{self.port}"

    @property
    def target(self) -> str:
        """Path and query: the request target."""
        return self.path if self.query is None else f"{self.path}?{self.query}"

    @property
    def origin(self) -> str:
        """Scheme, host and port."""
        return f"{self.scheme}://{self.authority}"

    def __str__(self) -> str:
        return f"{self.origin}{self.target}"


def parse_url(text: str) -> URL:
    """The URL in `text`. Raises `URLError` and nothing else, whatever the text."""
    # A plugin asks for the same few addresses; a query may hold a key and is not kept.
    return _known(text) if len(text) <= _KNOWN_CAP and "?" not in text else _parse(text)


def _parse(text: str) -> URL:
    if len(text) > URL_CAP:
        raise URLError(f"the URL is longer than {URL_CAP} characters")
    if _CONTROL.search(text):
        raise URLError("the URL contains a control character")
    match = _SCHEME.match(text)
    if match is None:
        raise URLError("the URL has no scheme; write https://host/path")
    scheme = match[1].lower()
    if scheme not in DEFAULT_PORTS:
        raise URLError(f"scheme {scheme[:32]!r} is not http or https", "scheme")
    rest = text[match.end() :]
    if not rest.startswith("//"):
        raise URLError("the URL has no // after its scheme")
    rest = rest[2:]
    end = next((i for i, c in enumerate(rest) if c in "/?#"), len(rest))
    authority, rest = rest[:end], rest[end:]
    host, port, address = parse_authority(authority)
    if port is None:
        port = DEFAULT_PORTS[scheme]
    path, query = _split(rest)
    return URL(scheme, host, port, path, query, address)


_known = functools.lru_cache(maxsize=256)(_parse)


def parse_authority(text: str) -> tuple[str, int | None, IPAddress | None]:
    """`host`, `host:port`, `[v6]` or `[v6]:port` as (host, port, address). Raises `URLError`."""
    if "@" in text:
        raise URLError("user information before the host is refused", "host")
    if "\\" in text:
        raise URLError("a backslash is refused", "host")
    if not text.isascii():
        raise URLError("the host is not ASCII; write its xn-- form", "host")
    if "%" in text:
        raise URLError("a percent-encoded host or a zone id is refused", "host")
    if text.startswith("["):
        inner, bracket, tail = text[1:].partition("]")
        if not bracket or (tail and not tail.startswith(":")):
            raise URLError("the brackets around the IPv6 address do not match", "host")
        try:
            v6 = IPv6Address(inner)
        except ValueError:
            raise URLError(f"[{inner[:64]}] is not an IPv6 address", "host") from None
        return _text6(v6), _port(tail[1:]), v6
    name, _, tail = text.partition(":")
    if ":" in tail:
        raise URLError("an IPv6 address needs brackets", "host")
    host, address = parse_host(name)
    return host, _port(tail), address


def parse_host(text: str) -> tuple[str, IPAddress | None]:
    """A name or a v4 address in any spelling that resolvers accept, normalised.

    Decimal, octal, hexadecimal and shortened v4 spellings become the address (WHATWG). Raises
    `URLError`.
    """
    host = text.lower()
    host = host.removesuffix(".")
    if not host:
        raise URLError("the URL has no host", "host")
    if len(host) > 253:
        raise URLError("the host is longer than 253 characters", "host")
    labels = host.split(".")
    if _NUMBER.fullmatch(labels[-1]):
        address = _parse_v4(labels)
        return str(address), address
    for label in labels:
        if not _LABEL.fullmatch(label):
            raise URLError(f"{host[:80]!r} is not a host name", "host")
    return host, None


def join(base: URL, reference: str) -> URL:
    """`reference`, as a Location header carries it, resolved against `base`.

    Raises `URLError`.
    """
    reference = reference.strip(" \t")
    if _SCHEME.match(reference):
        return parse_url(reference)
    if reference.startswith("//"):
        return parse_url(f"{base.scheme}:{reference}")
    if _CONTROL.search(reference) or "\\" in reference.partition("?")[0]:
        raise URLError("the reference contains a control character or a backslash")
    if reference.startswith("/"):
        text = reference
    elif reference.startswith("?"):
        text = base.path + reference
    elif not reference or reference.startswith("#"):
        text = base.target
    else:
        text = base.path.rpartition("/")[0] + "/" + reference
    return parse_url(base.origin + text)


def _parse_v4(labels: list[str]) -> IPv4Address:
    if len(labels) > 4:
        raise URLError("an IPv4 address has at most four parts", "host")
    numbers: list[int] = []
    for label in labels:
        if not _NUMBER.fullmatch(label) or len(label) > 32:
            raise URLError(f"{label[:32]!r} is not a part of an IPv4 address", "host")
        try:
            if label.startswith("0x"):
                numbers.append(int(label[2:] or "0", 16))
            elif label.startswith("0") and len(label) > 1:
                numbers.append(int(label, 8))
            else:
                numbers.append(int(label))
        except ValueError:
            raise URLError(f"{label!r} is not a part of an IPv4 address", "host") from None
    *head, last = numbers
    if any(n > 255 for n in head) or last >= 256 ** (5 - len(numbers)):
        raise URLError("a part of the IPv4 address is too large", "host")
    value = last
    for position, number in enumerate(head):
        value += number << (8 * (3 - position))
    return IPv4Address(value)


def _text6(address: IPv6Address) -> str:
    """The canonical text, in hexadecimal groups on every Python release."""
    text = str(address)
    if "." in text:
        head, _, v4 = text.rpartition(":")
        number = int(IPv4Address(v4))
        text = f"{head}:{number >> 16:x}:{number & 0xFFFF:x}"
    return text


def _port(text: str) -> int | None:
    if not text:
        return None
    if not _PORT.fullmatch(text) or not 0 < int(text) < 65536:
        raise URLError(f"{text[:16]!r} is not a port")
    return int(text)


def _split(rest: str) -> tuple[str, str | None]:
    """Path and query of what follows the authority, normalised."""
    rest = rest.partition("#")[0]
    path, mark, query = rest.partition("?")
    if "\\" in path:
        raise URLError("a backslash is refused")
    try:
        path = _PATH_ENCODE.sub(_encode, _without_dots(path))
        query = _QUERY_ENCODE.sub(_encode, query)
    except UnicodeEncodeError:
        raise URLError("the URL contains a lone surrogate") from None
    return path, query if mark else None


def _encode(match: re.Match[str]) -> str:
    return "".join(f"%{byte:02X}" for byte in match[0].encode())


def _without_dots(path: str) -> str:
    """`path` with `.` and `..` segments resolved, in their percent-encoded spellings too."""
    if not path:
        return "/"
    out: list[str] = []
    segments = path.split("/")[1:]
    for position, segment in enumerate(segments):
        plain = _DOT.sub(".", segment) if len(segment) <= 6 else segment
        if plain == "..":
            if out:
                out.pop()
        elif plain != ".":
            out.append(segment)
            continue
        if position == len(segments) - 1:
            out.append("")
    return "/" + "/".join(out)
