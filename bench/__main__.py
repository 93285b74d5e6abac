"""`make bench`: one table on screen, and results.json, RESULTS.md and RESULTS.svg in bench/."""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any, Final

from bench import picture, report, targets
from bench.groups import calls, chats, full, hardening, hostcalls, loads, memory, providers
from bench.machine import facts
from bench.report import Row
from bench.run import FULL, QUICK, Effort

HERE: Final = Path(__file__).resolve().parent
GROUPS: Final[dict[str, tuple[ModuleType, Callable[[Effort, Path], Iterator[Row]]]]] = {
    "calls": (calls, calls.rows),
    "loads": (loads, loads.rows),
    "hostcalls": (hostcalls, lambda effort, _guest: hostcalls.rows(effort)),
    "chats": (chats, lambda effort, _guest: chats.rows(effort)),
    "full": (full, lambda effort, _guest: full.rows(effort)),
    "hardening": (hardening, lambda effort, _guest: hardening.rows(effort)),
    "memory": (memory, memory.rows),
    "providers": (providers, lambda effort, _guest: providers.rows(effort)),
}


@dataclass(slots=True)
class Section:
    """What one group measured."""

    title: str
    about: str
    rows: list[Row]


def measure(names: list[str], effort: Effort, guest: Path) -> Iterator[Section]:
    """Run groups, printing each row as it comes."""
    for name in names:
        module, make = GROUPS[name]
        section = Section(module.TITLE, module.ABOUT, [])
        print(f"\n{section.title}\n")
        for row in make(effort, guest):
            section.rows.append(row)
            for line in report.lines(row):
                print(line, flush=True)
        yield section


def page(results: dict[str, Any], sections: list[Section]) -> str:
    """RESULTS.md."""
    lines = [
        "# Measured",
        "",
        f"Written by `make bench` in {results['seconds']} s; do not edit. {report.NOTE}",
        f"Before each row {results['warm_up']} samples a side are thrown away; rows of cold loads "
        "and imports take a new process for every sample and need none. The same as a picture: "
        "[RESULTS.svg](RESULTS.svg). Instruction counts: [instructions.json](instructions.json).",
        "",
        "## Targets",
        "",
        *targets.section(results["targets"]),
        "",
    ]
    for section in sections:
        lines += [f"## {section.title}", "", section.about, "", *report.table(section.rows), ""]
    lines += ["## The machine", ""]
    lines += [f"- {key.replace('_', ' ')}: {value}" for key, value in results["machine"].items()]
    return "\n".join([*lines, ""])


def main() -> None:
    """See the module."""
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="few samples: does it run at all?")
    parser.add_argument("--only", choices=GROUPS, action="append", help="this group (repeatable)")
    parser.add_argument("--guest", type=Path, help="another module with an export `echo`")
    parser.add_argument(
        "--out", type=Path, help="where the results go; bench/, or nowhere with --quick or --only"
    )
    options = parser.parse_args()
    effort = QUICK if options.quick else FULL
    began = time.monotonic()
    guest = options.guest or calls.guest()
    machine = facts(guest)

    print(report.NOTE)
    sections = list(measure(options.only or list(GROUPS), effort, guest))
    judged = targets.outcomes([row for section in sections for row in section.rows])
    print("\nTargets\n")
    for line in judged:
        if options.only and line["measured"] == "not measured":
            continue
        met = "?" if line["met"] is None else "met" if line["met"] else "NOT MET"
        print(f"{line['what']:<82} {line['at_least']:<24} {line['measured']:<44} {met}")
    out = options.out or (None if options.quick or options.only else HERE)
    if out is None:
        return
    results = {
        "machine": machine,
        "warm_up": effort.warm_up,
        "seconds": round(time.monotonic() - began),
        "targets": judged,
        "sections": [
            {"title": section.title, "rows": [row.to_dict() for row in section.rows]}
            for section in sections
        ],
    }
    out.mkdir(parents=True, exist_ok=True)
    Path(out, "results.json").write_text(json.dumps(results, indent=1) + "\n")
    Path(out, "RESULTS.md").write_text(page(results, sections))
    caption = (
        f"{machine['processor']}, {machine['cores']} cores, {machine['system']}, {machine['date']}"
    )
    drawn = picture.draw([(section.title, section.rows) for section in sections], caption)
    Path(out, "RESULTS.svg").write_text(drawn)
    print(f"\nwritten in {results['seconds']} s: results.json, RESULTS.md, RESULTS.svg in {out}")


if __name__ == "__main__":
    main()
