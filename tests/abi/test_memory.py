"""Ranges and handles: exact at both edges, whatever the numbers."""

from __future__ import annotations

from struct import pack

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fumehood.abi.memory import Block, check_range, find_block
from fumehood.errors import ProtocolError

FREED = 1 << 31


@pytest.mark.parametrize(("offset", "length"), [(0, 0), (0, 10), (10, 0), (9, 1), (3, 7)])
def test_ranges_inside(offset: int, length: int) -> None:
    check_range(offset, length, 10, "the text")


@pytest.mark.parametrize(
    ("offset", "length"),
    [(0, 11), (11, 0), (10, 1), (-1, 1), (0, -1), (1 << 64, 0), (1, 1 << 64), ((1 << 64) - 1, 2)],
)
def test_ranges_outside(offset: int, length: int) -> None:
    with pytest.raises(ProtocolError, match="the text"):
        check_range(offset, length, 10, "the text")


@given(
    st.lists(st.integers(1, 100), max_size=20, unique=True).map(sorted),
    st.integers(-5, 1 << 64),
    st.integers(0, 40),
)
def test_a_block_is_found_by_its_exact_beginning_only(
    offsets: list[int], handle: int, claimed: int
) -> None:
    raw = b"".join(
        pack("<II", offset, index | (FREED if index % 2 else 0))
        for index, offset in enumerate(offsets)
    )
    known = offsets[:claimed]
    for wanted in (*range(102), handle):
        block = find_block(memoryview(raw), claimed, wanted)
        if wanted in known:
            index = known.index(wanted)
            assert block == Block(wanted, index, index % 2 == 1, index)
        else:
            assert block is None
