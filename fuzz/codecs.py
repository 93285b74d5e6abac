"""The pure codecs of `abi/`: any bytes decode or raise ProtocolError; `json` and `msgpack` are
the oracles."""

from __future__ import annotations

import json
import math
from typing import Any, Final

import msgpack
from hypothesis import strategies as st

from fumehood.abi import jsonwire, msgwire
from fumehood.errors import ProtocolError
from fumehood.testing import strategies
from fuzz.target import Target
from tests.abi.test_hostile import feed, packed_documents, valid_documents

_DEPTH: Final = 128
_INTEGERS: Final = range(-(1 << 63), 1 << 64)


def check(case: dict[str, Any]) -> None:
    """Every decoder of `tests/abi/test_hostile.py`, then `json`."""
    data = bytes.fromhex(case["data"])
    feed(data)
    compare(data)
    compare_packed(data)


def compare_packed(data: bytes) -> None:
    """The same with `msgpack`."""
    try:
        ours: Any = msgwire.decode(data, "it")
        taken = True
    except ProtocolError:
        taken = False
    try:
        theirs = msgpack.unpackb(data)
        fine = _allowed(theirs, 0)
    except (ValueError, RecursionError, msgpack.UnpackException):
        fine = False
    assert taken == fine, f"we {'take' if taken else 'refuse'} what msgpack does not agree about"
    if taken:
        assert _same(ours, theirs), f"{ours!r} is not {theirs!r}"


def compare(data: bytes) -> None:
    """We take what `json` takes, less what is refused on purpose, and read the same from it."""
    try:
        ours: Any = jsonwire.decode(data, "it")
        taken = True
    except ProtocolError:
        taken = False
    try:
        theirs = json.loads(data.decode("utf-8"), parse_constant=_refuse)
        fine = _allowed(theirs, 0)
    except (ValueError, RecursionError):
        fine = False
    assert taken == fine, f"we {'take' if taken else 'refuse'} what json does not agree about"
    if taken:
        assert _same(ours, theirs), f"{ours!r} is not {theirs!r}"


def _refuse(word: str) -> None:
    raise ValueError(word)


def _allowed(value: Any, depth: int) -> bool:
    if isinstance(value, str):
        value.encode()  # a lone surrogate is a ValueError
        return True
    if isinstance(value, bool | bytes) or value is None:
        return True
    if isinstance(value, int):
        return value in _INTEGERS
    if isinstance(value, float):
        return math.isfinite(value)
    if depth >= _DEPTH:
        return False
    if isinstance(value, dict):
        texts = all(isinstance(key, str) and _allowed(key, 0) for key in value)
        return texts and all(_allowed(item, depth + 1) for item in value.values())
    if not isinstance(value, list):  # an extension type
        return False
    return all(_allowed(item, depth + 1) for item in value)


def _same(ours: Any, theirs: Any) -> bool:
    """Equal, and of the same types: 1 is not 1.0 and not True."""
    if type(ours) is not type(theirs):
        return False
    if isinstance(ours, dict):
        return list(ours) == list(theirs) and all(_same(ours[key], theirs[key]) for key in ours)
    if isinstance(ours, list):
        return len(ours) == len(theirs) and all(map(_same, ours, theirs))
    return bool(ours == theirs)


def cases() -> st.SearchStrategy[dict[str, Any]]:
    """Documents, almost documents, and bytes that are none."""
    data = st.one_of(
        strategies.hostile_documents(),
        valid_documents(),
        strategies.hostile_packed(),
        packed_documents(),
        strategies.mutated(packed_documents()),
        strategies.mutated(valid_documents()),
        strategies.mutated(strategies.json_values().map(lambda v: json.dumps(v).encode())),
        st.binary(max_size=200),
        st.text('[]{}:,"\\ud8eE+-.0123456789 \t\nntrufals', max_size=60).map(str.encode),
    )
    return data.map(lambda each: {"data": each.hex()})


TARGET: Final = Target("codecs", cases, check, weight=2)
