"""The MessagePack codec: what it refuses, and that hostile documents cost what their size is."""

from __future__ import annotations

import math
import struct
import time
import tracemalloc
from typing import Any

import msgpack
import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fumehood.abi import msgwire
from fumehood.abi.bytearrays import as_bytes
from fumehood.abi.jsonwire import MAX_DEPTH, MAX_VALUE_BYTES
from fumehood.abi.wire import JSON, MSGPACK
from fumehood.errors import ProtocolError, UsageError
from fumehood.testing import strategies
from tests.counts import HYPOTHESIS_EXAMPLES

MIB = 1 << 20


def test_bytes_stand_in_either_wire() -> None:
    data = b"\x00\xff\x80"
    assert MSGPACK.encode({"a": MSGPACK.binary(data)}) == b"\x81\xa1a\xc4\x03\x00\xff\x80"
    assert JSON.encode({"a": JSON.binary(data)}) == b'{"a":[0,255,128]}'
    for wire in (JSON, MSGPACK):
        assert as_bytes(wire.decode(wire.encode({"a": wire.binary(data)}), "it")["a"], "it") == data
    # what a guest may write too
    assert as_bytes(MSGPACK.decode(b"\x93\x00\xcc\xff\xcc\x80", "it"), "it") == data
    assert repr(MSGPACK) == "Wire(name='msgpack')"


@pytest.mark.parametrize("make", [bytes, bytearray, memoryview])
def test_any_buffer_decodes(make: Any) -> None:
    assert msgwire.decode(make(b"\x92\x01\xa1b"), "it") == [1, "b"]


def test_the_last_of_two_keys_counts() -> None:
    assert msgwire.decode(b"\x82\xa1a\x01\xa1a\x02", "it") == {"a": 2}


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "not valid MessagePack"),
        (b"\xc1", "not valid MessagePack"),
        (b"\xc0\xc0", "not valid MessagePack: .*trailing"),
        (b'{"a":1}', "not valid MessagePack"),
        (b"\x92\x01", "not valid MessagePack: .*truncated"),
        (b"\xa1\xff", "not valid UTF-8"),
        (b"\xa3\xed\xa0\x80", "not valid UTF-8"),
        (b"\x81\xa1\xff\x01", "not valid UTF-8"),
        (b"\x81\x01\x02", "a key that is not text"),
        (b"\x81\xc0\x02", "a key that is not text"),
        (b"\x81\xc4\x01a\x02", "a key that is not text"),
        (b"\x91\x91\x81\xc3\x02", "a key that is not text"),
        (b"\x81\x90\x02", "it "),
        (b"\x81\x80\x02", "it "),
        (b"\xd4\x05a", "an extension type"),
        (b"\x81\xa1a\xd4\x05a", "an extension type"),
        (b"\xd6\xff\x00\x00\x00\x00", "an extension type"),
        (b"\x91\xd7\xff" + bytes(8), "an extension type"),
        (b"\xc7\x0c\xff" + bytes(12), "an extension type"),
        (b"\xd6\xff\xff\xff", "not valid MessagePack"),
        (b"\xd7\xff" + b"\xff" * 8, "it "),
        (b"\xca\x7f\xc0\x00\x00", "not finite"),
        (b"\x91\xcb\x7f\xf0" + bytes(6), "not finite"),
        (b"\x92\xca\x7f\x80\x00\x00\xca\xff\x80\x00\x00", "not finite"),
        (b"\x81\xa1a\xcb\xff\xf0" + bytes(6), "not finite"),
        # in the first of two lists, neither of which is of one kind
        (b"\x92\x92\xc0\xca\x7f\xc0\x00\x00\x92\xc0\xca" + bytes(4), "not finite"),
    ],
)
def test_what_is_refused(data: bytes, words: str) -> None:
    with pytest.raises(ProtocolError, match=words):
        msgwire.decode(data, "it")


def test_floats_in_a_list_are_checked_one_by_one_only_where_their_sum_is_not_finite() -> None:
    large = [1.7e308, 1.7e308, -1.7e308]
    assert msgwire.decode(msgpack.packb(large), "it") == large
    with pytest.raises(ProtocolError, match="not finite"):
        msgwire.decode(msgpack.packb([*large, math.nan]), "it")
    # nor does such a list hide what stands before it
    with pytest.raises(ProtocolError, match="not finite"):
        msgwire.decode(msgpack.packb([[None, math.nan], large]), "it")


@pytest.mark.parametrize("end", [b"\xc0", b"\x90", b"\x80", b"\x91\xcb" + bytes(8)])
def test_depth(end: bytes) -> None:
    inside = 0 if end == b"\xc0" else 1
    for head in (b"\x91", b"\x81\xa1a", b"\xdc\x00\x01"):
        assert msgwire.decode(head * (MAX_DEPTH - inside) + end, "it")
        for depth in (MAX_DEPTH + 1 - inside, 500, 100_000):
            with pytest.raises(ProtocolError, match="nested"):
                msgwire.decode(head * depth + end, "it")


@pytest.mark.parametrize("depth", [1, 100])
@pytest.mark.parametrize("head", [b"\xdd", b"\xdf", b"\xc6", b"\xdb", b"\xc9"])
@pytest.mark.parametrize("length", [1 << 21, (1 << 32) - 1], ids=["2 Mi", "4 Gi"])
def test_announced_lengths_cost_nothing(head: bytes, length: int, depth: int) -> None:
    """Nested, too, and with half as many bytes behind them as one of them announces."""
    bomb = (head + struct.pack(">I", length) + (b"\xa1a" if head == b"\xdf" else b"")) * depth
    for data in (bomb, bomb + b"\xc0" * MIB):
        tracemalloc.start()
        began = time.process_time()
        with pytest.raises(ProtocolError):
            msgwire.decode(data, "it")
        spent = time.process_time() - began
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert peak < 20 * MIB + 10 * len(data)
        assert spent < 1


@pytest.mark.parametrize(
    "item",
    [b"\x80", b"\x90", b"\x91\xc0", b"\xa0", b"\xa2ab", b"\xe0", b"\xcd\xff\xff", b"\xc0\x80"],
)
def test_too_many_values_are_refused_before_they_are_built(
    item: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    _refused_unread(item, monkeypatch)


@pytest.mark.parametrize("item", [b"\xc4\x00", b"\xca\0\0\0\0\xc0"])
def test_what_the_scan_takes_one_by_one_is_charged_for_it(
    item: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(msgwire, "MAX_VALUE_BYTES", MAX_VALUE_BYTES // 8)
    _refused_unread(item, monkeypatch)


def _refused_unread(item: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(msgwire, "_decoder", None)
    count = 16 * MIB // len(item)
    data = b"\xdd" + struct.pack(">I", count) + item * count
    with pytest.raises(ProtocolError, match="too many values"):
        msgwire.decode(data, "it")


@pytest.mark.parametrize(
    ("data", "end", "cost"),
    [
        # a run of floats; one so short that the least is charged
        (b"\xca\x3f\x00\x00\x00" * 100 + b"\xc0", 500, 500 * 8),
        (b"\xcb" + bytes(8) + b"\xc0", 9, 128),
        # a run of other small values, and of empty maps
        (b"\x01" * 100, 100, 100 * 40),
        (b"\x80" * 100, 100, 100 * 40 + 100 * 72),
        (b"\xc0", 1, 128),
        # bytes and texts: their length counts
        (b"\xc4\x05abcde\xc0", 7, 128 + 5),
        (b"\xc5\x01\x02" + bytes(300), 3 + 0x102, 128 + 0x102),
        (b"\xdb\x00\x00\x01\x02" + bytes(300), 5 + 0x102, 128 + 0x102),
        # heads of large arrays and maps: it does not
        (b"\xdc\x01\x02\xc0", 3, 128),
        (b"\xdf\x00\x00\x01\x02\xc0", 5, 128),
        # no value of ours
        (b"\xc1\xc0\xc0", 3, 0),
        (b"\xd4\x05a\xc0", 4, 0),
    ],
)
def test_what_a_step_costs(data: bytes, end: int, cost: int) -> None:
    assert msgwire.step(data, 0) == (end, cost)
    assert msgwire.step(b"\xc0" + data, 1) == (end + 1, cost)


@pytest.mark.parametrize(
    ("data", "cost", "value"),
    [
        (
            b"\xdc\x00\x03\xc4\x02ab\xca\0\0\0\0\xa1a",
            128 + (128 + 2) + 128 + 128,
            [b"ab", 0.0, "a"],
        ),
        (b"\xc4\x80" + bytes(128), 128 + 128, bytes(128)),
    ],
)
def test_a_document_may_cost_so_much_and_no_more(
    data: bytes, cost: int, value: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(msgwire, "_SMALL", len(data) - 1)
    monkeypatch.setattr(msgwire, "MAX_VALUE_BYTES", cost)
    assert msgwire.decode(data, "it") == value
    monkeypatch.setattr(msgwire, "MAX_VALUE_BYTES", cost - 1)
    with pytest.raises(ProtocolError, match=rf"^it holds too many values \({len(data)} bytes"):
        msgwire.decode(data, "it")
    # a small one is not measured
    monkeypatch.setattr(msgwire, "_SMALL", len(data))
    assert msgwire.decode(data, "it") == value


@pytest.mark.parametrize("item", [b"\xd4\x01a", b"\xc7\x01\x05a", b"\xc1"])
def test_the_scan_leaves_nonsense_to_the_decoder(item: bytes) -> None:
    data = b"\xdd\x00\x00\x00\x02" + item + b"\xc6\x00\xc0\x00\x00" + bytes(12 * MIB)
    with pytest.raises(ProtocolError, match=r"extension type|not valid MessagePack"):
        msgwire.decode(data, "it")


@pytest.mark.parametrize(
    "document",
    [
        {"req": {"body": bytes(9 * MIB)}},
        {"body": bytes(range(128, 256)) * (MIB // 16), "x": "\u4e00" * MIB},
        [0.5] * MIB,
        [1, None, True, *range(100)] * (MIB // 12),
    ],
    ids=["body", "bytes and text", "vector", "small integers"],
)
def test_large_honest_documents_are_read(document: Any) -> None:
    data = msgpack.packb(document)
    assert len(data) > MAX_VALUE_BYTES // 72
    assert msgwire.decode(data, "it") == document


@settings(max_examples=HYPOTHESIS_EXAMPLES, deadline=None)
@given(st.lists(strategies.json_values() | st.binary(max_size=300), max_size=5), st.data())
def test_sizes_are_measured_value_by_value(values: list[Any], data: st.DataObject) -> None:
    """The walk ends where the document ends, whatever it is made of, so nothing hides behind it."""
    packed = msgpack.packb(values)
    walked: list[int] = []
    at = 0
    while at < len(packed):
        at = msgwire.step(packed, at)[0]
        walked.append(at)
    assert walked[-1] == len(packed)


def test_values_that_cannot_be_sent() -> None:
    loop: list[Any] = []
    loop.append(loop)
    for value in (1 << 64, -(1 << 63) - 1, "\ud800", {"a": object()}, loop):
        with pytest.raises(UsageError):
            msgwire.encode(value)
    assert msgwire.encode({"a": msgspec.Raw(b"\x01")}) == b"\x81\xa1a\x01"
