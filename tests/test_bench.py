"""The benchmark runs, alternates, and reports what it measured."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from bench import report
from bench.rows import ROWS, payload
from bench.run import _order
from bench.sides import SIDES
from tests.toolchains import ROOT


def test_a_quick_run_fills_every_row(tmp_path: Path) -> None:
    guest = ROOT / "bench" / "guests" / "echo.wat"
    done = subprocess.run(
        [sys.executable, "-m", "bench", "--quick", "--guest", guest, "--out", tmp_path],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    results = json.loads((tmp_path / "results.json").read_text())
    assert [row["row"] for row in results["rows"]] == [row.name for row in ROWS]
    for row in results["rows"]:
        assert set(row["seconds"]) == set(row["ratio"]) == {"wall", "cpu"}
        for clock, sides in row["seconds"].items():
            assert set(sides) == set(SIDES)
            for side in sides.values():
                assert 0 < side["min"] <= side["q1"] <= side["median"] <= side["q3"] <= side["max"]
            ratio = sides["extism"]["median"] / sides["fumehood"]["median"]
            assert row["ratio"][clock] == pytest.approx(ratio)
        assert row["row"] in done.stdout
    assert results["machine"]["guest"] == "echo.wat"
    assert "| small call" in (tmp_path / "RESULTS.md").read_text()


def test_the_first_side_changes_every_turn() -> None:
    assert _order(0) == list(reversed(_order(1))) == _order(2)


def test_median_and_quartiles() -> None:
    summary = report.summary([5.0, 1.0, 3.0, 2.0, 4.0])
    assert summary == {"median": 3.0, "q1": 2.0, "q3": 4.0, "min": 1.0, "max": 5.0}


@pytest.mark.parametrize(
    ("value", "text"),
    [(2.5, "2.5 s"), (0.0123, "12.3 ms"), (0.5, "500 ms"), (2.449e-6, "2.45 µs"), (3e-9, "3 ns")],
)
def test_times_have_three_digits(value: float, text: str) -> None:
    assert report.seconds(value) == text


def test_payloads_have_their_size() -> None:
    assert len(payload(11)) == 11
    assert len(payload(1 << 20)) == 1 << 20
    assert len(set(payload(100))) > 50
