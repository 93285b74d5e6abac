"""Writes WORK/out/source.json: what the interpreter was built from. `record.py WORK RECIPE`."""

import hashlib
import json
import sys
from pathlib import Path


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def recipe_sha256(folder: Path) -> str:
    """Over name, length and bytes of every file that decides what is built."""
    digest = hashlib.sha256()
    for name in (
        "build",
        "bulk.c",
        "extism.c",
        "guest.h",
        "immortal.c",
        "interpreter.c",
        "msgpack.c",
        "record.py",
        "sources.env",
        "stdlib.py",
    ):
        data = (folder / name).read_bytes()
        digest.update(f"{name}\0{len(data)}\0".encode())
        digest.update(data)
    return digest.hexdigest()


def main(work: Path, recipe: Path) -> None:
    env = dict(line.split("=", 1) for line in (recipe / "sources.env").read_text().splitlines() if "=" in line)
    patches = (work / "patches").read_text().split()
    series = work / "src" / "debian" / "patches"
    record = {
        "python": env["PYTHON_VERSION"],
        "upstream_sha256": env["PYTHON_SHA256"],
        "debian_revision": (work / "revision").read_text().strip(),
        "patches": [{"name": name, "sha256": sha256((series / name).read_bytes())} for name in patches],
        "zlib_sha256": env["ZLIB_SHA256"],
        "ziglang": env["ZIG_VERSION"],
        "recipe_sha256": recipe_sha256(recipe),
        "license": "PSF-2.0, zlib, and the licenses named in CPython's Doc/license.rst",
    }
    (work / "out" / "source.json").write_text(json.dumps(record, indent=2) + "\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
