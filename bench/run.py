"""Run the rows: both sides alternate, each in child processes of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from bench.rows import Row
from bench.sides import SIDES

ROOT: Final = Path(__file__).resolve().parent.parent
WARM_UP: Final = 3
"""Samples of a kept process that are measured and thrown away, before each row."""


def environment(home: Path) -> dict[str, str]:
    """The child's: every cache, of either side, lies in `home` and nowhere else."""
    kept = {key: value for key, value in os.environ.items() if not key.startswith("FUMEHOOD")}
    config = home / "extism-cache.toml"
    config.write_text(f'[cache]\ndirectory = "{home / "extism"}"\n')
    for key in ("CACHE", "CONFIG", "DATA", "STATE"):
        kept[f"XDG_{key}_HOME"] = str(home / key.lower())
    return kept | {"HOME": str(home), "EXTISM_CACHE_CONFIG": str(config)}


def _command(side: str, guest: Path, *more: str) -> list[str]:
    return [sys.executable, "-m", "bench.worker", side, str(guest), *more]


Sample = dict[str, float]
"""Seconds of one call: `wall`, and `cpu` for processor time."""


def once(command: list[str], home: Path) -> Sample:
    """What a process of its own measured."""
    done = subprocess.run(
        command,
        cwd=ROOT,
        env=environment(home),
        stdout=subprocess.PIPE,
        check=True,
    )
    sample: Sample = json.loads(done.stdout)
    return sample


class Worker:
    """A child that keeps its side loaded."""

    def __init__(self, command: list[str], home: Path) -> None:
        self._process = subprocess.Popen(
            command,
            cwd=ROOT,
            env=environment(home),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def ask(self, work: str, times: int, size: int = 0) -> Sample:
        """One sample: the mean over `times` calls."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        request = {"work": work, "size": size, "times": times}
        self._process.stdin.write(json.dumps(request) + "\n")
        self._process.stdin.flush()
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError(f"a worker died with status {self._process.wait()}; see its output")
        sample: Sample = json.loads(line)
        return sample

    def close(self) -> None:
        """End of input ends the child."""
        self._process.communicate()


@contextmanager
def _workers(guest: Path) -> Iterator[dict[str, Worker]]:
    """One worker a side, each with a home of its own."""
    with tempfile.TemporaryDirectory() as folder:
        workers: dict[str, Worker] = {}
        try:
            for side in SIDES:
                home = Path(folder, side)
                home.mkdir()
                workers[side] = Worker(_command(side, guest), home)
            yield workers
        finally:
            for worker in workers.values():
                worker.close()


def order(turn: int, sides: Iterable[str] = SIDES) -> list[str]:
    """Who goes first changes every turn, so that a drift of the machine hits all alike."""
    forward = list(sides)
    return forward if turn % 2 == 0 else forward[::-1]


def warm(
    work: str, workers: Mapping[str, Worker], rounds: int, slice_s: float, size: int = 0
) -> dict[str, Any]:
    """Samples of rows with kept processes; each sample repeats the call for about `slice_s`."""
    times = {}
    for side, worker in workers.items():
        estimate = min(worker.ask(work, 3, size)["wall"] for _ in range(WARM_UP))
        times[side] = max(3, int(slice_s / estimate))
        for _ in range(WARM_UP):
            worker.ask(work, times[side], size)
    samples: dict[str, list[Sample]] = {side: [] for side in workers}
    for turn in range(rounds):
        for side in order(turn, workers):
            samples[side].append(workers[side].ask(work, times[side], size))
    return {"samples": samples, "calls_per_sample": times}


def _cold(row: Row, guest: Path, rounds: int) -> dict[str, Any]:
    """Samples of rows whose every sample is a process of its own."""
    what = ["--import"] if row.work == "import" else ["--cold", str(row.size)]
    samples: dict[str, list[Sample]] = {side: [] for side in SIDES}
    for turn in range(rounds):
        for side in order(turn):
            with tempfile.TemporaryDirectory() as home:
                if row.cached or row.work == "import":  # fills the cache; also reads the files once
                    once(_command(side, guest, *what), Path(home))
                samples[side].append(once(_command(side, guest, *what), Path(home)))
    return {"samples": samples, "calls_per_sample": dict.fromkeys(SIDES, 1)}


def run(
    rows: tuple[Row, ...], guest: Path, *, rounds: int, cold_rounds: int, slice_s: float
) -> Iterator[tuple[Row, dict[str, Any]]]:
    """Yield every row with its `samples` and `calls_per_sample`, each by side."""
    with _workers(guest) as workers:
        for row in rows:
            if row.work in {"call", "fresh"}:
                yield row, warm(row.work, workers, rounds, slice_s, row.size)
    for row in rows:
        if row.work in {"cold", "import"}:
            yield row, _cold(row, guest, cold_rounds)
