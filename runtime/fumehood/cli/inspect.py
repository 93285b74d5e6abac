"""`fumehood inspect NAME|PATH`: what a plugin is, and what it would be allowed."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Final

import click

from fumehood.cli import output
from fumehood.cli.allowances import allowances
from fumehood.cli.options import Common, common
from fumehood.cli.target import spec_of
from fumehood.cli.text import line
from fumehood.errors import Error
from fumehood.limits import Limits
from fumehood.plugin import CompiledPlugin, Plugin
from fumehood.provider.opening import Spec, load, traits_of
from fumehood.provider.traits import Mode

ASK: Final = Limits(
    fuel=200_000_000, guest_time=1.0, deadline=2.0, output_bytes=64 * 1024, http_requests=0
)
"""What a plugin gets to answer with its name: enough for a sentence, no request."""
_ANSWER_CAP: Final = 200


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
@common
def command(common: Common, target: str, *, no_run: bool) -> None:
    """Show what a plugin is and what it would be allowed.

    NAME is an entry of plugins.toml, PATH a .wasm file or bundled:NAME. The plugin's own name and
    defaults are asked for in a sandbox without network.
    """
    spec = spec_of(target, common)
    compiled, _ours = load(spec)
    with compiled:
        facts = collect(spec, compiled, ask=not no_run)
    if common.json:
        output.write_json(asdict(facts))
        return
    show(facts)


def collect(spec: Spec, compiled: CompiledPlugin, *, ask: bool = True) -> Facts:
    """The facts of a compiled plugin; with `ask`, what it says of itself."""
    names = [name for name in compiled.exports if compiled.has(name)]
    imports = [(item.module, item.name) for item in compiled.imports]
    traits = traits_of(compiled)
    provider = bool(traits.capabilities) and "config_schema" in names
    says = _ask(compiled, names) if ask and provider else {}
    minimum, maximum = compiled.memory
    kind = "Extism plugin"
    if provider:
        kind = "provider, the host sends its requests"
        if traits.mode is Mode.DIRECT:
            kind = "provider, it sends its own requests"
    return Facts(
        file="bytes" if isinstance(spec.plugin, bytes) else str(spec.plugin),
        size=compiled.size,
        sha256=compiled.sha256,
        kind=kind,
        generation=traits.generation if provider else None,
        capabilities=sorted(traits.capabilities) if provider else [],
        memory_minimum=minimum,
        memory_maximum=maximum,
        exports=[
            Export(name, info.kind, compiled.has(name))
            for name, info in sorted(compiled.exports.items())
        ],
        imports=[f"{module}::{name}" for module, name in imports],
        says=says,
        allowed=allowances(spec, says, imports, provider=provider),
    )


def _ask(compiled: CompiledPlugin, names: Iterable[str]) -> dict[str, str]:
    """What the plugin answers to the three questions that need no config."""
    answers: dict[str, str] = {}
    with Plugin(compiled, limits=ASK) as plugin:
        for question in ("name", "base_url", "api_key_name"):
            if question not in names:
                continue
            try:
                answer = plugin.call(question, b"null").decode("utf-8", "replace")
            except Error as error:
                answer = f"({type(error).__name__})"
            if answer:
                answers[question] = answer[:_ANSWER_CAP]
    return answers


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
