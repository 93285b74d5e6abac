"""What goes on the wire and what of a reply is kept: the shared, I/O-free half of the client. Pure.

The synchronous client stands on these functions; an asynchronous one can stand on the same.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Final

from fumehood.abi.http import HTTPRequest, HTTPResponse
from fumehood.egress.decode import ACCEPTED, coding_of, too_large
from fumehood.egress.policy import Grant, Headers, Target, decide
from fumehood.egress.secrets import Secrets
from fumehood.egress.url import DEFAULT_PORTS, URL, URLError, join
from fumehood.errors import EgressDenied, TooMuch, TransportError

HEAD_BYTES: Final = 100 * 1024
"""Of one reply's head over HTTP/1.1."""

REPLY_HEADERS: Final = 256
"""Header lines of one reply."""

LINE_CAP: Final = 8 * 1024 * 1024
"""Bytes of one line of a stream."""

CHUNK_CAP: Final = 1_000_000
"""Pieces of one body. Each costs tens of microseconds, however few bytes it holds."""

SCRUB_BLOCK: Final = 64 * 1024
"""Bytes that are scrubbed between two looks at the clock."""

USER_AGENT: Final = "fumehood"

REDIRECTS: Final = frozenset({301, 302, 303, 307, 308})

RawHeaders = list[tuple[bytes, bytes]]

_VISIBLE: Final = re.compile(rb"[\t\x20-\x7e]*")
_HOP: Final = frozenset(
    {
        b"connection", b"keep-alive", b"proxy-connection", b"proxy-authenticate", b"te",
        b"trailer", b"transfer-encoding", b"upgrade",
    }
)  # fmt: skip
_LENGTH: Final = frozenset({"content-length"})
_REWRITTEN: Final = frozenset({"content-encoding", "content-length"})
_NOTHING: Final = frozenset[str]()
_BODY_HEADERS: Final = frozenset({"content-type", "content-language", "content-location"})


def wire_headers(target: Target, body: bytes) -> RawHeaders:
    """The headers as sent: ours first, then the guest's."""
    out: RawHeaders = [(b"host", target.url.authority.encode("ascii"))]
    names = {name for name, _ in target.headers}
    if "user-agent" not in names:
        out.append((b"user-agent", USER_AGENT.encode("ascii")))
    if "accept" not in names:
        out.append((b"accept", b"*/*"))
    out.append((b"accept-encoding", ACCEPTED.encode("ascii")))
    out += [(name.encode("ascii"), value.encode("ascii")) for name, value in target.headers]
    if body or target.method in ("POST", "PUT", "PATCH"):
        out.append((b"content-length", b"%d" % len(body)))
    return out


def open_reply(status: int, headers: RawHeaders, method: str, limit: int) -> str | None:
    """Look at a reply's head before its body is read; gives the body's coding.

    Raises TransportError for a head that nobody asked for, TooMuch for a declared length above
    `limit` bytes.
    """
    if status == 101:
        raise TransportError("the server switches protocols unasked", kind="protocol")
    if len(headers) > REPLY_HEADERS:
        raise TransportError(
            f"the reply has {len(headers)} headers, {REPLY_HEADERS} are allowed", kind="protocol"
        )
    coding = coding_of(
        [v.decode("latin-1") for name, v in headers if name.lower() == b"content-encoding"]
    )
    if coding is None and method != "HEAD" and status not in (204, 304):
        for name, value in headers:
            if name.lower() == b"content-length" and value.isdigit() and int(value) > limit:
                raise too_large(limit)
    return coding


def reply_headers(headers: RawHeaders, secrets: Secrets, *, rewritten: bool) -> Headers:
    """A reply's headers as a guest may see them: lower-case, visible ASCII, scrubbed.

    Without hop-by-hop headers, and without `content-encoding` and `content-length` where the
    body is `rewritten` (decoded, or scrubbed to another length); a length beside chunks is a lie.
    """
    whole = b"\n".join([value for _, value in headers])
    clean = secrets.scrub(whole) is whole  # one search: mostly nothing is found
    out: list[tuple[str, str]] = []
    dropped = _REWRITTEN if rewritten else _NOTHING
    for raw, value in headers:
        name = raw.lower()
        if name == b"transfer-encoding":
            dropped |= _LENGTH
        if name not in _HOP and _VISIBLE.fullmatch(value):
            shown = value if clean else secrets.scrub(value)
            out.append((name.decode("ascii"), shown.decode("ascii")))
    return tuple([header for header in out if header[0] not in dropped] if dropped else out)


def scrubbed(secrets: Secrets, body: bytes, check: Callable[[], object]) -> bytes:
    """`body` without any secret; `check` is called every few milliseconds, and what it raises is
    raised: a body full of escapes takes a second for 16 MiB, in which no other thread would run."""
    if len(body) <= SCRUB_BLOCK or not secrets:
        return secrets.scrub(body)
    stream = secrets.stream()
    parts = []
    for start in range(0, len(body), SCRUB_BLOCK):
        check()
        parts.append(stream.feed(body[start : start + SCRUB_BLOCK]))
    parts.append(stream.finish())
    return b"".join(parts)


def redirect(
    grant: Grant, target: Target, body: bytes, reply: HTTPResponse, limit: int
) -> tuple[Target, bytes] | None:
    """The next request after `reply`, decided anew, or None where it is no redirect.

    303, and 301 and 302 after a POST, become a GET without body. Unless the host stays the same
    and the way does not become less safe, none of the guest's headers goes along. Raises
    EgressDenied.
    """
    location = reply.header("location")
    if reply.status not in REDIRECTS or not location:
        return None
    try:
        url = join(target.url, location)
    except URLError as problem:
        raise EgressDenied(f"the redirect was refused: {problem}", reason=problem.reason) from None
    method, headers = target.method, target.headers
    if (reply.status == 303 and method != "HEAD") or (
        reply.status in (301, 302) and method == "POST"
    ):
        method, body = "GET", b""
        headers = tuple(h for h in headers if h[0] not in _BODY_HEADERS)
    if not _same_place(target.url, url):
        headers = ()
    return decide(grant, method, url, headers, len(body), limit=limit), body


class Lines:
    """A body as it comes, cut into lines."""

    def __init__(self, response_bytes: int) -> None:
        self._cap = min(LINE_CAP, response_bytes)
        self._pending = bytearray()

    def feed(self, chunk: bytes) -> Iterator[bytes]:
        """The lines that `chunk` ends, each with its `\\n`. Raises TooMuch for a line above 8 MiB
        (or the reply's own limit), after those before it."""
        pending, cap = self._pending, self._cap
        start = 0
        end = chunk.find(b"\n") + 1
        while end and len(pending) + end - start <= cap:
            line = bytes(pending) + chunk[start:end]
            pending.clear()
            start = end
            yield line
            end = chunk.find(b"\n", start) + 1
        pending += chunk[start:]
        if len(pending) > cap:
            raise TooMuch(f"a line of the reply has more than {cap} bytes", limit="response_bytes")

    def rest(self) -> bytes:
        """What comes after the last line's end."""
        return bytes(self._pending)


def decide_request(grant: Grant, request: HTTPRequest, limit: int) -> Target:
    """`decide` on a decoded request of a guest."""
    return decide(
        grant, request.method, request.uri, request.headers, len(request.body), limit=limit
    )


def _same_place(old: URL, new: URL) -> bool:
    """The same origin, or the same host from http to https on the schemes' own ports."""
    if old.host != new.host:
        return False
    if (old.scheme, old.port) == (new.scheme, new.port):
        return True
    upgraded = (old.scheme, new.scheme) == ("http", "https")
    return upgraded and all(u.port == DEFAULT_PORTS[u.scheme] for u in (old, new))
