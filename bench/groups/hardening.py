"""What the hardening costs a provider call."""

from __future__ import annotations

import statistics
from collections.abc import Iterator
from typing import Final

from bench.groups.full import stub
from bench.report import Row, row
from bench.run import Effort, Spec, workers
from bench.sides.hardened import VARIANTS

TITLE: Final = "The cost of the hardening"
ABOUT: Final = (
    "One chat with the bundled openai plugin on the stub; all variants in one process, call by "
    "call in turn. `everything on`: secret slot, scrubbing, egress decision, address check, "
    "bounded reply, deadlines, receipt, audit (a line a call, fsync left to the system); `bare`: "
    "the same sandbox and plugin, but its requests go to httpcore as they are, without "
    "slots, scrubbing, decision, address check, bounds, deadlines and audit, and without a limit "
    "on fuel. Not switched off in `bare`: the counting of fuel, which is compiled into the code, "
    "the receipt and the decoding of what the plugin answers. The cost is the median of what a "
    "call took longer than the bare one of its turn."
)


def rows(effort: Effort) -> Iterator[Row]:
    """Yield the row."""
    with stub() as port, workers({"": Spec("hardened:Chats", {"port": port})}) as running:
        request = {"work": "turns", "calls": 4 if effort.quick else 60}
        samples: dict[str, list[dict[str, float]]] = {name: [] for name in VARIANTS}
        for turn in range(-effort.warm_up, effort.rounds):
            answer = running[""].ask(request)
            for name in VARIANTS:
                if turn >= 0:
                    samples[name].append(answer[name])
        made = row("hardening", "one chat on the stub", samples)
        for name in VARIANTS[:-1]:
            costs = [sample["cost"] for sample in samples[name]]
            made.more[name] = {"cost_s": statistics.median(costs)}
        yield made
