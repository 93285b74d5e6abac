"""What a guest may request: the grant, and the decisions on a request and on an address. Pure.

A request is decided twice. `decide` looks at the request itself: method, scheme, host, port,
path, header names, size. `decide_address` looks at the address that will be dialled. Names and
addresses are granted separately (api.md "Private addresses").
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from ipaddress import ip_network
from typing import Final, NoReturn

from fumehood.egress.addresses import IPNetwork, range_of, unmap, within
from fumehood.egress.patterns import (
    Pattern,
    extism_pattern,
    provider_pattern,
    url_pattern,
)
from fumehood.egress.url import DEFAULT_PORTS, URL, IPAddress, URLError, parse_url
from fumehood.errors import ConfigError, EgressDenied, TooMuch
from fumehood.limits import Limits

Headers = tuple[tuple[str, str], ...]

METHODS: Final = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
HEADER_COUNT: Final = 128
HEADER_BYTES: Final = 64 * 1024
KEPT_URL: Final = 256
"""Characters of a URL whose decision is kept."""
KEPT_URLS: Final = 16
"""So many of one grant; then it begins anew."""

_NAME: Final = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]{1,256}")
_CONTROL: Final = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")
_REFUSED: Final = frozenset(
    {
        "connection", "keep-alive", "te", "trailer", "transfer-encoding", "upgrade",
        "http2-settings", "cookie", "cookie2", "expect",
    }
)  # fmt: skip
_NO_HINT: Final = frozenset({"unspecified", "link-local", "multicast", "reserved", "discard"})


@dataclass(frozen=True, slots=True)
class Grant:
    """What one plugin may reach. Frozen and hashable: connection pools are keyed by it.

    An empty grant denies everything. `ports` are open on every granted host beside the ones of
    the scheme and of the entry; None opens all. `private` are the networks of non-public
    addresses that a name may resolve to.
    """

    hosts: tuple[Pattern, ...] = ()
    ports: frozenset[int] | None = frozenset()
    private: tuple[IPNetwork, ...] = ()
    _known: dict[str, URL] = field(default_factory=dict, init=False, repr=False, compare=False)
    """What `decide` granted, by the text of the URL: a plugin asks for the same few, and with cold
    caches a decision takes 10 µs of a call."""

    @classmethod
    def of(
        cls,
        allowed_hosts: Iterable[str] = (),
        *,
        base_url: str | None = None,
        default_url: str | None = None,
        ports: Iterable[int] = (),
        private: Iterable[str] = (),
    ) -> Grant:
        """The grant of a provider entry.

        `allowed_hosts`, `base_url`, `ports` and `private` are the operator's words; `default_url`
        is the plugin's own `base_url` export, which names a host but never grants a private
        address. Raises ConfigError listing every problem with its key.
        """
        problems: list[tuple[str, str]] = []
        hosts: list[Pattern] = []
        for position, text in enumerate(allowed_hosts):
            try:
                hosts.append(provider_pattern(text))
            except ValueError as problem:
                problems.append((f"allowed_hosts[{position}]", f"{text!r}: {problem}"))
        for key, url in (("base_url", base_url), ("default_url", default_url)):
            if url is None:
                continue
            try:
                hosts.append(url_pattern(url, operator=key == "base_url"))
            except ValueError as problem:
                problems.append((key, f"{url!r}: {problem}"))
        nets: list[IPNetwork] = []
        for position, text in enumerate(private):
            try:
                nets.append(ip_network(text))
            except ValueError as problem:
                problems.append((f"grants.private[{position}]", str(problem)))
        opened: set[int] = set()
        for position, port in enumerate(ports):
            if isinstance(port, bool) or not isinstance(port, int) or not 0 < port < 65536:
                problems.append((f"grants.ports[{position}]", f"{port!r} is not a port"))
            else:
                opened.add(port)
        if problems:
            raise ConfigError(
                f"the grant cannot be used: {problems[0][0]}: {problems[0][1]}", problems=problems
            )
        return cls(tuple(dict.fromkeys(hosts)), frozenset(opened), tuple(dict.fromkeys(nets)))

    @classmethod
    def extism(cls, patterns: Iterable[str] | None, *, private: Iterable[str] = ()) -> Grant:
        """The grant of an Extism manifest: globs on the host, every port (extism-abi.md §3.4).

        None and an empty list deny all. Raises ConfigError for a bad network in `private`.
        """
        nets = cls.of(private=private).private
        return cls(tuple(dict.fromkeys(extism_pattern(p) for p in patterns or ())), None, nets)

    def opens(self, port: int, scheme: str) -> bool:
        """Whether the port is open on a host whose entry names none."""
        return self.ports is None or port == DEFAULT_PORTS[scheme] or port in self.ports


@dataclass(frozen=True, slots=True)
class Target:
    """A request that was decided on: what will be sent, and nothing else.

    `headers` are lower-case, without `host`, `content-length` and `accept-encoding`, which are
    ours to write.
    """

    method: str
    url: URL
    headers: Headers


def decide(
    grant: Grant,
    method: str,
    url: str | URL,
    headers: Sequence[tuple[str, str]] = (),
    body_size: int = 0,
    *,
    limit: int = Limits().request_bytes,
) -> Target:
    """Decide on a request before anything is resolved or dialled.

    Raises EgressDenied (`reason`: url, scheme, host, port, path, address, method, header) or
    TooMuch for a body above `limit` bytes.
    """
    if isinstance(url, str):
        url = grant._known.get(url) or _decide_url(grant, url)
    else:
        _decide_host(grant, url)
    verb = method.upper()
    if verb not in METHODS:
        _deny(f"method {method[:32]!r} is not one of {', '.join(sorted(METHODS))}", "method", url)
    if body_size > limit:
        raise TooMuch(
            f"the request body has {body_size} bytes, {limit} are allowed", limit="request_bytes"
        )
    return Target(verb, url, clean_headers(headers, url, body_size))


def _decide_url(grant: Grant, text: str) -> URL:
    try:
        url = parse_url(text)
    except URLError as problem:
        raise EgressDenied(f"the request was refused: {problem}", reason=problem.reason) from None
    _decide_host(grant, url)
    if url.query is None and len(text) <= KEPT_URL:  # a query differs from call to call
        if len(grant._known) >= KEPT_URLS:
            grant._known.clear()
        grant._known[text] = url
    return url


def _decide_host(grant: Grant, url: URL) -> None:
    """Narrow the entries down, so that the error names the first thing that no entry grants."""
    entries = [p for p in grant.hosts if p.names(url.host, url.address)]
    if not entries:
        _deny(f"host {url.host!r} is not granted", "host", url, host_line(url))
    entries = [p for p in entries if p.scheme in (None, url.scheme)]
    if not entries:
        _deny(f"{url.scheme} is not granted for {url.host!r}", "scheme", url, host_line(url))
    opened = grant.opens(url.port, url.scheme)
    entries = [p for p in entries if p.port == url.port or (p.port is None and opened)]
    if not entries:
        _deny(f"port {url.port} of {url.host!r} is not granted", "port", url, host_line(url))
    if not any(p.opens(url.path) for p in entries):
        _deny(f"the path is not below a granted one on {url.host!r}", "path", url)
    if url.address is not None:
        decide_address(grant, url, url.address)


def decide_address(grant: Grant, url: URL, address: IPAddress) -> None:
    """Decide on the address that `url` leads to, which is the one that will be dialled.

    A public address needs no grant of its own. Any other needs one of: a network of
    `grant.private`; the request naming the address literally and an operator's entry that is
    that address or has a numeric first label; the name `localhost` written by the operator, for
    loopback. Raises EgressDenied(reason="address").
    """
    kind = range_of(address)
    if kind is None or within(address, grant.private):
        return
    if url.address is not None:
        if unmap(address) == unmap(url.address) and any(
            p.grants_address and p.names(url.host, url.address) for p in grant.hosts
        ):
            return
        hint = None if kind in _NO_HINT else host_line(url)
    elif url.host == "localhost":
        if kind == "loopback" and any(p.grants_localhost for p in grant.hosts):
            return
        hint = host_line(url)
    else:
        width = 32 if unmap(address).version == 4 else 128
        line = f'private = ["{unmap(address)}/{width}"] under [providers.grants]'
        hint = None if kind in _NO_HINT else line
    where = "" if url.address is not None else f" ({address})"
    _deny(f"{url.host!r}{where} is a {kind} address and not granted", "address", url, hint)


def clean_headers(headers: Sequence[tuple[str, str]], url: URL, body_size: int) -> Headers:
    """The guest's headers as they may be sent, lower-case.

    Dropped: `host` and `content-length` that say what ours say, `accept-encoding` (the host
    decodes), values that are not ASCII (provider-abi.md §2.1). Refused: hop-by-hop headers,
    Transfer-Encoding, Cookie, Proxy-*, another host or length, names that are no token, control
    characters, more than 128 headers or 64 KiB. Raises EgressDenied(reason="header").
    """
    if len(headers) > HEADER_COUNT:
        _deny(f"{len(headers)} request headers, {HEADER_COUNT} are allowed", "header", url)
    if sum(len(name) + len(value) for name, value in headers) > HEADER_BYTES:
        _deny(f"request headers of more than {HEADER_BYTES} bytes", "header", url)
    kept: list[tuple[str, str]] = []
    for name, raw in headers:
        if not _NAME.fullmatch(name):
            _deny(f"{name[:64]!r} is not a header name", "header", url)
        if _CONTROL.search(raw):
            _deny(f"header {name!r} holds a control character", "header", url)
        lower, value = name.lower(), raw.strip(" \t")
        plain = lower.replace("_", "-")  # servers that map names to variables read both alike
        if plain in _REFUSED or plain.startswith("proxy-"):
            _deny(f"header {name!r} is the host's to send", "header", url)
        if plain == "host":
            if value.lower() not in _own_hosts(url):
                _deny(f"header {name!r} names another host", "header", url)
        elif plain == "content-length":
            if value != str(body_size):
                _deny(f"header {name!r} is not the length of the body", "header", url)
        elif plain != "accept-encoding" and value.isascii():
            kept.append((lower, value))
    return tuple(kept)


def host_line(url: URL) -> str:
    """The line of plugins.toml that names the host of `url`, with its port where it needs one."""
    return f'allowed_hosts = ["{url.authority}"]'


def _own_hosts(url: URL) -> tuple[str, str]:
    return f"{url.bracketed}:{url.port}", url.authority


def _deny(message: str, reason: str, url: URL, hint: str | None = None) -> NoReturn:
    raise EgressDenied(message, reason=reason, host=url.host, hint=hint)
