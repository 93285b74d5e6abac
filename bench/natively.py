"""The bundled providers compiled natively: bench/native, built with cargo where there is one."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path
from typing import Final

from bench.run import ROOT

WORKSPACE: Final = ROOT / "bench" / "native"
_TARGET: Final = ROOT / "build" / "native"
_PROGRAM: Final = _TARGET / "release" / "native-runner"


class Missing(Exception):
    """This cannot be measured here; the text says why."""


def build(*, quick: bool = False) -> Path:
    """The program. Raises Missing: no cargo, a build that fails, nothing built yet in a quick
    run."""
    if quick:
        if not _PROGRAM.exists():
            raise Missing("not in a quick run: it is not built yet")
        return _PROGRAM
    cargo = shutil.which("cargo")
    if cargo is None:
        raise Missing("there is no cargo on PATH")
    print("building the native providers …", flush=True)
    flags = ["--release", "--locked", "--target-dir", str(_TARGET)]
    run_build([cargo, "build", *flags], WORKSPACE)
    return _PROGRAM


def run_build(command: list[str], where: Path) -> None:
    """Run a compiler in a folder. Raises Missing with the end of what it said."""
    done = subprocess.run(
        command,
        cwd=where,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    if done.returncode:
        said = done.stdout.strip().splitlines() or [f"status {done.returncode}"]
        raise Missing(f"its build failed: {'; '.join(text.strip() for text in said[-2:])}")
