"""Plugins that are built once: kept in `build/`, in a folder that tells what they were made of."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from pathlib import Path
from typing import Final

import pytest
from fumehood_pdk._build import build

from tests.toolchains import ROOT

PLUGINS: Final = Path(__file__).parent / "plugins"
PROVIDERS: Final = ROOT / "pdk-python" / "providers"
SOURCES: Final = {
    "codec": PLUGINS / "codec.py",
    "openai": PROVIDERS / "openai" / "openai.py",
    "google": PROVIDERS / "google" / "google.py",
    "hostile": PLUGINS / "hostile.py",
    "packaged": PLUGINS / "packaged.py",
    "speaking": PLUGINS / "speaking.py",
}
INTERPRETER: Final = os.environ.get("FUMEHOOD_INTERPRETER")
"""A folder that pdk-python/interpreter/build made, instead of the packaged interpreter."""


def interpreter() -> Path | None:
    """The interpreter that every build of these tests uses."""
    return Path(INTERPRETER) if INTERPRETER else None


@pytest.fixture(scope="session")
def built() -> Callable[[str], Path]:
    """The .wasm of a plugin named in SOURCES, built when nothing that it is made of is the same."""

    def get(name: str) -> Path:
        file = ROOT / "build" / "pdk-python" / _fingerprint(SOURCES[name]) / f"{name}.wasm"
        if not file.exists():
            file.parent.mkdir(parents=True, exist_ok=True)
            build(SOURCES[name], file, interpreter=interpreter())
        return file

    return get


def _fingerprint(source: Path) -> str:
    digest = hashlib.sha256()
    package = ROOT / "pdk-python" / "fumehood_pdk"
    files = [*source.parent.rglob("*.py"), *package.rglob("*.py"), *package.rglob("*.txt")]
    if INTERPRETER:
        files += [Path(INTERPRETER) / name for name in ("runtime.wasm", "lib.zip")]
    else:
        files.append(package / "_build" / "interpreter" / "provenance.json")
    for file in sorted(files):
        digest.update(file.read_bytes())
    return digest.hexdigest()[:16]
