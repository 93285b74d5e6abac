"""From samples to the table, the JSON file and the page that is kept."""

from __future__ import annotations

import os
import platform
import statistics
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final

from bench.rows import Row

NOTE = (
    "Medians of alternating samples; in brackets the quartiles. The ratio says how often fumehood "
    "does it in the time that extism takes once, by the clock and in processor time, which a busy "
    "machine hardly moves. fumehood runs with its default limits: fuel, guest time, deadline, "
    "memory and host calls metered, a receipt for every call. "
    "extism runs as installed: no timeout, no fuel, no receipt. Each side in processes of its own."
)


CLOCKS: Final = ("wall", "cpu")


def summary(samples: list[float]) -> dict[str, float]:
    """Median and quartiles, in seconds; of one sample, that one."""
    several = samples if len(samples) > 1 else samples * 2
    low, middle, high = statistics.quantiles(several, n=4, method="inclusive")
    return {"median": middle, "q1": low, "q3": high, "min": min(samples), "max": max(samples)}


def entry(row: Row, measured: dict[str, Any]) -> dict[str, Any]:
    """One row of the results file."""
    times = {
        clock: {
            side: summary([sample[clock] for sample in samples])
            for side, samples in measured["samples"].items()
        }
        for clock in CLOCKS
    }
    return {
        "row": row.name,
        "bytes": row.size,
        "seconds": times,
        "ratio": {
            clock: sides["extism"]["median"] / sides["fumehood"]["median"]
            for clock, sides in times.items()
        },
        "samples": len(measured["samples"]["fumehood"]),
        "calls_per_sample": measured["calls_per_sample"],
    }


def _processor() -> str:
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass  # not Linux: platform knows less, but something
    return platform.processor() or "unknown"


def facts(guest: Path) -> dict[str, Any]:
    """The machine and the versions that the numbers belong to."""
    return {
        "date": datetime.now(UTC).strftime("%Y-%m-%d"),
        "processor": _processor(),
        "cores": os.cpu_count(),
        "load": round(os.getloadavg()[0], 1),
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "wasmtime": version("wasmtime"),
        "fumehood": version("fumehood"),
        "extism": f"{version('extism')} (libextism {version('extism-sys')})",
        "guest": guest.name,
        "guest_bytes": guest.stat().st_size,
    }


def seconds(value: float) -> str:
    """A time in the unit that gives it three digits."""
    for unit, scale in (("s", 1.0), ("ms", 1e-3), ("µs", 1e-6)):
        if value >= scale:
            return (
                f"{value / scale:.3g} {unit}"
                if value < 100 * scale
                else f"{value / scale:.0f} {unit}"
            )
    return f"{value / 1e-9:.3g} ns"


def cell(side: dict[str, float]) -> str:
    return f"{seconds(side['median'])} [{seconds(side['q1'])} – {seconds(side['q3'])}]"


HEAD: Final = ("", "fumehood", "extism", "ratio", "of processor time")


def cells(row: dict[str, Any]) -> tuple[str, ...]:
    """One line of the table."""
    sides, ratio = row["seconds"]["wall"], row["ratio"]
    ratios = (f"{ratio[clock]:.2f}×" for clock in CLOCKS)
    return row["row"], cell(sides["fumehood"]), cell(sides["extism"]), *ratios


def line(columns: tuple[str, ...]) -> str:
    """The same for a terminal."""
    first, *times, wall, cpu = columns
    return f"{first:<24} " + " ".join(f"{time:>32}" for time in times) + f" {wall:>8} {cpu:>17}"


def page(results: dict[str, Any]) -> str:
    """RESULTS.md."""
    machine = results["machine"]
    lines = [
        "# Call overhead, measured",
        "",
        "Written by `make bench`; do not edit. " + NOTE,
        f"Before each row {results['warm_up']} samples a side are thrown away; rows of cold loads "
        "and imports take a new process for every sample and need none.",
        "",
        "| " + " | ".join(HEAD) + " |",
        "|---|---|---|---|---|",
        *("| " + " | ".join(cells(row)) + " |" for row in results["rows"]),
        "",
        *(f"- {key.replace('_', ' ')}: {value}" for key, value in machine.items()),
        "",
    ]
    return "\n".join(lines)
