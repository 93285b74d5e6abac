"""`Plugin` as its users hold it: cancelling, closing and exits at odd moments."""

from __future__ import annotations

import threading
import time

import pytest

from fumehood import Limits, Plugin, host_function
from fumehood.engine.ticker import entered
from fumehood.errors import Cancelled, ClosedError, Exit, OutOfFuel, Timeout, UsageError

WAIT = 30.0


def test_cancel_stops_the_call_that_runs_after_another_one_has_ended() -> None:
    inside, release = threading.Event(), threading.Event()
    ended: list[BaseException | bytes] = []

    @host_function("hold")
    def hold() -> None:
        inside.set()
        assert release.wait(WAIT)

    wat = """(module (import "extism:host/user" "hold" (func $hold))
      (func (export "hold") (call $hold)) (func (export "spin") (loop (br 0))))"""
    with Plugin(wat, functions=[hold], limits=Limits(fuel=None, guest_time=WAIT)) as plugin:

        def call(export: str) -> None:
            try:
                ended.append(plugin.call(export))
            except Cancelled as problem:
                ended.append(problem)

        first = threading.Thread(target=call, args=("hold",))
        first.start()
        assert inside.wait(WAIT)
        second = threading.Thread(target=call, args=("spin",))
        second.start()
        release.set()
        first.join(WAIT)
        sandbox = plugin._instance._sandbox
        assert sandbox is not None
        while sandbox.inside != second.ident:  # the second call has its turn
            time.sleep(0.001)
        plugin.cancel()
        second.join(WAIT)
    assert ended[0] == b""
    assert isinstance(ended[1], Cancelled)


def test_closing_while_the_first_call_makes_the_instance() -> None:
    inside, release = threading.Event(), threading.Event()
    raised: list[BaseException] = []
    before = len(entered)

    @host_function("hold")
    def hold() -> None:
        inside.set()
        assert release.wait(WAIT)

    wat = """(module (import "extism:host/user" "hold" (func $hold))
      (func (export "_initialize") (call $hold)) (func (export "run")))"""
    plugin = Plugin(wat, functions=[hold])

    def call() -> None:
        try:
            plugin.call("run")
        except ClosedError as problem:
            raised.append(problem)

    thread = threading.Thread(target=call)
    thread.start()
    assert inside.wait(WAIT)
    plugin.close()
    release.set()
    thread.join(WAIT)
    assert len(raised) == 1
    assert len(entered) == before


def test_a_program_that_ends_in_its_start_function_is_made_once() -> None:
    wat = """(module (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))
      (func $s (call $exit (i32.const 0))) (start $s) (func (export "run")))"""
    with Plugin(wat) as plugin:
        with pytest.raises(Exit) as caught:
            plugin.call("run")
        assert caught.value.status == 0
        assert caught.value.receipt is not None
        assert caught.value.receipt.host_calls == 1


@pytest.mark.parametrize("name", ["fuel", "deadline", "memory"])
def test_a_limit_of_hundreds_of_digits(name: str) -> None:
    with pytest.raises(UsageError, match="too large"):
        Limits(**{name: 10**400})


def test_a_sleep_without_end_under_a_deadline_without_end() -> None:
    wat = """(module (import "wasi_snapshot_preview1" "poll_oneoff"
        (func $poll (param i32 i32 i32 i32) (result i32)))
      (memory (export "memory") 1)
      (func (export "run") (i64.store (i32.const 24) (i64.const -1))
        (i32.store (i32.const 16) (i32.const 1))
        (drop (call $poll (i32.const 0) (i32.const 100) (i32.const 1) (i32.const 200)))))"""
    with Plugin(wat, limits=Limits(deadline=1e12)) as plugin:
        timer = threading.Timer(0.2, plugin.cancel)
        timer.start()
        with pytest.raises(Cancelled):
            plugin.call("run")
        timer.join()


POLLS = """(module (import "wasi_snapshot_preview1" "poll_oneoff"
    (func $poll (param i32 i32 i32 i32) (result i32)))
  (memory (export "memory") 16)
  (func (export "busy") (loop $again
    (drop (call $poll (i32.const 0) (i32.const 300000) (i32.const 4096) (i32.const 0)))
    (br $again)))
  (func (export "sleep") (i64.store (i32.const 24) (i64.const 300000000))
    (i32.store (i32.const 16) (i32.const 1))
    (drop (call $poll (i32.const 0) (i32.const 100) (i32.const 1) (i32.const 200)))))"""


def test_polling_what_is_ready_is_the_guests_own_time_and_fuel() -> None:
    with Plugin(POLLS, limits=Limits(guest_time=0.2, fuel=None, deadline=WAIT)) as plugin:
        with pytest.raises(Timeout) as caught:
            plugin.call("busy")
        assert caught.value.limit == "guest_time"
    with Plugin(POLLS, limits=Limits(fuel=409_600)) as plugin, pytest.raises(OutOfFuel):
        plugin.call("busy")


def test_sleeping_is_not_the_guests_own_time() -> None:
    with Plugin(POLLS, limits=Limits(guest_time=0.2)) as plugin:
        plugin.call("sleep")
        assert plugin.last_receipt is not None
        assert plugin.last_receipt.wall >= 0.3
        assert plugin.last_receipt.guest_time < 0.2


def test_one_text_is_no_list_of_hosts() -> None:
    with pytest.raises(UsageError, match="list of texts"):
        Plugin("(module)", allowed_hosts="*.example.com")
