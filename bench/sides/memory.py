"""Resident memory of instances that wait for their next call."""

from __future__ import annotations

import gc
import os
from pathlib import Path
from typing import Any, Final

from bench.sides.calls import Extism as Peer
from bench.sides.calls import Fumehood as Ours
from bench.sides.side import Job

_FIRST: Final = 10
"""Instances made before the count begins: they pay for what all share."""


def resident() -> int:
    """Bytes of this process that are in memory."""
    gc.collect()
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def growth(side: Any, instances: int) -> dict[str, Any]:
    """Bytes that one more instance takes which was called once."""
    compiled = side._compile()
    kept = []

    def add(count: int) -> None:
        for _ in range(count):
            plugin = side._instance(compiled)
            plugin.call(side._export, side._input(11))
            kept.append(plugin)

    add(_FIRST)
    before = resident()
    add(instances)
    return {"resident_bytes": (resident() - before) / instances}


class Fumehood(Ours):
    """This package."""

    def idle(self, instances: int) -> Job:
        """What `growth` says."""
        return lambda: growth(self, instances)


class Extism(Peer):
    """The peer."""

    def idle(self, instances: int) -> Job:
        """What `growth` says."""
        return lambda: growth(self, instances)
