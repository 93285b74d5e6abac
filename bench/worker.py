"""The child process that measures one side.

    python -m bench.worker SIDE ARGUMENTS              serves requests: one JSON line in, one out
    python -m bench.worker SIDE ARGUMENTS REQUEST      answers one request, nothing before it

SIDE is `file:class` below bench/sides, ARGUMENTS are the constructor's as a JSON object. A request
{"work", "times", …} is answered by {"wall", "cpu"}: seconds of one job, the mean over `times`.
`cpu` is processor time of all threads and children: a busy machine hardly moves it. With `times`
0 the answer is {"size", "crc"} of what the job gives, so that sides can be compared. A job that
measures itself gives its own answer.
"""

from __future__ import annotations

import importlib
import json
import resource
import sys
import time
import zlib
from typing import Any

from bench.sides.side import Job, Side


def processor() -> float:
    """Seconds of processor time so far, of this process and the children it waited for."""
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(use.ru_utime + use.ru_stime for use in used)


def measure(job: Job, times: int) -> dict[str, Any]:
    """Seconds of one `job()`, the mean over `times`, under `wall` and `cpu`; its `result`."""
    result = None
    wall, cpu = time.perf_counter(), processor()
    for _ in range(times):
        result = job()
    wall, cpu = time.perf_counter() - wall, processor() - cpu
    return {"wall": wall / times, "cpu": cpu / times, "result": result}


def checksum(result: bytes | None) -> dict[str, Any]:
    """What stands for a job's result."""
    data = result or b""
    return {"size": len(data), "crc": zlib.crc32(data)}


def find(name: str) -> type[Side]:
    """The class called `file:class`."""
    file, _, kind = name.partition(":")
    found: type[Side] = getattr(importlib.import_module(f"bench.sides.{file}"), kind)
    return found


def _answer(measured: dict[str, Any], expected: bytes | None) -> dict[str, Any]:
    result = measured.pop("result")
    if isinstance(result, dict):
        return result
    if result != expected:
        raise SystemExit("the job gave something else than before")
    return measured


def once(side: Side, request: dict[str, Any]) -> dict[str, Any]:
    """The job's first run in its process."""
    request.pop("times", None)
    measured = measure(side.job(**request), 1)
    return _answer(measured, measured["result"])


class Service:
    """Answers requests; prepares each job once."""

    def __init__(self, side: Side) -> None:
        self._side = side
        self._jobs: dict[str, tuple[Job, Any]] = {}

    def answer(self, request: dict[str, Any]) -> dict[str, Any]:
        """The answer to one request."""
        times = request.pop("times", 1)
        key = json.dumps(request, sort_keys=True)
        if key not in self._jobs:
            job = self._side.job(**request)
            self._jobs[key] = job, job() if times == 0 else None
        job, expected = self._jobs[key]
        return checksum(expected) if times == 0 else _answer(measure(job, times), expected)


def main() -> None:
    """See the module."""
    side = find(sys.argv[1])(**json.loads(sys.argv[2]))
    if sys.argv[3:]:
        print(json.dumps(once(side, json.loads(sys.argv[3]))))
        return
    service = Service(side)
    for line in sys.stdin:
        print(json.dumps(service.answer(json.loads(line))), flush=True)


if __name__ == "__main__":
    main()
