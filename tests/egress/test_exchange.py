from __future__ import annotations

import time

import pytest

from fumehood.egress.exchange import (
    REPLY_HEADERS,
    SCRUB_BLOCK,
    open_reply,
    reply_headers,
    scrubbed,
    wire_headers,
)
from fumehood.egress.policy import Grant, decide
from fumehood.egress.secrets import NO_SECRETS, Secrets, Slot
from fumehood.errors import Timeout, TooMuch, TransportError
from fumehood.limits import Limits
from fumehood.meter import Meter


def test_guest_values_stand_where_the_host_has_defaults() -> None:
    grant = Grant.of(["h"])
    target = decide(grant, "GET", "http://h/", [("User-Agent", "mine"), ("Accept", "text/plain")])
    assert wire_headers(target, b"") == [
        (b"host", b"h"), (b"accept-encoding", b"gzip, deflate"), (b"user-agent", b"mine"),
        (b"accept", b"text/plain"),
    ]  # fmt: skip


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH"])
def test_a_length_even_of_nothing(method: str) -> None:
    target = decide(Grant.of(["h"]), method, "http://h/")
    assert (b"content-length", b"0") in wire_headers(target, b"")


def test_the_head_of_a_reply() -> None:
    assert open_reply(200, [(b"Content-Encoding", b"GZIP")], "GET", 10) == "gzip"
    assert open_reply(200, [(b"content-length", b"10")], "GET", 10) is None
    with pytest.raises(TooMuch):
        open_reply(200, [(b"Content-Length", b"11")], "GET", 10)
    # A compressed length says nothing of the decoded one, and these have no body at all.
    assert open_reply(200, [(b"content-length", b"11"), (b"content-encoding", b"gzip")], "GET", 10)
    for status, method in ((204, "GET"), (304, "GET"), (200, "HEAD")):
        assert open_reply(status, [(b"content-length", b"11")], method, 10) is None
    assert open_reply(200, [(b"x", b"y")] * REPLY_HEADERS, "GET", 10) is None
    with pytest.raises(TransportError, match="257 headers"):
        open_reply(200, [(b"x", b"y")] * (REPLY_HEADERS + 1), "GET", 10)
    with pytest.raises(TransportError, match="switches protocols"):
        open_reply(101, [], "GET", 10)


def test_reply_headers() -> None:
    headers = [
        (b"X-One", b"1"), (b"Content-Type", b"text/plain\t; x"), (b"Connection", b"close"),
        (b"Upgrade", b"x"), (b"Content-Length", b"3"), (b"X-Text", b"\xc3\xa9"),
        (b"X-Ctl", b"a\x01b"), (b"Content-Encoding", b"gzip"), (b"X-One", b"2"),
    ]  # fmt: skip
    kept = (("x-one", "1"), ("content-type", "text/plain\t; x"))
    assert reply_headers(headers, NO_SECRETS, rewritten=True) == (*kept, ("x-one", "2"))
    assert reply_headers(headers, NO_SECRETS, rewritten=False) == (
        *kept, ("content-length", "3"), ("content-encoding", "gzip"), ("x-one", "2"),
    )  # fmt: skip


def test_a_large_body_is_scrubbed_between_looks_at_the_clock() -> None:
    key = "sk-proj-abcdefghijklmnop0123456789"
    secrets = Secrets([Slot.create("api_key", key, ())])
    token = secrets.token_for("api_key").encode()
    looks: list[float] = []
    spelled = "".join(f"%{ord(c):02x}" for c in key).encode()
    for unit in (key.encode(), spelled, b"\\u0073" * 50, b"plain "):
        body = b"x" * (SCRUB_BLOCK - 20) + unit * 5_000
        looks.clear()
        assert scrubbed(secrets, body, lambda: looks.append(time.process_time())) == (
            secrets.scrub(body)
        )
        assert len(looks) == -(-len(body) // SCRUB_BLOCK)
    assert scrubbed(secrets, key.encode(), lambda: looks.append(0)) == token
    body = b"%73" * 4_000_000  # 12 MiB: a second at once
    with pytest.raises(Timeout):
        scrubbed(secrets, body, Meter(Limits(deadline=0.05)).remaining)
    assert scrubbed(NO_SECRETS, body, lambda: 1 / 0) is body


def test_a_length_beside_chunks_goes_no_further() -> None:
    raw = [(b"Content-Length", b"5"), (b"Transfer-Encoding", b"chunked"), (b"x", b"y")]
    assert reply_headers(raw, NO_SECRETS, rewritten=False) == (("x", "y"),)
    assert reply_headers(raw[:1], NO_SECRETS, rewritten=False) == (("content-length", "5"),)
