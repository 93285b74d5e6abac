"""Calls of one guest, and instances of it: this package beside `extism`."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from bench.natively import Missing, run_build
from bench.report import Row, row
from bench.run import ROOT, Effort, Spec, alike, warm, workers
from tests.toolchains import wasip1_cargo

TITLE: Final = "Calls and instances"
ABOUT: Final = (
    "One guest, built with the peer's own PDK (extism-pdk), on both hosts: its export `echo` "
    "returns its input. `bulk`: the same export of a guest built with our PDK, whose payloads "
    "are copied (docs/wire.md), beside the peer's guest on the peer, and beside the two copies of "
    "the payload alone, without any guest. A fresh instance is made of "
    "the loaded module, called once and freed: the peer's CompiledPlugin path; `pooled` after "
    "`pool_instances(64)`, which is opt-in."
)
SMALL: Final = 11
SIZES: Final = {"1 KiB": 1 << 10, "64 KiB": 1 << 16, "1 MiB": 1 << 20, "16 MiB": 1 << 24}
COPIES: Final = "two copies"
POOL: Final = 64
"""Slots of the pool of the pooled row."""
WAT: Final = ROOT / "bench" / "guests" / "echo.wat"


def guest() -> Path:
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
    return WAT


def our_guest(*, quick: bool) -> Path:
    """pdk-rust/examples/echo, built where there is a cargo for it. Raises Missing."""
    built = ROOT / "pdk-rust" / "target" / "wasm32-wasip1" / "release" / "echo.wasm"
    if quick:
        if not built.exists():
            raise Missing("not in a quick run: it is not built yet")
        return built
    cargo = wasip1_cargo()
    if cargo is None:
        raise Missing("there is no cargo for wasm32-wasip1 (tools/wasip1-toolchain)")
    print("building the guest of our PDK …", flush=True)
    flags = ["--locked", "--release", "--target", "wasm32-wasip1", "-p", "echo"]
    run_build([str(cargo), "build", *flags], ROOT / "pdk-rust")
    return built


def rows(effort: Effort, peers_guest: Path) -> Iterator[Row]:
    """Yield every row."""
    yield from _same_guest(effort, peers_guest)
    yield from _bulk(effort, peers_guest)


def _bulk(effort: Effort, peers_guest: Path) -> Iterator[Row]:
    """Each host with the guest of its own PDK."""
    try:
        ours = our_guest(quick=effort.quick)
    except Missing as why:
        for text in SIZES:
            yield Row(f"bulk.{text}", f"bulk {text}", absent={"fumehood": str(why)})
        return
    specs = {
        "fumehood": Spec("calls:Fumehood", {"guest": str(ours)}),
        "extism": Spec("calls:Extism", {"guest": str(peers_guest)}),
        COPIES: Spec("calls:Copies", {}),
    }
    with workers(specs) as running:
        for text, size in SIZES.items():
            request = {"work": "call", "size": size}
            alike(running, request)
            yield row(f"bulk.{text}", f"bulk {text}", warm(running, request, effort))


def _same_guest(effort: Effort, peers_guest: Path) -> Iterator[Row]:
    ours = Spec("calls:Fumehood", {"guest": str(peers_guest)})
    theirs = Spec("calls:Extism", {"guest": str(peers_guest)})
    with workers({"fumehood": ours, "extism": theirs}) as running:
        for key, name, size in [
            ("call.small", "small call, 11 B", SMALL),
            *((f"echo.{text}", f"echo {text}", size) for text, size in SIZES.items()),
        ]:
            request = {"work": "call", "size": size}
            alike(running, request)
            yield row(key, name, warm(running, request, effort))
        request = {"work": "fresh", "size": SMALL}
        alike(running, request)
        yield row("fresh", "fresh instance + call", warm(running, request, effort))
    pooled = Spec("calls:Fumehood", {"guest": str(peers_guest), "pool": POOL})
    with workers({"fumehood": pooled, "extism": theirs}) as running:
        alike(running, request)
        samples = warm(running, request, effort)
        yield row("fresh.pooled", "fresh instance + call, pooled", samples)
