"""The benchmark runs, alternates, and reports what it measured."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from bench import provider_sides, providers, report
from bench.rows import ROWS, payload
from bench.run import order
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
    page = (tmp_path / "RESULTS.md").read_text()
    assert "| small call" in page

    second = results["providers"]
    assert [row["row"] for row in second["rows"]] == list(providers.ROWS)
    build, size, *timed = second["rows"]
    assert build["seconds"]["wall"] == {}  # a quick run builds nothing, and says so
    assert {"rust: build time", "in-process: build time"} <= set(second["absent"])
    here = {side for side in provider_sides.SIDES if side not in second["absent"]}
    assert {"rust", "in-process"} <= here  # the others where they were built before
    assert set(size["bytes"]) == here
    for row in timed:
        for clock, sides in row["seconds"].items():
            assert set(sides) == here
            assert all(0 < side["min"] <= side["median"] <= side["max"] for side in sides.values())
            assert (clock in row["ratio"]) == ("core" in here)
        assert f"| {row['row']} |" in page
    for told in providers.absences(second["absent"]):
        assert told in done.stdout
        assert told in page


def test_the_first_side_changes_every_turn() -> None:
    assert order(0) == list(reversed(order(1))) == order(2)


def test_who_is_absent_is_a_dash_with_a_reason() -> None:
    sample = {"wall": 0.5, "cpu": 0.25}
    row = providers._row("load from cache", {"rust": [sample], "in-process": [sample] * 2})
    assert providers.cells(row) == ("load from cache", "500 ms", "—", "—", "500 ms", "—", "—")
    row = providers._row("load from cache", {"core": [sample], "in-process": [sample]})
    assert providers.cells(row)[-2:] == ("1.00×", "1.00×")
    told = providers.absences({"component": "no tool", "rust: build time": "no cargo"})
    assert told == ["Python component: no tool", "Rust (bundled), build time: no cargo"]


def test_sides_that_answer_differently_are_no_comparison() -> None:
    with pytest.raises(RuntimeError, match="core answers"):
        providers._alike({"rust": "a", "core": "b"})


def test_median_and_quartiles() -> None:
    summary = report.summary([5.0, 1.0, 3.0, 2.0, 4.0])
    assert summary == {"median": 3.0, "q1": 2.0, "q3": 4.0, "min": 1.0, "max": 5.0}
    assert set(report.summary([2.0]).values()) == {2.0}


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
