"""The frame: help, versions, codes, interrupts, closed pipes; in processes of their own."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from fumehood import errors
from fumehood.cli import app, failures
from fumehood.testing.gallery import source
from fumehood.testing.stub import StubServer
from tests.cli.support import PLUGIN, Run

COMMAND = [sys.executable, "-m", "fumehood"]


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (errors.UsageError("x"), 2),
        (errors.ConfigError("x"), 2),
        (errors.ManifestError("x"), 2),
        (errors.ClosedError("x"), 2),
        (errors.GuestError("x"), 3),
        (errors.LoadError("x"), 3),
        (errors.PluginError("x"), 3),
        (errors.ProtocolError("x"), 3),
        (errors.Trap("x"), 3),
        (errors.Exit("x"), 3),
        (errors.EgressDenied("x"), 4),
        (errors.LimitError("x"), 5),
        (errors.Timeout("x"), 5),
        (errors.OutOfFuel("x"), 5),
        (errors.OutOfMemory("x"), 5),
        (errors.TooMuch("x"), 5),
        (errors.HostError("x"), 6),
        (errors.HostFunctionError("x"), 6),
        (errors.TransportError("x"), 6),
        (errors.CacheError("x"), 6),
        (errors.ProviderError("x"), 7),
        (errors.Cancelled("x"), 130),
        (errors.Error("x"), 6),
    ],
)
def test_exit_codes(error: errors.Error, code: int) -> None:
    assert failures.exit_code(error) == code


def test_an_error_is_described_in_one_safe_line() -> None:
    error = errors.Timeout("slow\n\x1b[2J", limit="deadline", plugin="p", hint="wait")
    error.guest_error = "ok\n\x07"
    assert failures.describe(error) == r'p: slow \e[2J; the plugin said: "ok \x07" (wait)'
    problems = [(f"k{i}", "bad") for i in range(9)]
    text = failures.describe(errors.ConfigError("cannot be used", problems=problems))
    assert text.startswith("cannot be used: k0: bad; k1: bad")
    assert text.endswith("and 4 more")
    provider = errors.ProviderError("busy", retry_after=3.5)
    assert failures.describe(provider) == "busy; retry after 3.5 s"


def test_help_names_every_command(run: Run) -> None:
    ran = run("--help")
    assert ran.code == 0
    for name in ("chat", "embed", "complete", "models", "call", "inspect", "demo"):
        assert name in ran.out
        sub = run(name, "--help")
        assert sub.code == 0
        assert "Usage: fumehood" in sub.out
    assert run().code == 2


def test_version(run: Run) -> None:
    ran = run("--version")
    assert (ran.code, ran.out.split()[0]) == (0, "fumehood")


@pytest.mark.parametrize(
    "arguments",
    [
        ("nonsense",),
        ("chat",),
        ("models", "x", "--nonsense"),
        ("complete", "x", "--max-tokens", "0"),
    ],
)
def test_usage_errors_are_one_line(run: Run, arguments: tuple[str, ...]) -> None:
    ran = run(*arguments)
    assert ran.code == 2
    assert ran.err.startswith("fumehood: ")
    assert ran.err.count("\n") == 1


def test_bad_flags_are_named(run: Run) -> None:
    for flags in (("--set", "x"), ("--deadline", "soon"), ("--limit", "memry=1")):
        ran = run("models", PLUGIN, *flags)
        assert ran.code == 2
        assert flags[0] in ran.err


def test_our_own_mistake_is_one_line_too(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_args: object, **_options: object) -> None:
        raise RuntimeError("a bug\nof ours")

    monkeypatch.setattr(app.app, "main", broken)
    ran = run("models", "x")
    assert ran.code == 6
    assert "error in fumehood itself: RuntimeError: a bug of ours" in ran.err
    monkeypatch.setenv(app.TRACEBACK, "1")
    with pytest.raises(RuntimeError):
        run("models", "x")


def test_help_loads_neither_engine_nor_http() -> None:
    code = (
        "import sys; from fumehood.cli import main; main(['--help']); "
        "sys.exit(bool({'wasmtime', 'httpx', 'httpcore'} & set(sys.modules)))"
    )
    subprocess.run([sys.executable, "-c", code], capture_output=True, check=True)


def start(*arguments: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [*COMMAND, *arguments],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )


def test_interrupt_in_a_waiting_request(stub: StubServer) -> None:
    flags = ("--set", f"base_url={stub.url}", "--set", "model=hang")
    with start("chat", PLUGIN, "hi", *flags) as process:
        end = time.monotonic() + 60
        while not stub.requests:
            assert time.monotonic() < end
            assert process.poll() is None
            time.sleep(0.01)
        started = time.monotonic()
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=20)
    assert time.monotonic() - started < 5
    assert process.returncode == 130
    assert err.decode().strip() == "fumehood: interrupted"


def test_interrupt_in_a_looping_guest(tmp_path: Path) -> None:
    looping = (
        source("endless_loop")
        .replace(
            '(func (export "run")',
            '(import "extism:host/env" "log_warn" (func $log (param i64)))\n(func (export "run")',
        )
        .replace("(loop", "(call $log (i64.const 0)) (loop", 1)
    )
    (tmp_path / "loop.wat").write_text(looping)
    with start("call", str(tmp_path / "loop.wat"), "run", "--limit", "guest_time=60s") as process:
        assert process.stderr is not None
        first = process.stderr.readline()  # its log line: the guest runs
        assert b"fumehood" in first
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=20)
    assert process.returncode == 130
    assert err.decode().strip() == "fumehood: interrupted"


def test_a_closed_pipe_is_quiet(stub: StubServer) -> None:
    flags = ("--set", f"base_url={stub.url}", "--set", "model=endless-sse")
    with start("chat", PLUGIN, "hi", *flags) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.read(50)
        process.stdout.close()
        err = process.stderr.read()
        assert process.wait(timeout=20) == 0
    assert err == b""


def test_a_terminal_without_utf8_gets_escapes(stub: StubServer) -> None:
    flags = ("--set", f"base_url={stub.url}", "--set", "model=stub-1")
    environment = {**os.environ, "PYTHONIOENCODING": "latin-1"}
    command = [*COMMAND, "chat", PLUGIN, "ü世", *flags]
    ran = subprocess.run(command, capture_output=True, env=environment, timeout=60, check=True)
    assert ran.stdout.decode("latin-1").endswith("You said: ü\\u4e16\n")
