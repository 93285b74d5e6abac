"""A guest that calls a Python function of its host."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from bench.report import Row, row
from bench.run import Effort, Spec, alike, warm, workers
from bench.sides.hostcalls import CALLS

TITLE: Final = "Guest to host"
ABOUT: Final = (
    f"A guest calls `add`, a Python function of two integers, {CALLS} times in one call of its "
    "own; the time is that of one. wasmtime-py: its public linker, nothing metered."
)
SIDES: Final = {
    "fumehood": "hostcalls:Fumehood",
    "extism": "hostcalls:Extism",
    "wasmtime-py": "hostcalls:Wasmtime",
}


def rows(effort: Effort) -> Iterator[Row]:
    """Yield the row."""
    request = {"work": "run"}
    with workers({side: Spec(kind, {}) for side, kind in SIDES.items()}) as running:
        alike(running, request)
        samples = warm(running, request, effort)
    yield row("host", "guest → Python host function", samples, per=CALLS)
