"""The second table: one provider in Rust, in Python for two targets, and as a class in CPython."""

from __future__ import annotations

import hashlib
import importlib.metadata
import importlib.util
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from bench import report
from bench.provider_sides import SIDES
from bench.run import ROOT, Sample, Worker, once, order, warm
from tests.pdk_python.conftest import INTERPRETER, SOURCES, _fingerprint
from tests.toolchains import wasip1_cargo

TITLES: Final = {
    "rust": "Rust (bundled)",
    "core": "Python core",
    "component": "Python component",
    "in-process": "in-process CPython",
}
NOTE: Final = (
    "The provider `openai` four times: the bundled one in Rust, the one in Python built for both "
    "targets, and the same Python class in the CPython that measures, without a sandbox. All four "
    "give the same bytes. A chat is the building of its request and the parsing of its reply, in "
    "the sessions that `Provider` uses, with its default limits; nothing is sent. A fresh "
    "instance is made for one chat, told the log level, and freed after it; in-process it is a "
    "new `testing.Plugin`. Loading is measured in a process of its own that has imported fumehood "
    "already; in-process it is the import of the class and its library. Core modules hold CPython "
    "3.13, components that of componentize-py; in-process is the Python that runs the benchmark. "
    "Builds run once, from nothing: Rust without any compiled crate. The ratio is Python core to "
    "in-process, by the clock and in processor time."
)
HEAD: Final = ("", *TITLES.values(), "core ÷ in-process", "of processor time")
ROWS: Final = (
    "build time",
    "size",
    "load from cache",
    "fresh instance + chat",
    "warm chat",
)
_BUILD, _SIZE, _LOAD, _FRESH, _WARM = ROWS
NONE: Final = "—"
RUST: Final = ROOT / "runtime" / "fumehood" / "provider" / "bundled" / "openai.wasm"
HOME: Final = ROOT / "build" / "bench"
"""Home of the children that load: compiled modules stay there, so that a quick run finds them."""
_QUICK: Final = "not in a quick run"

Row = dict[str, Any]


@dataclass(slots=True)
class Prepared:
    """What can be measured, and why the rest cannot."""

    files: dict[str, Path] = field(default_factory=dict)
    builds: dict[str, Sample] = field(default_factory=dict)
    absent: dict[str, str] = field(default_factory=dict)
    """Reasons: of a side, or of a side's build time where its name is `SIDE: build time`."""

    def without_build(self, side: str, reason: str) -> None:
        """Note why a side's build time is missing."""
        self.absent[f"{side}: {_BUILD}"] = reason


class _Missing(Exception):
    """This cannot be measured here; the text says why."""


# -- building ----------------------------------------------------------------------------------


def prepare(*, quick: bool) -> Prepared:
    """Build what can be built, timed; a quick run takes what is there."""
    if not quick:
        shutil.rmtree(HOME, ignore_errors=True)
    HOME.mkdir(parents=True, exist_ok=True)
    done = Prepared(files={"rust": RUST, "in-process": SOURCES["openai"]})
    done.without_build("in-process", "there is nothing to build")
    try:
        if quick:
            raise _Missing(_QUICK)
        print("building openai (Rust) …", flush=True)
        done.builds["rust"] = _build_rust()
    except _Missing as why:
        done.without_build("rust", str(why))
    for target in ("core", "component"):
        try:
            file = _place(target)
            if quick:
                _there(file)
                done.without_build(target, _QUICK)
            else:
                print(f"building openai ({TITLES[target]}) …", flush=True)
                done.builds[target] = _build_python(target, file)
            done.files[target] = file
        except _Missing as why:
            done.absent[target] = str(why)
    done.files = {side: done.files[side] for side in SIDES if side in done.files}
    return done


def _place(target: str) -> Path:
    """Where the tests keep the same file. Raises _Missing."""
    name = "openai.wasm"
    if target == "component":
        if importlib.util.find_spec("componentize_py") is None:
            raise _Missing(
                "componentize-py is not installed (pip install './pdk-python[component]')"
            )
        name = f"openai-component-{importlib.metadata.version('componentize-py')}.wasm"
    return ROOT / "build" / "pdk-python" / _fingerprint(SOURCES["openai"]) / name


def _there(file: Path) -> None:
    """Raises _Missing for what a quick run would have to build or compile first."""
    if not file.exists():
        raise _Missing(f"{_QUICK}: it is not built yet")
    digest = hashlib.sha256(file.read_bytes()).hexdigest()
    if not any(HOME.rglob(f"{digest}-*.cwasm")):
        raise _Missing(f"{_QUICK}: it is not compiled yet")


def _timed(command: list[str], **how: Any) -> Sample:
    """Seconds of a command and its children. Raises _Missing with the end of what it said."""
    before, wall = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    done = subprocess.run(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False, **how
    )
    wall, after = time.perf_counter() - wall, resource.getrusage(resource.RUSAGE_CHILDREN)
    if done.returncode:
        said = done.stdout.strip().splitlines() or [f"status {done.returncode}"]
        raise _Missing(f"its build failed: {'; '.join(text.strip() for text in said[-2:])}")
    used = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return {"wall": wall, "cpu": used}


def _build_rust() -> Sample:
    cargo = wasip1_cargo()
    if cargo is None:
        raise _Missing("not measured: there is no cargo for wasm32-wasip1 (tools/wasip1-toolchain)")
    target = ["--target", "wasm32-wasip1"]
    where = ROOT / "pdk-rust"
    _timed([str(cargo), "fetch", "--locked", *target], cwd=where)
    with tempfile.TemporaryDirectory() as folder:
        return _timed(
            [str(cargo), "build", "--locked", "--release", *target, "-p", "fumehood-openai"],
            cwd=where,
            env=os.environ | {"CARGO_TARGET_DIR": folder},
        )


def _build_python(target: str, file: Path) -> Sample:
    file.parent.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, "-m", "fumehood_pdk", "build", str(SOURCES["openai"])]
    command += ["-o", str(file), "--target", target]
    if INTERPRETER and target == "core":
        command += ["--interpreter", INTERPRETER]
    return _timed(command)


# -- measuring ---------------------------------------------------------------------------------


def run(done: Prepared, *, rounds: int, cold_rounds: int, slice_s: float) -> Iterator[Row]:
    """Yield every row."""
    yield _row(_BUILD, {side: [sample] for side, sample in done.builds.items()})
    yield {"row": _SIZE, "bytes": {side: file.stat().st_size for side, file in done.files.items()}}
    with ExitStack() as stack:
        workers: dict[str, Worker] = {}
        for side, file in done.files.items():
            workers[side] = Worker(_command(side, file), HOME)
            stack.callback(workers[side].close)
        _alike({side: str(worker.ask("answer", 0)["answer"]) for side, worker in workers.items()})
        # the workers filled the cache
        yield _row(_LOAD, _loads(done.files, cold_rounds))
        for name, work in ((_FRESH, "fresh"), (_WARM, "warm")):
            measured = warm(work, workers, rounds, slice_s)
            row = _row(name, measured["samples"])
            yield row | {"calls_per_sample": measured["calls_per_sample"]}


def _command(side: str, file: Path, *more: str) -> list[str]:
    return [sys.executable, "-m", "bench.provider_sides", side, str(file), *more]


def _loads(files: Mapping[str, Path], rounds: int) -> dict[str, list[Sample]]:
    samples: dict[str, list[Sample]] = {side: [] for side in files}
    for turn in range(rounds):
        for side in order(turn, files):
            samples[side].append(once(_command(side, files[side], "--load"), HOME))
    return samples


def _alike(answers: Mapping[str, str]) -> None:
    """Raises RuntimeError where two sides did not do the same work."""
    for side, answer in answers.items():
        if answer != answers["rust"]:
            raise RuntimeError(f"{side} answers {answer!r}, Rust {answers['rust']!r}")


def _row(name: str, samples: Mapping[str, list[Sample]]) -> Row:
    times = {
        clock: {
            side: report.summary([sample[clock] for sample in several])
            for side, several in samples.items()
        }
        for clock in report.CLOCKS
    }
    ratio = {
        clock: sides["core"]["median"] / sides["in-process"]["median"]
        for clock, sides in times.items()
        if {"core", "in-process"} <= sides.keys()
    }
    counts = {side: len(several) for side, several in samples.items()}
    return {"row": name, "seconds": times, "ratio": ratio, "samples": counts}


# -- telling -----------------------------------------------------------------------------------


def cells(row: Row) -> tuple[str, ...]:
    """One line of the table."""
    if "bytes" in row:
        sizes = [f"{row['bytes'][side]:,} B" if side in row["bytes"] else NONE for side in SIDES]
        return row["row"], *sizes, NONE, NONE
    sides, ratio = row["seconds"]["wall"], row["ratio"]
    return (
        row["row"],
        *(_time(sides.get(side)) for side in SIDES),
        *(f"{ratio[clock]:.2f}×" if clock in ratio else NONE for clock in report.CLOCKS),
    )


def _time(side: dict[str, float] | None) -> str:
    if side is None:
        return NONE
    return report.seconds(side["median"]) if side["min"] == side["max"] else report.cell(side)


def line(columns: tuple[str, ...]) -> str:
    """The same for a terminal."""
    first, *times, wall, cpu = columns
    return f"{first:<24} " + " ".join(f"{time:>30}" for time in times) + f" {wall:>17} {cpu:>17}"


def absences(absent: Mapping[str, str]) -> list[str]:
    """A sentence for every dash in the table that has a reason."""
    told = []
    for what, reason in absent.items():
        side, _, row = what.partition(": ")
        told.append(f"{TITLES[side]}{f', {row}' if row else ''}: {reason}")
    return told


def measure(*, quick: bool, rounds: int, cold_rounds: int, slice_s: float) -> dict[str, Any]:
    """Build, measure, print the table; its part of the results file."""
    print(f"\n{NOTE}\n")
    done = prepare(quick=quick)
    print(line(HEAD))
    rows = []
    for row in run(done, rounds=rounds, cold_rounds=cold_rounds, slice_s=slice_s):
        rows.append(row)
        print(line(cells(row)), flush=True)
    for told in absences(done.absent):
        print(f"{NONE} {told}")
    return {"sides": TITLES, "absent": done.absent, "rows": rows}


def section(results: Mapping[str, Any]) -> list[str]:
    """Its part of RESULTS.md."""
    return [
        "## A provider in Rust and in Python",
        "",
        NOTE,
        "",
        "| " + " | ".join(HEAD) + " |",
        "|" + "---|" * len(HEAD),
        *("| " + " | ".join(cells(row)) + " |" for row in results["rows"]),
        "",
        *(f"- {told}" for told in absences(results["absent"])),
    ]
