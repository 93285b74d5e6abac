"""The child process that measures one side.

    python -m bench.worker SIDE GUEST                 serves requests: one JSON line in, one out
    python -m bench.worker SIDE GUEST --cold SIZE     loads, calls once, prints the seconds
    python -m bench.worker SIDE GUEST --import        imports the package, prints the seconds

A request {"work", "size", "times"} is answered by {"seconds": one call's mean over `times`}.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

from bench.rows import payload
from bench.sides import SIDES


def measure(job: object, data: bytes, times: int) -> float:
    """Seconds of one `job(data)`, the mean over `times`; the last answer must be the echo."""
    assert callable(job)
    answer = b""
    start = time.perf_counter()
    for _ in range(times):
        answer = job(data)
    seconds = time.perf_counter() - start
    if answer != data:
        raise SystemExit(f"the guest answered {len(answer)} bytes that are not its input")
    return seconds / times


def cold(name: str, guest: Path, size: int) -> float:
    """Seconds from the import to the first answer; the import itself is not counted."""
    side = SIDES[name]()
    side.imported()
    data = payload(size)
    start = time.perf_counter()
    side.load(guest)
    answer = side.call(data)
    seconds = time.perf_counter() - start
    if answer != data:
        raise SystemExit(f"the guest answered {len(answer)} bytes that are not its input")
    return seconds


def serve(name: str, guest: Path) -> None:
    """Answer requests until stdin ends."""
    side = SIDES[name]()
    side.load(guest)
    for line in sys.stdin:
        request = json.loads(line)
        job = side.call if request["work"] == "call" else side.fresh
        seconds = measure(job, payload(request["size"]), request["times"])
        print(json.dumps({"seconds": seconds}), flush=True)


def main() -> None:
    """See the module."""
    name, guest = sys.argv[1], Path(sys.argv[2])
    if sys.argv[3:4] == ["--cold"]:
        print(json.dumps({"seconds": cold(name, guest, int(sys.argv[4]))}))
    elif sys.argv[3:4] == ["--import"]:
        start = time.perf_counter()
        SIDES[name]().imported()
        print(json.dumps({"seconds": time.perf_counter() - start}))
    else:
        serve(name, guest)


if __name__ == "__main__":
    main()
