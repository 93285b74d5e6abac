"""Ctrl-C and fork. Each case runs in a process of its own: signals and forks are process-wide."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap

import pytest

PRELUDE = """
import os, signal, sys, threading, time
from fumehood.engine import HostImport
from fumehood.errors import *
from fumehood.limits import Limits
from fumehood.meter import Meter
from tests.engine.support import Guest
LOOP = '(module (func (export "run") (loop (br 0))))'
CALL = '(module (import "t" "f" (func $f)) (func (export "run") (call $f)))'
CALLS = '(module (import "t" "f" (func $f)) (func (export "run") (loop (call $f) (br 0))))'
def f(fn): return [HostImport("t", "f", "", "", fn, timed=True)]
def interrupt_when(ready):
    def work():
        ready.wait()
        os.kill(os.getpid(), signal.SIGINT)
    threading.Thread(target=work, daemon=True).start()
"""


def run(body: str, timeout: float = 30) -> str:
    """Standard output of `body` in a fresh process; fails on a non-zero exit."""
    code = PRELUDE + textwrap.dedent(body)
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
        env={**os.environ, "PYTHONWARNINGS": "error"},
    )
    assert done.returncode == 0, done.stderr
    assert "ignored" not in done.stderr, done.stderr
    return done.stdout


def test_ctrl_c_stops_a_looping_guest_and_reaches_the_caller_as_itself() -> None:
    out = run("""
        with Guest(LOOP, fuel=None) as g:
            ready = threading.Event()
            interrupt_when(ready)
            old = signal.getsignal(signal.SIGINT)
            ready.set()
            try:
                g.call("run")
            except KeyboardInterrupt:
                print("interrupted", g.sandbox.dead, signal.getsignal(signal.SIGINT) is old)
    """)
    assert out.split() == ["interrupted", "True", "True"]


def test_ctrl_c_stops_a_guest_that_only_calls_the_host() -> None:
    out = run("""
        ready = threading.Event()
        interrupt_when(ready)
        with Guest(CALLS, f(lambda call: ready.set()), fuel=None, host_calls=10**9) as g:
            try:
                g.call("run")
            except KeyboardInterrupt:
                print("interrupted")
    """)
    assert out.split() == ["interrupted"]


def test_ctrl_c_in_a_host_function_stops_the_guest_too() -> None:
    out = run("""
        ready = threading.Event()
        interrupt_when(ready)
        def sleep(call):
            ready.set()
            while True:  # a signal just before one long sleep would not end it
                time.sleep(0.01)
        started = time.monotonic()
        with Guest(CALL, f(sleep)) as g:
            try:
                g.call("run")
            except KeyboardInterrupt:
                print("interrupted", time.monotonic() - started < 10)
    """)
    assert out.split() == ["interrupted", "True"]


def test_a_handler_that_does_not_raise_does_not_stop_the_guest() -> None:
    out = run("""
        seen = []
        signal.signal(signal.SIGINT, lambda *a: seen.append(a[0]))
        def f1(call):
            os.kill(os.getpid(), signal.SIGINT)
            time.sleep(0.05)
        with Guest(CALL, f(f1)) as g:
            g.call("run")
        print(seen)
    """)
    assert out.strip() == f"[{int(signal.SIGINT)}]"


def test_an_ignored_ctrl_c_stays_ignored() -> None:
    out = run("""
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        def f1(call):
            os.kill(os.getpid(), signal.SIGINT)
        with Guest(CALL, f(f1)) as g:
            g.call("run")
        print(signal.getsignal(signal.SIGINT) is signal.SIG_IGN)
    """)
    assert out.strip() == "True"


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
def test_deadlines_hold_after_fork() -> None:
    out = run("""
        with Guest(LOOP, fuel=None) as g:
            try:
                g.call("run", meter=Meter(Limits(guest_time=0.05)))
            except Timeout:
                print("parent", flush=True)
        pid = os.fork()
        if pid == 0:
            with Guest(LOOP, fuel=None) as g:
                try:
                    g.call("run", meter=Meter(Limits(guest_time=0.05)))
                except Timeout:
                    print("child", flush=True)
            os._exit(0)
        assert os.waitpid(pid, 0)[1] == 0
    """)
    assert out.split() == ["parent", "child"]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
def test_a_fork_inside_a_host_function_keeps_the_deadline_in_the_child() -> None:
    out = run("""
        children = []
        def fork(call):
            pid = os.fork()
            if pid:
                children.append(pid)
                raise ValueError("the parent is done")
        wat = '(module (import "t" "f" (func $f)) (func (export "run") (call $f) (loop (br 0))))'
        with Guest(wat, f(fork)) as g:
            try:
                g.call("run", meter=Meter(Limits(guest_time=0.2, fuel=None)))
            except HostFunctionError:
                assert os.waitpid(children[0], 0)[1] == 0
                print("parent", flush=True)
            except Timeout:
                print("child", flush=True)
                os._exit(0)
    """)
    assert sorted(out.split()) == ["child", "parent"]


def test_without_a_thread_for_the_clock_nobody_goes_in() -> None:
    out = run("""
        with Guest('(module (func (export "run")))') as g:
            def refuse(self):
                raise RuntimeError("can't start new thread")
            from fumehood.engine.machine import machine
            from fumehood.engine.ticker import Ticker
            g.sandbox._ticker = Ticker(machine().address)  # one that nobody has woken yet
            start, threading.Thread.start = threading.Thread.start, refuse
            old = signal.getsignal(signal.SIGINT)
            try:
                g.call("run")
            except HostError as problem:
                print("refused", "clock" in str(problem), g.sandbox.inside)
            print(signal.getsignal(signal.SIGINT) is old)
            threading.Thread.start = start
            print(g.call("run"))
    """)
    assert out.split() == ["refused", "True", "0", "True", "b''"]
