"""Resident memory of idle instances."""

from __future__ import annotations

import statistics
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from bench.groups.loads import BUNDLED, QUESTION
from bench.report import Row
from bench.run import Effort, Spec, once

TITLE: Final = "Memory"
ABOUT: Final = (
    "Growth of the resident memory of a process by an instance that was made, called once and is "
    "kept; the mean over many, in new processes."
)


def rows(effort: Effort, guest: Path) -> Iterator[Row]:
    """Yield every row."""
    count = 20 if effort.quick else 200
    for key, name, arguments in (
        ("small", "idle instance, small guest", {"guest": str(guest)}),
        ("bundled", "idle instance, bundled openai", {"guest": str(BUNDLED), **QUESTION}),
    ):
        made = Row(f"memory.{key}", name)
        if sys.platform != "linux":
            made.absent["fumehood"] = "there is no /proc here"
            yield made
            continue
        for side, kind in (("fumehood", "memory:Fumehood"), ("extism", "memory:Extism")):
            found = []
            with tempfile.TemporaryDirectory() as home:
                for _ in range(1 if effort.quick else 3):
                    request = {"work": "idle", "instances": count}
                    found.append(once(Spec(kind, arguments), request, Path(home)))
            made.samples = len(found)
            made.more[side] = {
                "resident_bytes": statistics.median(each["resident_bytes"] for each in found)
            }
        yield made
