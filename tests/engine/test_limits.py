"""Every limit that the engine enforces, at its boundary: the limit passes, one more fails."""

from __future__ import annotations

import dataclasses
import math
import time

import pytest

from fumehood.engine import HostImport
from fumehood.engine.module import CompiledModule
from fumehood.errors import (
    Error,
    OutOfFuel,
    OutOfMemory,
    Timeout,
    TooMuch,
    Trap,
)
from fumehood.limits import Limits
from fumehood.meter import Meter
from tests.engine.support import Guest, env

PAGE = 65536
ECHO = f"""(module {env("input_offset", "input_length", "output_set", "alloc")}
  (func (export "echo") (result i32)
    (call $output_set (call $input_offset) (call $input_length)) (i32.const 0))
  (func (export "out") (result i32)
    (call $output_set (call $alloc (i64.const 1000)) (i64.const 1000)) (i32.const 0)))"""
COUNTING = """(module (func (export "run") (local i32) (loop (br_if 0
  (i32.lt_u (local.tee 0 (i32.add (local.get 0) (i32.const 1))) (i32.const 100))))))"""
LOOP = '(module (func (export "run") (loop (br 0))))'


def test_every_limit_is_finite_by_default() -> None:
    for field in dataclasses.fields(Limits):
        value = getattr(Limits(), field.name)
        assert value is not None
        assert math.isfinite(value)
        assert value > 0


# -- fuel ---------------------------------------------------------------------------------------


def fuel_of(wat: str, export: str = "run") -> int:
    with Guest(wat) as guest:
        guest.call(export)
        return guest.meter.receipt().fuel


def test_fuel_passes_at_the_limit_and_fails_one_below() -> None:
    wat = COUNTING
    needed = fuel_of(wat)
    assert needed > 100
    with Guest(wat) as guest:
        exact = Limits(fuel=needed)
        guest.call("run", meter=Meter(exact))
        guest.call("run", meter=Meter(exact))
        with pytest.raises(OutOfFuel) as caught:
            guest.call("run", meter=Meter(Limits(fuel=needed - 1)))
    assert caught.value.limit == "fuel"
    assert caught.value.receipt is not None


def test_fuel_counts_down_over_the_calls_of_one_operation() -> None:
    wat = COUNTING
    needed = fuel_of(wat)
    with Guest(wat) as guest:
        meter = Meter(Limits(fuel=2 * needed))
        guest.call("run", meter=meter)
        guest.call("run", meter=meter)
        assert meter.receipt().fuel == 2 * needed
        with pytest.raises(OutOfFuel):
            guest.call("run", meter=meter)


def test_fuel_covers_the_start_section_and_initialisers() -> None:
    start = "(module (func $s (loop (br 0))) (start $s))"
    initialiser = '(module (func (export "_initialize") (loop (br 0))))'
    for wat in (start, initialiser):
        with pytest.raises(OutOfFuel):
            Guest(wat, fuel=10_000)


def test_fuel_can_be_off_and_is_still_counted() -> None:
    with Guest(ECHO, fuel=None) as guest:
        assert guest.call("echo", b"x") == b"x"
        assert 0 < guest.meter.receipt().fuel < 1000


def test_host_calls_cost_fuel_by_count_and_bytes() -> None:
    wat = f"""(module {env("alloc")} (import "t" "f" (func $f (param i64)))
      (func (export "run") (call $f (call $alloc (i64.const 40000)))))"""

    def read(call: object, handle: int) -> None:
        call.read(handle)  # type: ignore[attr-defined]

    def skip(_call: object, _handle: int) -> None:
        return None

    costs = []
    for function in (skip, read):
        with Guest(wat, [HostImport("t", "f", "I", "", function)]) as guest:
            guest.call("run")
            costs.append(guest.meter.receipt().fuel)
    assert costs[0] > 1000
    assert costs[1] - costs[0] == 10_000


# -- time ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("field", ["guest_time", "deadline"])
@pytest.mark.parametrize(
    "wat",
    [
        LOOP,
        "(module (func $s (loop (br 0))) (start $s))",
        '(module (func (export "_initialize") (loop (br 0))))',
        '(module (func (export "__wasm_call_ctors") (loop (br 0))))',
        '(module (func (export "hs_init") (param i32 i32) (loop (br 0))))',
    ],
    ids=["export", "start", "_initialize", "__wasm_call_ctors", "hs_init"],
)
def test_endless_loops_end_with_their_limit(field: str, wat: str) -> None:
    started = time.monotonic()
    with pytest.raises(Timeout) as caught, Guest(wat, fuel=None, **{field: 0.1}) as guest:
        guest.call("run")
    assert caught.value.limit == field
    assert time.monotonic() - started < 5


def test_a_host_function_is_covered_by_the_deadline_and_not_by_the_guests_time() -> None:
    wat = '(module (import "t" "f" (func $f)) (func (export "run") (call $f)))'

    def sleep(_call: object) -> None:
        time.sleep(0.15)

    imports = [HostImport("t", "f", "", "", sleep, timed=True)]
    with Guest(wat, imports, guest_time=0.1) as guest:
        guest.call("run")
        assert guest.meter.receipt().guest_time < 0.1
    with pytest.raises(Timeout) as caught, Guest(wat, imports, deadline=0.1) as guest:
        guest.call("run")
    assert caught.value.limit == "deadline"


def test_time_is_checked_when_a_call_returns_too() -> None:
    """No loop and no back edge follows the host call: nothing in the guest would notice."""
    wat = '(module (import "t" "f" (func $f)) (func (export "run") (call $f)))'

    def late(call: object) -> None:
        call.meter.deadline = time.monotonic()  # type: ignore[attr-defined]

    imports = [HostImport("t", "f", "", "", late)]
    with Guest(wat, imports) as guest:
        guest.call("run")
        with pytest.raises(Timeout):
            guest.call("run", meter=guest.meter)


def test_an_operation_that_is_over_time_starts_nothing_more() -> None:
    with Guest(ECHO) as guest:
        meter = Meter(Limits())
        meter.deadline = time.monotonic()
        with pytest.raises(Timeout):
            guest.call("echo", meter=meter)
        assert guest.call("echo", b"again") == b"again"


# -- memory -------------------------------------------------------------------------------------


def growing(pages: int) -> str:
    return f"""(module (memory (export "memory") 1)
      (func (export "run") (result i32)
        (if (i32.eq (memory.grow (i32.const {pages})) (i32.const -1)) (then (unreachable)))
        (i32.const 0))
      (func (export "polite") (result i32)
        (drop (memory.grow (i32.const {pages}))) (i32.const 0)))"""


def test_memory_passes_at_the_limit_and_fails_one_page_beyond() -> None:
    with Guest(growing(15), memory=16 * PAGE) as guest:
        guest.call("run")
        assert guest.meter.receipt().memory_peak >= 16 * PAGE
    with Guest(growing(16), memory=16 * PAGE) as guest:
        guest.call("polite")  # a guest that copes with a refusal is not failed
        with pytest.raises((OutOfMemory, Trap)):
            guest.call("run")


def test_a_trap_close_to_the_limit_is_inferred_to_be_about_memory() -> None:
    wat = """(module (memory (export "memory") 1) (func (export "run") (result i32)
      (loop (br_if 0 (i32.ne (memory.grow (i32.const 1)) (i32.const -1)))) (unreachable)))"""
    with Guest(wat, memory=64 * PAGE) as guest, pytest.raises(OutOfMemory) as caught:
        guest.call("run")
    assert (caught.value.limit, caught.value.inferred) == ("memory", True)
    with Guest('(module (memory 1) (func (export "run") unreachable))') as guest:
        with pytest.raises(Trap) as trapped:
            guest.call("run")
        assert trapped.value.reason == "unreachable"


def test_a_minimum_at_the_limit_loads_and_one_page_more_is_refused() -> None:
    with Guest('(module (memory 16) (func (export "run")))', memory=16 * PAGE) as guest:
        guest.call("run")
    with pytest.raises(OutOfMemory) as caught:
        Guest('(module (memory 17) (func (export "run")))', memory=16 * PAGE)
    assert (caught.value.limit, caught.value.inferred) == ("memory", False)


def test_kernel_memory_passes_at_the_limit_and_fails_one_beyond() -> None:
    size = 256 * 1024
    largest = size - 80 - 8
    with Guest(ECHO, kernel_memory=size) as guest:
        data = bytes(largest)
        assert guest.call("echo", data) == data
        with pytest.raises(OutOfMemory) as caught:
            guest.call("echo", bytes(largest + 1))
    assert caught.value.limit == "kernel_memory"


def test_the_kernels_limit_and_the_guests_are_apart() -> None:
    """The limiter of a store is per memory: a small guest limit must not bound the kernel."""
    data = bytes(5 * PAGE)
    with Guest(ECHO, memory=2 * PAGE, kernel_memory=16 * PAGE) as guest:
        assert guest.call("echo", data) == data


def test_table_elements_pass_at_the_limit_and_fail_one_beyond() -> None:
    wat = '(module (table {} funcref) (func (export "run")))'
    with Guest(wat.format(100), table_elements=100) as guest:
        guest.call("run")
    with pytest.raises(TooMuch) as caught:
        Guest(wat.format(101), table_elements=100)
    assert caught.value.limit == "table_elements"


def test_table_grow_beyond_the_limit_is_refused_to_the_guest() -> None:
    wat = """(module (table $t 1 funcref) (func (export "run") (result i32)
      (table.grow $t (ref.null func) (i32.const 99)) drop
      (i32.ne (table.grow $t (ref.null func) (i32.const 1)) (i32.const -1))))"""
    with Guest(wat, table_elements=100) as guest:
        assert guest.call("run") == b""


# -- bytes and counts ---------------------------------------------------------------------------


def test_input_bytes() -> None:
    with Guest(ECHO, input_bytes=100) as guest:
        assert guest.call("echo", bytes(100)) == bytes(100)
        with pytest.raises(TooMuch) as caught:
            guest.call("echo", bytes(101))
        assert caught.value.limit == "input_bytes"


def test_output_bytes() -> None:
    with Guest(ECHO, output_bytes=1000) as guest:
        assert len(guest.call("out")) == 1000
    with Guest(ECHO, output_bytes=999) as guest, pytest.raises(TooMuch) as caught:
        guest.call("out")
    assert caught.value.limit == "output_bytes"


def test_host_calls() -> None:
    wat = """(module (import "t" "f" (func $f)) (func (export "run") (local i32)
      (loop (call $f) (br_if 0
        (i32.lt_u (local.tee 0 (i32.add (local.get 0) (i32.const 1))) (i32.const 10))))))"""
    imports = [HostImport("t", "f", "", "", lambda _call: None)]
    with Guest(wat, imports, host_calls=10) as guest:
        guest.call("run")
        assert guest.meter.receipt().host_calls == 10
    with Guest(wat, imports, host_calls=9) as guest, pytest.raises(TooMuch) as caught:
        guest.call("run")
    assert caught.value.limit == "host_calls"


def test_a_stack_overflow_is_a_trap_with_its_reason() -> None:
    wat = '(module (func $f (export "run") (call $f)))'
    with Guest(wat) as guest, pytest.raises(Trap) as caught:
        guest.call("run")
    assert caught.value.reason == "stack_overflow"
    assert 0 < len(caught.value.backtrace) <= 32


def test_limit_errors_name_the_plugin_and_say_what_to_do() -> None:
    with Guest(LOOP, fuel=1000) as guest, pytest.raises(Error) as caught:
        guest.call("run", meter=Meter(Limits(fuel=1000), plugin="acme", sha256="ab"))
    assert caught.value.plugin == "acme"
    assert "limits.fuel" in (caught.value.hint or "")
    assert caught.value.receipt is not None
    assert (caught.value.receipt.plugin, caught.value.receipt.fuel) == ("acme", 1000)


def test_compiling_is_no_time_of_the_guest(monkeypatch: pytest.MonkeyPatch) -> None:
    """A kernel of unusual size stands beside the guest, whose own code is compiled at first use."""
    alone = CompiledModule.alone
    seen: list[float] = []

    def slow(self: CompiledModule) -> int:
        if not seen:
            until = time.monotonic() + 0.3
            while time.monotonic() < until:
                seen.append(until)
        return alone(self)

    monkeypatch.setattr(CompiledModule, "alone", slow)
    with Guest(LOOP, kernel_memory=3 << 20, guest_time=0.1, fuel=None) as guest:
        assert guest.meter.receipt().guest_time < 0.1
    assert seen
