"""Replies that are too much: bombs, bodies without an end, and streams that are misused."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial
from typing import Final

from fumehood.egress.policy import Grant
from fumehood.limits import MIB
from fumehood.testing.gallery.attacks import HARMLESS, STUB, Attack
from fumehood.testing.gallery.documents import get, wire
from fumehood.testing.gallery.stage import Stage
from fumehood.testing.stub import StubServer

DECODED: Final = "Replies are capped after decoding."
CODINGS: Final = "Codings that the host did not ask for are refused."
CAPPED: Final = "Replies are capped."
HOST_TIME: Final = "Time in host functions counts against the deadline."
STREAMS: Final = "A stream that a guest misuses or leaves open is closed, and nobody else's."

_LATER: Final = 5.0
"""Seconds within which a connection must be seen closed by its other end."""


def _fetch(
    name: str, group: str, promise: str, behaviour: str, expect: str, **detail: str
) -> Attack:
    return Attack(
        name,
        group,
        promise,
        expect,
        guest="http",
        input=get(f"{STUB}behave/{behaviour}"),
        allowed_hosts=("127.0.0.1",),
        detail=detail,
        limits={
            "response_bytes": MIB,
            "deadline": 5.0,
            "idle_time": 0.5 if "stall" in name else 5.0,
        },
    )


def _streamed(name: str, group: str, promise: str, behaviour: str) -> Attack:
    return Attack(
        name,
        group,
        promise,
        "TooMuch",
        guest="stream_read",
        detail={"limit": "response_bytes"},
        limits={"response_bytes": MIB // 4, "deadline": 5.0},
        run=partial(_read_stream, behaviour=behaviour),
    )


def _read_stream(stage: Stage, behaviour: str) -> None:
    server = stage.stub(behaviour)
    attacker = stage.guest(client=stage.client(), grant=Grant.of(base_url=server.url))
    try:
        attacker.call(wire(f"{server.url}models").encode())
    finally:
        _closed(stage, server)


def _closed(stage: Stage, server: StubServer) -> None:
    """Nothing that the guest opened is open now."""
    end = time.monotonic() + _LATER
    while server.open_connections:
        stage.require(time.monotonic() < end, "a connection is open after the end")
        time.sleep(0.002)


def _left_open(stage: Stage, streams: int) -> None:
    """A guest that opens and never closes; its instance ends, and with it the streams."""
    server = stage.stub(*["endless-sse"] * streams)
    client, grant = stage.client(), Grant.of(base_url=server.url)
    compiled = stage.compiled()
    for _ in range(streams):
        attacker = stage.guest(compiled, client=client, grant=grant)
        attacker.call(wire(f"{server.url}models").encode())
        attacker.close()
    stage.require(server.connections == streams, "streams were not opened")
    _closed(stage, server)


def _kept(stage: Stage) -> None:
    """A plugin that keeps its instance and opens a stream in every call, closing none."""
    server = stage.stub(*["endless-sse"] * 20)
    attacker = stage.guest(
        stage.compiled(), client=stage.client(), grant=Grant.of(base_url=server.url), renew=True
    )
    for _ in range(20):
        attacker.call(wire(f"{server.url}models").encode())
        stage.require(len(attacker.services.streams) == 1, "streams of earlier calls are open")
    stage.require(server.connections == 20, "streams were not opened")
    attacker.close()
    _closed(stage, server)


def _foreign(stage: Stage) -> None:
    """The id of a stream that is open, in another instance."""
    server = stage.stub("endless-sse")
    client, grant = stage.client(), Grant.of(base_url=server.url)
    owner = stage.guest(stage.compiled("stream_open"), client=client, grant=grant)
    owner.call(wire(f"{server.url}models").encode())
    thief = stage.guest(stage.compiled("stream_read"), client=client, grant=grant)
    try:
        thief.call(wire("http://attacker.example/").encode())
    finally:
        stage.require(len(owner.services.streams) == 1, "the owner's stream is gone")


def _after_close(stage: Stage) -> None:
    server = stage.stub("endless-sse")
    attacker = stage.guest(client=stage.client(), grant=Grant.of(base_url=server.url))
    try:
        attacker.call(wire(f"{server.url}models").encode())
    finally:
        _closed(stage, server)


def _handle(name: str, run: Callable[[Stage], None], guest: str, expect: str = HARMLESS) -> Attack:
    return Attack(name, "stream handles", STREAMS, expect, guest, limits={"deadline": 3.0}, run=run)


BODIES: Final = (
    _fetch("gzip_members_bomb", "bombs", DECODED, "members-bomb-64", "TooMuch",
           limit="response_bytes"),
    _fetch("nested_gzip_bomb", "bombs", CODINGS, "nested-bomb-64", "TransportError",
           kind="protocol"),
    _fetch("brotli_body", "bombs", CODINGS, "unknown-coding", "TransportError", kind="protocol"),
    _fetch("zstd_body", "bombs", CODINGS, "zstd", "TransportError", kind="protocol"),
    _fetch("header_flood", "slow and endless bodies", CAPPED, "header-flood", "TransportError"),
    _fetch("interim_flood", "slow and endless bodies", HOST_TIME, "interim-flood", "Timeout",
           limit="deadline"),
    _fetch("truncated_body", "slow and endless bodies", CAPPED, "truncated", "TransportError"),
    _fetch("stalled_body", "slow and endless bodies", HOST_TIME, "stall", "TransportError",
           kind="timeout"),
    _fetch("endless_events", "slow and endless bodies", CAPPED, "endless-sse", "TooMuch",
           limit="response_bytes"),
    _fetch("endless_line", "slow and endless bodies", CAPPED, "sse-no-newline", "TooMuch",
           limit="response_bytes"),
    _streamed("stream_endless", "slow and endless bodies", CAPPED, "endless-sse"),
    _streamed("stream_endless_line", "slow and endless bodies", CAPPED, "sse-no-newline"),
    _streamed("stream_gzip_bomb", "bombs", DECODED, "gzip-bomb-64"),
    _streamed("stream_deflate_bomb", "bombs", DECODED, "deflate-bomb-64"),
    _handle("stream_closed_twice", _after_close, "stream_closed", "ProtocolError"),
    _handle("stream_of_another", _foreign, "stream_read", "ProtocolError"),
    _handle("streams_of_kept_plugin", _kept, "stream_open"),
    _handle("stream_left_open", partial(_left_open, streams=1), "stream_open"),
    _handle("streams_left_open", partial(_left_open, streams=50), "stream_open"),
)  # fmt: skip
