"""Run sides against each other: they alternate, each in child processes of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Self

ROOT: Final = Path(__file__).resolve().parent.parent
HOME: Final = ROOT / "build" / "bench"
"""Home of the kept children: compiled modules stay there, so that a quick run finds them."""

Sample = dict[str, float]
"""Seconds of one job: `wall`, and `cpu` for processor time."""


@dataclass(frozen=True, slots=True)
class Effort:
    """How much is measured."""

    rounds: int
    """Samples of a row whose processes are kept."""
    cold_rounds: int
    """Samples of a row that needs a process a sample."""
    slice_s: float
    """Seconds that a sample should take."""
    warm_up: int
    """Samples of a kept process that are measured and thrown away, before each row."""
    quick: bool = False
    """Does it run at all? Nothing slow is built."""


FULL: Final = Effort(rounds=25, cold_rounds=9, slice_s=0.05, warm_up=3)
QUICK: Final = Effort(rounds=2, cold_rounds=1, slice_s=0.002, warm_up=1, quick=True)


@dataclass(frozen=True, slots=True)
class Spec:
    """A side: its class as bench/worker.py finds it, and the constructor's arguments."""

    kind: str
    arguments: Mapping[str, Any]

    def command(self) -> list[str]:
        """The child's."""
        return [sys.executable, "-m", "bench.worker", self.kind, json.dumps(dict(self.arguments))]


def environment(home: Path) -> dict[str, str]:
    """The child's: every cache, of either side, lies in `home` and nowhere else."""
    kept = {key: value for key, value in os.environ.items() if not key.startswith("FUMEHOOD")}
    config = home / "extism-cache.toml"
    config.write_text(f'[cache]\ndirectory = "{home / "extism"}"\n')
    for key in ("CACHE", "CONFIG", "DATA", "STATE"):
        kept[f"XDG_{key}_HOME"] = str(home / key.lower())
    return kept | {"HOME": str(home), "EXTISM_CACHE_CONFIG": str(config)}


class Worker:
    """A child that serves requests; a context manager."""

    def __init__(self, command: list[str], home: Path = HOME) -> None:
        home.mkdir(parents=True, exist_ok=True)
        self._process = subprocess.Popen(
            command,
            cwd=ROOT,
            env=environment(home),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def ask(self, request: Mapping[str, Any]) -> dict[str, Any]:
        """The answer to one request. Raises RuntimeError where the child died of it."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(dict(request)) + "\n")
        self._process.stdin.flush()
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError(f"a worker died with status {self._process.wait()}; see its output")
        answer: dict[str, Any] = json.loads(line)
        return answer

    def close(self) -> None:
        """End of input ends the child."""
        self._process.communicate()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        self.close()


_NONE: Final[Mapping[str, list[str]]] = {}


@contextmanager
def workers(
    specs: Mapping[str, Spec], commands: Mapping[str, list[str]] = _NONE
) -> Iterator[Workers]:
    """One child a side; `commands` are those that are no Python."""
    running: Workers = {}
    try:
        for side, spec in specs.items():
            running[side] = Worker(spec.command())
        for side, command in commands.items():
            running[side] = Worker(command)
        yield running
    finally:
        for worker in running.values():
            worker.close()


Workers = dict[str, Worker]
Measured = dict[str, list[Sample]]
"""Samples by side."""


def order(turn: int, sides: Iterable[str]) -> list[str]:
    """Who goes first changes every turn, so that a drift of the machine hits all alike."""
    forward = list(sides)
    return forward if turn % 2 == 0 else forward[::-1]


def alike(running: Workers, request: Mapping[str, Any]) -> None:
    """Raises RuntimeError where two sides do not give the same result: no comparison then."""
    answers = {side: worker.ask({**request, "times": 0}) for side, worker in running.items()}
    first = next(iter(answers.values()))
    for side, answer in answers.items():
        if answer != first:
            raise RuntimeError(f"{side} answers {answer}, {next(iter(answers))} {first}: {request}")


def warm(running: Workers, request: Mapping[str, Any], effort: Effort) -> Measured:
    """Samples of kept children; each sample repeats the job for about `effort.slice_s`. Where one
    job takes longer than that there are fewer samples."""
    times = {}
    rounds = effort.rounds
    for side, worker in running.items():
        worker.ask({**request, "times": 0})
        estimate = min(worker.ask({**request, "times": 1})["wall"] for _ in range(effort.warm_up))
        times[side] = max(1, int(effort.slice_s / estimate))
        for _ in range(effort.warm_up):
            worker.ask({**request, "times": times[side]})
        if estimate > effort.slice_s:
            rounds = max(2, effort.rounds // 3)
    samples: Measured = {side: [] for side in running}
    for turn in range(rounds):
        for side in order(turn, running):
            samples[side].append(running[side].ask({**request, "times": times[side]}))
    return samples


def once(spec: Spec, request: Mapping[str, Any], home: Path) -> Sample:
    """What a process of its own measured."""
    done = subprocess.run(
        [*spec.command(), json.dumps(dict(request))],
        cwd=ROOT,
        env=environment(home),
        stdout=subprocess.PIPE,
        check=True,
    )
    sample: Sample = json.loads(done.stdout)
    return sample


def cold(
    specs: Mapping[str, Spec], request: Mapping[str, Any], effort: Effort, *, cached: bool
) -> Measured:
    """Samples of new processes, all of a side with a cache that was filled once, or each with an
    empty one."""
    samples: Measured = {side: [] for side in specs}
    with tempfile.TemporaryDirectory() as folder:
        homes = {side: Path(folder, f"cache-{number}") for number, side in enumerate(specs)}
        if cached:
            for side, spec in specs.items():
                homes[side].mkdir()
                once(spec, request, homes[side])
        for turn in range(effort.cold_rounds):
            for side in order(turn, specs):
                if cached:
                    samples[side].append(once(specs[side], request, homes[side]))
                    continue
                with tempfile.TemporaryDirectory(dir=folder) as home:
                    samples[side].append(once(specs[side], request, Path(home)))
    return samples
