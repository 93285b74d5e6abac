"""Host patterns: what one entry of `allowed_hosts` names. Pure.

Two dialects. A provider entry is `host`, `host:port`, `*.example.com` (one label, never a
substring), `127.*` (IPv4 addresses by leading numbers) or `*`, each with an optional path prefix.
A manifest entry of the Extism face is a shell glob on the host alone (extism-abi.md §3.4).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache
from ipaddress import IPv4Address
from typing import Final, Literal

from fumehood.egress.url import IPAddress, URLError, parse_authority, parse_host, parse_url

Kind = Literal["any", "exact", "label", "octets", "glob"]

_OCTETS: Final = re.compile(r"(?:[0-9]{1,3}\.){1,3}\*")
_NUMERIC_FIRST: Final = re.compile(r"[0-9]+\.")
_OTHER_READING: Final = re.compile(r"%(?:25)*(?:2f|5c)|%(?:25)+2e|%c0%ae|/\.\.?;", re.IGNORECASE)
"""Slashes and dots that some servers find in a path and we do not: encoded, encoded twice,
overlong, and segments with a parameter."""


@dataclass(frozen=True, slots=True)
class Pattern:
    """One entry. `operator` is false for a host that only the plugin itself named."""

    text: str
    kind: Kind
    host: str
    port: int | None = None
    scheme: str | None = None
    prefix: str | None = None
    operator: bool = True
    address: IPAddress | None = None

    def names(self, host: str, address: IPAddress | None) -> bool:
        """Whether the entry names this (normalised) host."""
        if self.kind == "any":
            return True
        if self.kind == "exact":
            return host == self.host
        if self.kind == "label":
            head, dot, tail = host.partition(".")
            return bool(head and dot) and address is None and tail == self.host
        if self.kind == "octets":
            return isinstance(address, IPv4Address) and host.startswith(self.host)
        return glob_matches(self.host, f"[{host}]" if ":" in host else host)

    def opens(self, path: str) -> bool:
        """Whether the path prefix, if there is one, admits `path`.

        A prefix admits whole segments; a path that a server may read as another one, by an
        encoded slash or dot, is admitted by none.
        """
        if self.prefix is None:
            return True
        if _OTHER_READING.search(path):
            return False
        return path == self.prefix or path.startswith(self.prefix.rstrip("/") + "/")

    @property
    def grants_address(self) -> bool:
        """Whether the entry is of a form that may grant an address that is not public.

        An address literal, or a pattern with a numeric first label, written by the operator
        (api.md "Private addresses").
        """
        if not self.operator:
            return False
        if self.kind == "glob":
            return _NUMERIC_FIRST.match(self.host) is not None
        return self.kind == "octets" or self.address is not None

    @property
    def grants_localhost(self) -> bool:
        """Whether the operator wrote `localhost`, which grants loopback to that one name."""
        return self.operator and self.kind == "exact" and self.host == "localhost"


def provider_pattern(text: str, *, operator: bool = True) -> Pattern:
    """The entry `text` of a provider's `allowed_hosts`. Raises ValueError saying what is wrong."""
    entry = text.strip()
    if not entry:
        raise ValueError("the entry is empty")
    if "://" in entry:
        raise ValueError("an entry is a host or host:port, without a scheme")
    authority, slash, path = entry.partition("/")
    prefix = parse_url(f"https://prefix.invalid/{path}").path if slash and path else None
    name, port = _split_port(authority)
    if name == "*":
        return Pattern(entry, "any", "*", port, None, prefix, operator)
    if name.startswith("*."):
        host, address = parse_host(name[2:])
        if address is not None:
            raise ValueError("a leading * stands for one label of a name, not of an address")
        return Pattern(entry, "label", host, port, None, prefix, operator)
    if _OCTETS.fullmatch(name):
        return Pattern(entry, "octets", name[:-1], port, None, prefix, operator)
    if "*" in name:
        raise ValueError("* stands for any host, for one first label, or for the end of an address")
    host, own_port, address = parse_authority(authority)
    return Pattern(entry, "exact", host, own_port, None, prefix, operator, address)


def url_pattern(text: str, *, operator: bool = True) -> Pattern:
    """The host and port of a `base_url`, bound to its scheme. Raises ValueError (`URLError`)."""
    url = parse_url(text)
    return Pattern(url.origin, "exact", url.host, url.port, url.scheme, None, operator, url.address)


def extism_pattern(text: str) -> Pattern:
    """One glob of an Extism manifest. Any text is a pattern; one that is no glob is literal.

    Beyond the table of extism-abi.md §3.4: case does not count, and an IPv6 address in brackets
    is itself, not a character class.
    """
    entry = text.lower()
    if entry in ("*", "**"):
        return Pattern(text, "any", "*")
    bare = entry[1:-1] if entry.startswith("[") and entry.endswith("]") else entry
    if ":" in bare:
        try:
            host, _, address = parse_authority(f"[{bare}]")
        except URLError:
            pass
        else:
            return Pattern(text, "exact", host, address=address)
    if not any(c in entry for c in "*?["):
        try:
            host, address = parse_host(entry)
        except URLError:
            return Pattern(text, "glob", entry)
        # Only the canonical spelling is literal: the table compares with the normalised host.
        if host == entry:
            return Pattern(text, "exact", host, address=address)
    return Pattern(text, "glob", entry)


@lru_cache(maxsize=1024)
def _glob(pattern: str) -> re.Pattern[str] | None:
    """The glob as a regular expression, or None where it is no valid one.

    `*` and `?` span dots, `**` only stands alone between separators or at the whole, so `12**` is
    invalid; a class is `[abc]`, `[a-z]`, `[!a]`.
    """
    out: list[str] = []
    i, size = 0, len(pattern)
    while i < size:
        c = pattern[i]
        if c == "*":
            run = i
            while run < size and pattern[run] == "*":
                run += 1
            if run - i > 2:
                return None
            if run - i == 2:
                before = i == 0 or pattern[i - 1] == "/"
                after = run == size or pattern[run] == "/"
                if not (before and after):
                    return None
            out.append(".*")
            i = run
        elif c == "?":
            out.append(".")
            i += 1
        elif c == "[":
            negated = pattern[i + 1 : i + 2] == "!"
            start = i + 2 if negated else i + 1
            # The first character of a class is a member even where it is the closing bracket.
            end = pattern.find("]", start + 1)
            if end < 0:
                return None
            members = _members(pattern[start:end])
            if members:
                out.append(f"[{'^' if negated else ''}{members}]")
            else:  # only empty ranges such as z-a: nothing is a member
                out.append("." if negated else r"[^\s\S]")
            i = end + 1
        else:
            out.append(re.escape(c))
            i += 1
    return re.compile("".join(out), re.DOTALL)


def _members(text: str) -> str:
    """The inside of a class, ranges kept, all else escaped."""
    out: list[str] = []
    i = 0
    while i < len(text):
        if i + 2 < len(text) and text[i + 1] == "-":
            low, high = text[i], text[i + 2]
            if low <= high:
                out.append(f"{re.escape(low)}-{re.escape(high)}")
            i += 3
        else:
            out.append(re.escape(text[i]))
            i += 1
    return "".join(out)


def glob_matches(pattern: str, host: str) -> bool:
    """Whether the glob covers the whole host; a pattern that is no glob is compared literally.

    Bounded: the patterns are the operator's, the host has at most 253 characters.
    """
    compiled = _glob(pattern)
    if compiled is None:
        return pattern == host
    return compiled.fullmatch(host) is not None


def _split_port(authority: str) -> tuple[str, int | None]:
    """The port of an entry whose host may hold a `*`."""
    name, colon, tail = authority.rpartition(":")
    if not colon or "*" not in name or not tail.isdigit():
        return authority, None
    return name, parse_authority(f"host:{tail}")[1]
