"""The third-party plugin: it may lie beside the repository, as the tests of it need it too."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from bench.run import ROOT

_FILE: Final = ROOT.parent / "shared" / "interop" / "qmt_openai.wasm"
ABSENT: Final = f"{_FILE.name} does not lie beside the repository"


def querymt() -> Path | None:
    """QueryMT's own openai plugin, unmodified; None where it is not there."""
    return _FILE if _FILE.exists() else None
