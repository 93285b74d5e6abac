"""Components: loading and what is refused, limits and errors as for modules, our own imports."""

from __future__ import annotations

import gc
import logging
import os
import signal
import subprocess
import sys
import textwrap
import threading
import time
import weakref
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from fumehood.engine import component as component_file
from fumehood.engine import native_component
from fumehood.engine.component import load_component
from fumehood.engine.component_machine import component_machine
from fumehood.engine.component_sandbox import ComponentSandbox, ComponentTemplate
from fumehood.engine.componentfile import component_memories, import_names
from fumehood.engine.ticker import entered
from fumehood.errors import (
    Cancelled,
    ClosedError,
    Error,
    HostFunctionError,
    LoadError,
    OutOfFuel,
    OutOfMemory,
    PluginError,
    ProtocolError,
    ReentryError,
    Timeout,
    TooMuch,
    Trap,
    UsageError,
)
from fumehood.imports import PluginLog, Services, host
from fumehood.limits import Limits
from fumehood.meter import Meter
from fumehood.plugin import CompiledPlugin, Instance, Plugin
from tests.counts import CALLS_ON_ONE_INSTANCE, CREATE_CLOSE_CYCLES
from tests.engine import components
from tests.engine.components import HOST, TAIL, assemble, component

PAGE = 65536


class Guest:
    """One instance of the told component and the meter of its last call."""

    def __init__(self, wasm: bytes | None = None, services: Services | None = None, **limits: Any):
        self.limits = Limits(**limits)
        self.compiled = CompiledPlugin.load(wasm or component(), name="told")
        self.services = services or Services(name="told", log=PluginLog("told"))
        self.instance = self.compiled.instance(self.services, self.limits)
        self.meter = Meter(self.limits)

    def call(self, export: str, data: bytes = b"", meter: Meter | None = None) -> bytes:
        self.meter = meter or Meter(self.limits)
        return self.instance.call(export, data, self.meter)

    def __enter__(self) -> Guest:
        return self

    def __exit__(self, *exc: object) -> None:
        self.instance.close()
        self.compiled.close()


@contextmanager
def sandbox(**functions: Any) -> Iterator[ComponentSandbox]:
    """A sandbox whose host functions are replaced by those given."""
    ours = [
        component_file.WitFunction(f.name, f.params, f.result, functions.get(f.name, f.function))
        for f in host.functions()
    ]
    template = ComponentTemplate(load_component(component(), ours), ours, ["now", "echo"])
    with template.instantiate(Services(), Limits(), Meter(Limits())) as made:
        yield made
    template.close()


# -- calling ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text", [b"", b"x", "grün 👋 \0 \u2028".encode(), b"y" * 70_000, b"z" * 3_000_000]
)
def test_text_comes_back_whole(text: bytes) -> None:
    with Guest() as guest:
        assert guest.call("echo", text) == text
        assert guest.call("echo", text) == text


def test_bytes_of_every_kind_go_in() -> None:
    with Guest() as guest:
        for data in (b"abc", bytearray(b"abc"), memoryview(b"abc")):
            assert guest.call("echo", data) == b"abc"


def test_the_error_case_is_a_plugin_error_and_the_instance_lives_on() -> None:
    with Guest() as guest:
        with pytest.raises(PluginError) as caught:
            guest.call("fail", '{"payload":{"type":"ü"}}'.encode())
        assert caught.value.message == '{"payload":{"type":"ü"}}'
        assert caught.value.rc == 1
        assert caught.value.plugin == "plugin"
        assert caught.value.receipt is not None
        assert guest.instance.alive
        assert guest.call("echo", b"on") == b"on"


def test_input_that_is_no_text_is_the_callers_mistake() -> None:
    with Guest() as guest:
        for data in (b"\xff", b"a\xed\xa0\x80", b"\xc3"):
            with pytest.raises(UsageError, match="not UTF-8"):
                guest.call("echo", data)
        assert guest.call("echo", b"on") == b"on"


def test_an_export_that_is_not_listed_is_not_called() -> None:
    with Guest() as guest:
        assert not guest.compiled.has("nothing")
        with pytest.raises(ProtocolError, match="Function not found: nothing"):
            guest.call("nothing")
        assert guest.compiled.has("echo")


def test_the_compiled_plugin_tells_what_it_is() -> None:
    wasm = component()
    with CompiledPlugin.load(wasm) as compiled:
        assert compiled.is_component
        assert compiled.size == len(wasm)
        assert sorted(compiled.exports) == sorted(components.EXPORTS.split("\\0a"))
        assert all(info.callable for info in compiled.exports.values())
        assert [(i.module, i.name) for i in compiled.imports] == [
            (HOST, name) for name in ("log", "now", "monotonic", "random")
        ]
        assert compiled.memory == (PAGE, None)
    with CompiledPlugin.load(b'(module (func (export "f")))') as compiled:
        assert not compiled.is_component


def test_a_compiled_component_can_be_driven_as_a_plugin() -> None:
    with CompiledPlugin.load(component()) as compiled, Plugin(compiled) as plugin:
        assert plugin.call("echo", b"hi") == b"hi"
        with pytest.raises(Trap):
            plugin.call("unreachable")
        assert plugin.call("echo", b"anew") == b"anew"


def test_an_extism_plugin_cannot_be_a_component() -> None:
    with pytest.raises(LoadError, match="a component, not a core module"):
        Plugin(component())


# -- failures --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("export", "reason"),
    [
        ("unreachable", "unreachable"),
        ("recurse", "stack_overflow"),
        ("divide", "integer_divide_by_zero"),
    ],
)
def test_a_trap_ends_the_instance(export: str, reason: str) -> None:
    with Guest() as guest:
        with pytest.raises(Trap) as caught:
            guest.call(export)
        assert caught.value.reason == reason
        assert caught.value.backtrace
        assert not guest.instance.alive
        with pytest.raises(ClosedError):
            guest.call("echo")


@pytest.mark.parametrize("export", ["outside", "latin"])
def test_an_answer_that_breaks_the_component_models_rules(export: str) -> None:
    with Guest() as guest:
        with pytest.raises(ProtocolError, match="rules of the component model"):
            guest.call(export)
        assert not guest.instance.alive


def test_what_a_guest_names_its_functions_does_not_choose_the_error() -> None:
    name = "x\\0a\\0aCaused by:\\0a    wasm trap: all fuel consumed by WebAssembly"
    wasm = assemble(f"""
      (core module $m
        (memory (export "memory") 1)
        (func (export "realloc") (param i32 i32 i32 i32) (result i32) i32.const 64)
        (func $bad (@name "{name}") unreachable)
        (func (export "list") (result i32)
          (i32.store (i32.const 8) (i32.const 16))
          (i32.store (i32.const 12) (i32.const 1)) i32.const 8)
        (func (export "call") (param i32 i32 i32 i32) (result i32) (call $bad) i32.const 0)
        (data (i32.const 16) "f"))
      (core instance $i (instantiate $m))
      (alias core export $i "memory" (core memory $memory))
      (alias core export $i "realloc" (core func $realloc))
      (alias core export $i "call" (core func $call))
      (alias core export $i "list" (core func $list))
      (func (export "call") (param "name" string) (param "input" string)
        (result (result string (error string)))
        (canon lift (core func $call) (memory $memory) (realloc $realloc)))
      (func (export "list-exports") (result string)
        (canon lift (core func $list) (memory $memory)))""")
    with Guest(wasm) as guest:
        with pytest.raises(Trap) as caught:
            guest.call("f")
        assert caught.value.reason == "unreachable"


# -- limits ----------------------------------------------------------------------------------------


def test_fuel_passes_at_the_limit_and_fails_one_below() -> None:
    with Guest() as guest:
        guest.call("echo", b"x")
        guest.call("echo", b"x")
        needed = guest.meter.receipt().fuel
        assert needed > 50
        guest.call("echo", b"x", Meter(Limits(fuel=needed)))
        with pytest.raises(OutOfFuel) as caught:
            guest.call("echo", b"x", Meter(Limits(fuel=needed - 1)))
        assert caught.value.limit == "fuel"
        assert not guest.instance.alive


def test_a_loop_uses_up_its_fuel() -> None:
    with Guest(fuel=1_000_000) as guest:
        with pytest.raises(OutOfFuel):
            guest.call("loop")
        assert guest.meter.receipt().fuel == 1_000_000


@pytest.mark.parametrize("export", ["loop", "swarm"])
@pytest.mark.parametrize("limit", ["guest_time", "deadline"])
def test_time_ends_a_loop(export: str, limit: str) -> None:
    limits: dict[str, Any] = {limit: 0.2, "fuel": None, "host_calls": 10**9}
    with Guest(**limits) as guest:
        started = time.monotonic()
        with pytest.raises(Timeout) as caught:
            guest.call(export)
        assert time.monotonic() - started < 2
        assert caught.value.limit == limit
        assert not guest.instance.alive


def test_a_timeout_of_one_is_not_felt_by_another() -> None:
    with Guest(guest_time=0.1, fuel=None) as one, Guest() as other:
        ended = threading.Event()

        def work() -> None:
            while not ended.is_set():
                assert other.call("echo", b"x") == b"x"

        thread = threading.Thread(target=work)
        thread.start()
        with pytest.raises(Timeout):
            one.call("loop")
        ended.set()
        thread.join()
        assert other.instance.alive


def test_a_cancelled_call_ends() -> None:
    with Guest(fuel=None, guest_time=20) as guest:
        meter = Meter(guest.limits)
        timer = threading.Timer(0.1, meter.cancel)
        timer.start()
        with pytest.raises(Cancelled):
            guest.call("loop", meter=meter)
        timer.join()
        with pytest.raises(Cancelled):
            other = Meter(guest.limits)
            other.cancel()
            Guest().call("echo", b"", other)


def test_memory_stops_growing_at_the_limit() -> None:
    with Guest(memory=4 * PAGE) as guest:
        with pytest.raises(PluginError) as caught:
            guest.call("memory", b"full")
        assert caught.value.message == "full"
        # three pages were added to the first: an answer of all but that one is as long as they are
        assert len(guest.call("bytes")) == 3 * PAGE


def test_memory_from_the_start_counts() -> None:
    wasm = component(pages=9)
    assert Guest(wasm, memory=9 * PAGE).call("echo", b"x") == b"x"
    with pytest.raises(OutOfMemory, match="from the start") as caught:
        Guest(wasm, memory=9 * PAGE - 1).call("echo", b"x")
    assert caught.value.receipt is not None


def test_several_memories_share_the_limit() -> None:
    extra = '(core module $more (memory (export "memory") 2)) (core instance (instantiate $more))'
    with Guest(component(extra=extra), memory=8 * PAGE) as guest:
        with pytest.raises(PluginError):
            guest.call("memory")
        assert len(guest.call("bytes")) == 3 * PAGE
    twice = extra + " (core instance (instantiate $more))"
    with pytest.raises(LoadError, match="more memories than its modules define"):
        CompiledPlugin.load(component(extra=twice))


def test_more_instances_than_allowed() -> None:
    extra = "(core module $e)" + "(core instance (instantiate $e))" * 250
    with pytest.raises(LoadError, match="too large"):
        CompiledPlugin.load(component(extra=extra))


def test_input_and_output_at_their_limits() -> None:
    with Guest(input_bytes=10, output_bytes=8) as guest:
        assert guest.call("echo", b"x" * 8) == b"x" * 8
        with pytest.raises(TooMuch) as caught:
            guest.call("echo", b"x" * 9)
        assert caught.value.limit == "output_bytes"
        with pytest.raises(TooMuch) as caught:
            guest.call("echo", b"x" * 11)
        assert caught.value.limit == "input_bytes"
        assert guest.instance.alive
        # a long error is cut, not refused: it still says what went wrong
        with pytest.raises(TooMuch):
            guest.call("fail", b"x" * 9)


def test_start_functions_run_on_the_operations_account() -> None:
    forever = "(func $f (loop $l (br $l))) (start $f)"
    with pytest.raises(LoadError, match="fuel"):
        CompiledPlugin.load(component(start=forever))
    trap = "(func $f unreachable) (start $f)"
    with pytest.raises(LoadError, match="unreachable"):
        CompiledPlugin.load(component(start=trap))


# -- the host's functions --------------------------------------------------------------------------


def test_log_lines_arrive_escaped_and_within_the_budget(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG, "fumehood.plugin.told"), Guest(log_lines=2) as guest:
        guest.call("write", "zwölf\n\x1b[31m".encode())
        assert [(r.levelname, r.getMessage()) for r in caplog.records] == [
            ("INFO", "zwölf\\n\\x1b[31m")
        ]
        meter = Meter(guest.limits)
        for _ in range(4):
            guest.call("write", b"x", meter)
        assert meter.log_dropped == 2
    with Guest(log_bytes=4) as guest, caplog.at_level(logging.DEBUG, "fumehood.plugin.told"):
        guest.call("write", b"123456")
        assert caplog.records[-1].getMessage() == "1234…"


def word(letters: bytes) -> int:
    return sum((letter - 97) << (4 * at) for at, letter in enumerate(letters))


def test_clocks_and_randomness_are_the_hosts() -> None:
    with Guest() as guest:
        before = time.time_ns()
        assert before <= word(guest.call("now")) <= time.time_ns()
        first = word(guest.call("monotonic"))
        assert first <= word(guest.call("monotonic")) <= time.monotonic_ns()
        assert len({guest.call("random") for _ in range(20)}) == 20
    with Guest(services=Services(clock_step=1_000_000)) as guest:
        assert word(guest.call("now")) % 1_000_000 == 0
        assert word(guest.call("monotonic")) % 1_000_000 == 0


def test_host_calls_are_counted_and_charged() -> None:
    with Guest(host_calls=3) as guest:
        meter = Meter(guest.limits)
        for _ in range(3):
            guest.call("now", meter=meter)
        assert meter.receipt().host_calls == 3
        assert meter.receipt().fuel > 3_000
        with pytest.raises(TooMuch) as caught:
            guest.call("now", meter=meter)
        assert caught.value.limit == "host_calls"
        assert not guest.instance.alive
    with Guest(fuel=200_000) as guest, pytest.raises(OutOfFuel):
        guest.call("swarm")


def test_what_a_host_function_raises_reaches_the_caller() -> None:
    def broken(_call: Any) -> int:
        raise ZeroDivisionError("ours")

    with sandbox(now=broken) as made:
        with pytest.raises(HostFunctionError) as caught:
            made.call("now", b"", Meter(Limits()))
        assert isinstance(caught.value.__cause__, ZeroDivisionError)
        assert made.dead


def test_an_interrupt_in_a_host_function_is_itself() -> None:
    def interrupted(_call: Any) -> int:
        raise KeyboardInterrupt

    with sandbox(now=interrupted) as made, pytest.raises(KeyboardInterrupt):
        made.call("now", b"", Meter(Limits()))


def test_a_call_from_inside_a_host_function_is_refused() -> None:
    seen: list[Error] = []

    def again(_call: Any) -> int:
        try:
            made.call("echo", b"", Meter(Limits()))
        except ReentryError as error:
            seen.append(error)
        return 0

    with sandbox(now=again) as made:
        made.call("now", b"", Meter(Limits()))
    assert len(seen) == 1


# -- loading ---------------------------------------------------------------------------------------


def refused(fields: str) -> str:
    with pytest.raises(LoadError) as caught:
        CompiledPlugin.load(assemble(fields), name="told")
    assert caught.value.plugin == "told"
    return caught.value.message


def test_wasi_is_refused_by_name_before_anything_is_compiled(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(component_file, "machine_code", lambda *_: pytest.fail("compiled"))
    for name in ("wasi:io/poll@0.2.6", "wasi:cli/environment@0.2.0", "other:pkg/thing"):
        message = refused(f'(import "{name}" (instance (export "f" (func))))')
        assert repr(name) in message
    assert "no WASI" in refused('(import "wasi:io/poll@0.2.6" (instance))')
    assert "'loose'" in refused('(import "loose" (func (param "a" string)))')


def test_wasi_is_refused_also_where_the_quick_look_misses_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(component_file, "import_names", lambda _source: [])
    message = refused('(import "wasi:io/poll@0.2.6" (instance (export "f" (func))))')
    assert "'wasi:io/poll@0.2.6'" in message


@pytest.mark.parametrize(
    ("function", "message"),
    [
        ('(export "sleep" (func))', "host@0.1.0.sleep` has not been defined"),
        ('(export "now" (func (result u32)))', "now is imported with another type"),
        ('(export "now" (func (param "x" u64) (result u64)))', "another type"),
        ('(export "log" (func (param "a" u8) (param "b" (list u8))))', "another type"),
        ('(export "log" (func (param "a" string) (param "b" u8)))', "another type"),
        ('(export "random" (func (result (tuple u64 u64))))', "another type"),
        ('(export "log" (type (sub resource)))', "another type"),
        ('(export "now" (type (sub resource)))', "another type"),
    ],
)
def test_imports_have_the_types_of_our_world(function: str, message: str) -> None:
    assert message in refused(f'(import "{HOST}" (instance {function}))')


def test_our_interface_may_not_be_something_else() -> None:
    with pytest.raises(LoadError):
        CompiledPlugin.load(assemble(f'(import "{HOST}" (component))'))


GOOD = (
    components.IMPORTS
    + components.CORE.format(pages=1, exports="echo", listed=4, start="", listing="")
    + components.DONE
)


@pytest.mark.parametrize(
    ("tail", "message"),
    [
        ("", "does not export `list-exports`"),
        (TAIL.replace('(export "call")', '(export "other")'), "does not export `call`"),
        (
            TAIL.replace('(export "list-exports")', '(export "list-them")'),
            "does not export `list-exports`",
        ),
        (
            TAIL.replace('(param "input" string)', '(param "input" (list u8))'),
            "`call` must be a function",
        ),
        (
            TAIL.replace("(result string (error string))", "(result string (error (list u8)))"),
            "`call` must be a function",
        ),
        (
            TAIL.replace("(result string)", "(result (list u8))"),
            "`list-exports` must be a function",
        ),
    ],
)
def test_exports_have_the_types_of_our_world(tail: str, message: str) -> None:
    assert message in refused(GOOD + tail)


@pytest.mark.parametrize(
    ("exports", "message"),
    [
        ("echo\\0aecho", "one twice"),
        ("a-b", "impossible name: 'a-b'"),
        ("echo\\0a", "impossible name: ''"),
        ("\\1b[31m", "impossible name"),
        ("x" * 200, "impossible name"),
    ],
)
def test_names_of_exports_are_checked(exports: str, message: str) -> None:
    size = len(exports.replace("\\0a", "\n").replace("\\1b", "\x1b"))
    with pytest.raises(LoadError, match=message):
        CompiledPlugin.load(component(exports=exports, listed=size))


def test_a_component_may_export_nothing() -> None:
    with CompiledPlugin.load(component(exports="")) as compiled:
        assert compiled.exports == {}


def test_a_guest_that_does_not_say_what_it_exports_in_time() -> None:
    wasm = component(exports="echo", listing="(loop $l (br $l))")
    started = time.monotonic()
    with pytest.raises(LoadError, match="does not say what it exports"):
        CompiledPlugin.load(wasm)
    assert time.monotonic() - started < 20


def test_every_cut_of_a_component_is_refused() -> None:
    whole = assemble("")
    assert whole == b"\0asm\x0d\0\x01\0"
    wasm = component()
    for length in [8, 9, 12, 40, len(wasm) // 2, len(wasm) - 1]:
        with pytest.raises(LoadError):
            CompiledPlugin.load(wasm[:length])


def test_the_quick_look_never_raises() -> None:
    wasm = assemble(
        '(import "a:b/c" (instance (export "f" (func))))'
        '(type $t (func)) (import "d" (func (type $t))) (import "e" (type (sub resource)))'
        '(import "f" (component)) (import "g" (core module))'
    )
    assert import_names(wasm) == ["a:b/c", "d", "e", "f", "g"]
    for length in range(len(wasm)):
        assert set(import_names(wasm[:length])) <= {"a:b/c", "d", "e", "f", "g"}
    for at in range(8, len(wasm)):
        import_names(wasm[:at] + bytes([wasm[at] ^ 0xFF]) + wasm[at + 1 :])


def test_memories_are_found_in_nested_components() -> None:
    inner = "(core module (memory 1)) (component (core module (memory 2 3) (func)))"
    found = component_memories(assemble(f"(core module) (component {inner})"))
    assert sorted((m.minimum, m.maximum) for m in found) == [(1, None), (2, 3)]
    deep = "(component " * 20 + ")" * 20
    with pytest.raises(LoadError, match="nested too deep"):
        component_memories(assemble(deep))
    with pytest.raises(LoadError, match="too many parts"):
        component_memories(b"\0asm\x0d\0\x01\0" + b"\x01\x08\0asm\1\0\0\0" * 1_001)
    with pytest.raises(LoadError, match="sections"):
        component_memories(b"\0asm\x0d\0\x01\0" + b"\x00\x01\x00" * 100_001)


@pytest.mark.parametrize(
    "fields",
    [
        "(core module (memory 1 1 shared))",
        "(core module (memory i64 1))",
        "(core module (memory 1) (memory 1))",
        "(core module (func $f return_call $f))",
    ],
)
def test_proposals_that_are_off_are_off_inside_components_too(fields: str) -> None:
    assert "not valid" in refused(fields)


# -- the cache -------------------------------------------------------------------------------------


def test_a_component_is_kept_and_never_mixed_up_with_a_module(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from fumehood.engine import module as module_file
    from fumehood.engine.cache import ModuleCache

    cache = ModuleCache(tmp_path / "modules", tmp_path / "keys" / "cache.key")
    monkeypatch.setattr(module_file, "_cache", lambda: cache)
    monkeypatch.setattr(component_file, "_compiled", type(component_file._compiled)())
    functions = host.functions()
    made = load_component(component(), functions)
    path = cache.path(made.sha256, component_machine())
    assert path.is_file()
    assert cache.path(made.sha256) != path
    assert cache.load(made.sha256) is None
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    assert cache.load(made.sha256, component_machine()) is None
    assert not path.exists()
    monkeypatch.setattr(component_file, "_compiled", type(component_file._compiled)())
    load_component(component(), functions)
    assert path.is_file()


# -- the raw layer ---------------------------------------------------------------------------------


def test_a_call_of_another_layout_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    native_component.self_check()
    native_component.check_call(component_machine().engine)
    monkeypatch.setattr(native_component.Arguments, "take_result", lambda *_: (True, b"", 0))
    with pytest.raises(Error, match="another value"):
        native_component.check_call(component_machine().engine)


def resident() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096


@pytest.mark.skipif(sys.platform != "linux", reason="resident memory is read from /proc")
def test_calls_leave_nothing_behind() -> None:
    with Guest(fuel=None, deadline=1e6, guest_time=1e6) as guest:
        big = b"x" * 1_000_000
        for data, rounds in ((b"x", CALLS_ON_ONE_INSTANCE), (big, CALLS_ON_ONE_INSTANCE // 40)):
            for _ in range(rounds // 10):
                guest.call("echo", data)
            before = resident()
            for _ in range(rounds):
                guest.call("echo", data)
            assert resident() - before < 8 * 1024 * 1024


@pytest.mark.skipif(sys.platform != "linux", reason="resident memory is read from /proc")
def test_instances_leave_nothing_behind() -> None:
    compiled = CompiledPlugin.load(component())

    def cycle(export: str) -> weakref.ref[Instance]:
        services = Services()
        instance = compiled.instance(services, Limits())
        with suppress(Trap, PluginError):
            instance.call(export, b"x", Meter(Limits()))
        instance.close()
        return weakref.ref(instance)

    live = len(entered)
    for _ in range(50):
        cycle("echo")
    before = resident()
    for number in range(CREATE_CLOSE_CYCLES):
        gone = cycle(("echo", "fail", "unreachable", "write")[number % 4])
    gc.collect()
    assert gone() is None
    assert len(entered) == live
    assert resident() - before < 16 * 1024 * 1024


# -- threads, signals, forks -----------------------------------------------------------------------


def test_many_threads_with_instances_of_their_own() -> None:
    compiled = CompiledPlugin.load(component())
    wrong: list[object] = []

    def work(number: int) -> None:
        for turn in range(30):
            instance = compiled.instance(Services(), Limits())
            text = f"{number}.{turn}".encode()
            try:
                if instance.call("echo", text, Meter(Limits())) != text:
                    wrong.append(text)
                instance.call("fail", text, Meter(Limits()))
            except PluginError as error:
                if error.message.encode() != text:
                    wrong.append(error)
            finally:
                instance.close()

    threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


def run(body: str) -> list[str]:
    prelude = """
    import os, signal, threading, time
    from fumehood.imports import Services
    from fumehood.limits import Limits
    from fumehood.meter import Meter
    from fumehood.errors import *
    from fumehood.plugin import CompiledPlugin
    from tests.engine.components import component
    compiled = CompiledPlugin.load(component())
    limits = Limits(fuel=None, guest_time=5)
    instance = compiled.instance(Services(), limits)
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(prelude) + textwrap.dedent(body)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        env={**os.environ, "PYTHONWARNINGS": "error"},
    )
    assert done.returncode == 0, done.stderr
    assert "ignored" not in done.stderr, done.stderr
    return done.stdout.split()


@pytest.mark.skipif(not hasattr(signal, "pthread_kill"), reason="signals as POSIX has them")
def test_ctrl_c_stops_a_looping_component() -> None:
    assert run("""
        threading.Timer(0.3, os.kill, (os.getpid(), signal.SIGINT)).start()
        try:
            instance.call("loop", b"", Meter(limits))
        except KeyboardInterrupt:
            print("interrupted", instance.alive)
    """) == ["interrupted", "False"]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
def test_deadlines_hold_after_a_fork() -> None:
    assert run("""
        instance.call("echo", b"x", Meter(limits))
        child = os.fork()
        short = Limits(fuel=None, guest_time=0.2)
        try:
            instance.call("loop", b"", Meter(short))
        except Timeout:
            if child == 0:
                os._exit(7)
            print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
        if child == 0:
            os._exit(1)
    """) == ["7"]
