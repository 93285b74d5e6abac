"""`HTTPRequest` and `HTTPResponse` (provider-abi.md §3.1)."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from fumehood_pdk import _json
from fumehood_pdk._errors import ProviderError

_TOKEN: Final = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+\Z")
_VISIBLE: Final = re.compile(r"[\t\x20-\x7e]*\Z")
_ABSOLUTE: Final = re.compile(r"https?://[^\s/?#@]+(?=[/?#]|\Z)", re.IGNORECASE)
_IN_URL: Final = re.compile(r"[!-~\x80-\U0010ffff]*\Z")


class Headers(Mapping[str, str]):
    """Headers by lower-case name; look-ups ignore case. Of several values `[]` gives the first, `all` every one."""

    __slots__ = ("_values",)

    def __init__(self, pairs: Mapping[str, str | Sequence[str]] | Iterable[tuple[str, str]] = ()) -> None:
        self._values: dict[str, list[str]] = {}
        if isinstance(pairs, Mapping):
            for name, value in pairs.items():
                self._values[name.lower()] = [value] if isinstance(value, str) else list(value)
        else:
            for name, value in pairs:
                self._values.setdefault(name.lower(), []).append(value)

    def __getitem__(self, name: str) -> str:
        return self._values[name.lower()][0]

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)

    def __repr__(self) -> str:
        return f"Headers({self._values!r})"

    def all(self, name: str) -> list[str]:
        """Every value of `name`, in order; empty when there is none."""
        return list(self._values.get(name.lower(), ()))


@dataclass(slots=True)
class HTTPRequest:
    """A request that the host is to send. `url` is absolute; header values are visible ASCII."""

    method: str
    url: str
    headers: Mapping[str, str | Sequence[str]] = field(default_factory=dict)
    body: bytes = b""

    @classmethod
    def get(cls, url: str, headers: Mapping[str, str | Sequence[str]] | None = None) -> HTTPRequest:
        """A GET."""
        return cls("GET", url, dict(headers or {}))

    @classmethod
    def post_json(cls, url: str, value: Any, headers: Mapping[str, str | Sequence[str]] | None = None) -> HTTPRequest:
        """A POST of `value` as JSON, `content-type` included."""
        return cls("POST", url, {"content-type": "application/json", **(headers or {})}, _json.dumps(value))

    def checked(self) -> HTTPRequest:
        """Itself in the form it crosses the boundary in: lower-case names, no fragment, a path.

        Raises ProviderError (`invalid_url`, `invalid_request`) naming what cannot be sent.
        """
        if not isinstance(self.method, str) or not _TOKEN.match(self.method):
            raise ProviderError.invalid_request(f"{self.method!r} is no HTTP method")
        headers: dict[str, str | Sequence[str]] = {}
        for name, value in self.headers.items():
            if not _TOKEN.match(name):
                raise ProviderError.invalid_request(f"{name!r} is no header name")
            values = [value] if isinstance(value, str) else list(value)
            for one in values:
                if not isinstance(one, str) or not _VISIBLE.match(one):
                    raise ProviderError.invalid_request(f"the value of header `{name.lower()}` is not visible ASCII")
            if values:
                headers[name.lower()] = values[0] if len(values) == 1 else values
        if not isinstance(self.body, bytes):
            raise TypeError(f"the body of a request must be bytes, not {type(self.body).__name__}")
        return HTTPRequest(self.method, normal_url(self.url), headers, self.body)


def normal_url(url: str) -> str:
    """`url` without a fragment and with at least `/` as its path. ProviderError (`invalid_url`) unless absolute."""
    if not isinstance(url, str) or not _IN_URL.match(url) or not (start := _ABSOLUTE.match(url)):
        raise ProviderError.invalid_url(f"`{url}` is no absolute http:// or https:// address")
    url = url.partition("#")[0]
    rest = url[start.end() :]
    scheme, _, authority = start.group().partition("://")
    return f"{scheme.lower()}://{authority}{'' if rest.startswith('/') else '/'}{rest}"


@dataclass(slots=True)
class HTTPResponse:
    """A reply. `body` is decoded of any content encoding."""

    status: int
    headers: Headers = field(default_factory=Headers)
    body: bytes = b""

    @property
    def is_success(self) -> bool:
        """Whether the status is 2xx."""
        return 200 <= self.status < 300

    @property
    def text(self) -> str:
        """The body as UTF-8, what is not replaced by U+FFFD."""
        return self.body.decode("utf-8", "replace")

    def json(self) -> Any:
        """The body as JSON; ProviderError (`response_format_error`) showing its beginning when it is not."""
        try:
            return _json.loads(self.body)
        except ValueError as problem:
            raise ProviderError.response_format(f"the reply is not JSON: {problem}", self.body) from None


def bearer(key: str) -> dict[str, str]:
    """`{"authorization": "Bearer <key>"}`. ProviderError (`auth_error`), which does not repeat the key, where the key
    cannot stand in a header."""
    if not _VISIBLE.match(key):
        raise ProviderError.auth("the key holds characters that cannot stand in a header")
    return {"authorization": f"Bearer {key}"}
