"""VarStore keeps the accounting of extism-abi.md §1.6."""

from __future__ import annotations

import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fumehood.errors import TooMuch
from fumehood.imports.vars import ENTRY_OVERHEAD, VarStore


def test_a_value_comes_back_as_a_copy() -> None:
    store = VarStore(1000)
    value = bytearray(b"abc")
    store.set("k", value)
    value[0] = 0
    assert store.get("k") == b"abc"
    assert store.get("other") is None


def test_one_byte_key_under_a_limit_of_100_takes_51_bytes_and_not_52() -> None:
    store = VarStore(100)
    store.set("k", b"x" * 51)
    assert store.used == 100
    with pytest.raises(TooMuch, match="Variable store is full") as caught:
        VarStore(100).set("k", b"x" * 52)
    assert caught.value.limit == "var_bytes"


def test_a_replaced_entry_no_longer_counts() -> None:
    store = VarStore(100)
    store.set("k", b"x" * 51)
    store.set("k", b"y" * 51)
    assert store.get("k") == b"y" * 51
    assert store.used == 100


def test_a_refused_value_leaves_the_old_one() -> None:
    store = VarStore(100)
    store.set("k", b"old")
    with pytest.raises(TooMuch):
        store.set("k", b"x" * 52)
    assert store.get("k") == b"old"
    assert store.used == ENTRY_OVERHEAD + 1 + 3


def test_the_key_counts_in_utf8() -> None:
    store = VarStore(ENTRY_OVERHEAD + 4)
    with pytest.raises(TooMuch):
        store.set("éé", b"x")
    store.set("é", b"xy")


@pytest.mark.parametrize("nothing", [None, b""])
def test_nothing_deletes_the_key(nothing: bytes | None) -> None:
    store = VarStore(100)
    store.set("k", b"v")
    store.set("k", nothing)
    assert "k" not in store
    assert store.get("k") is None
    assert (store.used, len(store)) == (0, 0)
    store.set("never there", nothing)


def test_a_limit_of_zero_disables_set_and_get_finds_nothing() -> None:
    store = VarStore(0)
    assert store.get("k") is None
    for value in (b"v", None):
        with pytest.raises(TooMuch, match="Vars are disabled by this host"):
            store.set("k", value)


def test_the_overhead_bounds_how_many_keys_fit() -> None:
    store = VarStore(10 * (ENTRY_OVERHEAD + 2))
    for i in range(10):
        store.set(str(i), b"v")
    with pytest.raises(TooMuch):
        store.set("a", b"v")
    assert sorted(store) == [str(i) for i in range(10)]


def test_clear_forgets_everything() -> None:
    store = VarStore(100)
    store.set("k", b"v")
    store.clear()
    assert (store.used, len(store), store.get("k")) == (0, 0, None)


@given(
    st.lists(st.tuples(st.text(max_size=3), st.none() | st.binary(max_size=40)), max_size=40),
    st.integers(1, 400),
)
def test_the_sum_is_right_after_any_sequence(
    steps: list[tuple[str, bytes | None]], limit: int
) -> None:
    store = VarStore(limit)
    model: dict[str, bytes] = {}
    for key, value in steps:
        wanted = dict(model)
        if value:
            wanted[key] = value
        else:
            wanted.pop(key, None)
        total = sum(48 + len(k.encode()) + len(v) for k, v in wanted.items())
        if value and total > limit:
            with pytest.raises(TooMuch):
                store.set(key, value)
        else:
            store.set(key, value)
            model = wanted
        assert {k: store.get(k) for k in store} == model
        assert store.used == sum(48 + len(k.encode()) + len(v) for k, v in model.items())


def test_threads_cannot_spoil_the_sum() -> None:
    store = VarStore(1 << 20)

    def work(name: str) -> None:
        for i in range(500):
            store.set(f"{name}{i % 7}", b"x" * (i % 11))

    threads = [threading.Thread(target=work, args=(f"t{n}-",)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    total = sum(48 + len(k) + len(store.get(k) or b"") for k in store)
    assert store.used == total
