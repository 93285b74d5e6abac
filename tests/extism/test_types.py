"""Wasm values, memory references and writable blocks of the Extism face."""

from __future__ import annotations

import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fumehood.errors import ClosedError
from fumehood.extism.current import CurrentPlugin
from fumehood.extism.types import Memory, UsageTypeError, Val, ValType, from_wasm, signed, to_wasm
from tests.extism.fake_kernel import FakeKernel


def test_value_types_have_the_numbers_and_the_alias_of_the_package() -> None:
    assert [(t.name, t.value) for t in ValType] == [
        ("I32", 0),
        ("PTR", 1),
        ("F32", 2),
        ("F64", 3),
        ("V128", 4),
        ("FUNC_REF", 5),
        ("EXTERN_REF", 6),
    ]
    assert ValType.I64 is ValType.PTR


def test_a_value_prints_with_the_canonical_name() -> None:
    value = Val(ValType.I64, 3)
    assert repr(value) == "Val(ValType.PTR, 3)"
    value._assign(4)
    assert value.value == 4


def test_memory_is_an_offset_and_a_length() -> None:
    mem = Memory(80, 5)
    assert (mem.offset, mem.length, len(mem)) == (80, 5, 5)


@given(st.integers(0, 2**64 - 1))
def test_integers_arrive_signed_and_go_back(word: int) -> None:
    value = from_wasm(ValType.I64, word)
    assert -(2**63) <= value.value < 2**63
    assert int(to_wasm(ValType.I64, value)) % 2**64 == word
    assert signed(word % 2**32, ValType.I32) == (word + 2**31) % 2**32 - 2**31


def test_floats_pass() -> None:
    assert from_wasm(ValType.F32, 1.5).value == 1.5
    assert to_wasm(ValType.F64, Val(ValType.F64, 3)) == 3.0
    assert math.isnan(to_wasm(ValType.F32, Val(ValType.F32, math.nan)))


@pytest.mark.parametrize(
    ("declared", "number"),
    [(ValType.I32, 2**32), (ValType.I32, -(2**31) - 1), (ValType.I64, 2**64)],
)
def test_results_that_do_not_fit(declared: ValType, number: int) -> None:
    with pytest.raises(OverflowError):
        to_wasm(declared, Val(declared, number))


def test_a_result_of_another_type() -> None:
    with pytest.raises(UsageTypeError, match="Output type mismatch"):
        to_wasm(ValType.I32, Val(ValType.I64, 1))
    with pytest.raises(TypeError):
        to_wasm(ValType.F64, Val(ValType.F32, 1.0))


def test_assigning_to_a_block_reaches_the_kernel() -> None:
    kernel = FakeKernel()
    plugin = CurrentPlugin(kernel)
    mem = plugin.alloc(4)
    plugin.memory(mem)[:] = b"test"
    assert kernel.read(mem.offset) == b"test"
    block = plugin.memory(mem)
    block[1:3] = b"OO"
    block[0] = b"T"
    block[3] = ord("T")
    assert kernel.read(mem.offset) == b"TOOT"
    assert plugin.memory(mem) == b"TOOT"


def test_a_block_reads_as_the_buffer_of_the_package_does() -> None:
    plugin = CurrentPlugin(FakeKernel())
    slot = Val(ValType.I64, 0)
    plugin.return_bytes(slot, b'{"a": 1}')
    block = plugin.input_buffer(slot)
    assert type(block[:]) is bytes
    assert block[:] == b'{"a": 1}'
    assert block[0] == b"{"
    assert list(block)[:2] == [b"{", b'"']
    assert (len(block), bytes(block)) == (8, b'{"a": 1}')
    assert json.loads(block) == {"a": 1}
    assert bytes(memoryview(block)[2:3]) == b"a"


def test_a_block_keeps_its_size() -> None:
    plugin = CurrentPlugin(FakeKernel())
    block = plugin.memory(plugin.alloc(4))
    with pytest.raises(ValueError, match="3 bytes do not fit a slice of 4"):
        block[:] = b"abc"
    with pytest.raises(UsageTypeError):
        block += b"x"
    for change in (
        lambda: block.append(1),
        lambda: block.extend(b"x"),
        lambda: block.__delitem__(0),
        block.pop,
        block.clear,
        block.reverse,
    ):
        with pytest.raises(UsageTypeError):
            change()
    assert len(block) == 4


def test_a_block_that_outlives_its_host_function_is_a_copy() -> None:
    kernel = FakeKernel()
    plugin = CurrentPlugin(kernel)
    mem = plugin.alloc(4)
    block = plugin.memory(mem)
    block[:] = b"mine"
    plugin._finish()
    assert block[:] == b"mine"
    with pytest.raises(ClosedError):
        block[:] = b"late"
    assert kernel.read(mem.offset) == b"mine"


def test_null_and_unknown_handles_are_empty() -> None:
    plugin = CurrentPlugin(FakeKernel())
    for handle in (0, 81, -1, 2**63):
        mem = plugin.memory_at_offset(handle)
        assert mem.length == 0
        assert plugin.memory(mem)[:] == b""
        assert plugin.input_bytes(Val(ValType.I64, handle)) == b""
        assert plugin.input_string(Val(ValType.I64, handle)) == ""
    with pytest.raises(UsageTypeError):
        plugin.memory_at_offset("80")  # type: ignore[arg-type]


def test_alloc_and_free() -> None:
    kernel = FakeKernel(4096)
    plugin = CurrentPlugin(kernel)
    assert (plugin.alloc(0).offset, plugin.alloc(10**9).offset) == (0, 0)
    with pytest.raises(OverflowError):
        plugin.alloc(-1)
    mem = plugin.alloc(3)
    plugin.free(mem)
    plugin.free(mem)
    plugin.free(Memory(0, 0))
    assert kernel.freed == [mem.offset]


def test_the_host_context_is_the_same_object() -> None:
    context: list[int] = []
    plugin = CurrentPlugin(FakeKernel(context=context))
    plugin.host_context().append(1)
    assert context == [1]
    assert CurrentPlugin(FakeKernel()).host_context() is None
