"""Documents of the boundary (provider-abi.md §3.1), in JSON, where bodies are arrays of decimals, or in MessagePack,
where they are bytes (docs/wire.md). The first byte of an input says which, and the answer is in the same.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Final

from fumehood_pdk import _host, _json, _vectors
from fumehood_pdk._errors import ProviderError
from fumehood_pdk._http import Headers, HTTPRequest, HTTPResponse

_INTEGER: Final = frozenset({int})
_VERSIONS: Final = frozenset({"HTTP/0.9", "HTTP/1.0", "HTTP/1.1", "HTTP/2.0", "HTTP/3.0"})
_NAME: Final = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+\Z")
_CONTROL: Final = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")


class Taken:
    """Bytes that `read` took out of a document before it was parsed."""

    __slots__ = ("data",)

    def __init__(self) -> None:
        self.data: bytes | None = None


_MARK: Final = "\0taken"


@dataclass(frozen=True, slots=True)
class Wire:
    """How documents are read and written."""

    loads: Callable[[bytes], Any]
    """The value of a document. ValueError where it is none."""
    dumps: Callable[[Any], bytes]
    """The document of a value without bytes in it. ValueError for what cannot be said."""
    read: Callable[..., tuple[dict[str, Any], Taken]]
    """`read(export, data, array=None)`: the input of `export`, an object. In JSON the last array named `array` is taken
    out if it holds bytes, and the value there is a mark that `bytes_of` knows: a body is then never a list of a million
    numbers. ProviderError (`json_error`) for what is no object."""
    request: Callable[[HTTPRequest], bytes]
    """`{"req": {"head": …, "body": …}}`. ProviderError for what cannot be sent."""
    vectors: Callable[[Iterable[Iterable[Any]]], bytes]
    """Embeddings. ValueError for what is no finite number."""


def _json_request(request: HTTPRequest) -> bytes:
    request = request.checked()
    return b'{"req":{"head":%b,"body":[%b]}}' % (_json.dumps(_head(request)), _host.decimals(request.body))


def _json_read(export: str, data: bytes, array: str | None = None) -> tuple[dict[str, Any], Taken]:
    taken = Taken()
    document: Any = None
    try:
        if array is not None:
            key = b'"%b":[' % array.encode()
            at = data.rfind(key)
            found = _host.from_decimals(data, at + len(key)) if at >= 0 else None
            if found is not None:
                taken.data, end = found
                head, rest = data[: at + len(key) - 1], data[end + 1 :]
                document = _json.loads(b'%b"\\u0000taken"%b' % (head, rest))
        if document is None:
            document = _json.loads(data)
    except ValueError as problem:
        raise ProviderError.json_error(f"input of {export}: {problem}") from None
    if not isinstance(document, dict):
        raise ProviderError.json_error(f"input of {export}: not an object")
    return document, taken


def _msgpack_request(request: HTTPRequest) -> bytes:
    request = request.checked()
    return _host.packb({"req": {"head": _head(request), "body": request.body}}, True)


def _msgpack_read(export: str, data: bytes, _array: str | None = None) -> tuple[dict[str, Any], Taken]:
    try:
        return _host.unpackb(data), _NOTHING  # its first byte is that of a map
    except ValueError as problem:
        raise ProviderError.json_error(f"input of {export}: {problem}") from None


def _head(request: HTTPRequest) -> dict[str, Any]:
    return {"method": request.method, "uri": request.url, "headers": request.headers, "version": "HTTP/1.1"}


_NOTHING: Final = Taken()
JSON: Final = Wire(_json.loads, _json.dumps, _json_read, _json_request, _vectors.encode)
MESSAGEPACK: Final = Wire(_host.unpackb, _host.packb, _msgpack_read, _msgpack_request, _vectors.pack)
_MAPS: Final = frozenset(bytes((first,)) for first in (*range(0x80, 0x90), 0xDE, 0xDF))


def of(data: bytes) -> Wire:
    """The wire of an input: no JSON text begins like an object in MessagePack."""
    return MESSAGEPACK if data[:1] in _MAPS else JSON


class NotTaken(Exception):
    """The array that `read` took was another one than the one wanted: read again without."""


def bytes_of(value: Any, taken: Taken, what: str) -> bytes:
    """The bytes of a value: of an array in JSON. Raises NotTaken, or ValueError for what is no array of bytes."""
    if type(value) is bytes:
        return value
    if value == _MARK and taken.data is not None:
        return taken.data
    if taken.data is not None:
        raise NotTaken
    if not isinstance(value, list) or not _INTEGER.issuperset(map(type, value)):
        raise ValueError(f"{what} must be an array of bytes")
    return bytes(value)


def response(document: dict[str, Any], taken: Taken) -> HTTPResponse:
    """The reply in `document["resp"]["resp"]`. Raises NotTaken, or ValueError saying what is wrong."""
    outer = document.get("resp")
    reply = outer.get("resp") if isinstance(outer, dict) else None
    if not isinstance(reply, dict) or reply.keys() != {"head", "body"} or not isinstance(reply["head"], dict):
        raise ValueError('resp must be {"resp": {"head": …, "body": …}}')
    head = reply["head"]
    status, headers = head.get("status"), head.get("headers")
    if type(status) is not int or not 100 <= status <= 999:
        raise ValueError(f"{status!r} is no HTTP status")
    if head.get("version") not in _VERSIONS:
        raise ValueError(f"{head.get('version')!r} is no HTTP version")
    if not isinstance(headers, dict):
        raise ValueError("headers must be an object")
    body = bytes_of(reply["body"], taken, "body")
    return HTTPResponse(status, Headers(_headers(headers)), body)


def _headers(raw: dict[str, Any]) -> dict[str, str | list[str]]:
    headers: dict[str, str | list[str]] = {}
    for name, value in raw.items():
        values = [value] if isinstance(value, str) else value
        if not _NAME.match(name):
            raise ValueError(f"{name!r} is no header name")
        if not isinstance(values, list) or not values or not all(isinstance(one, str) for one in values):
            raise ValueError(f"header {name!r} must be a string or a list of strings")
        if any(_CONTROL.search(one) for one in values):
            raise ValueError(f"header {name!r} holds control characters")
        headers[name.lower()] = values
    return headers
