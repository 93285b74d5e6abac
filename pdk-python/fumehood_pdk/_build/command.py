"""The builder's command line."""

from __future__ import annotations

import argparse
import dataclasses
import json
import sys
from collections.abc import Sequence
from pathlib import Path

from fumehood_pdk._build.failure import BuildError
from fumehood_pdk._build.plugin import Report, build

DONE, USAGE, REFUSED = 0, 2, 3


def parser(prog: str) -> argparse.ArgumentParser:
    """The arguments of `build`."""
    made = argparse.ArgumentParser(
        prog=f"{prog} build", description="Build a provider class into a plugin.",
        epilog="Packages are taken from the file's inline metadata (PEP 723) and from --requirement. "
        "Exit codes: 0 built, 2 usage, 3 the plugin cannot be built.",
    )  # fmt: skip
    made.add_argument("plugin", type=Path, metavar="PLUGIN", help="a .py file, or a folder with __init__.py")
    made.add_argument("-o", "--output", type=Path, metavar="FILE", help="where to (default: PLUGIN's name with .wasm)")
    made.add_argument(
        "--target", choices=("core", "component"), default="core",
        help="core: runs in every Extism host, QueryMT included; component: in fumehood only",
    )  # fmt: skip
    made.add_argument(
        "-r", "--requirement", action="append", default=[], metavar="PACKAGE",
        help="a package to bundle, as pip names it, or @FILE for a requirements file; repeatable",
    )  # fmt: skip
    made.add_argument(
        "--path", action="append", default=[], type=Path, metavar="FOLDER",
        help="a folder of installed packages to bundle (pip install --target); repeatable",
    )  # fmt: skip
    made.add_argument(
        "--interpreter", type=Path, metavar="FOLDER", help="an interpreter of your own (pdk-python/interpreter/build)"
    )
    made.add_argument("--json", action="store_true", help="the report as JSON")
    made.add_argument("-q", "--quiet", action="store_true", help="no progress")
    return made


def main(argv: Sequence[str] | None = None, prog: str = "python -m fumehood_pdk") -> int:
    """`build …`; returns the exit code. Progress and errors go to standard error, the report to standard output."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    if arguments[:1] != ["build"]:
        print(f"usage: {prog} build PLUGIN [-o FILE]; {prog} build --help", file=sys.stderr)
        return DONE if arguments[:1] in (["-h"], ["--help"]) else USAGE
    try:
        options = parser(prog).parse_args(arguments[1:])
    except SystemExit as leave:
        return leave.code if isinstance(leave.code, int) else USAGE
    out = options.output or Path(options.plugin.name).with_suffix(".wasm")

    def progress(line: str) -> None:
        if not options.quiet:
            print(f"build: {line}", file=sys.stderr, flush=True)

    try:
        report = build(
            options.plugin,
            out,
            target=options.target,
            requirements=[item for item in options.requirement if not item.startswith("@")],
            requirement_files=[Path(item[1:]) for item in options.requirement if item.startswith("@")],
            paths=options.path,
            interpreter=options.interpreter,
            progress=progress,
        )
    except BuildError as problem:
        print(f"build: {problem}", file=sys.stderr)
        if problem.hint:
            print(f"  hint: {problem.hint}", file=sys.stderr)
        return REFUSED
    if options.json:
        print(json.dumps(dataclasses.asdict(report), indent=2))
    else:
        show(report)
    return DONE


def show(report: Report) -> None:
    """The report for people."""
    rows = [
        ("plugin", f"{report.name} ({report.provider})"),
        ("file", f"{report.file}, {report.size:,} bytes, target {report.target}"),
        ("sha256", report.sha256),
        ("Python", f"{report.python} ({report.interpreter}), {report.modules} modules inside"),
        ("memory", f"{report.memory:,} bytes to begin with"),
    ]
    if report.beside:
        rows.append(("beside", ", ".join(report.beside)))
    for package in report.packages:
        notes = [package.license]
        if package.native:
            notes.append(f"without its compiled {', '.join(package.native)}")
        if package.name in report.unused:
            notes.append("nothing of it is imported")
        rows.append(("bundled", f"{package.name} {package.version} ({'; '.join(notes)})"))
    rows.append(("exports", ", ".join(report.exports)))
    rows.append(("time", f"{report.seconds:.1f} s"))
    for key, value in rows:
        print(f"{key:8} {value}")
