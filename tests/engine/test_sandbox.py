"""Lifecycle, results and their precedence (extism-abi.md §2.3, §2.5, §2.6)."""

from __future__ import annotations

import gc
import pickle
import threading
from collections.abc import Callable

import pytest

from fumehood.engine import HostCall, HostImport, NamedModule, Template, load_module
from fumehood.engine.ticker import entered
from fumehood.errors import (
    Cancelled,
    ClosedError,
    EgressDenied,
    Exit,
    HostFunctionError,
    LoadError,
    PluginError,
    ProtocolError,
    ReentryError,
    Timeout,
    Trap,
)
from fumehood.imports import Services, wasi
from fumehood.limits import Limits
from fumehood.meter import Meter
from tests.engine.support import Guest, env, template

ERROR = """(func $error (local $h i64)
  (local.set $h (call $alloc (i64.const 5)))
  (call $store_u8 (local.get $h) (i32.const 111))
  (call $store_u8 (i64.add (local.get $h) (i64.const 1)) (i32.const 104))
  (call $store_u8 (i64.add (local.get $h) (i64.const 2)) (i32.const 0))
  (call $store_u8 (i64.add (local.get $h) (i64.const 3)) (i32.const 255))
  (call $store_u8 (i64.add (local.get $h) (i64.const 4)) (i32.const 33))
  (call $error_set (local.get $h)))"""
SETS = env("alloc", "store_u8", "error_set", "output_set")
OUTPUT = """(func $output (local $h i64)
  (local.set $h (call $alloc (i64.const 2)))
  (call $store_u8 (local.get $h) (i32.const 111))
  (call $store_u8 (i64.add (local.get $h) (i64.const 1)) (i32.const 107))
  (call $output_set (local.get $h) (i64.const 2)))"""
EXIT = '(import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))'


def guest(body: str, *imports: HostImport, head: str = "") -> Guest:
    wat = f"(module {head} {SETS} {ERROR} {OUTPUT} {body})"
    return Guest(wat, [*wasi.imports(), *imports], services=Services())


# -- initialisation -------------------------------------------------------------------------------


def order(body: str) -> str:
    """The initialisers that ran, one letter each, in order."""
    seen: list[str] = []
    mark = HostImport("t", "mark", "i", "", lambda _call, n: seen.append(chr(n)))
    wat = f'(module (import "t" "mark" (func $mark (param i32))) {body} (func (export "run")))'
    with Guest(wat, [mark]) as g:
        g.call("run")
        g.call("run")
    return "".join(seen)


INIT = '(func (export "_initialize") (call $mark (i32.const 105)))'
CTORS = '(func (export "__wasm_call_ctors") (call $mark (i32.const 99)))'
HS = '(func (export "hs_init") (param i32 i32) (call $mark (i32.const 104)))'
HS_MANY = f"""(func (export "hs_init") (param i32 i32) (result {"i64 " * 500})
  (call $mark (i32.const 104)) {"(i64.const -1)" * 500})"""
"""Results are written where the arguments stood: these need more room."""
START = "(func $s (call $mark (i32.const 115))) (start $s)"
MAIN = '(func (export "_start") (call $mark (i32.const 109)))'


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ("", ""),
        (START, "s"),
        (INIT, "i"),
        (CTORS, "c"),
        (CTORS + INIT, "c"),
        (HS, "h"),
        (HS + INIT, "ih"),
        (HS_MANY, "h"),
        (HS + CTORS + INIT, "ih"),
        (START + INIT, "si"),
        (MAIN, ""),
        (MAIN + INIT, "i"),
        ('(func (export "_initialize") (param i32) (call $mark (i32.const 105)))', ""),
        ('(func (export "__wasm_call_ctors") (result i32) (i32.const 1))' + INIT, "i"),
    ],
)
def test_initialisers_run_once_and_in_order(body: str, expected: str) -> None:
    assert order(body) == expected


def test_host_functions_and_the_kernel_work_in_start_and_initialisers() -> None:
    got: list[bytes] = []
    see = HostImport("t", "see", "I", "", lambda call, h: got.append(call.read(h)))
    wat = f"""(module {SETS} (import "t" "see" (func $see (param i64)))
      (func $go (local $h i64) (local.set $h (call $alloc (i64.const 1)))
        (call $store_u8 (local.get $h) (i32.const 65)) (call $see (local.get $h)))
      (start $go) (func (export "_initialize") (call $go)) (func (export "run")))"""
    with Guest(wat, [see]) as g:
        g.call("run")
    assert got == [b"A", b"A"]


@pytest.mark.parametrize("how", ['(export "_initialize")', "$s"])
@pytest.mark.parametrize("merged", [True, False])
def test_a_guest_that_exits_while_it_is_made_cannot_be_called(how: str, merged: bool) -> None:
    wat = f"""(module (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))
      (memory (export "memory") 1) (func {how} (call $exit (i32.const 0)))
      {"(start $s)" if how == "$s" else ""} (func (export "run")))"""
    sizes = {} if merged else {"kernel_memory": 1 << 20}
    with pytest.raises(Exit, match="status 0") as caught:
        Guest(wat, wasi.imports(), services=Services(), **sizes)
    assert caught.value.status == 0


def test_a_failing_initialiser_leaves_no_sandbox_behind() -> None:
    with pytest.raises(Trap):
        Guest('(module (func (export "_initialize") unreachable))')


# -- results --------------------------------------------------------------------------------------


@pytest.mark.parametrize("body", ["(result i32) (call $output) (i32.const 0)", "(call $output)"])
def test_output_is_returned(body: str) -> None:
    with guest(f'(func (export "run") {body})') as g:
        assert g.call("run") == b"ok"


@pytest.mark.parametrize(("code", "rc"), [(1, 1), (7, 7), (-1, -1), (134, 134)])
def test_a_return_code_other_than_0_is_a_failure(code: int, rc: int) -> None:
    with guest(f'(func (export "run") (result i32) (call $output) (i32.const {code}))') as g:
        with pytest.raises(PluginError) as caught:
            g.call("run")
        assert (caught.value.rc, caught.value.message) == (rc, f"Error code: {rc}")
        assert not g.sandbox.dead


def test_error_text_is_whole_and_decoded_with_replacement() -> None:
    with guest('(func (export "run") (result i32) (call $error) (i32.const 3))') as g:
        with pytest.raises(PluginError) as caught:
            g.call("run")
        assert (caught.value.message, caught.value.rc) == ("oh\0\ufffd!", 3)


def test_error_text_counts_with_return_code_0_and_without_one() -> None:
    for result in ("(result i32) (call $error) (i32.const 0)", "(call $error)"):
        with guest(f'(func (export "run") {result})') as g, pytest.raises(PluginError):
            g.call("run")


def test_a_trap_with_error_text_is_the_guests_error() -> None:
    with guest('(func (export "run") (call $error) unreachable)') as g:
        with pytest.raises(PluginError) as caught:
            g.call("run")
        assert (caught.value.message, caught.value.rc) == ("oh\0\ufffd!", -1)
        assert g.sandbox.dead


def test_a_guest_cannot_mask_its_timeout_with_an_error_text() -> None:
    with guest('(func (export "run") (call $error) (loop (br 0)))') as g:
        with pytest.raises(Timeout) as caught:
            g.call("run", meter=Meter(Limits(guest_time=0.05, fuel=None)))
        assert caught.value.guest_error == "oh\0\ufffd!"


def test_exit_0_returns_the_output_and_ends_the_instance() -> None:
    with guest('(func (export "run") (call $output) (call $exit (i32.const 0)))', head=EXIT) as g:
        assert g.call("run") == b"ok"
        assert g.sandbox.dead


def test_exit_with_a_status_and_with_an_error_text() -> None:
    with guest('(func (export "run") (call $exit (i32.const 9)))', head=EXIT) as g:
        with pytest.raises(Exit) as caught:
            g.call("run")
        assert caught.value.status == 9
    body = '(func (export "run") (call $error) (call $exit (i32.const 9)))'
    with guest(body, head=EXIT) as g, pytest.raises(PluginError):
        g.call("run")


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ("(param i32)", "expected 1 arguments, got 0"),
        ("(result i32 i32) (i32.const 0) (i32.const 0)", "has 2 results, expected 0 or 1"),
    ],
)
def test_exports_of_another_shape_are_refused(body: str, message: str) -> None:
    with guest(f'(func (export "run") {body})') as g, pytest.raises(ProtocolError, match=message):
        g.call("run")


def test_an_export_that_returns_another_type_is_a_failure() -> None:
    with guest('(func (export "run") (result i64) (i64.const 0))') as g:
        with pytest.raises(PluginError) as caught:
            g.call("run")
        assert caught.value.rc == -1


def test_missing_exports_and_exports_that_are_no_functions() -> None:
    with guest('(memory (export "memory") 1)') as g:
        for name in ("run", "memory", ""):
            with pytest.raises(ProtocolError, match="Function not found"):
                g.call(name)


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        ("unreachable", "unreachable"),
        ("(drop (i32.div_u (i32.const 1) (i32.const 0)))", "integer_divide_by_zero"),
        ("(drop (i32.load (i32.const -1)))", "memory_out_of_bounds"),
        ("(drop (i32.trunc_f32_s (f32.const 1e30)))", "integer_overflow"),
        ("(call_indirect (i32.const 0))", "indirect_call_to_null"),
        ("(call_indirect (i32.const 9))", "table_out_of_bounds"),
    ],
)
def test_traps_say_why(code: str, reason: str) -> None:
    wat = f'(module (memory 1) (table 1 funcref) (func (export "run") {code}))'
    with Guest(wat) as g:
        with pytest.raises(Trap) as caught:
            g.call("run")
        assert caught.value.reason == reason
        with pytest.raises(ClosedError):
            g.call("run")


# -- host functions -------------------------------------------------------------------------------

CALLS = '(import "t" "f" (func $f (result i64)))'
RUN = '(func (export "run") (drop (call $f)))'


def raising(error: BaseException) -> HostImport:
    def function(_call: object) -> int:
        raise error

    return HostImport("t", "f", "", "I", function)


def test_what_a_host_function_raises_reaches_the_caller_as_the_cause() -> None:
    boom = ValueError("boom")
    with guest(RUN, raising(boom), head=CALLS) as g:
        with pytest.raises(HostFunctionError, match="boom") as caught:
            g.call("run")
        assert caught.value.__cause__ is boom
        assert g.sandbox.dead


def test_our_own_errors_pass_as_they_are() -> None:
    denied = EgressDenied("no", host="h")
    with guest(RUN, raising(denied), head=CALLS) as g:
        with pytest.raises(EgressDenied) as caught:
            g.call("run")
        assert caught.value is denied
        assert caught.value.receipt is not None


@pytest.mark.parametrize("error", [KeyboardInterrupt(), SystemExit(3)])
def test_exits_of_the_program_pass_as_themselves(error: BaseException) -> None:
    with guest(RUN, raising(error), head=CALLS) as g:
        with pytest.raises(type(error)) as caught:
            g.call("run")
        assert caught.value is error


@pytest.mark.parametrize("value", ["text", None, 1 << 80, 1.5])
def test_a_result_that_the_type_cannot_hold(value: object) -> None:
    function = HostImport("t", "f", "", "I", lambda _call: value)
    with guest(RUN, function, head=CALLS) as g:
        if isinstance(value, int | float):
            g.call("run")
        else:
            with pytest.raises(HostFunctionError):
                g.call("run")


def test_numbers_of_every_type_cross_in_both_directions() -> None:
    seen: list[tuple[object, ...]] = []

    def f(_call: object, *values: object) -> tuple[int, int, float, float]:
        seen.append(values)
        return (-1, -2, 0.5, -1e300)

    wat = """(module (import "t" "f" (func $f (param i32 i64 f32 f64) (result i32 i64 f32 f64)))
      (func (export "run") (result i32) (local i32 i64 f32 f64)
        (call $f (i32.const -1) (i64.const -2) (f32.const 1.5) (f64.const -2.25))
        (local.set 3) (local.set 2) (local.set 1) (local.set 0)
        (i32.eqz (i32.and (i32.and (i32.eq (local.get 0) (i32.const -1))
          (i64.eq (local.get 1) (i64.const -2))) (i32.and (f32.eq (local.get 2) (f32.const 0.5))
          (f64.eq (local.get 3) (f64.const -1e300)))))))"""
    with Guest(wat, [HostImport("t", "f", "iIfF", "iIfF", f)]) as g:
        assert g.call("run") == b""
    assert seen == [(0xFFFFFFFF, 0xFFFFFFFFFFFFFFFE, 1.5, -2.25)]


def test_a_call_from_inside_a_host_function_is_refused_at_once() -> None:
    box: list[Guest] = []

    def again(_call: object) -> int:
        box[0].call("run")
        return 0

    with guest(RUN, HostImport("t", "f", "", "I", again), head=CALLS) as g:
        box.append(g)
        with pytest.raises(ReentryError):
            g.call("run")


def test_another_sandbox_may_be_called_from_inside_a_host_function() -> None:
    with guest('(func (export "run") (call $output))') as inner:

        def other(_call: object) -> int:
            return len(inner.call("run"))

        with guest(RUN, HostImport("t", "f", "", "I", other), head=CALLS) as outer:
            assert outer.call("run") == b""


def test_unknown_handles_are_refused_by_name() -> None:
    for handle in (1, 79, 81, 1 << 31, 1 << 32, (1 << 64) - 1):

        def f(call: object, h: int = handle) -> int:
            call.read(h, "thing")  # type: ignore[attr-defined]
            return 0

        message = f"invalid handle offset for thing: {handle}"
        with (
            guest(RUN, HostImport("t", "f", "", "I", f), head=CALLS) as g,
            pytest.raises(ProtocolError, match=message),
        ):
            g.call("run")


# -- cancelling and threads -----------------------------------------------------------------------


def test_cancel_reaches_exactly_one_sandbox() -> None:
    wat = '(module (func (export "run") (loop (br 0))))'
    meters = [Meter(Limits(fuel=None)), Meter(Limits(fuel=None, deadline=1.0))]
    results: list[type[BaseException]] = []

    def work(meter: Meter) -> None:
        with Guest(wat) as g:
            try:
                g.call("run", meter=meter)
            except (Cancelled, Timeout) as problem:
                results.append(type(problem))

    threads = [threading.Thread(target=work, args=(m,)) for m in meters]
    for thread in threads:
        thread.start()
    meters[0].cancel()
    threads[0].join(10)
    assert results == [Cancelled]
    threads[1].join(10)
    assert results == [Cancelled, Timeout]


def test_a_cancelled_operation_starts_nothing() -> None:
    with guest('(func (export "run"))') as g:
        meter = Meter(Limits())
        meter.cancel()
        with pytest.raises(Cancelled):
            g.call("run", meter=meter)


def test_two_threads_on_one_sandbox_are_serialised() -> None:
    inside: list[int] = []
    overlaps: list[int] = []

    def f(_call: object) -> int:
        inside.append(1)
        if len(inside) > 1:
            overlaps.append(1)
        inside.pop()
        return 0

    with guest(RUN, HostImport("t", "f", "", "I", f), head=CALLS) as g:
        meters = [Meter(Limits()) for _ in range(400)]

        def work(mine: list[Meter]) -> None:
            for meter in mine:
                g.sandbox.call("run", b"", meter)

        threads = [threading.Thread(target=work, args=(meters[i::4],)) for i in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(30)
        assert overlaps == []
        assert [m.host_calls for m in meters] == [1] * 400


# -- linking --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('(import "extism:host/env" "nope" (func))', "invalid function import .*nope"),
        ('(import "extism:host/env" "alloc" (func))', "types incompatible: .*alloc"),
        ('(import "extism:host/env" "memory" (memory 1))', "only functions"),
        ('(import "extism:host/env" "meta" (memory 1))', "only functions"),
        ('(import "x" "y" (func))', "unknown import: `x::y` has not been defined"),
        ('(import "x" "g" (global i32))', "only functions"),
        ('(import "x" "t" (table 1 funcref))', "only functions"),
    ],
)
def test_imports_that_nothing_provides_are_refused_by_name(text: str, message: str) -> None:
    with pytest.raises(LoadError, match=message):
        template(f"(module {text})")


def test_modules_are_linked_by_name_and_share_one_kernel() -> None:
    library = f"""(module {env("alloc", "store_u8")} (memory (export "memory") 1)
      (func (export "make") (result i64) (local $h i64)
        (local.set $h (call $alloc (i64.const 1)))
        (call $store_u8 (local.get $h) (i32.const 33)) (local.get $h)))"""
    main = f"""(module {env("output_set")} (import "lib" "make" (func $make (result i64)))
      (func (export "run") (call $output_set (call $make) (i64.const 1))))"""
    made = Template(
        [
            NamedModule("lib", load_module(library.encode())),
            NamedModule("main", load_module(main.encode())),
        ],
        [],
    )
    meter = Meter(Limits())
    with made.instantiate(None, Limits(), meter) as sandbox:
        assert sandbox.call("run", b"", meter) == b"!"
    made.close()
    with pytest.raises(ClosedError):
        made.instantiate(None, Limits(), Meter(Limits()))


def test_a_host_function_may_replace_a_kernel_function() -> None:
    replaced = HostImport("extism:host/env", "input_length", "", "I", lambda _call: 7)
    wat = f"""(module {env("input_length")} (func (export "run") (result i32)
      (i64.ne (call $input_length) (i64.const 7))))"""
    with Guest(wat, [replaced]) as g:
        assert g.call("run", b"abc") == b""


def test_closing_is_idempotent_and_final() -> None:
    g = guest('(func (export "run"))')
    g.sandbox.close()
    g.sandbox.close()
    with pytest.raises(ClosedError):
        g.call("run")
    g.template.close()
    g.template.close()


def test_views_end_with_their_call() -> None:
    kept: list[memoryview] = []

    def keep(call: object) -> int:
        handle = call.write(b"hello")  # type: ignore[attr-defined]
        kept.append(call.view(handle, 5))  # type: ignore[attr-defined]
        assert bytes(kept[-1]) == b"hello"
        kept[-1][:] = b"world"
        assert call.read(handle) == b"world"  # type: ignore[attr-defined]
        return 0

    with guest(RUN, HostImport("t", "f", "", "I", keep), head=CALLS) as g:
        g.call("run")
        with pytest.raises(ValueError, match="released"):
            bytes(kept[0])


def test_a_view_that_is_held_keeps_the_store(caplog: pytest.LogCaptureFixture) -> None:
    held: list[object] = []

    def hold(call: object) -> int:
        view = call.view(call.write(b"hello"), 5)  # type: ignore[attr-defined]
        held.append(pickle.PickleBuffer(view))
        return 0

    with guest(RUN, HostImport("t", "f", "", "I", hold), head=CALLS) as g:
        g.call("run")
    assert "outlived its call" in caplog.text
    assert bytes(held[0]) == b"hello"  # type: ignore[call-overload]


def test_a_slice_of_a_view_keeps_the_store(caplog: pytest.LogCaptureFixture) -> None:
    held: list[memoryview] = []

    def hold(call: object) -> int:
        view = call.view(call.write(b"hello"), 5)  # type: ignore[attr-defined]
        held.append(view[1:4])
        return 0

    with guest(RUN, HostImport("t", "f", "", "I", hold), head=CALLS) as g:
        g.call("run")
    assert "outlived its call" in caplog.text
    assert bytes(held[0]) == b"ell"
    g = guest(RUN, HostImport("t", "f", "", "I", hold), head=CALLS)
    g.call("run")
    g.template.close()
    del g  # forgotten, not closed
    gc.collect()
    assert bytes(held[1]) == b"ell"


def test_a_view_that_an_initialiser_got_ends_with_it() -> None:
    kept: list[memoryview] = []

    def keep(call: object) -> int:
        kept.append(call.view(call.write(b"hello"), 5))  # type: ignore[attr-defined]
        return 0

    init = f'{CALLS} (func (export "_initialize") (drop (call $f)) {{}}) (func (export "run"))'
    functions = [HostImport("t", "f", "", "I", keep)]
    with Guest(f"(module {init.format('')})", functions), pytest.raises(ValueError, match="rele"):
        bytes(kept[0])
    with pytest.raises(Trap):
        Guest(f"(module {init.format('unreachable')})", functions)
    with pytest.raises(ValueError, match="released"):
        bytes(kept[1])


@pytest.mark.parametrize("closed", [False, True])
def test_a_host_call_that_was_kept_reaches_nothing(closed: bool) -> None:
    kept: list[HostCall] = []

    def keep(call: HostCall) -> int:
        kept.append(call)
        return 0

    with guest(RUN, HostImport("t", "f", "", "I", keep), head=CALLS) as g:
        g.call("run")
        if closed:
            g.sandbox.close()
        uses: list[Callable[[HostCall], object]] = [
            lambda call: call.alloc(10),
            lambda call: call.free(80),
            lambda call: call.read(80),
            lambda call: call.write(b"x"),
            lambda call: call.length(80),
            lambda call: call.view(80, 1),
            lambda call: call.guest_memory(),
            lambda call: call.charge(1),
        ]
        for use in uses:
            with pytest.raises(ClosedError, match="has returned"):
                use(kept[0])


def test_the_context_of_a_call_that_never_ran_is_forgotten() -> None:
    seen: list[object] = []

    def see(call: HostCall) -> int:
        seen.append(call.context)
        return 0

    with guest(RUN, HostImport("t", "f", "", "I", see), head=CALLS) as g:
        late = Meter(Limits())
        late.cancel()
        with pytest.raises(Cancelled):
            g.sandbox.call("run", b"", late, context="one tenant's")
        g.call("run")
    assert seen == [None]


def test_a_sandbox_that_is_forgotten_is_freed() -> None:
    before = len(entered)
    for _ in range(5):
        made = template("(module (memory 1))")
        made.instantiate(None, Limits(), Meter(Limits()))
    del made
    gc.collect()
    assert len(entered) == before


@pytest.mark.parametrize("how", ["close", "call", "receipt"])
def test_who_is_collected_with_a_sandbox_may_still_use_it(how: str) -> None:
    said: list[str] = []

    class Owner:
        def __init__(self) -> None:
            self.template = template('(module (memory 1) (func (export "run")))')
            self.meter = Meter(Limits())
            self.sandbox = self.template.instantiate(self, Limits(), self.meter)  # a circle

        def __del__(self) -> None:
            try:
                if how == "close":
                    self.sandbox.close()
                elif how == "call":
                    self.sandbox.call("run", b"", Meter(Limits()))
                else:
                    self.meter.receipt()
                said.append("done")
            except ClosedError:
                said.append("closed")

    before = len(entered)
    for _ in range(20):
        Owner()
        gc.collect()
    assert len(said) == 20
    assert len(entered) == before


def test_waiting_for_another_threads_call_ends_with_the_deadline() -> None:
    inside, release = threading.Event(), threading.Event()

    def hold(_call: HostCall) -> int:
        inside.set()
        assert release.wait(30)
        return 0

    with guest(RUN, HostImport("t", "f", "", "I", hold), head=CALLS) as g:
        thread = threading.Thread(target=g.call, args=("run",))
        thread.start()
        assert inside.wait(30)
        with pytest.raises(Timeout) as caught:
            g.sandbox.call("run", b"", Meter(Limits(deadline=0.1)))
        assert caught.value.receipt is not None
        release.set()
        thread.join(30)
        assert not g.sandbox.dead


def test_a_closed_sandbox_with_host_functions_refuses_every_call() -> None:
    functions = [HostImport("t", "f", "", "", lambda call: None)]
    wat = '(module (import "t" "f" (func $f)) (func (export "run") (call $f)))'
    with Guest(wat, functions) as guest:
        assert guest.call("run") == b""
        guest.sandbox.close()
        for _ in range(2):  # the first refusal holds nothing back from the second
            with pytest.raises(ClosedError):
                guest.call("run", meter=Meter(Limits(deadline=5)))
        assert not guest.sandbox.lock.locked()
