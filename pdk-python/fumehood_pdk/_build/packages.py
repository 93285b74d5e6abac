"""Packages that a plugin requires: pip fetches the wheels for the interpreter's Python, compiled parts are left out.

Many packages with compiled parts have the same in Python and fall back to it (msgpack); whether one does shows when the
plugin is imported, and what was left out is remembered for the message if it does not.
"""

from __future__ import annotations

import email.parser
import importlib.util
import re
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from fumehood_pdk._build.failure import BuildError
from fumehood_pdk._build.sources import NATIVE

_PLATFORMS: Final = ("manylinux_2_28_x86_64", "manylinux_2_17_x86_64", "manylinux2014_x86_64")
"""Of packages with compiled parts the same wheel everywhere, whatever the author's machine is: the compiled parts are
not used, and the bytes of the plugin must not depend on it."""
_LEFT_OUT: Final = {"__pycache__", "bin", "tests", "test", "include"}


@dataclass(slots=True)
class Package:
    """A distribution as it was bundled. `native` are the modules of it that are compiled code, left out."""

    name: str
    version: str
    license: str
    native: list[str] = field(default_factory=list)


@dataclass(slots=True)
class Bundle:
    """Files by their path below the search path, and the packages they came from."""

    files: dict[str, bytes] = field(default_factory=dict)
    packages: list[Package] = field(default_factory=list)


def install(requirements: Sequence[str], files: Sequence[Path], version: tuple[int, int]) -> Bundle:
    """Resolve `requirements` and requirement files for that version of Python.

    Raises BuildError with pip's own words where that fails.
    """
    wanted = [item for item in requirements if _name(item) != "fumehood-pdk"]
    if not wanted and not files:
        return Bundle()
    if importlib.util.find_spec("pip") is None:
        raise BuildError("pip is not installed in this environment", "python -m ensurepip, or use --path FOLDER")
    with tempfile.TemporaryDirectory(prefix="fumehood-build-") as folder:
        command = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-input"]
        command += ["--target", folder, "--no-compile", "--only-binary=:all:", "--implementation", "cp"]
        command += ["--python-version", f"{version[0]}.{version[1]}"]
        for abi in (f"cp{version[0]}{version[1]}", "abi3", "none"):
            command += ["--abi", abi]
        for platform in _PLATFORMS:
            command += ["--platform", platform]
        for file in files:
            command += ["--requirement", str(file)]
        done = subprocess.run([*command, "--", *wanted], capture_output=True, text=True, check=False)  # noqa: S603 - pip, without a shell
        if done.returncode:
            said = "\n".join(line for line in done.stderr.splitlines() if line.startswith("ERROR"))
            raise BuildError(
                f"pip cannot install {', '.join([*wanted, *map(str, files)])}:\n{said or done.stderr.strip()}",
                "only wheels are used; of a package that has none, build one with `pip wheel` and name its file",
            )
        return read(Path(folder))


def read(folder: Path) -> Bundle:
    """The packages in a folder such as `pip install --target` makes. Raises BuildError where it does not exist."""
    if not folder.is_dir():
        raise BuildError(f"{folder}: no such folder")
    bundle = Bundle()
    owners: dict[str, Package] = {}
    for info in sorted(folder.glob("*.dist-info")):
        package = _package(info)
        bundle.packages.append(package)
        record = info / "RECORD"
        for line in record.read_text("utf-8").splitlines() if record.is_file() else ():
            owners[line.partition(",")[0].strip('"')] = package
    for path in sorted(folder.rglob("*")):
        inner = path.relative_to(folder)
        if not path.is_file() or set(inner.parts) & _LEFT_OUT or inner.parts[0].endswith((".dist-info", ".libs")):
            continue
        name = inner.as_posix()
        if path.suffix in NATIVE or ".so." in path.name:
            if name in owners:
                owners[name].native.append(name.partition(".")[0].replace("/", "."))
        elif path.suffix != ".pyc":
            bundle.files[name] = path.read_bytes()
    for info in sorted(folder.glob("*.dist-info")):  # importlib.metadata is asked for versions at import
        metadata = info / "METADATA"
        if metadata.is_file():
            bundle.files[f"{info.name}/METADATA"] = metadata.read_bytes()
    return bundle


def _package(info: Path) -> Package:
    name, _, version = info.name.removesuffix(".dist-info").rpartition("-")
    license_ = "unknown"
    if (info / "METADATA").is_file():
        fields = email.parser.Parser().parsestr((info / "METADATA").read_text("utf-8"), headersonly=True)
        license_ = fields.get("License-Expression") or (fields.get("License") or license_).splitlines()[0]
        name, version = fields.get("Name", name), fields.get("Version", version)
    return Package(name, version, license_)


def _name(requirement: str) -> str:
    return re.sub(r"[-_.]+", "-", re.split(r"[\s<>=!~;\[@(]", requirement.strip(), maxsplit=1)[0]).lower()
