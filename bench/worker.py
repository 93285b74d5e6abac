"""The child process that measures one side.

    python -m bench.worker SIDE GUEST                 serves requests: one JSON line in, one out
    python -m bench.worker SIDE GUEST --cold SIZE     loads, calls once, prints the answer
    python -m bench.worker SIDE GUEST --import        imports the package, prints the answer

A request {"work", "size", "times"} is answered by {"wall", "cpu"}: seconds of one call, the mean
over `times`. `cpu` is processor time of all threads and children: a busy machine hardly moves it.
"""

from __future__ import annotations

import json
import resource
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

from bench.rows import payload
from bench.sides import SIDES


def processor() -> float:
    """Seconds of processor time so far, of this process and the children it waited for."""
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(use.ru_utime + use.ru_stime for use in used)


def measure(job: Callable[[], bytes], answer: bytes, times: int) -> dict[str, float]:
    """Seconds of one `job()`, the mean over `times`; the last must give `answer`."""
    got = b""
    wall, cpu = time.perf_counter(), processor()
    for _ in range(times):
        got = job()
    result = {
        "wall": (time.perf_counter() - wall) / times,
        "cpu": (processor() - cpu) / times,
    }
    if got != answer:
        raise SystemExit(f"the guest answered {len(got)} bytes, not what was expected")
    return result


def cold(name: str, guest: Path, size: int) -> dict[str, float]:
    """From the import, which is not counted, to the first answer."""
    side = SIDES[name]()
    side.imported()
    data = payload(size)

    def job() -> bytes:
        side.load(guest)
        return side.call(data)

    return measure(job, data, 1)


def imported(name: str) -> dict[str, float]:
    """The import alone."""

    def job() -> bytes:
        SIDES[name]().imported()
        return b""

    return measure(job, b"", 1)


def serve(name: str, guest: Path) -> None:
    """Answer requests until stdin ends."""
    side = SIDES[name]()
    side.load(guest)
    for line in sys.stdin:
        request = json.loads(line)
        work = side.call if request["work"] == "call" else side.fresh
        data = payload(request["size"])
        print(json.dumps(measure(partial(work, data), data, request["times"])), flush=True)


def main() -> None:
    """See the module."""
    name, guest = sys.argv[1], Path(sys.argv[2])
    if sys.argv[3:4] == ["--cold"]:
        print(json.dumps(cold(name, guest, int(sys.argv[4]))))
    elif sys.argv[3:4] == ["--import"]:
        print(json.dumps(imported(name)))
    else:
        serve(name, guest)


if __name__ == "__main__":
    main()
