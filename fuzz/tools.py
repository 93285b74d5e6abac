"""The Rust programs of this folder: built where a cargo is, else a reason why not."""

from __future__ import annotations

import fcntl
import functools
import shutil
import subprocess
from pathlib import Path
from typing import Final

from tests.toolchains import wasip1_cargo

HERE: Final = Path(__file__).resolve().parent


class Missing(Exception):
    """A tool that cannot be had here; the text says why."""


def _build(folder: Path, command: list[str]) -> None:
    lock = folder / "target" / ".lock"
    lock.parent.mkdir(exist_ok=True)
    with lock.open("w") as file:  # test workers ask side by side
        fcntl.flock(file, fcntl.LOCK_EX)
        done = subprocess.run(
            command, cwd=folder, capture_output=True, text=True, check=False, timeout=900
        )
    if done.returncode:
        last = (done.stderr.strip().splitlines() or ["cargo failed"])[-1]
        raise Missing(f"{folder.name} cannot be built: {last}")


@functools.cache
def smith() -> Path:
    """The program that makes modules. Raises Missing."""
    cargo = shutil.which("cargo")
    if cargo is None:
        raise Missing("no cargo on PATH")
    folder = HERE / "wasm-smith"
    _build(folder, [cargo, "build", "--quiet", "--release", "--locked"])
    return folder / "target" / "release" / "smith"


@functools.cache
def trips() -> Path:
    """The guest that decodes and encodes again. Raises Missing."""
    cargo = wasip1_cargo()
    if cargo is None:
        raise Missing("a Rust for wasm32-wasip1 is not here; run tools/wasip1-toolchain")
    folder = HERE / "guest"
    flags = ["--quiet", "--release", "--locked", "--target", "wasm32-wasip1"]
    _build(folder, [str(cargo), "build", *flags])
    return folder / "target" / "wasm32-wasip1" / "release" / "trips.wasm"


def missing_smith() -> str | None:
    """Why there is none, or None."""
    return _why(smith)


def missing_trips() -> str | None:
    """Why there is none, or None."""
    return _why(trips)


def _why(tool: functools._lru_cache_wrapper[Path]) -> str | None:
    try:
        tool()
    except Missing as problem:
        return str(problem)
    return None
