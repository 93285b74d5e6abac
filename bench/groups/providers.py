"""One provider in Rust and in Python: how long it builds, how large it is, loads, and chats."""

from __future__ import annotations

import hashlib
import importlib.metadata
import importlib.util
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from bench.natively import Missing
from bench.report import Row, row
from bench.run import (
    HOME,
    ROOT,
    Effort,
    Measured,
    Sample,
    Spec,
    Worker,
    alike,
    once,
    order,
    warm,
    workers,
)
from tests.pdk_python.conftest import INTERPRETER, SOURCES, _fingerprint
from tests.toolchains import wasip1_cargo

TITLE: Final = "A provider in Rust and in Python"
RUST: Final = "Rust (bundled)"
CORE: Final = "Python core"
COMPONENT: Final = "Python component"
IN_PROCESS: Final = "in-process Python"
SIDES: Final = (RUST, CORE, COMPONENT, IN_PROCESS)
ABOUT: Final = (
    "The provider `openai` four times: the bundled one in Rust, the one in Python built for both "
    "targets, and the same Python class in the CPython that measures, without a sandbox. All four "
    "give the same bytes for the same JSON. A short chat as in the section before, each in its own "
    "encoding. Loading is measured in a process of its own that has imported fumehood already; "
    "in-process it is the import of the class and its library. Core modules hold CPython 3.13, "
    "components that of componentize-py. Builds run once, from nothing: Rust without any compiled "
    "crate."
)
FILE: Final = ROOT / "runtime" / "fumehood" / "provider" / "bundled" / "openai.wasm"
_QUICK: Final = "not in a quick run"


@dataclass(slots=True)
class Prepared:
    """What can be measured, and why the rest cannot."""

    files: dict[str, Path] = field(default_factory=dict)
    builds: Measured = field(default_factory=dict)
    absent: dict[str, str] = field(default_factory=dict)
    unbuilt: dict[str, str] = field(default_factory=dict)
    """Why a side's build time is missing."""


# -- building ----------------------------------------------------------------------------------


def prepare(effort: Effort) -> Prepared:
    """Build what can be built, timed; a quick run takes what is there."""
    done = Prepared(
        files={RUST: FILE, IN_PROCESS: SOURCES["openai"]},
        unbuilt={IN_PROCESS: "there is nothing to build"},
    )
    try:
        if effort.quick:
            raise Missing(_QUICK)
        print("building openai (Rust) …", flush=True)
        done.builds[RUST] = [_build_rust()]
    except Missing as why:
        done.unbuilt[RUST] = str(why)
    for side in (CORE, COMPONENT):
        try:
            file = _place(side)
            if effort.quick:
                _there(file)
                done.unbuilt[side] = _QUICK
            else:
                print(f"building openai ({side}) …", flush=True)
                done.builds[side] = [_build_python(side, file)]
            done.files[side] = file
        except Missing as why:
            done.absent[side] = str(why)
    done.files = {side: done.files[side] for side in SIDES if side in done.files}
    return done


def _place(side: str) -> Path:
    """Where the tests keep the same file. Raises Missing."""
    name = "openai.wasm"
    if side == COMPONENT:
        if importlib.util.find_spec("componentize_py") is None:
            raise Missing(
                "componentize-py is not installed (pip install './pdk-python[component]')"
            )
        name = f"openai-component-{importlib.metadata.version('componentize-py')}.wasm"
    return ROOT / "build" / "pdk-python" / _fingerprint(SOURCES["openai"]) / name


def _there(file: Path) -> None:
    """Raises Missing for what a quick run would have to build or compile first."""
    if not file.exists():
        raise Missing(f"{_QUICK}: it is not built yet")
    digest = hashlib.sha256(file.read_bytes()).hexdigest()
    if not any(HOME.rglob(f"{digest}-*.cwasm")):
        raise Missing(f"{_QUICK}: it is not compiled yet")


def _timed(command: list[str], **how: Any) -> Sample:
    """Seconds of a command and its children. Raises Missing with the end of what it said."""
    before, wall = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    done = subprocess.run(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False, **how
    )
    wall, after = time.perf_counter() - wall, resource.getrusage(resource.RUSAGE_CHILDREN)
    if done.returncode:
        said = done.stdout.strip().splitlines() or [f"status {done.returncode}"]
        raise Missing(f"its build failed: {'; '.join(text.strip() for text in said[-2:])}")
    used = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return {"wall": wall, "cpu": used}


def _build_rust() -> Sample:
    cargo = wasip1_cargo()
    if cargo is None:
        raise Missing("there is no cargo for wasm32-wasip1 (tools/wasip1-toolchain)")
    target = ["--target", "wasm32-wasip1"]
    where = ROOT / "pdk-rust"
    _timed([str(cargo), "fetch", "--locked", *target], cwd=where)
    with tempfile.TemporaryDirectory() as folder:
        return _timed(
            [str(cargo), "build", "--locked", "--release", *target, "-p", "fumehood-openai"],
            cwd=where,
            env=os.environ | {"CARGO_TARGET_DIR": folder},
        )


def _build_python(side: str, file: Path) -> Sample:
    file.parent.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, "-m", "fumehood_pdk", "build", str(SOURCES["openai"])]
    command += ["-o", str(file), "--target", "core" if side == CORE else "component"]
    if INTERPRETER and side == CORE:
        command += ["--interpreter", INTERPRETER]
    return _timed(command)


# -- measuring ---------------------------------------------------------------------------------


def rows(effort: Effort) -> Iterator[Row]:
    """Yield every row."""
    done = prepare(effort)
    yield row("provider.build", "build time", done.builds, {**done.unbuilt, **done.absent})
    size = Row("provider.size", "size", absent=done.absent)
    size.more = {side: {"file_bytes": file.stat().st_size} for side, file in done.files.items()}
    yield size
    specs = {side: _spec(side, file) for side, file in done.files.items()}
    _record(specs)
    with workers(specs) as running:
        alike(running, {"work": "kept", "case": "short", "kind": "json"})
        # the workers filled the cache
        yield row("provider.load", "load from cache", _loads(done.files, effort), done.absent)
        for work in ("fresh", "kept"):
            samples = warm(running, {"work": work, "case": "short"}, effort)
            yield row(f"provider.chat.{work}", f"short chat, {work}", samples, done.absent)


def _folder(side: str) -> Path:
    return HOME / "chats" / side.replace(" ", "-")


def _spec(side: str, file: Path) -> Spec:
    folder = str(_folder(side))
    if side == IN_PROCESS:
        return Spec("chats:InProcess", {"folder": folder})
    return Spec("chats:Fumehood", {"plugin": str(file), "provider": "openai", "folder": folder})


def _record(specs: dict[str, Spec]) -> None:
    """What each is given, in its own encoding; the JSON is the same for all."""
    for side, spec in specs.items():
        if side != IN_PROCESS:
            with Worker(spec.command()) as recorder:
                recorder.ask({"work": "record"})
        if side != RUST:
            shutil.copytree(
                _folder(RUST) / "short.json", _folder(side) / "short.json", dirs_exist_ok=True
            )


def _loads(files: dict[str, Path], effort: Effort) -> Measured:
    samples: Measured = {side: [] for side in files}
    for turn in range(1 if effort.quick else effort.cold_rounds):
        for side in order(turn, files):
            spec = Spec("calls:Fumehood", {"guest": str(files[side])})
            if side == IN_PROCESS:
                spec = _spec(side, files[side])
            samples[side].append(once(spec, {"work": "load"}, HOME))
    return samples
