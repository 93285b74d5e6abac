"""MessagePack in Python guests: the codec of plain CPython and the one in C, with `msgpack` as the
oracle. What docs/wire.md refuses, both refuse."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

import msgpack
import pytest
from fumehood_pdk import _msgpack
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fumehood import Limits
from fumehood.plugin import CompiledPlugin, Plugin
from fumehood.testing import strategies
from tests.pdk_python.plugins import codec as deeds

pytestmark = pytest.mark.xdist_group("pdk_python")

LIMITS = Limits(fuel=None, deadline=60, guest_time=30, memory=128 << 20, kernel_memory=64 << 20)
FORTY: Final = settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)

LEAVES = (
    st.none()
    | st.booleans()
    | st.integers(-(1 << 63), (1 << 64) - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | strategies.texts(300)
    | st.binary(max_size=300)
)
VALUES = st.recursive(
    LEAVES,
    lambda inner: (
        st.lists(inner, max_size=20) | st.dictionaries(strategies.texts(40), inner, max_size=20)
    ),
    max_leaves=40,
)

Codec = Callable[[list[str], bool], list[Any]]
"""What becomes of documents in hexadecimal digits, or (True) of Python expressions."""


@pytest.fixture(scope="module", params=["cpython", "core"])
def codec(request: pytest.FixtureRequest, built: Callable[[str], Path]) -> Iterator[Codec]:
    if request.param == "cpython":
        yield lambda items, pack: [
            deeds.done(deeds.packed if pack else deeds.unpacked, item) for item in items
        ]
        return
    tool = {"type": "function", "function": {"name": "f", "description": "", "parameters": {}}}
    with CompiledPlugin.load(built("codec")) as compiled, Plugin(compiled, limits=LIMITS) as plugin:

        def ask(items: list[str], pack: bool) -> list[Any]:
            text = {"type": "text", "text": json.dumps(items)}
            asked = {
                "cfg": {},
                "messages": [{"role": "User", "content": [text]}],
                "tools": [tool] if pack else None,
            }
            answer = plugin.call("chat_request", json.dumps(asked).encode())
            results: list[Any] = json.loads(bytes(json.loads(answer)["req"]["body"]))
            return results

        yield ask


def unpacked(codec: Codec, *documents: bytes) -> list[Any]:
    """Each document's value as `ascii` shows it, or its error."""
    return [
        found["error"] if "error" in found else found["value"]
        for found in codec([document.hex() for document in documents], False)
    ]


@FORTY
@given(st.lists(VALUES, min_size=1, max_size=10))
def test_what_msgpack_writes_is_read_and_written_again(codec: Codec, values: list[Any]) -> None:
    documents = [msgpack.packb(value) for value in values]
    found = codec([document.hex() for document in documents], False)
    assert [item["value"] for item in found] == [ascii(value) for value in values]
    assert [item["again"] for item in found] == [document.hex() for document in documents]


@FORTY
@given(
    st.lists(st.binary(max_size=60) | strategies.mutated(VALUES.map(msgpack.packb)), max_size=20)
)
def test_any_bytes_are_a_value_or_a_value_error(codec: Codec, documents: list[bytes]) -> None:
    for document, found in zip(documents, unpacked(codec, *documents), strict=True):
        if found == "ValueError":
            with pytest.raises(ValueError):
                _msgpack.unpackb(document)
        else:
            assert found == ascii(msgpack.unpackb(document)) == ascii(_msgpack.unpackb(document))


@pytest.mark.parametrize(
    "document",
    [
        b"", b"\xc1", b"\xc0\xc0", b"\x92\xc0", b"\x81\xa1k", b"\xd9", b"\xa2a", b"\xc4\x02a",
        b"\xdd\xff\xff\xff\xff", b"\xdf\xff\xff\xff\xff", b"\xdc\x00\x02\x00", b"\xde\x00\x01\xa0",
        b"\xc6\xff\xff\xff\xff", b"\xdb\xff\xff\xff\xff", b"\xce\x00", b"\xcb\x00",
        b"\xd4\x00\x00", b"\xd8" + bytes(17), b"\xc7\x00\x00", b"\xc8\x00\x00\x00",
        b"\xc9" + bytes(5),
        b"\xd6\xff" + bytes(4),  # a time
        b"\x81\x01\x01", b"\x81\xc4\x01a\x01", b"\x81\xc0\x01", b"\x81\x90\x01",
        b"\xca\x7f\xc0\x00\x00", b"\xca\xff\x80\x00\x00", b"\xcb\x7f\xf0" + bytes(6),
        b"\xcb\x7f\xf8" + bytes(6),
        b"\xa1\xff", b"\xa3\xed\xa0\x80", b"\xa2\xc0\x80", b"\x81\xa1\x80\x00",
        b"\x91" * 129 + b"\xc0", b"\x81\xa0" * 129 + b"\xc0", b"\x91" * 1_000_000,
    ],
    ids=lambda document: document[:8].hex() or "empty",
)  # fmt: skip
def test_refused(codec: Codec, document: bytes) -> None:
    assert unpacked(codec, document) == ["ValueError"]


def test_read_though_nobody_writes_it_so(codec: Codec) -> None:
    documents = {
        b"\xdf\x00\x00\x00\x01\xdb\x00\x00\x00\x01a\xdd\x00\x00\x00\x01\xcf" + bytes(8): {"a": [0]},
        b"\xde\x00\x02\xa1a\x01\xd9\x01a\x02": {"a": 2},
        b"\xd3" + b"\xff" * 8: -1,
        b"\xca\x3f\x80\x00\x00": 1.0,
        b"\xc6\x00\x00\x00\x00": b"",
        b"\x91" * 128 + b"\xc0": msgpack.unpackb(b"\x91" * 128 + b"\xc0"),
    }
    assert unpacked(codec, *documents) == [ascii(value) for value in documents.values()]


def test_announced_lengths_reserve_nothing(codec: Codec) -> None:
    # 120 lists that all promise a million items: memory for that would be more than there is
    million = b"\xdd" + (1_000_000).to_bytes(4, "big")
    assert unpacked(codec, million * 120 + b"\xc0" * 1_000_000) == ["ValueError"]


@pytest.mark.parametrize(
    "expression",
    [
        "float('nan')", "float('-inf')", "1 << 64", "-(1 << 63) - 1", "'\\ud800'", "{'\\ud800': 1}",
        "{1: 2}", "{None: 1}", "{(): 1}", "set()", "object()", "1j", "bytearray(b'x')",
        "memoryview(b'x')", "[[object()]]", "(lambda a: a.append(a) or a)([])",
        "__import__('functools').reduce(lambda a, _: [a], range(128), [])",
    ],
)  # fmt: skip
def test_what_cannot_be_said(codec: Codec, expression: str) -> None:
    refused = {"error": "ValueError"}
    assert codec([expression], True) == [{"strict": refused, "binary": refused}]


def test_what_can_be_said(codec: Codec) -> None:
    said = {
        "Text('x')": "x",
        "(1, [2], ())": [1, [2], []],
        "True": True,
        "__import__('enum').IntEnum('E', 'A B').B": 2,
        "__import__('collections').OrderedDict(b=1, a=2)": {"b": 1, "a": 2},
        "(1 << 64) - 1": (1 << 64) - 1,
        "-(1 << 63)": -(1 << 63),
        "{str(n): n for n in range(70_000)}": {str(n): n for n in range(70_000)},
        "['x' * n for n in (31, 32, 255, 256, 65_535, 65_536)]": [
            "x" * n for n in (31, 32, 255, 256, 65_535, 65_536)
        ],
        "[list(range(n)) for n in (15, 16, 65_536)]": [list(range(n)) for n in (15, 16, 65_536)],
    }
    for found, value in zip(codec(list(said), True), said.values(), strict=True):
        packed = msgpack.packb(value).hex()
        assert found == {"strict": packed, "binary": packed}


def test_bytes_only_where_they_are_expected(codec: Codec) -> None:
    for found in codec(["b''", "{'a': [b'x' * 300]}"], True):
        assert found["strict"] == {"error": "ValueError"}
        assert "error" not in found["binary"]
