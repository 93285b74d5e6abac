"""`make bench`: two tables on screen, bench/results.json and bench/RESULTS.md."""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from bench import providers, report
from bench.rows import ROWS
from bench.run import ROOT, WARM_UP, run

HERE = Path(__file__).resolve().parent


def _guest() -> Path:
    """The guest built with the peer's own PDK, or the hand-written one where Rust is missing."""
    done = subprocess.run(
        [sys.executable, str(ROOT / "tools" / "build-guests"), "--json", "rust"],
        stdout=subprocess.PIPE,
        text=True,
        check=False,
    )
    built = ROOT / "tests" / "guests" / "build" / "rust" / "echo.wasm"
    state = json.loads(done.stdout)["rust"] if done.stdout else {"state": "failed", "reason": "?"}
    if state["state"] not in {"skipped", "failed"} and built.exists():
        return built
    print(f"the extism-pdk guest cannot be built here ({state['reason']}); using the WAT one\n")
    return HERE / "guests" / "echo.wat"


def _page(results: dict[str, Any]) -> str:
    return "\n".join([report.page(results), *providers.section(results["providers"]), ""])


def main() -> None:
    """See the module."""
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="few samples: does it run at all?")
    parser.add_argument("--guest", type=Path, help="another module with an export `echo`")
    parser.add_argument("--out", type=Path, default=HERE, help="where the results go")
    options = parser.parse_args()
    guest = options.guest or _guest()
    rounds, cold_rounds, slice_s = (3, 2, 0.005) if options.quick else (25, 9, 0.05)

    print(report.NOTE + "\n")
    print(report.line(report.HEAD))
    rows = []
    for row, measured in run(ROWS, guest, rounds=rounds, cold_rounds=cold_rounds, slice_s=slice_s):
        rows.append(report.entry(row, measured))
        print(report.line(report.cells(rows[-1])), flush=True)
    machine = report.facts(guest)
    second = providers.measure(
        quick=options.quick,
        rounds=rounds,
        cold_rounds=1 if options.quick else cold_rounds,
        slice_s=slice_s,
    )
    results = {"machine": machine, "warm_up": WARM_UP, "rows": rows, "providers": second}
    options.out.mkdir(parents=True, exist_ok=True)
    Path(options.out, "results.json").write_text(json.dumps(results, indent=1) + "\n")
    Path(options.out, "RESULTS.md").write_text(_page(results))
    print(f"\nwritten: {options.out / 'results.json'}, {options.out / 'RESULTS.md'}")


if __name__ == "__main__":
    main()
