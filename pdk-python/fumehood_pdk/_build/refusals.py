"""Why an import cannot work inside a plugin, told with the file, the package and the module that it stumbles over."""

from __future__ import annotations

import json
import re
from typing import Any, Final

from fumehood_pdk._build.failure import BuildError
from fumehood_pdk._build.packages import Bundle, Package
from fumehood_pdk._build.snapshot import Stopped
from fumehood_pdk._build.sources import Imported, Sources

REASONS: Final = {
    "_ssl": "there is no TLS in a plugin: the host makes the connection",
    "ssl": "there is no TLS in a plugin: the host makes the connection",
    "_ctypes": "there is no native code in a plugin",
    "ctypes": "there is no native code in a plugin",
    "_sqlite3": "there are no files in a plugin",
    "sqlite3": "there are no files in a plugin",
    "dbm": "there are no files in a plugin",
    "mmap": "there are no files in a plugin",
    "fcntl": "there are no files in a plugin",
    "_posixsubprocess": "there are no processes in a plugin",
    "multiprocessing": "there are no processes in a plugin",
    "_multiprocessing": "there are no processes in a plugin",
    "pwd": "there are no users in a plugin",
    "grp": "there are no users in a plugin",
    "termios": "there is no terminal in a plugin",
    "readline": "there is no terminal in a plugin",
    "curses": "there is no terminal in a plugin",
    "tkinter": "there is no screen in a plugin",
    "_tkinter": "there is no screen in a plugin",
    "_bz2": "the interpreter has zlib, not bz2",
    "_lzma": "the interpreter has zlib, not lzma",
    "pip": "nothing can be installed in a plugin",
    "venv": "nothing can be installed in a plugin",
}
_COMPILED: Final = "is compiled code for a processor, which cannot run in a plugin"
_CAP: Final = 4_000


def unknown_import(file: str, item: Imported) -> BuildError:
    """The author's file imports what is nowhere."""
    reason = REASONS.get(item.top)
    where = f"{file}:{item.line} imports {item.module}"
    if reason:
        return BuildError(f"{where}: {reason}")
    return BuildError(
        f"{where}, which is neither in the standard library nor bundled",
        f"--requirement {item.top}, or `dependencies` in the file's inline metadata (PEP 723)",
    )


def explain(stopped: Stopped, found: Sources, bundle: Bundle) -> BuildError:
    """What ended the build: what the guest told last, else the way in which it stopped."""
    told = _told(stopped.output)
    if told is None:
        errors = _tidy(stopped.errors)
        return BuildError(f"importing {found.module} ended with {stopped}{': ' + errors if errors else ''}")
    frames: list[tuple[str, int, str]] = [tuple(frame) for frame in told["frames"]]
    if told["module"]:
        return _import(told, frames, found, bundle)
    message = f"{told['failed']}: {told['message']}"[:_CAP]
    if told["failed"] == "TypeError" and not frames:  # the class itself: the decorator or `start` says what is wrong
        return BuildError(told["message"])
    if told["failed"] == "TypeError" and all(file.startswith("fumehood_pdk/") for file, _, _ in frames[1:]):
        return BuildError(f"{frames[0][0]}:{frames[0][1]}: {told['message']}")
    shown = "\n".join(f"  at {file}:{line} in {name}" for file, line, name in frames[-8:])
    return BuildError(f"importing {found.module} failed: {message}" + (f"\n{shown}" if shown else ""))


def _told(output: bytes) -> dict[str, Any] | None:
    """The last line, if it is the one that `main.py.txt` writes when an import fails."""
    try:
        told = json.loads(output.strip().splitlines()[-1])
    except (ValueError, IndexError):
        return None
    return told if isinstance(told, dict) and "failed" in told else None


def _import(told: dict[str, Any], frames: list[tuple[str, int, str]], found: Sources, bundle: Bundle) -> BuildError:
    missing: str = told["first"] or told["module"]
    first = next((frame for frame in frames if frame[0] in found.files and not frame[0].startswith("fumehood_pdk/")), None)
    where = f"{first[0]}:{first[1]}" if first else found.module
    owner = _owner(missing, frames, bundle)
    importer = next((file for file, _, _ in reversed(frames)), "")
    reason = REASONS.get(missing) or REASONS.get(missing.partition(".")[0])
    if owner is not None and (missing in owner.native or _near(missing, owner.native)):
        native = missing if missing in owner.native else _near(missing, owner.native)
        via = _package_of(first, found, frames, bundle)
        needs = f"imports {via}, which needs {owner.name}" if via and via != owner.name else f"imports {owner.name}"
        return BuildError(
            f"{where} {needs}: {native} {_COMPILED}",
            f"do without {via or owner.name}, or take a package that has the same in Python",
        )
    if reason:
        through = f", through {importer}" if first and importer and importer != first[0] else ""
        return BuildError(f"{where} needs {missing}{through}: {reason}")
    if importer in found.files or not importer:
        return BuildError(f"{where}: {told['message']}")
    return BuildError(
        f"{where} needs {missing}, through {importer}: {told['message']}",
        f"--requirement {missing.partition('.')[0]}, if that is a package",
    )


def _owner(missing: str, frames: list[tuple[str, int, str]], bundle: Bundle) -> Package | None:
    for package in bundle.packages:
        if missing in package.native or _near(missing, package.native):
            return package
    tops = [file.partition("/")[0].removesuffix(".py") for file, _, _ in reversed(frames)]
    for top in tops:
        for package in bundle.packages:
            if package.native and package.name.lower().replace("-", "_") == top.lower():
                return package
    return None


def _near(missing: str, native: list[str]) -> str | None:
    """The compiled module that an import of `missing` was after: itself, or one in the package of that name."""
    return next((name for name in native if name == missing or name.startswith(f"{missing}.")), None)


def _package_of(
    first: tuple[str, int, str] | None, found: Sources, frames: list[tuple[str, int, str]], bundle: Bundle
) -> str | None:
    """The package that the author's own line imports."""
    if first is None:
        return None
    at = frames.index(first)
    for file, _, _ in frames[at + 1 :]:
        top = file.partition("/")[0].removesuffix(".py")
        for package in bundle.packages:
            if package.name.lower().replace("-", "_") == top.lower():
                return package.name
    return None


def _tidy(errors: str) -> str:
    start = errors.find("Traceback (most recent call last)")
    return re.sub(r"/app/(app|lib)\.zip/", "", errors[max(start, 0) :])[:_CAP].strip()
