"""The URI syntax of provider-abi.md §3.1, which is that of Rust's `http::Uri`.

This decides what decodes, not where a request may go: egress has its own parser for that.
"""

from __future__ import annotations

import re
from typing import Final

MAX_URI: Final = 65_534
"""Bytes of UTF-8."""

MAX_SCHEME: Final = 64
"""Characters."""

_SCHEME: Final = re.compile(r"([A-Za-z0-9+\-.~]*)://")
_AUTHORITY_END: Final = re.compile(r"[/?#]")
_AUTHORITY: Final = re.compile(r"[A-Za-z0-9!$%&'()*+,\-.:;=@\[\]_~]+")
# Neither takes blanks, controls, < or >; a path takes no \x60 and a query no \x22 either. Text
# beyond ASCII passes both. (A class that names it takes 5 ms to compile.)
_PATH: Final = re.compile(r"[^\x00-\x20#<>?`\x7f]*")
_QUERY: Final = re.compile(r"[^\x00-\x20\"#<>\x7f]*")


class BadUri(ValueError):
    """Why a text is no URI; caught inside this room and raised as one of fumehood's errors."""


def check_uri(text: str) -> str:
    """`text` without its fragment, if it is a URI; relative ones (`/path`, `*`, `host`) are.

    Raises BadUri. Nothing else is changed: no lower-casing, no percent-encoding.
    """
    if not text:
        raise BadUri("the URI is empty")
    if len(text.encode("utf-8", "surrogatepass")) > MAX_URI:
        raise BadUri(f"the URI is longer than {MAX_URI} bytes")
    if text == "*":
        return text
    if text.startswith("/"):
        return _check_path(text)
    scheme = _SCHEME.match(text)
    if scheme is not None and not 0 < len(scheme[1]) <= MAX_SCHEME:
        raise BadUri("the URI has no scheme, or one that is too long")
    start = 0 if scheme is None else scheme.end()
    found = _AUTHORITY_END.search(text, start)
    end = len(text) if found is None else found.start()
    _check_authority(text[start:end])
    if scheme is None:
        if end != len(text):
            raise BadUri(f"{text[:80]!r} is neither an absolute URI nor a path")
        return text
    return text[:end] + _check_path(text[end:])


def _check_path(text: str) -> str:
    whole = text.partition("#")[0]
    path, _, query = whole.partition("?")
    if _PATH.fullmatch(path) is None or _QUERY.fullmatch(query) is None:
        raise BadUri("the URI holds a character that is not allowed in one")
    return whole


def _check_authority(text: str) -> None:
    if _AUTHORITY.fullmatch(text) is None:
        raise BadUri("the URI has no host, or one with characters that are not allowed")
    host = text.rpartition("@")[2]
    opening, closing = text.count("["), text.count("]")
    if opening != closing or opening > 1 or text.find("[") > text.find("]"):
        raise BadUri("the URI has brackets that do not match")
    rest = host.rpartition("]")[2]
    if not host or rest.count(":") > 1 or "%" in rest or "%" in host.partition("[")[0]:
        raise BadUri("the URI has a host that is not allowed")
