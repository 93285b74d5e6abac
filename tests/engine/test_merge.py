"""A guest linked with the kernel does what it does beside one, and what is unusual is left alone.

The kernel's own cases run on both in test_kernel.py, the guests of every language (tests/guests)
through the merged path by default; here are the linker's corners.
"""

from __future__ import annotations

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fumehood.engine import load_module
from fumehood.engine.declared import declarations
from fumehood.engine.module import MERGED_PAGES, to_binary
from fumehood.engine.wasmcode import UnusualError, read_sections, read_uleb, sleb, uleb
from fumehood.errors import Error, LoadError, OutOfFuel, OutOfMemory, Timeout, Trap
from fumehood.imports import Services, wasi
from tests.counts import HYPOTHESIS_EXAMPLES
from tests.engine.support import Guest, env
from tests.guests import guest as built

BESIDE = 32 << 20
"""A kernel of another size than the default takes an instance of its own."""
MEMORY = '(memory (export "memory") 1)'


def both(
    wat: str | bytes, export: str = "run", data: bytes = b"", **limits: object
) -> list[object]:
    """(output or error class and its words) with the kernel merged in, and beside."""
    results: list[object] = []
    for kernel in (MERGED_PAGES * 65536, BESIDE):
        try:
            with Guest(wat, kernel_memory=kernel, **limits) as guest:
                results.append(guest.call(export, data))
        except Error as problem:
            results.append((type(problem).__name__, problem.message, getattr(problem, "rc", 0)))
    return results


def test_every_size_of_input_comes_back_whole_on_both_paths() -> None:
    wasm = built("rust/echo")
    assert load_module(wasm).merged == MERGED_PAGES
    sizes = [*range(40), 63, 64, 65, 4095, 4096, 65535, 65536, 65537, 200_001, 1_300_007]
    for kernel in (MERGED_PAGES * 65536, BESIDE):
        with Guest(wasm, wasi.imports(), services=Services(), kernel_memory=kernel) as guest:
            for size in sizes:
                data = random.Random(size).randbytes(size)
                assert guest.call("echo", data) == data, (kernel, size)


@pytest.mark.parametrize(
    "body",
    [
        # a start function runs once, after the limits are set
        "(global $g (mut i32) (i32.const 0)) (func $s (global.set $g (i32.const 7))) (start $s) "
        '(func (export "run") (result i32) (i32.sub (global.get $g) (i32.const 7)))',
        # indirect calls keep their functions, kernel functions among them
        "(type $t (func (result i64))) (table 3 funcref) (elem (i32.const 0) $input_length $a $b) "
        "(func $a (result i64) (i64.const 5)) (func $b (result i64) (i64.const 6)) "
        '(func (export "run") (result i32) (i32.wrap_i64 (i64.sub (i64.add '
        "(call_indirect (type $t) (i32.const 0)) (i64.add (call_indirect (type $t) (i32.const 1)) "
        "(call_indirect (type $t) (i32.const 2)))) (i64.const 14))))",
        # a branch table, floats, and constants whose bytes look like opcodes
        '(func (export "run") (result i32) (local f64) (block (block (br_table 0 1 1 '
        "(i32.const 0))) (local.set 0 (f64.const 0x1.10101010101p+16))) "
        "(i32.wrap_i64 (i64.sub (call $input_length) (i64.const 3))))",
        # vectors
        '(func (export "run") (result i32) (i32x4.extract_lane 1 (v128.const i32x4 9 0 9 9)))',
        # traps and bulk memory
        '(func (export "run") (memory.fill (i32.const 65535) (i32.const 1) (i32.const 2)))',
        '(func (export "run") (result i32) (i32.wrap_i64 (i64.div_u (i64.const 1) '
        "(i64.sub (call $input_length) (i64.const 3)))))",
    ],
    ids=["start", "indirect", "br_table", "simd", "fill", "trap"],
)
def test_both_paths_agree(body: str) -> None:
    wat = f"(module {env('input_length', 'alloc')} {MEMORY} {body})"
    assert load_module(wat.encode()).merged == MERGED_PAGES
    merged, beside = both(wat, data=b"abc")
    assert merged == beside


@pytest.mark.parametrize(
    "wat",
    [
        f"(module {env('alloc')})",
        f'(module {env("alloc")} {MEMORY} (func (export "fh:meta")))',
        f'(module {env("alloc")} {MEMORY} (export "fh:meta" (memory 0))'
        ' (export "fh:memory" (memory 0)) (func (export "fh:alloc")) (func (export "fh:free")))',
        f"(module {env('alloc')} {MEMORY} (table 1 funcref) (func $f) (elem func $f))",
        f"(module {env('alloc')} {MEMORY} (func $f) (elem declare func $f) "
        "(global funcref (ref.func $f)))",
    ],
    ids=["no memory", "reserved name", "forged kernel", "passive elements", "function in a global"],
)
def test_what_is_unusual_runs_with_a_kernel_beside_it(wat: str) -> None:
    text = wat[:-1] + ' (func (export "run") (drop (call $alloc (i64.const 8)))))'
    assert load_module(text.encode()).merged is None
    assert both(text) == [b"", b""]


def test_the_kernel_cannot_be_reached_as_an_export_or_an_import() -> None:
    wat = f'(module {env("alloc")} {MEMORY} (func (export "run")))'
    module = load_module(wat.encode())
    assert module.merged is not None
    assert set(module.exports) == {"memory", "run"}
    with Guest(wat) as guest:
        for name in ("fh:alloc", "fh:free", "fh:memory", "fh:meta"):
            with pytest.raises(Error, match="Function not found"):
                guest.call(name)
    with pytest.raises(LoadError):
        load_module(f"(module {MEMORY} (func (drop (i32.load 1 (i32.const 0)))))".encode())
    with pytest.raises(LoadError):
        load_module(f"(module {MEMORY} (func (drop (memory.size 2))))".encode())


def test_limits_hold_in_the_start_function_of_a_merged_guest() -> None:
    head = f"(module {env('alloc')} {MEMORY}"
    grow = f"""{head} (func $s (if (i32.eq (memory.grow (i32.const 16)) (i32.const -1))
      (then (unreachable)))) (start $s))"""
    with pytest.raises((OutOfMemory, Trap)):
        Guest(grow, memory=16 * 65536)
    Guest(grow, memory=17 * 65536).sandbox.close()
    loop = f"{head} (func $s (loop (br 0))) (start $s))"
    with pytest.raises(OutOfFuel):
        Guest(loop, fuel=10_000)
    with pytest.raises(Timeout):
        Guest(loop, fuel=None, guest_time=0.05)


def test_a_small_guest_limit_does_not_bound_the_merged_kernel() -> None:
    wat = f"""(module {env("input_offset", "input_length", "output_set")} {MEMORY}
      (func (export "run") (call $output_set (call $input_offset) (call $input_length))))"""
    data = bytes(range(256)) * 4096
    with Guest(wat, memory=65536) as guest:
        assert guest.call("run", data) == data


@given(st.integers(0, (1 << 64) - 1))
def test_unsigned_numbers_come_back(value: int) -> None:
    assert read_uleb(uleb(value) + b"\xff", 0) == (value, len(uleb(value)))


@given(st.integers(-(1 << 63), (1 << 63) - 1))
def test_signed_numbers_end_with_their_sign(value: int) -> None:
    data = sleb(value)
    assert all(byte & 0x80 for byte in data[:-1])
    decoded = sum((byte & 0x7F) << (7 * i) for i, byte in enumerate(data))
    bits = 7 * len(data)
    assert (decoded - (1 << bits) if data[-1] & 0x40 else decoded) == value


@settings(max_examples=HYPOTHESIS_EXAMPLES)
@given(st.binary(max_size=200))
def test_readers_never_fail_in_another_way(data: bytes) -> None:
    for reader in (lambda d: list(read_sections(d)), declarations):
        try:
            reader(b"\0asm\1\0\0\0" + data)
        except (UnusualError, IndexError, LoadError):
            continue


def test_declarations_are_what_the_text_says() -> None:
    found = declarations(
        to_binary(
            b'(module (import "m" "f" (func (param i32 i64 f32 f64 v128) (result externref)))'
            b'(import "m" "t" (table 1 2 funcref)) (import "m" "g" (global (mut i64)))'
            b'(memory (export "memory") 1) (func (export "run") (result i32) (i32.const 0)))'
        )
    )
    assert [(i.name, i.kind, i.params, i.results) for i in found.imports] == [
        ("f", "func", "iIfFv", "r"),
        ("t", "table", "", ""),
        ("g", "global", "", ""),
    ]
    assert {n: (e.kind, e.results) for n, e in found.exports.items()} == {
        "memory": ("memory", ""),
        "run": ("func", "i"),
    }
