"""Instruction counts of a few rows, kept in the repository: `make instructions`.

    python -m bench.instructions             compares with bench/instructions.json
    python -m bench.instructions --update    writes it

A count is that of one operation: the difference between 2N and N of them, under callgrind. It
hardly depends on what else the machine does, so a change of 5 % fails. It does depend on the
interpreter, on wasmtime and on the C library's choice for the processor. Where those are not the
recorded ones that is said, and only a change of 25 % fails; where Python is another minor or
wasmtime another major release, the counts are shown and nothing is compared.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import platform
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final

from bench.counted import ROWS
from bench.run import HOME, ROOT, environment

RECORDED: Final = ROOT / "bench" / "instructions.json"
CLOSE: Final = 0.05
FAR: Final = 0.25
UPDATE: Final = "python -m bench.instructions --update"
_DUMP: Final = re.compile(r"^desc: Trigger: Client Request: (\d+) (.*)$", re.MULTILINE)
_TOTAL: Final = re.compile(r"^summary: (\d+)$", re.MULTILINE)
_FLAGS: Final = ("avx2", "erms", "bmi2")
"""Features by which the C library chooses its copying; valgrind knows nothing newer."""


_COMPARABLE: Final = {"python": 2, "wasmtime": 1, "machine": 1}
"""What must be the same for a comparison to mean anything: how many parts of the release."""


class Unable(Exception):
    """Nothing can be counted here; the text says why."""


def surroundings() -> dict[str, str]:
    """What counts depend on beside the code."""
    flags: set[str] = set()
    try:
        found = re.search(r"^flags\s*:(.*)$", Path("/proc/cpuinfo").read_text(), re.MULTILINE)
        flags = set(found[1].split()) if found else set()
    except OSError:
        pass  # not Linux: nothing is counted there
    return {
        "python": sys.version.replace("\n", " "),
        "wasmtime": version("wasmtime"),
        "msgspec": version("msgspec"),
        "libc": " ".join(platform.libc_ver()),
        "machine": " ".join([platform.machine(), *(flag for flag in _FLAGS if flag in flags)]),
    }


def count() -> dict[str, int]:
    """Instructions of one operation, by row. Raises Unable."""
    if sys.platform != "linux" or platform.machine() != "x86_64":
        raise Unable("callgrind's counts are kept for x86-64 Linux")
    valgrind = shutil.which("valgrind")
    if valgrind is None:
        raise Unable("valgrind is not installed (Debian and Ubuntu: apt-get install valgrind)")
    home = HOME / "instructions"
    home.mkdir(parents=True, exist_ok=True)
    child = [sys.executable, "-m", "bench.counted"]
    how: dict[str, Any] = {
        "cwd": ROOT,
        "env": environment(home) | {"PYTHONHASHSEED": "0"},
        "stdout": subprocess.PIPE,
        "stderr": subprocess.STDOUT,
        "text": True,
    }
    with tempfile.TemporaryDirectory() as folder:
        tool = [valgrind, "--tool=callgrind", "--instr-atstart=no", "--combine-dumps=no"]
        for command in (
            [*child, "prepare"],
            [*tool, f"--callgrind-out-file={folder}/out", *child],
        ):
            done = subprocess.run(command, check=False, **how)
            if done.returncode:
                raise RuntimeError(f"{' '.join(command)} failed:\n{done.stdout}")
        return _counts([path.read_text() for path in Path(folder).iterdir()])


def _counts(dumps: list[str]) -> dict[str, int]:
    """By row, from callgrind's files."""
    totals: dict[tuple[str, int], int] = {}
    for text in dumps:
        said, total = _DUMP.search(text), _TOTAL.search(text)
        if said and total:
            totals[said[2], int(said[1])] = int(total[1])
    counts = {}
    for name, (_side, _request, times, per) in ROWS.items():
        counts[name] = round((totals[name, 2 * times] - totals[name, times]) / (times * per))
    return counts


def _release(facts: Mapping[str, str], key: str, parts: int) -> list[str]:
    """The first numbers of a release, or the first word of what is none."""
    word = facts.get(key, "").partition(" ")[0]
    return word.split(".")[:parts]


def compare(
    recorded: Mapping[str, Any], counts: Mapping[str, int], here: Mapping[str, str]
) -> tuple[list[str], bool]:
    """A line a row, and whether all is well."""
    there = recorded["surroundings"]
    others = [
        f"  {key}: {there.get(key)} there, {value} here"
        for key, value in here.items()
        if there.get(key) != value
    ]
    bound = FAR if others else CLOSE
    lines = []
    if others:
        apart = any(_release(there, key, parts) != _release(here, key, parts)
                    for key, parts in _COMPARABLE.items())  # fmt: skip
        rule = (
            "NOT COMPARED: other releases do other work"
            if apart
            else f"a change fails beyond {bound:.0%}, not {CLOSE:.0%}"
        )
        lines += [f"{RECORDED.name} was recorded elsewhere; {rule}:", *others]
        if apart:
            bound = math.inf
    fine = True
    for name in sorted({*counts, *recorded["counts"]}):
        before, now = recorded["counts"].get(name), counts.get(name)
        if before is None or now is None:
            fine = False
            lines.append(f"{name:<32} {'is not recorded' if before is None else 'is gone'}")
            continue
        change = now / before - 1
        well = abs(change) <= bound
        fine = fine and well
        lines.append(
            f"{name:<32} {before:>12,} {now:>12,} {change:>+8.1%}{'' if well else '  CHANGED'}"
        )
    if not fine:
        lines.append(
            f"beyond {bound:.0%}: slower code is to be mended; where the change is meant (faster "
            f"code too: the next comparison needs it), run\n  {UPDATE}\nand commit {RECORDED.name}"
        )
    return lines, fine


def main() -> int:
    """See the module; the exit status."""
    parser = argparse.ArgumentParser(prog="python -m bench.instructions", description=__doc__)
    parser.add_argument("--update", action="store_true", help=f"write {RECORDED.name}")
    options = parser.parse_args()
    try:
        counts = count()
    except Unable as why:
        if os.environ.get("CI") == "true":
            print(f"FAILED: instruction counts: {why}")
            return 1
        print(f"SKIPPED: instruction counts: {why}")
        return 0
    here = surroundings()
    if options.update:
        RECORDED.write_text(json.dumps({"surroundings": here, "counts": counts}, indent=1) + "\n")
        for name, value in counts.items():
            print(f"{name:<32} {value:>12,}")
        return 0
    lines, fine = compare(json.loads(RECORDED.read_text()), counts, here)
    print("\n".join(lines))
    return 0 if fine else 1


if __name__ == "__main__":
    sys.exit(main())
