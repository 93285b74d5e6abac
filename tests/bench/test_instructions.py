"""Instruction counts: what is compared, when it fails, what is said where none can be taken."""

from __future__ import annotations

import json
from typing import Any

import pytest

from bench import instructions
from bench.counted import ROWS

HERE = {"python": "3.11.7", "wasmtime": "50.0.1", "machine": "x86_64 avx2"}
COUNTS = {"small call": 10_000, "echo 1 KiB": 20_000}


def recorded(**surroundings: str) -> dict[str, Any]:
    return {"surroundings": {**HERE, **surroundings}, "counts": dict(COUNTS)}


@pytest.mark.parametrize(("change", "fine"), [(1.0, True), (1.049, True), (0.951, True),
                                              (1.051, False), (0.949, False)])  # fmt: skip
def test_five_percent_is_the_bound_in_both_directions(change: float, fine: bool) -> None:
    counts = {**COUNTS, "small call": round(10_000 * change)}
    lines, well = instructions.compare(recorded(), counts, HERE)
    assert well is fine
    text = "\n".join(lines)
    assert ("CHANGED" in text) is not fine
    assert (instructions.UPDATE in text) is not fine  # how to update is part of the failure


@pytest.mark.parametrize(("change", "fine"), [(1.2, True), (1.3, False)])
def test_other_versions_are_named_and_have_a_wide_bound(change: float, fine: bool) -> None:
    counts = {name: round(count * change) for name, count in COUNTS.items()}
    lines, well = instructions.compare(recorded(python="3.11.9"), counts, HERE)
    assert well is fine
    assert "recorded elsewhere" in lines[0]
    assert "python: 3.11.9 there, 3.11.7 here" in lines[1]


@pytest.mark.parametrize("there", [{"wasmtime": "48"}, {"python": "3.12.1 (main)"},
                                   {"machine": "aarch64"}])  # fmt: skip
def test_releases_far_apart_are_shown_and_not_compared(there: dict[str, str]) -> None:
    counts = {name: 3 * count for name, count in COUNTS.items()}
    lines, well = instructions.compare(recorded(**there), counts, HERE)
    assert well
    assert "NOT COMPARED" in lines[0]
    assert any("+200.0%" in line for line in lines)


def test_a_row_that_is_new_or_gone_fails() -> None:
    lines, well = instructions.compare(recorded(), {"small call": 10_000, "new": 1}, HERE)
    assert not well
    assert any("is not recorded" in line for line in lines)
    assert any("is gone" in line for line in lines)


def test_the_difference_of_2n_and_n_is_counted() -> None:
    dumps = [
        f"desc: Trigger: Client Request: {times} {name}\nsummary: {1000 + times * per * 7}\n"
        for name, (_side, _request, count, per) in ROWS.items()
        for times in (count, 2 * count)
    ]
    assert instructions._counts([*dumps, "desc: Trigger: Program termination\nsummary: 5\n"]) == (
        dict.fromkeys(ROWS, 7)
    )


@pytest.mark.parametrize(("ci", "status", "word"), [("", 0, "SKIPPED"), ("true", 1, "FAILED")])
def test_a_missing_valgrind_is_said_and_fails_in_ci(
    ci: str,
    status: int,
    word: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def unable() -> dict[str, int]:
        raise instructions.Unable("valgrind is not installed")

    monkeypatch.setattr(instructions, "count", unable)
    monkeypatch.setattr("sys.argv", ["instructions"])
    monkeypatch.setenv("CI", ci)
    assert instructions.main() == status
    assert capsys.readouterr().out.startswith(f"{word}: instruction counts: valgrind")


def test_the_recorded_counts_are_those_of_the_rows() -> None:
    kept = json.loads(instructions.RECORDED.read_text())
    assert set(kept["counts"]) == set(ROWS)
    assert set(kept["surroundings"]) == set(instructions.surroundings())
    assert all(count > 1000 for count in kept["counts"].values())
