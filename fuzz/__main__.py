"""`python -m fuzz`: every target for its share of the time, each in a process of its own."""

from __future__ import annotations

import argparse
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from fumehood.engine.cache import DIR_VARIABLE
from fuzz import corpus, runner
from fuzz.codec_coverage import COVERAGE, missing_atheris, run_coverage
from fuzz.target import Target
from fuzz.targets import TARGETS

SHRINKING: Final = 400
"""Seconds beyond its share that a target may take to make a failing case smaller."""


@dataclass
class Row:
    """One line of the table."""

    name: str
    cases: int
    seconds: float
    said: str


def run_target(target: Target, seconds: float, seed: int) -> Row:
    """Run one target in a child; a finding, a crash or a hang is kept in the corpus."""
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="fuzz-") as folder:
        current, report = Path(folder) / "current", Path(folder) / "report"
        command = [sys.executable, "-X", "faulthandler", "-m", "fuzz", "--child", target.name]
        command += [f"--seconds={seconds}", f"--seed={seed}", f"--folder={folder}"]
        # made-up modules would fill the user's cache
        environ = {**os.environ, **({} if target.caches else {DIR_VARIABLE: "off"})}
        process = subprocess.Popen(
            command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, env=environ
        )
        try:
            _, noise = process.communicate(timeout=seconds + SHRINKING)
            ended = process.returncode
        except subprocess.TimeoutExpired:
            process.kill()
            _, noise = process.communicate()
            ended = None
        spent = time.monotonic() - began
        if ended == 0:
            answer = json.loads(report.read_text("utf-8"))
            if not answer["trace"]:
                return Row(target.name, answer["cases"], spent, "clean")
            return finding(target, answer["cases"], spent, answer["failed"], answer["trace"])
        how = "it hangs" if ended is None else _death(ended)
        text = f"{how}\n{noise.decode('utf-8', 'replace')[-4000:]}"
        case = json.loads(current.read_text("utf-8")) if current.exists() else None
        return finding(target, 0, spent, case, text)


def _death(code: int) -> str:
    if code < 0:
        return f"killed by {signal.Signals(-code).name}"
    return f"the fuzzer itself failed with {code}"


def finding(target: Target, cases: int, spent: float, case: object, trace: str) -> Row:
    """Keep what was found and show it."""
    last = trace.strip().splitlines()[-1] if trace.strip() else "?"
    kept = corpus.save(target.name, case, last[:200])
    print(f"\n--- {target.name}: {kept}\n{trace}", file=sys.stderr)
    return Row(target.name, cases, spent, f"FOUND {last[:120]}; kept in {kept.name}")


def everything(seconds: float, only: list[str], seed: int) -> int:
    """All targets (or `only` those), `seconds` in total; 1 where something was found."""
    chosen = [t for t in TARGETS.values() if not only or t.name in only]
    skipped = {t.name: reason for t in chosen if (reason := t.missing())}
    chosen = [t for t in chosen if t.name not in skipped]
    coverage = not only or COVERAGE in only
    if coverage and (reason := missing_atheris()):
        skipped[COVERAGE], coverage = reason, False
    shares = sum(t.weight for t in chosen) + coverage
    print(f"seed {seed}; {seconds:.0f} s over {len(chosen) + coverage} targets", flush=True)
    rows = []
    for target in chosen:
        rows.append(run_target(target, seconds * target.weight / shares, seed))
        show(rows[-1])
    if coverage:
        cases, spent, trace, data = run_coverage(seconds / shares, seed)
        if trace:
            rows.append(finding(TARGETS["codecs"], cases, spent, {"data": data}, trace))
        else:
            rows.append(Row(COVERAGE, cases, spent, "clean"))
        show(rows[-1])
    for name, reason in skipped.items():
        print(f"{name:<12} SKIPPED: {reason}")
    found = [row for row in rows if row.said != "clean"]
    total = sum(row.cases for row in rows)
    print(f"{total} cases, {len(found)} findings, {len(skipped)} targets skipped")
    return 1 if found else 0


def show(row: Row) -> None:
    """One line."""
    print(f"{row.name:<12} {row.cases:>9} cases {row.seconds:>7.1f} s  {row.said}", flush=True)


def main() -> int:
    """The command line; see --help."""
    parser = argparse.ArgumentParser(prog="python -m fuzz", description=__doc__)
    parser.add_argument("--seconds", type=float, default=600, help="for all targets together")
    parser.add_argument("--seed", type=int, default=None, help="printed; gives the same cases")
    parser.add_argument("--only", action="append", default=[], help="a target; may be repeated")
    parser.add_argument("--child", help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    given = parser.parse_args()
    seed = random.SystemRandom().randrange(1 << 32) if given.seed is None else given.seed
    if given.child:
        runner.child(
            TARGETS[given.child],
            given.seconds,
            seed,
            given.folder / "current",
            given.folder / "report",
        )
        return 0
    unknown = [name for name in given.only if name not in (*TARGETS, COVERAGE)]
    if unknown:
        parser.error(f"no target is called {unknown[0]!r}; there are {', '.join(TARGETS)}")
    return everything(given.seconds, given.only, seed)


if __name__ == "__main__":
    sys.exit(main())
