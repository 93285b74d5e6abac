"""Whole chats against a stub endpoint in a process of its own: one at a time, and many."""

from __future__ import annotations

import importlib.util
import statistics
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Final

from bench.report import Row, row
from bench.run import ROOT, Effort, Spec, Workers, order, workers

TITLE: Final = "Full chats on a stub"
ABOUT: Final = (
    "The same chat by `Provider` with the bundled openai plugin, by plain httpx without any plugin "
    "and by the official `openai` SDK; `sync`: threads that share a client, `async`: tasks on "
    "asyncio. The stub (bench/stub.py) is a process of its own; its ceiling is what one client "
    "with prepared requests on plain sockets gets. `median` is wall time of all chats by their "
    "number; p50 and p99 are of single chats, from the first byte of work to the text. On a "
    "machine of two cores client and stub fill both."
)
CONCURRENCY: Final = (1, 16, 256)
PERCENTILES: Final = ("p50_s", "p99_s", "chats_per_s", "failures")


@contextmanager
def stub(*module: str) -> Iterator[int]:
    """A stub endpoint; its port."""
    command = [sys.executable, "-m", *(module or ("bench.stub",))]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            said = process.stdout.readline().strip()
            yield int(said.rstrip("/").removesuffix("/v1").rpartition(":")[2])
        finally:
            process.terminate()


def sides(port: int) -> tuple[dict[str, Spec], dict[str, str]]:
    """Who chats, and why somebody does not."""
    arguments = {"port": port}
    specs = {
        "fumehood": Spec("full:Fumehood", arguments),
        "httpx": Spec("full:Httpx", arguments),
        "openai SDK": Spec("full:OpenAI", arguments),
    }
    if importlib.util.find_spec("openai") is None:
        del specs["openai SDK"]
        return specs, {"openai SDK": "it is not installed (pip install 'fumehood[bench]')"}
    return specs, {}


def sampled(
    running: Workers, request: Mapping[str, Any], effort: Effort
) -> dict[str, list[dict[str, Any]]]:
    """Answers of jobs that measure themselves, by side, alternating after a warm-up."""
    answers: dict[str, list[dict[str, Any]]] = {side: [] for side in running}
    for turn in range(-effort.warm_up, effort.cold_rounds):
        for side in order(turn, running):
            answer = running[side].ask(request)
            if turn >= 0:
                answers[side].append(answer)
            if answer.get("failure"):
                print(f"  {side}: {answer['failures']} failed: {answer['failure']}")
    return answers


def with_percentiles(made: Row, answers: Mapping[str, list[dict[str, Any]]]) -> Row:
    """`made` with the medians of what else the answers hold; failures are added up."""
    for side, several in answers.items():
        made.more[side] = {
            name: statistics.median(answer[name] for answer in several) for name in PERCENTILES
        }
        made.more[side]["failures"] = sum(answer["failures"] for answer in several)
    return made


def _ceilings(effort: Effort) -> Iterator[Row]:
    """What the stubs themselves can serve."""
    for key, name, module in (
        ("stub", "ceiling of the stub", ()),
        ("stub.testing", "ceiling of fumehood.testing.stub", ("fumehood.testing.stub",)),
    ):
        for concurrency in (1, 16):
            request = {"work": "ceiling", "concurrency": concurrency, "requests": 320}
            with (
                stub(*module) as port,
                workers({"sockets": Spec("full:Raw", {"port": port})}) as running,
            ):
                answers = sampled(running, request, effort)
            made = row(f"{key}.{concurrency}", f"{name}, {concurrency} at once", answers)
            yield with_percentiles(made, answers)


def rows(effort: Effort) -> Iterator[Row]:
    """Yield every row."""
    yield from _ceilings(effort)
    with stub() as port:
        specs, absent = sides(port)
        for work, words in (("sync", "sync"), ("loop", "async")):
            for concurrency in CONCURRENCY:
                requests = concurrency * (1 if effort.quick else max(1, 768 // concurrency))
                if concurrency == 1:
                    requests = 4 if effort.quick else 100
                request = {"work": work, "concurrency": concurrency, "requests": requests}
                with workers(specs) as running:
                    answers = sampled(running, request, effort)
                name = f"full chat, {words}, {concurrency} at once"
                made = row(f"full.{words}.{concurrency}", name, answers, absent)
                yield with_percentiles(made, answers)
