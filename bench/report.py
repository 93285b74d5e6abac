"""From samples to rows, and from rows to the table on the screen and on the page."""

from __future__ import annotations

import statistics
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from bench.run import Sample

NOTE: Final = (
    "Medians of alternating samples; in brackets the quartiles. The last two columns compare with "
    "the first line of a row: 3.00× takes three times as long, by the clock and in processor time, "
    "which a busy machine hardly moves. fumehood runs with its default limits: fuel, guest time, "
    "deadline, memory and host calls metered, a receipt for every call. extism runs as installed: "
    "no timeout, no fuel, no receipt. Each side in processes of its own."
)
CLOCKS: Final = ("wall", "cpu")
HEAD: Final = ("", "by", "median [quartiles]", "time", "processor time")
NONE: Final = "—"

_NOBODY: Final[Mapping[str, str]] = {}

Summary = dict[str, float]


@dataclass(slots=True)
class Row:
    """One row of the results: the same work by several sides, ours first.

    `seconds` is by clock, then by side; `more` holds other numbers by side (percentiles, bytes,
    counts), each under a name whose end says its unit: `_s`, `_bytes`, `_per_s` or none.
    `absent` says why a side is missing.
    """

    key: str
    name: str
    seconds: dict[str, dict[str, Summary]] = field(default_factory=dict)
    more: dict[str, dict[str, float]] = field(default_factory=dict)
    absent: dict[str, str] = field(default_factory=dict)
    samples: int = 0

    @property
    def sides(self) -> list[str]:
        """Who was measured, ours first."""
        return list(self.seconds.get("wall", {}) or self.more)

    def median(self, side: str, clock: str = "wall") -> float | None:
        """Seconds, None where it was not measured."""
        found = self.seconds.get(clock, {}).get(side)
        return None if found is None else found["median"]

    def ratio(self, side: str, to: str | None = None, clock: str = "wall") -> float | None:
        """How often `to` (the first side) does it in the time of `side`."""
        mine, theirs = self.median(side, clock), self.median(to or self.sides[0], clock)
        return None if mine is None or theirs is None else mine / theirs

    def to_dict(self) -> dict[str, Any]:
        """For the results file."""
        ratios = {
            clock: {side: self.ratio(side, clock=clock) for side in sides}
            for clock, sides in self.seconds.items()
        }
        return {
            "key": self.key,
            "row": self.name,
            "seconds": self.seconds,
            "ratio": ratios,
            "more": self.more,
            "absent": self.absent,
            "samples": self.samples,
        }


def row(
    key: str,
    name: str,
    samples: Mapping[str, Sequence[Sample]],
    absent: Mapping[str, str] = _NOBODY,
    *,
    per: int = 1,
) -> Row:
    """A row from samples by side; `per` is how many operations a timed job holds."""
    seconds = {
        clock: {
            side: summary([sample[clock] / per for sample in several])
            for side, several in samples.items()
        }
        for clock in CLOCKS
    }
    count = min((len(several) for several in samples.values()), default=0)
    return Row(key, name, seconds, absent=dict(absent), samples=count)


def summary(samples: Sequence[float]) -> Summary:
    """Median and quartiles; of one sample, that one."""
    several = list(samples) if len(samples) > 1 else list(samples) * 2
    low, middle, high = statistics.quantiles(several, n=4, method="inclusive")
    return {"median": middle, "q1": low, "q3": high, "min": min(samples), "max": max(samples)}


def seconds(value: float) -> str:
    """A time in the unit that gives it three digits."""
    for unit, scale in (("s", 1.0), ("ms", 1e-3), ("µs", 1e-6)):
        if abs(value) >= scale:
            return (
                f"{value / scale:.3g} {unit}"
                if abs(value) < 100 * scale
                else f"{value / scale:.0f} {unit}"
            )
    return f"{value / 1e-9:.3g} ns"


def quantity(name: str, value: float) -> str:
    """A number in the unit that the end of its name tells."""
    if name.endswith("_per_s"):
        return f"{value:,.0f}/s"
    if name.endswith("_bytes"):
        return f"{value / 1024:,.0f} KiB"
    if name.endswith("_s"):
        return seconds(value)
    return f"{value:,.3g}"


def cell(side: Summary) -> str:
    """Median and quartiles."""
    return f"{seconds(side['median'])} [{seconds(side['q1'])} – {seconds(side['q3'])}]"


def _label(name: str) -> str:
    for end in ("_per_s", "_bytes", "_s"):
        name = name.removesuffix(end)
    return name.replace("_", " ")


def cells(row: Row) -> Iterator[tuple[str, ...]]:
    """The lines of a row: one a side, then one for each that is missing."""
    name = row.name
    for side in row.sides:
        timed = row.seconds.get("wall", {}).get(side)
        texts = [cell(timed)] if timed else []
        more = row.more.get(side, {})
        texts += [f"{_label(key)} {quantity(key, value)}" for key, value in more.items()]
        ratios = [NONE, NONE]
        if timed and side != row.sides[0]:
            ratios = [f"{row.ratio(side, clock=clock):.2f}×" for clock in CLOCKS]
        yield name, side, ", ".join(texts), *ratios
        name = ""
    for side, why in row.absent.items():
        yield name, side, f"not measured: {why}", NONE, NONE
        name = ""


def lines(row: Row) -> Iterator[str]:
    """The same for a terminal."""
    for name, side, text, wall, cpu in cells(row):
        yield f"{name:<38} {side:<26} {text:<44} {wall:>8} {cpu:>8}"


def table(rows: Sequence[Row]) -> list[str]:
    """The same in Markdown."""
    head = ["| " + " | ".join(HEAD) + " |", "|" + "---|" * len(HEAD)]
    return head + ["| " + " | ".join(line) + " |" for row in rows for line in cells(row)]
