"""The fuzzer itself: what fails is found, made small and reported; a death is seen."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
from hypothesis import strategies as st

import fuzz.__main__ as command
from fumehood.errors import PluginError, ProtocolError
from fuzz import life, modules, runner
from fuzz.target import Target, check_error, outcome, signature
from fuzz.targets import TARGETS


def _above(case: int) -> None:
    assert case < 1000, "too large"


def test_a_failing_case_is_found_and_made_small() -> None:
    result = runner.run(Target("t", lambda: st.integers(0, 10**6), _above), 20, 1)
    assert result.failed == 1000
    assert "too large" in result.trace


def test_time_ends_a_run_and_every_case_is_noted() -> None:
    seen: list[Any] = []
    result = runner.run(Target("t", st.booleans, lambda _case: None), 0.2, 1, seen.append)
    assert result.cases == len(seen) > 0
    assert not result.trace


class _Short(life.LifeMachine):
    pass


def test_a_state_machine_gives_its_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(life.Life, "do_code", lambda _self: _above(1000))
    target = Target("t", st.nothing, life.check, machine=_Short)
    result = runner.run(target, 20, 1)
    assert result.failed == [["code"]]
    with pytest.raises(AssertionError, match="too large"):
        life.check(result.failed)


def test_a_death_is_a_finding(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # the child knows only the real targets: a sitecustomize makes one of them deadly
    (tmp_path / "sitecustomize.py").write_text(
        "import sys\n"
        "if '--child' in sys.orig_argv:\n"
        "    import os, signal, fuzz.codecs\n"
        "    fuzz.codecs.feed = lambda data: os.kill(os.getpid(), signal.SIGSEGV)\n",
        "utf-8",
    )
    root = Path(__file__).resolve().parents[2]
    monkeypatch.setenv("PYTHONPATH", f"{tmp_path}{os.pathsep}{root}")
    monkeypatch.chdir(root)
    kept: list[Any] = []

    def keep(target: str, case: Any, about: str) -> Path:
        kept.append((target, case, about))
        return tmp_path / "kept.json"

    monkeypatch.setattr(command.corpus, "save", keep)
    row = command.run_target(TARGETS["codecs"], 5, 1)
    assert row.said.startswith("FOUND")
    ((target, case, _),) = kept
    assert target == "codecs"
    assert list(case) == ["data"]


def test_only_our_errors_are_outcomes() -> None:
    def fails() -> None:
        raise ProtocolError("a \ud800 b")

    kind, error = outcome(fails)
    assert kind == "error"
    assert signature((kind, error)) == ("ProtocolError", "a \\ud800 b")
    assert signature(outcome(lambda: 1)) == ("value", "1")
    with pytest.raises(ZeroDivisionError):
        outcome(lambda: 1 // 0)
    with pytest.raises(AssertionError, match="characters"):
        check_error(PluginError("x" * 200_000))


def test_both_ways_of_linking_are_told_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    answers = {True: [("value", "00")], False: [("Trap", "")]}
    monkeypatch.setattr(modules, "lives", lambda _module, *, apart: answers[apart])
    with pytest.raises(AssertionError, match="apart"):
        modules.both_ways(b"")
