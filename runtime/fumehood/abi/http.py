"""HTTP requests and replies between guest and host (provider-abi.md §3.1, extism-abi.md §3.5)."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Final

import msgspec

from fumehood.abi import jsonwire
from fumehood.abi.bytearrays import as_bytes, decode_bytes
from fumehood.abi.fields import Object, as_object, as_text, field, get_object, get_text, only_keys
from fumehood.abi.uri import BadUri, check_uri
from fumehood.abi.wire import JSON, Wire
from fumehood.errors import ProtocolError, UsageError

VERSIONS: Final = frozenset({"HTTP/0.9", "HTTP/1.0", "HTTP/1.1", "HTTP/2.0", "HTTP/3.0"})
# What HTTP libraries write; only the long form is one of the wire's.
_SHORT: Final = {"HTTP/2": "HTTP/2.0", "HTTP/3": "HTTP/3.0"}

Headers = tuple[tuple[str, str], ...]
"""Names in lower case, in order; a name may stand several times."""

_TOKEN: Final = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
_CONTROL: Final = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")
_VISIBLE: Final = re.compile(r"[\x20-\x7e\t]*")

# Documents below this size are decoded whole; above, the body goes the fast way.
_FAST_FROM: Final = 16 * 1024
_PREFIX: Final = 64


@dataclass(frozen=True, slots=True)
class HTTPRequest:
    """A request that a guest built. `uri` has no fragment; header names are in lower case."""

    method: str
    uri: str
    headers: Headers = ()
    body: bytes = b""
    version: str = "HTTP/1.1"

    def __repr__(self) -> str:
        # Headers, query and body may hold a key or a prompt: neither belongs in a traceback.
        target = self.uri.partition("?")[0]
        return f"HTTPRequest({self.method} {target!r}, <{len(self.body)} bytes>)"


@dataclass(frozen=True, slots=True)
class HTTPResponse:
    """A reply for a guest to parse, or one that a guest was given."""

    status: int
    headers: Headers = ()
    body: bytes = b""
    version: str = "HTTP/1.1"

    def header(self, name: str) -> str | None:
        """The first value of a header, by its lower-case name."""
        return next((value for key, value in self.headers if key == name), None)

    def __repr__(self) -> str:
        return f"HTTPResponse({self.status}, <{len(self.body)} bytes>)"


# The body is taken out of large documents as raw text, so that only the rest becomes objects.
class _Inner(msgspec.Struct):
    body: msgspec.Raw = msgspec.Raw(b"")


class _Req(msgspec.Struct):
    req: _Inner


class _Resp(msgspec.Struct):
    resp: _Inner


_split_req: Final = msgspec.json.Decoder(_Req)
_split_resp: Final = msgspec.json.Decoder(_Resp)


def decode_request(
    data: bytes | bytearray | memoryview,
    what: str = "the request of the plugin",
    wire: Wire = JSON,
) -> HTTPRequest:
    """A request from `{"req":{"head":…,"body":[…]}}`. Raises ProtocolError by the rules of §3.1."""
    inner, body = _open(bytes(data), "req", what, wire)
    head = get_object(inner, "head", what)
    method = get_text(head, "method", what)
    if _TOKEN.fullmatch(method) is None:
        raise ProtocolError(f"{what}: {method[:40]!r} is not an HTTP method")
    try:
        uri = check_uri(get_text(head, "uri", what))
    except BadUri as problem:
        raise ProtocolError(f"{what}: {problem}") from None
    headers = _decode_headers(field(head, "headers", what), what)
    return HTTPRequest(method, uri, headers, body, _decode_version(head, what))


def decode_response(
    data: bytes | bytearray | memoryview, what: str = "the HTTP reply", wire: Wire = JSON
) -> HTTPResponse:
    """A reply from `{"resp":{"head":…,"body":[…]}}`. Raises ProtocolError by the rules of §3.1."""
    inner, body = _open(bytes(data), "resp", what, wire)
    head = get_object(inner, "head", what)
    status = field(head, "status", what)
    if type(status) is not int or not 100 <= status <= 999:
        raise ProtocolError(f"{what}: the status must be an integer from 100 to 999")
    headers = _decode_headers(field(head, "headers", what), what)
    return HTTPResponse(status, headers, body, _decode_version(head, what))


def encode_request(request: HTTPRequest, wire: Wire = JSON) -> bytes:
    """`{"req":…}`.

    Raises UsageError for what a reader of §3.1 would refuse, or fail to write again: a bad
    method, URI or version, a header value that is not visible ASCII.
    """
    if _TOKEN.fullmatch(request.method) is None:
        raise UsageError(f"{request.method!r} is not an HTTP method")
    try:
        uri = check_uri(request.uri)
    except BadUri as problem:
        raise UsageError(str(problem)) from None
    for name, value in request.headers:
        if _VISIBLE.fullmatch(value) is None:
            raise UsageError(f"the value of header {name!r} is not visible ASCII")
    head = {
        "method": request.method,
        "uri": uri,
        "headers": _encode_headers(request.headers),
        "version": _encode_version(request.version),
    }
    return wire.encode({"req": {"head": head, "body": wire.binary(request.body)}})


def encode_response(response: HTTPResponse, wire: Wire = JSON) -> bytes:
    """`{"resp":…}`, the answer of `qmt_http_request`. Raises what `response_document` raises."""
    return wire.encode(response_document(response, wire))


def response_document(response: HTTPResponse, wire: Wire = JSON) -> Object:
    """The same, as a value for `wire.encode`: what stands in `"resp":{"resp":…}` too (§1.1).

    Headers that are no tokens or whose values are not visible ASCII are left out: QueryMT's
    readers cannot take them (hazard 8). Raises UsageError for a status or version out of range.
    """
    if not 100 <= response.status <= 999:
        raise UsageError(f"the status {response.status} is not from 100 to 999")
    headers = [
        (name, value)
        for name, value in response.headers
        if _TOKEN.fullmatch(name) and _VISIBLE.fullmatch(value)
    ]
    head = {
        "status": response.status,
        "headers": _encode_headers(headers),
        "version": _encode_version(response.version),
    }
    return {"resp": {"head": head, "body": wire.binary(response.body)}}


def decode_extism_request(
    data: bytes | bytearray | memoryview, what: str = "the request of the plugin"
) -> tuple[str, str, Headers]:
    """(method, url, headers) of `extism:host/env` `http_request` (§2.3, extism-abi.md §3.5).

    The method is in upper case, GET where it is null or absent; the URL is not parsed here.
    Raises ProtocolError for unknown keys, `headers: null`, and headers that could not be sent.
    """
    doc = as_object(jsonwire.decode(data, what), what)
    only_keys(doc, ("url", "method", "headers"), what)
    url = get_text(doc, "url", what)
    method = doc.get("method")
    method = "GET" if method is None else as_text(method, f"{what}.method").upper()
    if _TOKEN.fullmatch(method) is None:
        raise ProtocolError(f"{what}: {method[:40]!r} is not an HTTP method")
    headers = as_object(doc.get("headers", {}), f"{what}.headers")
    pairs = {
        _decode_name(name, what): _decode_value(value, what) for name, value in headers.items()
    }
    return method, url, tuple(pairs.items())


def _open(data: bytes, outer: str, what: str, wire: Wire) -> tuple[Object, bytes]:
    """The object inside `{"req":…}` or `{"resp":…}` and its body, by one decoding."""
    raw: bytes | None = None
    if wire is JSON:
        doc, raw = _without_body(data, outer, what)
    else:
        doc = wire.decode(data, what)
    inner = get_object(as_object(doc, what), outer, what)
    only_keys(inner, ("head", "body"), what)
    body = field(inner, "body", what)
    if raw is None:
        return inner, as_bytes(body, f"{what}: the body")
    return inner, decode_bytes(raw, f"{what}: the body")


def _without_body(data: bytes, outer: str, what: str) -> tuple[Any, bytes | None]:
    """The document; a large one with an empty array for its body, and the text of that body.

    msgspec says which text the body is. It is cut out only where that text stands in the document
    once, so that it is certain which of its bytes were cut; otherwise all is decoded as it is.
    """
    if len(data) >= _FAST_FROM:
        try:
            split = (_split_req if outer == "req" else _split_resp).decode(data)
        except (msgspec.MsgspecError, ValueError, RecursionError):
            return jsonwire.decode(data, what), None  # says what is wrong with it
        inner: _Inner = split.req if isinstance(split, _Req) else split.resp
        raw = bytes(inner.body)
        if raw[:1] == b"[":
            places = _places(data, raw)
            if len(places) == 1:
                rest = b"[]".join((data[: places[0]], data[places[0] + len(raw) :]))
                return jsonwire.decode(rest, what), raw
    return jsonwire.decode(data, what), None


def _places(data: bytes, array: bytes) -> list[int]:
    """Where `array` stands in `data`, the first two places.

    Linear whatever the bytes: an array of numbers has no `[` inside, so places where its
    beginning stands are further apart than what is compared at each.
    """
    places: list[int] = []
    at = data.find(array[:_PREFIX])
    while at >= 0 and len(places) < 2:
        if data.startswith(array, at):
            places.append(at)
        at = data.find(array[:_PREFIX], at + 1)
    return places


def _decode_name(name: str, what: str) -> str:
    if _TOKEN.fullmatch(name) is None:
        raise ProtocolError(f"{what}: {name[:80]!r} is not a header name")
    return name.lower()


def _decode_value(value: Any, what: str) -> str:
    text = as_text(value, f"{what}: a header value")
    if _CONTROL.search(text) is not None:
        raise ProtocolError(f"{what}: a header value holds a control character")
    return text


def _decode_headers(value: Any, what: str) -> Headers:
    """Text replaces what an earlier spelling of the name set; an array only fills a new name."""
    headers: dict[str, list[str]] = {}
    for key, item in as_object(value, f"{what}: headers").items():
        name = _decode_name(key, what)
        if type(item) is list:
            values = [_decode_value(each, what) for each in item]
            if not values:
                raise ProtocolError(f"{what}: header {name!r} has an empty array")
            headers.setdefault(name, values)
        else:
            headers[name] = [_decode_value(item, what)]
    return tuple((name, each) for name, values in headers.items() for each in values)


def _encode_headers(headers: Iterable[tuple[str, str]]) -> Object:
    grouped: dict[str, list[str]] = {}
    for name, value in headers:
        if _TOKEN.fullmatch(name) is None:
            raise UsageError(f"{name!r} is not a header name")
        grouped.setdefault(name.lower(), []).append(value)
    return {name: values[0] if len(values) == 1 else values for name, values in grouped.items()}


def _decode_version(head: Object, what: str) -> str:
    version = get_text(head, "version", what)
    if version not in VERSIONS:
        raise ProtocolError(f"{what}: {version[:20]!r} is not a version of HTTP")
    return version


def _encode_version(version: str) -> str:
    version = _SHORT.get(version, version)
    if version not in VERSIONS:
        raise UsageError(f"{version!r} is not a version of HTTP")
    return version
