"""The corpus: one JSON file a case, `{"target": …, "about": …, "case": …}`.

Bytes stand in hex and modules as WAT where they can, so that a case can be read.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any, Final

FOLDER: Final = Path(__file__).resolve().parent / "corpus"


def save(target: str, case: Any, about: str, folder: Path = FOLDER) -> Path:
    """Keep a case; the same case is kept once."""
    digest = hashlib.sha256(json.dumps([target, case], sort_keys=True).encode()).hexdigest()
    path = folder / f"{target}-{digest[:10]}.json"
    if not path.exists():
        text = json.dumps({"target": target, "about": about, "case": case}, indent=1)
        path.write_text(text + "\n", "utf-8")
    return path


def load(path: Path) -> tuple[str, Any]:
    """(target, case)."""
    entry = json.loads(path.read_text("utf-8"))
    return entry["target"], entry["case"]


def files() -> list[Path]:
    """All of it, in order."""
    return sorted(FOLDER.glob("*.json"))
