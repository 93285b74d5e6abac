"""Who finds a sandbox dead, and what is done about it."""

from __future__ import annotations

import gc
import threading
import time
from typing import Any

import pytest

from fumehood.engine import HostImport, load_module
from fumehood.engine.account import Entered
from fumehood.engine.sandbox import GoneError
from fumehood.errors import Cancelled, ClosedError, HostFunctionError, ReentryError
from fumehood.imports import Services
from fumehood.limits import Limits
from fumehood.meter import Meter
from fumehood.plugin import Plugin, host_function
from fumehood.plugin.compiled import CompiledPlugin
from tests.engine import components

LIMITS = Limits(deadline=20)
ASK = b"""(module
  (import "extism:host/user" "ask" (func $ask))
  (global $n (mut i32) (i32.const 0))
  (func (export "go") (call $ask))
  (func (export "fine")))"""


def meter() -> Meter:
    return Meter(LIMITS)


def test_another_sandboxs_end_is_no_reason_to_call_again() -> None:
    """A host function that lets a dead sandbox's error pass: the call failed, and it ran."""
    with CompiledPlugin.load(b'(module (func (export "go")))') as other:
        dead = other._template.instantiate(Services(), LIMITS, meter())
        dead.close()
    asked: list[int] = []

    def ask(call: Any) -> None:
        asked.append(1)
        assert len(asked) < 5, "the call is made again and again"
        dead.call("go", b"", meter())

    function = HostImport("extism:host/user", "ask", "", "", ask)
    with CompiledPlugin.load(ASK, functions=[function]) as compiled:
        with compiled.instance(Services(), LIMITS, renew=True) as instance:
            with pytest.raises(GoneError):
                instance.call("go", b"", meter())
            assert asked == [1]
            assert instance.call("fine", b"", meter()) == b""


def test_reentry_is_raised_inside_and_is_the_cause_outside() -> None:
    inside: list[BaseException] = []

    @host_function("ask")
    def caught() -> None:
        with pytest.raises(ReentryError) as error:
            plugin.call("fine")
        inside.append(error.value)

    with Plugin(ASK, functions=[caught]) as plugin:
        plugin.call("go")
        assert len(inside) == 1

    @host_function("ask")
    def passed() -> None:
        other.call("fine")

    with Plugin(ASK, functions=[passed]) as other:
        with pytest.raises(HostFunctionError) as raised:
            other.call("go")
        assert isinstance(raised.value.__cause__, ReentryError)
        assert other.call("fine") == b""


def test_a_component_that_ended_while_others_waited_is_made_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """As with modules: who waited for a call that killed the sandbox gets a fresh one."""
    waits = threading.Event()
    wait = Entered.wait

    def waiting(self: Entered, account: Meter) -> None:
        waits.set()
        wait(self, account)

    monkeypatch.setattr(Entered, "wait", waiting)
    outputs: list[bytes] = []
    with CompiledPlugin.load(components.component()) as compiled:
        assert compiled.is_component
        with compiled.instance(Services(), LIMITS, renew=True) as instance:
            assert instance.call("echo", b"one", meter()) == b"one"
            sandbox = instance._sandbox
            assert sandbox is not None
            with sandbox.lock:
                waiter = threading.Thread(
                    target=lambda: outputs.append(instance.call("echo", b"two", meter()))
                )
                waiter.start()
                assert waits.wait(20)
                sandbox.dead = True
            waiter.join(20)
    assert outputs == [b"two"]


@pytest.mark.parametrize("end", ["close", "reset"])
def test_a_call_that_close_waits_for_can_be_cancelled(end: str) -> None:
    wat = b'(module (func (export "spin") (loop (br 0))) (func (export "fine")))'
    limits = Limits(fuel=None, guest_time=60, deadline=60)
    failures: list[BaseException] = []

    def spin() -> None:
        try:
            plugin.call("spin")
        except Cancelled as error:
            failures.append(error)

    with Plugin(wat, limits=limits) as plugin:
        plugin.call("fine")
        sandbox = plugin._instance._sandbox
        assert sandbox is not None
        caller = threading.Thread(target=spin)
        caller.start()
        while not sandbox.inside:
            time.sleep(0.001)
        ender = threading.Thread(target=getattr(plugin, end))
        ender.start()
        while plugin._instance._sandbox is sandbox:
            time.sleep(0.001)
        plugin.cancel()
        ender.join(20)
        caller.join(20)
        assert not ender.is_alive()
        assert len(failures) == 1
        if end == "reset":
            assert plugin.call("fine") == b""


def test_code_is_not_reached_once_it_is_freed() -> None:
    """The collector frees a module and whoever may still use it in any order."""
    module = load_module(b'(module (func (export "freed-once")))')
    assert module.address
    module.__del__()
    for use in (lambda: module.address, module.alone):
        with pytest.raises(ClosedError):
            use()
    module.__del__()

    class Late:
        def __init__(self, plugin: Plugin) -> None:
            self.plugin = plugin
            self.me = self

        def __del__(self) -> None:
            try:
                said.append(self.plugin.call("fine"))
            except ClosedError as error:
                said.append(error)

    said: list[object] = []
    for number in range(20):
        wat = ASK.replace(b'"fine"', b'"fine") (export "n%d"' % number)
        compiled = CompiledPlugin.load(
            wat, functions=[HostImport("extism:host/user", "ask", "", "", lambda call: None)]
        )
        plugin = Plugin(compiled)
        plugin.late = Late(plugin)  # type: ignore[attr-defined]
        del compiled, plugin
        gc.collect()
    assert len(said) == 20
