"""What a test may need beyond Python: found, or skipped with the reason on screen.

Under CI=true nothing is skipped for a missing toolchain: that is a failure there.
"""

from __future__ import annotations

import functools
import os
import shutil
import subprocess
from pathlib import Path
from typing import Final, NoReturn

import pytest

ROOT: Final = Path(__file__).resolve().parent.parent
CI: Final = os.environ.get("CI") == "true"
SHARED: Final = ROOT.parent / "shared"
"""Beside the repository where the third-party plugin may lie; tests of it need the folder."""


def missing(what: str, how: str) -> NoReturn:
    """Skip the test: `what` is not here and `how` gets it. A failure under CI=true."""
    reason = f"{what} is not here; {how}"
    if CI:
        pytest.fail(reason, pytrace=False)
    pytest.skip(reason)


@functools.cache
def wasip1_cargo() -> Path | None:
    """A cargo that compiles for wasm32-wasip1, or None.

    `FUMEHOOD_WASIP1_CARGO` names one; else what `tools/wasip1-toolchain` left; else the cargo on
    PATH if its compiler has the target's standard library.
    """
    named = os.environ.get("FUMEHOOD_WASIP1_CARGO")
    if named:
        return Path(named)
    local = ROOT / ".tools" / "wasip1" / "bin" / "cargo"
    if local.exists():
        return local
    cargo, rustc = shutil.which("cargo"), shutil.which("rustc")
    if cargo is None or rustc is None:
        return None
    asked = subprocess.run(
        [rustc, "--print", "target-libdir", "--target", "wasm32-wasip1"],
        capture_output=True,
        text=True,
        check=False,
    )
    if asked.returncode == 0 and Path(asked.stdout.strip()).is_dir():
        return Path(cargo)
    return None


def need_wasip1_cargo() -> Path:
    """`wasip1_cargo()`, or the test is skipped."""
    cargo = wasip1_cargo()
    if cargo is None:
        missing("a Rust for wasm32-wasip1", "run tools/wasip1-toolchain")
    return cargo


def need_program(name: str, how: str) -> Path:
    """The program `name` on PATH, or the test is skipped."""
    found = shutil.which(name)
    if found is None:
        missing(f"the program {name!r}", how)
    return Path(found)


def need_interop_plugin() -> Path:
    """The unmodified third-party plugin, or the test is skipped: it is no part of this repository,
    so its absence is no failure anywhere."""
    path = SHARED / "interop" / "qmt_openai.wasm"
    if not path.exists():
        pytest.skip(f"the third-party plugin {path.name} does not lie in {path.parent.name}/")
    return path
