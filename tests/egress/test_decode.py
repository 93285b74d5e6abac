from __future__ import annotations

import contextlib
import gzip
import tracemalloc
import zlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fumehood.egress.decode import KEPT, PIECE, BoundedBody, BoundedStream, Inflater, coding_of
from fumehood.errors import TooMuch, TransportError
from tests.counts import HYPOTHESIS_EXAMPLES


def raw_deflate(data: bytes) -> bytes:
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    return packer.compress(data) + packer.flush()


PACKERS = {
    "gzip": ("gzip", gzip.compress),
    "zlib": ("deflate", zlib.compress),
    "raw deflate": ("deflate", raw_deflate),
    "two members": (
        "gzip",
        lambda d: gzip.compress(d[: len(d) // 2]) + gzip.compress(d[len(d) // 2 :]),
    ),
    "padded": ("gzip", lambda d: gzip.compress(d) + bytes(100)),
    "trailing rubbish": ("deflate", lambda d: zlib.compress(d) + b"rubbish"),
}


def body(coding: str | None, data: bytes, limit: int, step: int = 1000) -> bytes:
    collected = BoundedBody(coding, limit)
    for at in range(0, len(data), step):
        collected.feed(data[at : at + step])
    return collected.finish()


def streamed(coding: str | None, data: bytes, limit: int, step: int = 1000) -> bytes:
    stream = BoundedStream(coding, limit)
    out = b"".join(
        piece for at in range(0, len(data), step) for piece in stream.feed(data[at : at + step])
    )
    stream.finish()
    return out


@pytest.mark.parametrize("name", PACKERS)
@pytest.mark.parametrize("size", [0, 1, 1000, PIECE, PIECE + 1, KEPT - 1, KEPT, KEPT + 1, KEPT * 2])
def test_round_trip(name: str, size: int) -> None:
    coding, pack = PACKERS[name]
    data = (b"some text, " * (size // 11 + 1))[:size]
    packed = pack(data)
    assert body(coding, packed, size, 4096) == data
    assert streamed(coding, packed, size, 4096) == data


@pytest.mark.parametrize("name", PACKERS)
@pytest.mark.parametrize("step", [1, 2, 7])
def test_any_chunking(name: str, step: int) -> None:
    coding, pack = PACKERS[name]
    data = bytes(range(256)) * 4
    assert body(coding, pack(data), 1024, step) == data
    assert streamed(coding, pack(data), 1024, step) == data


@pytest.mark.parametrize("name", [*PACKERS, None])
def test_limit(name: str | None) -> None:
    coding, pack = PACKERS[name] if name else (None, bytes)
    packed = pack(b"x" * 1000)
    for run in (body, streamed):
        assert len(run(coding, packed, 1000, 100)) == 1000
        with pytest.raises(TooMuch) as caught:
            run(coding, packed, 999, 100)
        assert caught.value.limit == "response_bytes"


def test_compressed_bytes_are_capped_too() -> None:
    empty = gzip.compress(b"") * 10_000  # much data that decodes to nothing
    for run in (body, streamed):
        assert run("gzip", empty[: 20 * 3000], 0) == b""
        with pytest.raises(TooMuch):
            run("gzip", empty, 0, 65536)


def test_pieces_are_bounded() -> None:
    pieces = list(Inflater("gzip").feed(gzip.compress(bytes(10 << 20))))
    assert max(map(len, pieces)) <= PIECE
    assert sum(map(len, pieces)) == 10 << 20


@pytest.mark.parametrize("coding", ["gzip", "deflate"])
@pytest.mark.parametrize("data", [b"no such thing", b"\x1f\x8bxxxxxxxx", b"\xff" * 20])
def test_rubbish(coding: str, data: bytes) -> None:
    for run in (body, streamed):
        with pytest.raises(TransportError) as caught:
            run(coding, data, 1000)
        assert caught.value.kind == "protocol"


@pytest.mark.parametrize("name", ["gzip", "zlib", "raw deflate"])
def test_cut_off(name: str) -> None:
    coding, pack = PACKERS[name]
    packed = pack(bytes(range(256)))
    for run in (body, streamed):
        for cut in range(1, len(packed)):
            with pytest.raises(TransportError):
                run(coding, packed[:cut], 1000)
        assert run(coding, b"", 1000) == b""


def test_rubbish_behind_a_member() -> None:
    with pytest.raises(TransportError):
        body("gzip", gzip.compress(b"x") + b"\x1fnot a member", 1000)


@pytest.mark.parametrize(
    ("values", "coding"),
    [
        ([], None), (["identity"], None), ([""], None), (["gzip"], "gzip"), (["GZIP "], "gzip"),
        (["x-gzip"], "gzip"), (["deflate"], "deflate"), (["identity, gzip"], "gzip"),
        (["identity", "deflate"], "deflate"),
    ],
)  # fmt: skip
def test_codings(values: list[str], coding: str | None) -> None:
    assert coding_of(values) == coding


@pytest.mark.parametrize(
    "values",
    [
        ["br"],
        ["zstd"],
        ["compress"],
        ["x-deflate"],
        ["gzip, gzip"],
        ["gzip", "deflate"],
        ["gzip;q"],
    ],
)
def test_codings_refused(values: list[str]) -> None:
    with pytest.raises(TransportError, match="only gzip, deflate were offered") as caught:
        coding_of(values)
    assert caught.value.kind == "protocol"


@settings(max_examples=HYPOTHESIS_EXAMPLES, deadline=None)
@given(st.binary(max_size=300), st.sampled_from(["gzip", "deflate"]), st.integers(1, 50))
def test_any_bytes_decode_or_raise_one_error(data: bytes, coding: str, step: int) -> None:
    for run in (body, streamed):
        with contextlib.suppress(TransportError, TooMuch):
            run(coding, data, 1 << 20, step)


@pytest.mark.parametrize("coding", [None, "gzip"])
def test_small_pieces_do_not_cost_objects(coding: str | None) -> None:
    packer = zlib.compressobj(0, zlib.DEFLATED, 31)
    data = bytes(30_000)
    packed = packer.compress(data) + packer.flush() if coding else data
    tracemalloc.start()
    try:
        assert body(coding, packed, 1 << 20, 2) == data
        assert tracemalloc.get_traced_memory()[1] < 300_000
    finally:
        tracemalloc.stop()
