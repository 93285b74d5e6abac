"""Runs one target for some seconds, in this process; `child` is what `python -m fuzz` starts.

The case under way is always in a file, so that the parent can say which one killed us.
"""

from __future__ import annotations

import json
import resource
import sys
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis.stateful import run_state_machine_as_test

from fuzz.target import Target

ROUND: Final = 100
"""Examples of one Hypothesis run; a new seed starts the next."""
GROWTH: Final = 768 << 20
"""Bytes that the peak of resident memory may grow by from the 50th case on."""
_WARM: Final = 50


@dataclass
class Result:
    """How many cases were run, and the smallest one that failed."""

    cases: int = 0
    failed: Any = None
    trace: str = ""


def peak() -> int:
    """Peak resident memory of this process in bytes."""
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def run(
    target: Target, seconds: float, first_seed: int, note: Callable[[Any], None] | None = None
) -> Result:
    """Cases of `target` until the time is over or one fails."""
    result = Result()
    end = time.monotonic() + seconds
    baseline = 0

    def one(case: Any) -> None:
        nonlocal baseline
        if time.monotonic() > end and not result.trace:
            return
        result.cases += 1
        if note is not None:
            note(case)
        try:
            target.check(case)
            if result.cases == _WARM:
                baseline = peak()
            assert not baseline or peak() < baseline + GROWTH, f"memory grew to {peak()} bytes"
        except BaseException:
            result.failed, result.trace = case, traceback.format_exc()
            raise

    rounds = 0
    while time.monotonic() < end and not result.trace:
        configured = settings(
            max_examples=ROUND,
            database=None,
            deadline=None,
            phases=[Phase.generate, Phase.shrink],
            suppress_health_check=list(HealthCheck),
            report_multiple_bugs=False,
            print_blob=False,
        )
        try:
            if target.machine is None:
                configured(seed(first_seed + rounds)(given(target.cases())(one)))()
            else:
                run_state_machine_as_test(
                    seed(first_seed + rounds)(_machine(target.machine, result, end, note)),
                    settings=configured,
                )
        except KeyboardInterrupt:
            raise
        except BaseException:
            if not result.trace:
                raise
        rounds += 1
    return result


def _machine(
    kind: type[Any], result: Result, end: float, tell: Callable[[Any], None] | None
) -> type[Any]:
    """The state machine, its steps noted; after the end of the time it does nothing."""

    def note(steps: list[Any]) -> bool:
        if time.monotonic() > end and not result.trace:
            return False
        result.cases += 1
        if tell is not None:
            tell(steps)
        return True

    def failed(steps: list[Any]) -> None:
        result.failed, result.trace = list(steps), traceback.format_exc()

    return type(
        kind.__name__, (kind,), {"note": staticmethod(note), "failed": staticmethod(failed)}
    )


def child(target: Target, seconds: float, first_seed: int, current: Path, report: Path) -> None:
    """`run`, with the case under way in `current` and the result in `report`."""
    result = run(
        target,
        seconds,
        first_seed,
        lambda case: _replace(current, json.dumps(case)),
    )
    answer = {"cases": result.cases, "failed": result.failed, "trace": result.trace}
    report.write_text(json.dumps(answer), "utf-8")


def _replace(path: Path, text: str) -> None:
    with path.open("w", encoding="utf-8") as file:
        file.write(text)
