"""`fumehood inspect NAME|PATH`: what a plugin is, and what it would be allowed."""

from __future__ import annotations

import sys
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import click
from rich.table import Table
from rich.text import Text

from fumehood.cli import asks, difference, output, risk
from fumehood.cli.allowances import allowances
from fumehood.cli.options import Common, common
from fumehood.cli.target import existing_file, spec_of
from fumehood.cli.text import escape, line
from fumehood.errors import LoadError, UsageError
from fumehood.plugin import CompiledPlugin
from fumehood.provider.opening import Spec, load


@dataclass(frozen=True, slots=True)
class Export:
    """An export: `params` and `results` as letters, i I f F for i32 i64 f32 f64."""

    name: str
    kind: str
    callable: bool


@dataclass(frozen=True, slots=True)
class Facts:
    """What can be known of a plugin without using it. `says` is the plugin's own word, not a
    fact: its name, default URL and key variable, or why it did not say."""

    file: str
    size: int
    sha256: str
    kind: str
    generation: str | None
    capabilities: list[str]
    memory_minimum: int
    memory_maximum: int | None
    exports: list[Export]
    imports: list[str]
    says: dict[str, str]
    allowed: dict[str, str]


@click.command(name="inspect")
@click.argument("target", metavar="NAME|PATH")
@click.option("--no-run", is_flag=True, help="Do not ask the plugin itself for its name.")
@click.option("--risk", "as_risk", is_flag=True, help="What it asks for against what it would get.")
@click.option(
    "--against", metavar="OLD.wasm",
    help="Show what TARGET asks for that this older version does not; implies --risk.",
)  # fmt: skip
@common
def command(
    common: Common, target: str, *, no_run: bool, as_risk: bool, against: str | None
) -> None:
    """Show what a plugin is and what it would be allowed.

    NAME is an entry of plugins.toml, PATH a .wasm file or bundled:NAME. The plugin's own name and
    defaults are asked for in a sandbox without network.

    With --risk, one row for each thing to decide on: `-` nothing to decide, `look` worth a look,
    `HIGH` think twice. A file that is not the pinned one ends with 3.
    """
    spec = spec_of(target, common)
    if as_risk or against is not None:
        if no_run and against is not None:
            raise UsageError("--against compares what both say: it does not go with --no-run")
        _risk(spec, common, against, ask=not no_run)
        return
    compiled, _ours = load(spec)
    with compiled:
        facts = collect(spec, compiled, ask=not no_run)
    if common.json:
        output.write_json(asdict(facts))
        return
    show(facts)


def _risk(spec: Spec, common: Common, against: str | None, *, ask: bool) -> None:
    """The tables to decide on. Raises LoadError, after them, where another digest is pinned."""
    wanted = _asks(replace(spec, sha256=None), ask=ask)
    found = risk.rows(spec, wanted, spec.sha256)
    changed: list[risk.Row] = []
    if against is not None:
        before = _asks(Spec(existing_file(against), limits=spec.limits), ask=ask)
        changed = difference.rows(before, wanted)
    if common.json:
        document = {"plugin": asdict(wanted), "risk": [asdict(row) for row in found]}
        if against is not None:
            document["difference"] = [asdict(row) for row in changed]
        output.write_json(document)
    else:
        console = output.console(sys.stdout)
        console.print(_rows(found, ("", "asks for", "would get", "risk")))
        if against is not None:
            console.print()
            title = f"Against {Path(against).name}"
            console.print(_rows(changed, (title, "was", "is", "risk")))
    pinned = found[0]
    if pinned.gets.startswith("REFUSED"):
        raise LoadError(
            f"the file has the digest {wanted.sha256}, {spec.sha256} is pinned",
            hint="compare it with the file that was pinned: --against OLD.wasm",
        )


def _asks(spec: Spec, *, ask: bool) -> asks.Asks:
    compiled, _ours = load(spec)
    with compiled:
        return asks.collect(compiled, ask=ask)


def _rows(found: list[risk.Row], head: tuple[str, str, str, str]) -> Table:
    grid = Table(box=None, pad_edge=False, title_justify="left")
    grid.add_column(escape(head[0]), style="bold", overflow="fold")
    grid.add_column(head[1], overflow="fold", ratio=3)
    grid.add_column(head[2], overflow="fold", ratio=3)
    grid.add_column(head[3], no_wrap=True)
    for row in found:
        style = {risk.HIGH: "bold red", risk.LOOK: "yellow"}.get(row.verdict, "")
        grid.add_row(
            Text(escape(row.what)),
            Text(escape(row.asks)),
            Text(escape(row.gets)),
            Text(row.verdict, style=style),
        )
    return grid


def collect(spec: Spec, compiled: CompiledPlugin, *, ask: bool = True) -> Facts:
    """The facts of a compiled plugin; with `ask`, what it says of itself."""
    wanted = asks.collect(compiled, ask=ask)
    imports = [(item.module, item.name) for item in compiled.imports]
    return Facts(
        file="bytes" if isinstance(spec.plugin, bytes) else str(spec.plugin),
        size=wanted.size,
        sha256=wanted.sha256,
        kind=wanted.kind,
        generation=wanted.generation,
        capabilities=wanted.capabilities,
        memory_minimum=wanted.memory_minimum,
        memory_maximum=wanted.memory_maximum,
        exports=[
            Export(name, info.kind, compiled.has(name))
            for name, info in sorted(compiled.exports.items())
        ],
        imports=wanted.imports,
        says=wanted.says,
        allowed=allowances(spec, wanted.says, imports, provider=wanted.provider),
    )


def show(facts: Facts) -> None:
    """The facts as tables on stdout."""
    console = output.console(sys.stdout)
    top = "no maximum"
    if facts.memory_maximum is not None:
        top = f"{output.size(facts.memory_maximum)} at most"
    rows = [
        ("file", facts.file),
        ("sha256", facts.sha256),
        ("size", f"{output.size(facts.size)} ({facts.size:,} bytes)"),
        ("kind", facts.kind),
    ]
    if facts.generation is not None:
        rows.append(("generation", facts.generation))
        rows.append(("can", ", ".join(facts.capabilities)))
    rows.append(("memory", f"{output.size(facts.memory_minimum)} from the start, {top}"))
    rows += [(f"says {key}", line(value)) for key, value in facts.says.items()]
    calls = [export.name for export in facts.exports if export.callable]
    others = [f"{export.name} ({export.kind})" for export in facts.exports if not export.callable]
    listed = [("callable", ", ".join(calls) or "none")]
    if others:
        listed.append(("other", ", ".join(others)))
    console.print(output.table(rows))
    for title, body in (
        ("It would be allowed", list(facts.allowed.items())),
        ("Imports", _import_rows(facts.imports)),
        ("Exports", listed),
    ):
        console.print()
        console.print(output.table(body, title))


def _import_rows(imports: list[str]) -> list[tuple[str, str]]:
    spaces: dict[str, set[str]] = {}
    for item in imports:
        module, _, name = item.partition("::")
        spaces.setdefault(module, set()).add(name)
    rows = [(line(module, 60), ", ".join(sorted(names))) for module, names in spaces.items()]
    return rows or [("none", "")]
