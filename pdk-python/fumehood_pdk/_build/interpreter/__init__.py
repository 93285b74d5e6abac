"""The interpreter that plugins are made of: CPython for WASI and its standard library, and where they come from."""

from __future__ import annotations

import hashlib
import json
import lzma
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from fumehood_pdk._build.failure import BuildError

_HERE: Final = Path(__file__).parent
FILES: Final = ("runtime.wasm", "lib.zip")
RECORD: Final = "provenance.json"


@dataclass(frozen=True, slots=True)
class Interpreter:
    """`runtime` is a module, `library` a zip of bytecode, `record` their provenance."""

    runtime: bytes
    library: bytes
    record: dict[str, Any]

    @property
    def version(self) -> tuple[int, int]:
        """Its Python's major and minor version."""
        major, minor = self.record["python"].split(".")[:2]
        return int(major), int(minor)


def load(folder: Path | None = None) -> Interpreter:
    """The interpreter in this package, or one that `interpreter/build` left in `folder`.

    Raises BuildError where a file is missing or is not the recorded one.
    """
    try:
        if folder is not None:
            runtime, library = ((folder / name).read_bytes() for name in FILES)
            return Interpreter(runtime, library, json.loads((folder / "source.json").read_text()))
        record = json.loads((_HERE / RECORD).read_text())
        runtime, library = (_unpacked(name, record["files"][name]["sha256"]) for name in FILES)
    except (OSError, lzma.LZMAError, ValueError, KeyError) as problem:
        raise BuildError(
            f"the interpreter cannot be loaded: {problem}", "pdk-python/interpreter/README.md says how it is made"
        ) from None
    return Interpreter(runtime, library, record)


def _unpacked(name: str, sha256: str) -> bytes:
    data = lzma.decompress((_HERE / f"{name}.xz").read_bytes())
    if hashlib.sha256(data).hexdigest() != sha256:
        raise ValueError(f"{name} is not the recorded file")
    return data


def pack(source: Path, target: Path = _HERE) -> dict[str, Any]:
    """Compress what `interpreter/build` left in `source` into package data; returns the record written beside it."""
    record: dict[str, Any] = json.loads((source / "source.json").read_text())
    record["files"] = {}
    for name in FILES:
        data = (source / name).read_bytes()
        packed = lzma.compress(data, preset=9 | lzma.PRESET_EXTREME)
        (target / f"{name}.xz").write_bytes(packed)
        record["files"][name] = {
            "sha256": hashlib.sha256(data).hexdigest(),
            "size": len(data),
            "packed": len(packed),
        }
    (target / RECORD).write_text(json.dumps(record, indent=2) + "\n")
    return record
