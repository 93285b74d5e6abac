"""`build`: from a provider class to a core module with the Extism ABI."""

from __future__ import annotations

import hashlib
import io
import json
import sys
import time
import zipfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from fumehood_pdk._build import interpreter as interpreters
from fumehood_pdk._build import packages, refusals, snapshot, sources
from fumehood_pdk._build.failure import BuildError
from fumehood_pdk._build.wasmfile import Module

ALWAYS: Final = (
    "_strptime",
    "encodings.ascii",
    "encodings.cp1252",
    "encodings.idna",
    "encodings.latin_1",
    "encodings.punycode",
    "encodings.unicode_escape",
    "encodings.utf_16",
    "encodings.utf_16_be",
    "encodings.utf_16_le",
    "encodings.iso8859_15",
    "encodings.utf_32",
    "encodings.utf_32_be",
    "encodings.utf_32_le",
    "encodings.utf_8",
    "encodings.utf_8_sig",
)
"""What the standard library imports when it is used, not when it is imported."""
_FOR_FUMEHOOD: Final = frozenset({"memory", "fumehood_bulk", "fumehood_reserve", "fumehood_msgpack"})
"""Exported besides the ABI's functions: docs/wire.md."""
_HOST_HTTP: Final = ("extism:host/user", "qmt_http_request")
_HARMLESS: Final = ("extism:host/env", "length")
_MAIN: Final = Path(__file__).with_name("main.py.txt")

Progress = Callable[[str], None]


@dataclass(slots=True)
class Report:
    """What was built. Sizes in bytes, `seconds` of wall time."""

    target: str
    file: str
    name: str
    provider: str
    size: int
    sha256: str
    python: str
    interpreter: str
    exports: list[str]
    modules: int
    """Imported and kept, the standard library's included."""
    beside: list[str]
    packages: list[packages.Package]
    memory: int
    seconds: float
    unused: list[str] = field(default_factory=list)
    """Packages that are bundled and of which nothing is imported."""


def build(
    plugin: Path | str,
    out: Path | str,
    *,
    target: str = "core",
    requirements: Sequence[str] = (),
    requirement_files: Sequence[Path] = (),
    paths: Sequence[Path] = (),
    interpreter: Path | None = None,
    progress: Progress = lambda _line: None,
) -> Report:
    """Build `plugin` (a .py file or a package) and write `out`.

    `requirements` are added to the script's inline metadata; `requirement_files` are pip's, `paths` folders of packages
    that are installed already; `interpreter` is a folder that `interpreter/build` made, by default the one in this
    package. `progress` gets a line for each step.

    Raises BuildError; `out` is then as it was.
    """
    started = time.monotonic()
    plugin, out = Path(plugin), Path(out)
    if target == "component":
        from fumehood_pdk._build import component  # type: ignore[attr-defined, unused-ignore]

        report: Report = component.build(
            plugin, out, requirements=requirements, requirement_files=requirement_files, paths=paths, progress=progress
        )
        return report
    if target != "core":
        raise BuildError(f"there is no target {target!r}", "core or component")
    progress(f"reading {plugin.name}")
    machine = interpreters.load(interpreter)
    found, bundle = gather(
        plugin, requirements=requirements, requirement_files=requirement_files, paths=paths,
        version=machine.version, progress=progress,
    )  # fmt: skip
    plan = plan_of(found, bundle, stdlib_of(machine))
    main = _MAIN.read_text("utf-8").replace("PLAN = None", f"PLAN = {plan!r}", 1)
    app = {**bundle.files, **found.files, "_fumehood_main.py": main.encode()}
    archive = zipped(app)
    progress(f"importing {found.module} in Python {machine.record['python']} for Wasm")
    files = {"app.zip": archive, "lib.zip": machine.library, "hash-seed": _seed(archive)}
    try:
        taken = snapshot.take(machine.runtime, files)
    except snapshot.Stopped as stopped:
        raise refusals.explain(stopped, found, bundle) from None
    told = json.loads(taken.output.strip().splitlines()[-1])
    module = taken.module
    finish(module, told["exports"])
    wasm = module.encode()
    progress(f"writing {out.name}")
    write(out, wasm)
    loaded = {name.partition(".")[0] for name in told["modules"]}
    return Report(
        target="core",
        file=str(out),
        name=told["name"],
        provider=told["provider"],
        size=len(wasm),
        sha256=hashlib.sha256(wasm).hexdigest(),
        python=told["python"],
        interpreter=machine.record.get("debian_revision", "unknown"),
        exports=told["exports"],
        modules=len(told["modules"]),
        beside=found.beside,
        packages=bundle.packages,
        memory=taken.pages * 65536,
        seconds=time.monotonic() - started,
        unused=[item.name for item in bundle.packages if not _tops(bundle, item) & loaded],
    )


def gather(
    plugin: Path,
    *,
    requirements: Sequence[str],
    requirement_files: Sequence[Path],
    paths: Sequence[Path],
    version: tuple[int, int],
    progress: Progress,
) -> tuple[sources.Sources, packages.Bundle]:
    """The author's files and the packages that they require, for either target. Raises BuildError."""
    found = sources.collect(plugin)
    entry = plugin / "__init__.py" if plugin.is_dir() else plugin
    inline = sources.metadata(entry.read_text("utf-8"), entry.name)
    _python_wanted(inline.get("requires-python"), version, entry.name)
    wanted = [*inline.get("dependencies", ()), *requirements]
    if wanted or requirement_files:
        progress(f"installing {', '.join([*wanted, *map(str, requirement_files)])}")
    bundle = packages.install(wanted, requirement_files, version)
    for folder in paths:
        more = packages.read(Path(folder))
        bundle.files.update(more.files)
        bundle.packages.extend(more.packages)
    return found, bundle


def plan_of(found: sources.Sources, bundle: packages.Bundle, stdlib: frozenset[str]) -> dict[str, Any]:
    """What the guest is to import. Raises BuildError for an import of the author's that nothing can fulfil."""
    known = stdlib | _top_level(bundle.files) | _top_level(found.files)
    deferred: list[str] = []
    own = [name for name in found.files if name.endswith(".py") and not name.startswith("fumehood_pdk/")]
    for file in sorted(own):
        for item in sources.imports(found.files[file], file):
            if item.top not in known and not item.guarded:
                raise refusals.unknown_import(file, item)
            if item.deferred and not item.guarded:
                deferred.append(item.module)
    later: dict[str, list[str]] = {}
    for file, source in sorted({**bundle.files, **{name: found.files[name] for name in own}}.items()):
        if file.endswith(".py"):
            try:
                names = {item.module for item in sources.imports(source, file) if item.deferred and item.top in known}
            except BuildError:
                continue  # a template or a test of another Python: nobody imports it, or the import will fail
            if names:
                later[file.removesuffix(".py").removesuffix("/__init__").replace("/", ".")] = sorted(names)
    return {"module": found.module, "always": list(ALWAYS), "deferred": sorted(set(deferred)), "later": later}


def stdlib_of(machine: interpreters.Interpreter) -> frozenset[str]:
    """The top-level modules that this interpreter's Python has, those included that exist but cannot be imported."""
    with zipfile.ZipFile(io.BytesIO(machine.library)) as archive:
        names = archive.namelist()
    return frozenset({name.partition("/")[0].removesuffix(".pyc") for name in names} | set(sys.stdlib_module_names))


def finish(module: Module, exports: Sequence[str]) -> None:
    """Keep only the exports of methods that are there; without speech, let nothing ask for the host's HTTP."""
    keep = _FOR_FUMEHOOD | set(exports)
    module.exports = [item for item in module.exports if item.name in keep]
    if not {"transcribe", "speech"} & keep:
        module.rename_imports(lambda space, name: _HARMLESS if (space, name) == _HOST_HTTP else (space, name))


def zipped(files: Mapping[str, bytes]) -> bytes:
    """A zip without times, in the order of names."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as archive:
        for name in sorted(files):
            archive.writestr(zipfile.ZipInfo(name, (1980, 1, 1, 0, 0, 0)), files[name])
    return buffer.getvalue()


def write(out: Path, data: bytes) -> None:
    """Write a file whole or not at all. Raises BuildError."""
    part = out.with_name(f".{out.name}.part")
    try:
        part.write_bytes(data)
        part.replace(out)
    except OSError as problem:
        part.unlink(missing_ok=True)
        raise BuildError(f"{out} cannot be written: {problem.strerror or problem}") from None


def _seed(archive: bytes) -> bytes:
    """The hash seed: another for each plugin, the same for each build of it. It cannot be changed in a running
    interpreter, so this is no protection from someone who has the plugin; the host's limits are."""
    return b"%d" % (int.from_bytes(hashlib.sha256(archive).digest()[:4], "little") or 1)


def _top_level(files: Mapping[str, bytes]) -> frozenset[str]:
    return frozenset(name.partition("/")[0].removesuffix(".py") for name in files)


def _tops(bundle: packages.Bundle, package: packages.Package) -> set[str]:
    name = package.name.lower().replace("-", "_")
    tops = {top for top in _top_level(bundle.files) if not top.endswith(".dist-info")}
    return {top for top in tops if top.lower() == name} or tops


def _python_wanted(wanted: str | None, version: tuple[int, int], file: str) -> None:
    """A coarse reading of `requires-python`: lower and upper bounds on major.minor."""
    for part in (wanted or "").split(","):
        bound = part.strip()
        for sign in (">=", "==", "<"):
            if bound.startswith(sign):
                numbers = bound[len(sign) :].strip().removesuffix(".*").split(".")
                limit = (int(numbers[0]), int(numbers[1]) if len(numbers) > 1 else 0)
                fits = version >= limit if sign == ">=" else version < limit if sign == "<" else version == limit
                if not fits:
                    has = f"{version[0]}.{version[1]}"
                    raise BuildError(f"{file} requires Python {wanted}; plugins run on {has}")
                break
