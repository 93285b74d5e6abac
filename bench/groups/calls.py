"""Calls of one guest, and instances of it: this package beside `extism`."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from bench.report import Row, row
from bench.run import ROOT, Effort, Spec, alike, warm, workers

TITLE: Final = "Calls and instances"
ABOUT: Final = (
    "One guest, built with the peer's own PDK (extism-pdk), on both hosts: its export `echo` "
    "returns its input. `bulk`: the same export of a guest built with our PDK, whose payloads "
    "are copied (docs/wire.md), beside the peer's guest on the peer. A fresh instance is made of "
    "the loaded module, called once and freed: the peer's CompiledPlugin path."
)
SMALL: Final = 11
SIZES: Final = {"1 KiB": 1 << 10, "64 KiB": 1 << 16, "1 MiB": 1 << 20, "16 MiB": 1 << 24}
OURS: Final = ROOT / "tests" / "guests" / "build" / "rust" / "pdk-echo.wasm"
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


def rows(effort: Effort, peers_guest: Path) -> Iterator[Row]:
    """Yield every row."""
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
