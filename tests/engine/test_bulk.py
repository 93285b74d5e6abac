"""Payloads by copying (docs/wire.md, fumehood_bulk): as the kernel's way, and safe from liars."""

from __future__ import annotations

import gc
import struct
import threading
import weakref
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fumehood.engine import HostCall, HostImport, NamedModule, Sandbox, Template, load_module
from fumehood.engine.bulk import LEAST, MAGIC
from fumehood.engine.bulkfile import BulkInfo
from fumehood.errors import (
    Error,
    Exit,
    LimitError,
    OutOfFuel,
    OutOfMemory,
    PluginError,
    ProtocolError,
    Timeout,
    TooMuch,
    Trap,
)
from fumehood.imports import Services
from fumehood.limits import Limits
from fumehood.meter import Meter
from tests.counts import HYPOTHESIS_EXAMPLES
from tests.engine.bulkguest import (
    AT,
    BUFFER,
    CAPACITY,
    ECHO,
    GLOBAL,
    HOST,
    INPUT,
    MEMORY,
    PAGE,
    ROOM,
    WORDS,
    answer,
    guest,
    is_merged,
    load,
    store,
    wat,
)
from tests.engine.support import Guest

BIG = bytes(range(256)) * 64
"""16 KiB."""
RUN = '(func (export "run") (result i32) {} (i32.const 0))'
TABLE = '(table (export "memory") 1 funcref)'
EXIT = '(import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))'


@pytest.fixture(params=["merged", "beside"])
def merged(request: pytest.FixtureRequest) -> bool:
    """Every case twice: the kernel linked into the guest, and as an instance beside it."""
    return bool(request.param == "merged")


def reserve(body: str) -> str:
    """A `fumehood_reserve` of another sort."""
    return f'(func (export "fumehood_reserve") (param i32) (result i32) {body})'


def words(data: bytes) -> tuple[int, ...]:
    return struct.unpack("<8I", data)


# -- what the document says ------------------------------------------------------------------------


def test_the_words_before_a_call(merged: bool) -> None:
    with guest(wat(WORDS), merged=merged) as g:
        assert is_merged(g) is merged
        assert words(g.call("words")) == (MAGIC, 1, 0, 0, 0, 0, 0, 0)
        assert words(g.call("words", BIG)) == (MAGIC, 1, len(BIG), PAGE, len(BIG), 0, 0, 0)
        # that call did not take its input: the next one may not find it
        assert words(g.call("words")) == (MAGIC, 1, len(BIG), PAGE, 0, 0, 0, 0)
        assert words(g.call("words", b"abc")) == (MAGIC, 1, len(BIG), PAGE, 3, 0, 0, 0)


def test_room_is_asked_for_where_it_is_worth_it_and_kept() -> None:
    asked: list[int] = []
    see = HostImport("t", "see", "i", "", lambda _call, n: asked.append(n))
    room = ROOM.replace("(call $grow", "(call $see (local.get 0)) (call $grow", 1)
    source = wat(room=room).replace(
        "(module", '(module (import "t" "see" (func $see (param i32)))', 1
    )
    with guest(source, see) as g:
        for size in (0, 1, LEAST - 1, LEAST, 1, LEAST, LEAST + 1, LEAST, 100_000, 0, 99_999):
            assert g.call("echo", b"x" * size) == b"x" * size
    assert asked == [LEAST, LEAST + 1, 100_000]


def test_an_answer_lasts_for_one_call(merged: bool) -> None:
    once = f'(func (export "once") (result i32) {store(INPUT, 0)} (i32.const 0))'
    with guest(wat(once), merged=merged) as g:
        assert g.call("echo", BIG) == BIG
        assert g.call("once", BIG) == b""
        assert g.call("once") == b""


def test_an_answer_here_stands_before_one_in_the_kernel(merged: bool) -> None:
    both = RUN.format(
        "(call $output_set (call $alloc (i64.const 5)) (i64.const 5))" + answer(AT, 4)
    )
    with guest(wat(both), merged=merged) as g:
        assert g.call("run") == b"FHB1"


def test_errors_take_the_kernels_way_and_stand_before_answers(merged: bool) -> None:
    fail = f"""(func (export "fail") (result i32) (local $h i64)
      (local.set $h (call $alloc (i64.const 2)))
      (call $store_u8 (local.get $h) (i32.const 110))
      (call $store_u8 (i64.add (local.get $h) (i64.const 1)) (i32.const 111))
      (call $error_set (local.get $h)) {answer(AT, 4)} (i32.const 7))"""
    with guest(wat(fail), merged=merged) as g:
        with pytest.raises(PluginError, match="no") as caught:
            g.call("fail", BIG)
        assert caught.value.rc == 7
        assert g.call("echo", BIG) == BIG


def test_a_payload_may_be_larger_than_the_kernels_memory() -> None:
    data = b"0123456789abcdef" * (1 << 17)
    with guest(wat(), kernel_memory=1 << 20) as g:
        assert g.call("echo", data) == data


def test_where_there_is_no_room_the_kernel_takes_the_input(merged: bool) -> None:
    with guest(wat(room=reserve("(i32.const 0)")), merged=merged) as g:
        assert g.call("echo", BIG) == BIG
        assert g.call("echo", b"") == b""


def test_without_room_on_either_side_the_kernel_says_so() -> None:
    source = wat(room=reserve("(i32.const 0)"))
    with guest(source, kernel_memory=1 << 20) as g:
        with pytest.raises(OutOfMemory) as caught:
            g.call("echo", bytes(2 << 20))
        assert caught.value.limit == "kernel_memory"
        assert g.call("echo", BIG) == BIG


def test_exports_that_are_not_named_are_called_as_any_others(merged: bool) -> None:
    """Where names are given: beside ours a module may have exports that know nothing of this."""
    names = """(global (export "fumehood_bulk:words") i32 (i32.const 0))
      (global (export "fumehood_bulk:first,second") i32 (i32.const 0))"""
    with guest(wat(names + WORDS), merged=merged) as g:
        bulk = g.template.main.bulk
        assert bulk == BulkInfo(AT, frozenset({"words", "first", "second"}))
        before = g.call("words", BIG)
        assert words(before)[4] == len(BIG)
        assert g.call("echo", BIG) == BIG
        assert g.sandbox.blocks is not None
        assert g.sandbox.blocks.reach() > len(BIG)  # by the kernel
        assert words(g.call("words", b"abc"))[4] == 3


SIZES = st.lists(
    st.one_of(
        st.integers(0, 64),
        st.integers(LEAST - 9, LEAST + 9),
        st.integers(0, 40_000),
        st.sampled_from([PAGE - 1, PAGE, PAGE + 1, 3 * PAGE]),
    ),
    max_size=12,
)


@given(SIZES, st.randoms(use_true_random=False), st.booleans())
@settings(max_examples=HYPOTHESIS_EXAMPLES, deadline=None)
def test_any_sequence_gives_what_the_kernels_way_gives(
    sizes: list[int], random: Any, merged: bool
) -> None:
    plain = wat(head="", room="", echo=ECHO)
    with guest(wat(), merged=merged) as ours, guest(plain, merged=merged) as theirs:
        assert ours.sandbox.bulk is not None
        assert theirs.sandbox.bulk is None
        for size in sizes:
            data = random.randbytes(size)
            assert ours.call("echo", data) == theirs.call("echo", data) == data


@pytest.mark.parametrize("kind", [bytes, bytearray, memoryview])
def test_every_kind_of_bytes_goes_in(kind: Any) -> None:
    with guest(wat()) as g:
        assert g.call("echo", kind(BIG)) == BIG
        assert g.call("echo", kind(b"ab")) == b"ab"


# -- memory that grows, instances that come and go -------------------------------------------------


def test_memory_may_grow_between_and_during_calls(merged: bool) -> None:
    """The buffer moves into pages that were not there before; so does an answer."""
    move = RUN.format(
        store(BUFFER, "(i32.mul (memory.grow (i32.const 1)) (i32.const 65536))")
        + store(CAPACITY, 65_536)
    )
    last = """(func (export "last") (result i32) (local $p i32)
      (local.set $p (i32.mul (memory.grow (i32.const 1)) (i32.const 65536)))
      (i32.store8 (i32.add (local.get $p) (i32.const 65535)) (i32.const 33))
      """ + answer("(i32.add (local.get $p) (i32.const 65534))", 2)
    with guest(wat(move + last + "(i32.const 0))"), merged=merged) as g:
        for turn in range(1, 4):
            g.call("run")
            assert g.call("echo", BIG) == BIG
            assert g.call("last") == b"\0!"
            assert g.sandbox.memory_sizes() == [(2 + 2 * turn) * PAGE]


def test_fresh_instances_know_nothing_of_each_other(merged: bool) -> None:
    with guest(wat(WORDS), merged=merged) as g:
        g.call("echo", BIG)
        meter = Meter(g.limits)
        with g.template.instantiate(Services(), g.limits, meter) as other:
            assert words(other.call("words", b"", meter)) == (MAGIC, 1, 0, 0, 0, 0, 0, 0)
            assert other.call("echo", b"y" * 5000, meter) == b"y" * 5000
        assert g.call("echo", BIG) == BIG


def test_close_gives_the_views_up(merged: bool) -> None:
    with guest(wat(), merged=merged) as g:
        g.call("echo", BIG)
        bulk = g.sandbox.bulk
        assert bulk is not None
        g.sandbox.close()
        assert g.sandbox.bulk is None
        for view in (bulk._view, bulk._words):
            with pytest.raises(ValueError, match="released"):
                len(view)


def test_a_closed_sandbox_goes_at_once(merged: bool) -> None:
    g = guest(wat(), merged=merged)
    g.call("echo", BIG)
    seen = weakref.ref(g.sandbox)
    gc.disable()
    try:
        g.sandbox.close()
        del g.sandbox
        g.meter = Meter(g.limits)
        assert seen() is None
    finally:
        gc.enable()
        g.template.close()


def test_calls_of_many_threads_keep_their_payloads(merged: bool) -> None:
    wrong: list[object] = []

    def work(letter: bytes, sandbox: Sandbox, limits: Limits) -> None:
        try:
            for size in (10, 5_000, 70_000, 0, 8_000):
                data = letter * size
                if sandbox.call("echo", data, Meter(limits)) != data:
                    wrong.append((letter, size))
        except Error as problem:
            wrong.append(problem)

    with guest(wat(), merged=merged) as g:
        threads = [
            threading.Thread(target=work, args=(bytes([65 + n]), g.sandbox, g.limits))
            for n in range(8)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
    assert wrong == []


def test_of_several_modules_only_the_main_ones_own_memory_is_used() -> None:
    """A library has the names too, its descriptor another address: nobody looks there."""
    library = """(module (memory (export "memory") 1)
      (global (export "fumehood_bulk") i32 (i32.const 65532))
      (func (export "fumehood_reserve") (param i32) (result i32) unreachable))"""
    modules = [
        NamedModule("library", load_module(library.encode())),
        NamedModule("main", load_module(wat(WORDS).encode())),
    ]
    limits = Limits()
    made = Template(modules, [])
    with made.instantiate(None, limits, Meter(limits)) as sandbox:
        assert sandbox.call("echo", BIG, Meter(limits)) == BIG
        assert words(sandbox.call("words", b"", Meter(limits)))[:3] == (MAGIC, 1, len(BIG))
    made.close()
    theirs = '(import "library" "memory" (memory 1)) (export "memory" (memory 0))'
    main = load_module(wat(memory=theirs, room=reserve("unreachable")).encode())
    assert main.bulk is None
    made = Template([modules[0], NamedModule("main", main)], [])
    with made.instantiate(None, limits, Meter(limits)) as sandbox:
        assert sandbox.call("echo", BIG, Meter(limits)) == BIG
    made.close()


# -- what is passed over ---------------------------------------------------------------------------


def exported(kind: str, where: int | str = AT) -> str:
    value = where if isinstance(where, str) else f"(i32.const {where})"
    return f'(global (export "fumehood_bulk") {kind} {value})'


@pytest.mark.parametrize(
    "changes",
    [
        {"room": ""},
        {"head": ""},
        {"head": exported("(mut i32)")},
        {"head": exported("i64", f"(i64.const {AT})")},
        {"head": exported("f32", "(f32.const 1024)")},
        {"head": exported("i32", f"(i32.add (i32.const {AT}) (i32.const 0))")},
        {"head": exported("i32", AT + 2)},
        {"head": '(func (export "fumehood_bulk"))'},
        {"room": '(func (export "fumehood_reserve") (param i64) (result i32) unreachable)'},
        {"room": '(func (export "fumehood_reserve") (param i32) unreachable)'},
        {"room": '(func (export "fumehood_reserve") (result i32) unreachable)'},
        {"room": '(global (export "fumehood_reserve") i32 (i32.const 0))'},
        {"memory": MEMORY.replace("memory", "mem", 2).replace("(mem ", "(memory ")},
        {"memory": f'(memory 2) (data (i32.const {AT}) "FHB1") {TABLE}'},
        {"head": "(global i32 (i32.const 0))" * 10_000 + GLOBAL},
    ],
    ids="-".join,
)
def test_what_is_not_as_written_is_passed_over(changes: dict[str, str], merged: bool) -> None:
    with guest(wat(**changes), merged=merged) as g:
        assert g.sandbox.bulk is None
        assert g.call("echo", BIG) == BIG


@pytest.mark.parametrize(
    "before",
    [
        "(global i64 (i64.const -5))",
        "(global (mut f64) (f64.const nan))",
        "(global v128 (v128.const i64x2 -1 11))",
        "(global funcref (ref.null func)) (global (ref null extern) (ref.null extern))",
        "(global funcref (ref.func $f)) (func $f) (elem declare func $f)",
        "(global i32 (i32.add (i32.const 1) (i32.const 11)))",
    ],
)
def test_globals_before_the_descriptors_are_stepped_over(before: str) -> None:
    assert load_module(wat(head=before + GLOBAL).encode()).bulk == BulkInfo(AT, None)


def test_an_address_in_the_upper_half_is_unsigned() -> None:
    source = wat(head=exported("i32", -32))
    assert load_module(source.encode()).bulk == BulkInfo((1 << 32) - 32, None)
    with pytest.raises(ProtocolError, match="descriptor lies outside"):
        guest(source)


# -- lies ------------------------------------------------------------------------------------------


def test_a_descriptor_without_its_magic_is_refused(merged: bool) -> None:
    with pytest.raises(ProtocolError, match="FHB1"):
        guest(wat(memory='(memory (export "memory") 2)'), merged=merged)


@pytest.mark.parametrize("address", [2 * PAGE - 28, 2 * PAGE - 4, 2 * PAGE, 1 << 30])
def test_a_descriptor_outside_the_memory_is_refused(address: int, merged: bool) -> None:
    with pytest.raises(ProtocolError, match="bulk descriptor lies outside"):
        guest(wat(head=exported("i32", address)), merged=merged)


def test_a_descriptor_at_the_very_end_is_none() -> None:
    address = 2 * PAGE - 32
    memory = f'(memory (export "memory") 2) (data (i32.const {address}) "FHB1")'
    copy = RUN.format(
        f"(i32.store (i32.const {address + 20}) (i32.const {address}))"
        f"(i32.store (i32.const {address + 24}) (i32.const 8))"
    )
    source = wat(copy, head=exported("i32", address), memory=memory)
    with guest(source) as g:
        assert g.call("run") == b"FHB1\1\0\0\0"


@pytest.mark.parametrize(
    ("at", "capacity", "ok"),
    [
        (2 * PAGE - len(BIG), len(BIG), True),
        (2 * PAGE - len(BIG), 0xFFFFFFFF, True),
        (2 * PAGE - len(BIG) + 1, len(BIG), False),
        (2 * PAGE, 0xFFFFFFFF, False),
        (0xFFFFFFFF, 0xFFFFFFFF, False),
        (0xFFFFFFFF - len(BIG) + 1, len(BIG), False),
    ],
)
def test_a_buffer_must_lie_in_the_memory(at: int, capacity: int, ok: bool, merged: bool) -> None:
    lie = RUN.format(store(BUFFER, at) + store(CAPACITY, capacity))
    with guest(wat(lie), merged=merged) as g:
        g.call("run")
        if ok:
            assert g.call("echo", BIG) == BIG
            return
        with pytest.raises(ProtocolError, match="input buffer lies outside"):
            g.call("echo", BIG)
        assert g.call("echo") == b""


def test_a_buffer_over_the_descriptor_harms_only_its_guest(merged: bool) -> None:
    lie = RUN.format(store(BUFFER, AT - 64) + store(CAPACITY, 1 << 20))
    with guest(wat(lie), merged=merged) as g:
        g.call("run")
        for _ in range(2):
            with pytest.raises(ProtocolError, match="lies outside its memory"):
                g.call("echo", b"\xff" * 2000)
        assert g.call("echo") == b""


@pytest.mark.parametrize(
    ("body", "why"),
    [
        ("(i32.const 65536)", "gave 65536 for 16384 bytes, its descriptor says 0 at 0"),
        ("(i32.const -1)", "gave 4294967295"),
        (store(CAPACITY, 1 << 20) + store(BUFFER, 80) + "(i32.const 96)", "says 1048576 at 80"),
        (store(CAPACITY, 16383) + store(BUFFER, 96) + "(i32.const 96)", "says 16383 at 96"),
        (store(CAPACITY, -1) + store(BUFFER, -80) + "(i32.const -80)", "lies outside its memory"),
        (store(CAPACITY, -1) + store(BUFFER, 2 * PAGE) + f"(i32.const {2 * PAGE})", "lies outside"),
    ],
)
def test_a_reservation_that_does_not_hold_is_refused(body: str, why: str, merged: bool) -> None:
    with guest(wat(room=reserve(body)), merged=merged) as g:
        with pytest.raises(ProtocolError, match=why):
            g.call("echo", BIG)
        assert g.call("echo") == b""


@pytest.mark.parametrize(
    ("body", "error", "limit"),
    [
        ("unreachable", Trap, None),
        ("(loop $l (br $l)) (i32.const 0)", Timeout, "deadline"),
        ("(call $exit (i32.const 3)) (i32.const 0)", Exit, None),
        ("(call $exit (i32.const 0)) (i32.const 0)", Exit, None),
    ],
)
def test_a_reservation_that_does_not_return_ends_as_an_export_does(
    body: str, error: type[Error], limit: str | None, merged: bool
) -> None:
    source = wat(room=reserve(body)).replace("(module", f"(module {EXIT}", 1)
    with guest(source, merged=merged, deadline=0.2) as g:
        with pytest.raises(error) as caught:
            g.call("echo", BIG)
        assert getattr(caught.value, "limit", None) == limit
        assert g.sandbox.dead


def test_a_reservation_is_paid_by_its_call(merged: bool) -> None:
    spin = """(local $i i32) (loop $l
      (br_if $l (i32.lt_u (local.tee $i (i32.add (local.get $i) (i32.const 1)))
        (i32.const 100000)))) (i32.const 0)"""
    source = wat(room=reserve(spin))
    with guest(source, merged=merged) as g:
        g.call("echo", BIG)
        assert 500_000 < g.meter.receipt().fuel < 2_000_000
        g.call("echo", b"small")
        assert g.meter.receipt().fuel < 10_000
    with guest(source, merged=merged, fuel=100_000) as g, pytest.raises(OutOfFuel):
        g.call("echo", BIG)


def test_a_reservation_cannot_answer_or_fail_for_the_call(merged: bool) -> None:
    """What it leaves in the kernel's registers and in the output words is forgotten."""
    body = f"""(local $h i64) (local.set $h (call $alloc (i64.const 3)))
      (call $error_set (local.get $h)) (call $output_set (local.get $h) (i64.const 3))
      {answer(AT, 4)}"""
    room = f"{store(CAPACITY, 1 << 14)} {store(BUFFER, PAGE)} (i32.const {PAGE})"
    none = RUN.format(store(INPUT, 0))
    for end in (room, "(i32.const 0)"):
        with guest(wat(none, room=reserve(body + end)), merged=merged) as g:
            assert g.call("run", BIG) == b""
            assert g.call("echo", BIG) == BIG


@pytest.mark.parametrize("ends", ["well", "in a trap"])
def test_what_a_host_function_lends_to_a_reservation_ends_with_the_call(
    ends: str, merged: bool
) -> None:
    kept: list[memoryview] = []

    def keep(call: HostCall) -> None:
        handle = call.alloc(8)
        assert handle  # the kernel is ready for it
        kept.append(call.view(handle, 8))

    after = (
        f"{store(CAPACITY, 1 << 14)} {store(BUFFER, PAGE)} (i32.const {PAGE})"
        if ends == "well"
        else "unreachable"
    )
    source = wat(room=reserve("(call $keep)" + after)).replace(
        "(module", '(module (import "t" "keep" (func $keep))', 1
    )
    with guest(source, HostImport("t", "keep", "", "", keep), merged=merged) as g:
        if ends == "well":
            assert g.call("echo", BIG) == BIG
        else:
            with pytest.raises(Trap):
                g.call("echo", BIG)
        with pytest.raises(ValueError, match="released"):
            len(kept[0])


@pytest.mark.parametrize(
    ("at", "length"),
    [
        (2 * PAGE - 1, 2),
        (2 * PAGE, 1),
        (-1, 1),
        (-1, 1 << 20),
        (1, 2 * PAGE),
        (-(1 << 19), 1 << 20),
    ],
)
def test_an_answer_must_lie_in_the_memory(at: int, length: int, merged: bool) -> None:
    with guest(wat(RUN.format(answer(at, length))), merged=merged) as g:
        with pytest.raises(ProtocolError, match="the output lies outside its memory"):
            g.call("run")
        assert g.call("echo", BIG) == BIG


def test_an_answer_may_be_the_whole_memory(merged: bool) -> None:
    with guest(wat(RUN.format(answer(0, 2 * PAGE))), merged=merged) as g:
        assert len(g.call("run")) == 2 * PAGE


def test_sizes_are_limited_as_ever(merged: bool) -> None:
    source = wat(RUN.format(answer(0, -1)))
    with guest(source, merged=merged, input_bytes=20_000, output_bytes=10_000) as g:
        assert len(g.call("echo", bytes(10_000))) == 10_000
        with pytest.raises(TooMuch) as caught:
            g.call("echo", bytes(10_001))
        assert caught.value.limit == "output_bytes"
        with pytest.raises(TooMuch, match="4294967295"):
            g.call("run")
        with pytest.raises(TooMuch) as caught:
            g.call("echo", bytes(20_001))
        assert caught.value.limit == "input_bytes"


def test_a_reservation_cannot_pass_the_memory_limit() -> None:
    with guest(wat(), memory=4 * PAGE, deadline=5.0) as g:
        with pytest.raises((ProtocolError, LimitError)):
            g.call("echo", bytes(8 * PAGE))
        assert sum(g.sandbox.memory_sizes()) <= 4 * PAGE


def test_a_descriptor_that_changes_in_a_call_is_read_as_it_stands(merged: bool) -> None:
    wipe = RUN.format(f"(memory.fill (i32.const {AT}) (i32.const 255) (i32.const 32))")
    calm = f"""(func (export "calm") (result i32) {store(AT, 0)} {store(HOST, 0)}
      {answer(load(BUFFER), load(INPUT))} (i32.const 0))"""
    with guest(wat(wipe + calm), merged=merged) as g:
        assert g.call("calm", BIG) == BIG  # the magic is looked at once
        with pytest.raises(TooMuch):
            g.call("run", BIG)
        with pytest.raises(ProtocolError, match="input buffer"):
            g.call("echo", BIG)
        assert g.call("echo") == b""


def test_a_host_function_may_see_the_descriptor_change_under_it(merged: bool) -> None:
    """The input is in the buffer before the guest runs, whatever it does to the words after."""
    seen: list[bytes] = []

    def look(call: HostCall) -> None:
        del call
        seen.append(b"called")

    body = RUN.format(
        store(CAPACITY, 0) + "(call $look)" + store(BUFFER, 0) + answer(PAGE, len(BIG))
    )
    source = wat(body).replace("(module", '(module (import "t" "look" (func $look))', 1)
    with guest(source, HostImport("t", "look", "", "", look), merged=merged) as g:
        assert g.call("run", BIG) == BIG
        assert g.call("run", BIG) == BIG
    assert seen == [b"called"] * 2


def test_a_guest_that_fails_while_it_is_made_leaves_nothing_behind() -> None:
    for source in (wat(memory='(memory (export "memory") 2)'), wat(head=exported("i32", 1 << 30))):
        for _ in range(3):
            with pytest.raises(ProtocolError) as caught:
                Guest(source)
            assert caught.value.receipt is not None


WORD = st.one_of(
    st.integers(0, 0xFFFFFFFF),
    st.sampled_from([0, 1, 80, AT, PAGE, 2 * PAGE - 1, 2 * PAGE, 1 << 31, 0xFFFFFFFF]),
    st.integers(0, 40_000),
    st.integers(0xFFFF0000, 0xFFFFFFFF),
)
LIES = st.tuples(*[WORD] * 8)
"""The words that a guest puts into its descriptor."""


@given(LIES, LIES, LIES, WORD, st.integers(0, 40_000), st.booleans())
@settings(max_examples=HYPOTHESIS_EXAMPLES, deadline=None)
def test_whatever_the_words_say_a_call_gives_the_guests_bytes_or_an_error(
    first: tuple[int, ...],
    reserved: tuple[int, ...],
    called: tuple[int, ...],
    given_back: int,
    size: int,
    merged: bool,
) -> None:
    """The model: a range inside the guest's 128 KiB is copied, any other is an error."""
    script = [*first]
    tell = HostImport("t", "word", "i", "i", lambda _call, n: script[n])
    say = "".join(store(AT + 4 * n, f"(call $word (i32.const {n}))") for n in range(8))
    next_one = '(import "t" "next" (func $next))'

    def turn(_call: HostCall) -> None:
        script[:] = stages.pop(0)

    source = wat(
        RUN.format("(call $next)" + say),
        room=reserve(f"(call $next) {say} (i32.const {given_back - (given_back >> 31 << 32)})"),
    ).replace(
        "(module",
        f'(module (import "t" "word" (func $word (param i32) (result i32))) {next_one}',
        1,
    )
    with guest(source, tell, HostImport("t", "next", "", "", turn), merged=merged) as g:
        stages = [first]
        _told(g, b"", first)
        data = b"x" * size
        asks = bool(size) and first[2] < size and size >= LEAST
        stages = [reserved, called] if asks else [called]
        room = reserved if asks else first
        if not size or room[2] < size or (asks and not given_back):
            room = ()
        if asks and given_back and (not room or room[3] != given_back):
            with pytest.raises(ProtocolError, match="fumehood_reserve gave"):
                g.call("run", data)
        elif room and room[3] + size > 2 * PAGE:
            with pytest.raises(ProtocolError, match="the input buffer lies outside"):
                g.call("run", data)
        else:
            _told(g, data, called)


def _told(g: Guest, data: bytes, answered: tuple[int, ...]) -> None:
    """A call whose guest answers with these words."""
    at, length = answered[5:7]
    if length > g.limits.output_bytes:
        with pytest.raises(TooMuch):
            g.call("run", data)
    elif length and at + length > 2 * PAGE:
        with pytest.raises(ProtocolError, match="the output lies outside"):
            g.call("run", data)
    else:
        assert len(g.call("run", data)) == length
