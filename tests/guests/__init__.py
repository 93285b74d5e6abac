"""Guests built from source with the real PDKs: see README.md here and tools/build-guests."""

from __future__ import annotations

import functools
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

HERE = Path(__file__).resolve().parent
TOOL = HERE.parent.parent / "tools" / "build-guests"
WAT = HERE / "wat"


@functools.cache
def _built(language: str) -> dict[str, Any]:
    """Builds one language (at once when nothing changed) and returns its line of the report."""
    done = subprocess.run(
        [sys.executable, str(TOOL), "--json", language],
        capture_output=True,
        text=True,
        check=False,
    )
    if not done.stdout:
        raise RuntimeError(f"tools/build-guests {language} said: {done.stderr}")
    report: dict[str, Any] = json.loads(done.stdout)[language]
    return report


def guest_path(name: str) -> Path:
    """The file of one guest, such as "rust/echo" or "wat/linked_main", built if it must be.

    Skips the calling test, with the reason on screen, where the toolchain is missing; fails it
    where compiling failed, and under CI=true in both cases.
    """
    language, _, stem = name.partition("/")
    if language == "wat":
        return WAT / f"{stem}.wat"
    report = _built(language)
    if report["state"] == "skipped":
        pytest.skip(f"guest {name}: {report['reason']}")
    if report["state"] == "failed":
        pytest.fail(f"guest {name}: {report['reason']}", pytrace=False)
    if stem not in report["guests"]:
        raise LookupError(f"no guest {name}: {language} has {', '.join(report['guests'])}")
    return HERE / "build" / language / f"{stem}.wasm"


def guest(name: str) -> bytes:
    """The bytes of one guest, as guest_path finds it; text for the hand-written wat/ ones."""
    return guest_path(name).read_bytes()
