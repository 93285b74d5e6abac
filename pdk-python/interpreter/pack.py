"""From what `build` left in WORK to the package data of fumehood_pdk.

pack.py WORK             write it
pack.py WORK --check     compare instead: where the patch revision is the recorded one, so must be the bytes
"""

import argparse
import hashlib
import json
import shutil
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))

from fumehood_pdk._build import interpreter  # noqa: E402 - the path comes first


def main() -> int:
    parser = argparse.ArgumentParser(description="Pack the interpreter.")
    parser.add_argument("work", type=Path)
    parser.add_argument("--check", action="store_true", help="compare instead of writing")
    options = parser.parse_args()
    out: Path = options.work / "out"
    if not options.check:
        record = interpreter.pack(out)
        # whoever hands on the interpreter, in this package or in a plugin, hands on these
        licenses = {
            "LICENSE.python": "src/LICENSE",
            "LICENSE.parts.rst": "src/Doc/license.rst",
            "LICENSE.zlib": "zlib/LICENSE",
        }
        for name, source in licenses.items():
            shutil.copyfile(options.work / source, Path(interpreter.__file__).parent / name)
        for name, facts in record["files"].items():
            print(f"{name}: {facts['size']} bytes, {facts['packed']} packed, sha256 {facts['sha256']}")
        return 0
    recorded = interpreter.load().record
    built = json.loads((out / "source.json").read_text())
    if built["recipe_sha256"] != recorded["recipe_sha256"]:
        print("pack: the recipe is not the recorded one: build, pack and commit", file=sys.stderr)
        return 1
    if built["debian_revision"] != recorded["debian_revision"]:
        print(f"pack: built from {built['debian_revision']}, recorded is {recorded['debian_revision']}: not compared")
        return 0
    for name in interpreter.FILES:
        sha256 = hashlib.sha256((out / name).read_bytes()).hexdigest()
        if sha256 != recorded["files"][name]["sha256"]:
            print(f"pack: {name} has other bytes than recorded: {sha256}", file=sys.stderr)
            return 1
    print(f"pack: rebuilt from {built['debian_revision']}, the same bytes")
    return 0


if __name__ == "__main__":
    sys.exit(main())
