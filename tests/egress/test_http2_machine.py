"""The sans-IO half of HTTP/2: whatever a server sends is taken, or one of httpcore's errors."""

from __future__ import annotations

import httpcore
import pytest
from hpack import Encoder
from hyperframe.frame import HeadersFrame, SettingsFrame
from hypothesis import given
from hypothesis import strategies as st

from fumehood.egress.http2 import EXCHANGES, FRAME, HEAD_BYTES, WINDOW, Machine
from fumehood.errors import TooMuch

ALLOWED = (httpcore.RemoteProtocolError, httpcore.ReadError, TooMuch)
HOST = [(b"host", b"h.example")]


def begun(body: bytes = b"") -> Machine:
    machine = Machine()
    machine.begin("POST" if body else "GET", "https", "/", HOST, body)
    machine.fill()
    machine.output()
    machine.receive(SettingsFrame(0).serialize())
    assert machine.step()
    return machine


def run(machine: Machine, data: bytes) -> None:
    """Feed it all, as a driver does."""
    machine.receive(data)
    while machine.step():
        machine.fill()
        machine.output()
        assert len(machine.take()) <= WINDOW


def frame(kind: int, flags: int, stream: int, payload: bytes) -> bytes:
    head = len(payload).to_bytes(3) + bytes([kind, flags]) + stream.to_bytes(4)
    return head + payload


_block = st.lists(
    st.tuples(
        st.sampled_from([":status", "x", "content-length", "X", ":path", "te", "date"]),
        st.sampled_from(["200", "103", "5", "0", "", "a\r\nb", "\u00e9"]),
    ),
    max_size=4,
).map(lambda headers: Encoder().encode(headers))
_payload = st.one_of(
    st.binary(max_size=40),
    _block,
    st.sampled_from([b"\0" * 4, b"\0" * 8, b"\x7f\xff\xff\xff", b"\xff" * 4, b"\0\3\0\0\0\0"]),
)
_frames = st.builds(
    frame, st.integers(0, 12), st.sampled_from([0, 1, 4, 5, 8, 0x20, 0x24, 0xFF]),
    st.sampled_from([0, 1, 1, 1, 3, 0x7FFFFFFF]), _payload,
)  # fmt: skip


@given(st.lists(_frames, max_size=12), st.booleans(), st.integers(1, 64))
def test_any_frames_are_taken_or_refused(frames: list[bytes], body: bool, cut: int) -> None:
    machine = begun(b"x" * 100_000 if body else b"")
    data = b"".join(frames)
    try:
        for start in range(0, len(data), cut):
            run(machine, data[start : start + cut])
        machine.reuse()
        machine.receive(b"")
    except ALLOWED:
        return
    raise AssertionError("the end of a connection is always an error")


@given(st.binary(max_size=300))
def test_any_bytes_are_taken_or_refused(data: bytes) -> None:
    machine = begun()
    try:
        run(machine, data)
    except ALLOWED:
        return
    assert not machine.ended or machine.status


def test_heads_are_capped_before_they_are_decoded() -> None:
    machine = begun()
    with pytest.raises(httpcore.RemoteProtocolError, match=f"headers of more than {HEAD_BYTES}"):
        run(machine, b"".join(frame(1 if n == 0 else 9, 0, 1, bytes(FRAME)) for n in range(3)))
    with pytest.raises(httpcore.RemoteProtocolError, match="a frame of"):
        run(begun(), (FRAME + 1).to_bytes(3) + bytes(6))


def test_a_connection_has_an_end() -> None:
    machine = Machine()
    encoder = Encoder()
    for number in range(EXCHANGES):
        machine.begin("GET", "https", "/", HOST, b"")
        machine.output()
        head = HeadersFrame(2 * number + 1, encoder.encode([(":status", "204")]))
        head.flags |= {"END_HEADERS", "END_STREAM"}
        run(machine, (SettingsFrame(0).serialize() if number == 0 else b"") + head.serialize())
        assert (machine.status, machine.ended) == (204, True)
        assert machine.reuse() == (number < EXCHANGES - 1)
