"""Failures in many threads at once: every caller gets its own error, and no other's."""

from __future__ import annotations

import random
import threading
from collections.abc import Callable

import pytest

from fumehood import Plugin, host_function
from fumehood.errors import Error, HostFunctionError, PluginError, ProtocolError
from fumehood.plugin import CompiledPlugin
from tests.counts import FAILING_GUEST_CALLS, LONG

THREADS = 8

GUEST = """(module
  (import "extism:host/env" "error_set" (func $error (param i64)))
  (import "extism:host/env" "input_offset" (func $input (result i64)))
  (import "extism:host/user" "refuse" (func $refuse (param i64)))
  (func (export "report") (result i32) (call $error (call $input)) (i32.const 3))
  (func (export "trap") (result i32) (call $error (call $input)) unreachable)
  (func (export "refused") (result i32) (call $refuse (call $input)) (i32.const 0)))"""

EXPORTS = ("report", "trap", "refused", "missing")


@host_function(name="refuse")
def refuse(text: str) -> None:
    raise ValueError(f"refused {text}")


def problem(plugin: Plugin, export: str, mark: str) -> str | None:
    """What is wrong with the error of a call, None for nothing."""
    try:
        plugin.call(mark if export == "missing" else export, mark)
    except PluginError as error:
        # a guest's own words come before its trap
        right = export in ("report", "trap") and error.message == mark
    except HostFunctionError as error:
        right = export == "refused" and str(error.__cause__) == f"refused {mark}"
    except ProtocolError as error:
        right = export == "missing" and mark in error.message
    except Error as error:
        return f"{export} {mark}: {error!r}"
    else:
        return f"{export} {mark}: no error"
    return None if right else f"{export} {mark}: the error of another call"


def hammer(plugins: Callable[[int], Plugin]) -> list[str]:
    """Every thread's calls; what was wrong with their errors."""
    wrong: list[str] = []
    done: list[int] = []

    def work(number: int) -> None:
        plugin = plugins(number)
        rng = random.Random(number)
        for turn in range(FAILING_GUEST_CALLS):
            found = problem(plugin, rng.choice(EXPORTS), f"thread {number}, call {turn}")
            if found is not None:
                wrong.append(found)
        done.append(number)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(THREADS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(done) == list(range(THREADS))
    return wrong


@pytest.mark.timeout(1800 if LONG else 120)
def test_threads_with_instances_of_their_own() -> None:
    with CompiledPlugin.load(GUEST.encode(), functions=[refuse.to_import()]) as compiled:
        mine = [Plugin(compiled, name=f"p{number}") for number in range(THREADS)]
        try:
            assert hammer(lambda number: mine[number]) == []
        finally:
            for plugin in mine:
                plugin.close()


@pytest.mark.timeout(1800 if LONG else 120)
def test_threads_that_share_an_instance() -> None:
    with Plugin(GUEST.encode(), functions=[refuse]) as plugin:
        assert hammer(lambda _number: plugin) == []
