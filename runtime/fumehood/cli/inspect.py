"""`fumehood inspect PATH`: what a plugin is, and what it would be allowed."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any, Final
from urllib.parse import urlsplit

import click

from fumehood.cli import output
from fumehood.cli.options import Common, common
from fumehood.cli.target import compiled_plugin
from fumehood.cli.text import line
from fumehood.egress.known import known_hosts
from fumehood.errors import Error
from fumehood.limits import Limits
from fumehood.plugin import CompiledPlugin, Plugin
from fumehood.provider.traits import Mode, detect

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
@click.argument("path", metavar="PATH")
@click.option("--no-run", is_flag=True, help="Do not ask the plugin itself for its name.")
@common
def command(common: Common, path: str, no_run: bool) -> None:
    """Show what the plugin at PATH (or bundled:NAME) is and what it would be allowed.

    The plugin's own name and defaults are asked for in a sandbox without network.
    """
    with compiled_plugin(path) as compiled:
        facts = collect(path, compiled, common.limits, ask=not no_run)
    if common.json:
        output.write_json(asdict(facts))
        return
    show(facts)


def collect(path: str, compiled: CompiledPlugin, limits: Limits, *, ask: bool) -> Facts:
    """The facts of a compiled plugin; with `ask`, what it says of itself."""
    names = [name for name in compiled.exports if compiled.has(name)]
    imports = [(item.module, item.name) for item in compiled.imports]
    traits = detect(names, imports)
    provider = bool(traits.capabilities) and "config_schema" in names
    says = _ask(compiled, names) if ask and provider else {}
    minimum, maximum = compiled.memory
    kind = "Extism plugin"
    if provider:
        kind = "provider, the host sends its requests"
        if traits.mode is Mode.DIRECT:
            kind = "provider, it sends its own requests"
    return Facts(
        file=path,
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
        allowed=_allowed(says, imports, limits, provider=provider),
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


def _allowed(
    says: dict[str, str], imports: list[tuple[str, str]], limits: Limits, *, provider: bool
) -> dict[str, str]:
    host = _host(says.get("base_url", ""))
    network = "no host; --allow grants one"
    if provider:
        network = f"{host} (its own default), and what plugins.toml grants"
        if host is None:
            network = "no host until base_url or allowed_hosts name one"
    allowed = {"network": network}
    variable = says.get("api_key_name")
    if provider:
        allowed["key"] = _key(variable, host)
    wasi = any(module == "wasi_snapshot_preview1" for module, _ in imports)
    allowed["files"] = "none"
    allowed["environment"] = "none, no arguments" if wasi else "none, it does not ask for WASI"
    fuel = "no fuel limit" if limits.fuel is None else f"{limits.fuel:,} fuel"
    allowed["time"] = (
        f"{limits.deadline:g} s an operation, {limits.guest_time:g} s of it inside, {fuel}"
    )
    allowed["memory"] = (
        f"{output.size(limits.memory)}, and {output.size(limits.kernel_memory)} for payloads"
    )
    allowed["requests"] = (
        f"{limits.http_requests} an operation, replies up to {output.size(limits.response_bytes)}"
    )
    return allowed


def _host(url: str) -> str | None:
    try:
        return urlsplit(url).hostname
    except ValueError:
        return None


def _key(variable: str | None, host: str | None) -> str:
    if not variable:
        return "none asked for"
    known = known_hosts(variable)
    if host is not None and host in known:
        return f"{variable}, which belongs to {', '.join(known)}: sent there, never shown to it"
    line_to_add = f'api_key = {{ from = "env:{variable}", hosts = ["…"] }}'
    return f"{variable} goes nowhere until plugins.toml says: {line_to_add}"


def show(facts: Facts) -> None:
    """The facts as tables on stdout."""
    console = output.console(sys.stdout)
    memory = output.size(facts.memory_minimum)
    top = "no maximum" if facts.memory_maximum is None else f"{output.size(facts.memory_maximum)}"
    rows = [
        ("file", facts.file),
        ("sha256", facts.sha256),
        ("size", f"{output.size(facts.size)} ({facts.size:,} bytes)"),
        ("kind", facts.kind),
    ]
    if facts.generation is not None:
        rows.append(("generation", facts.generation))
        rows.append(("can", ", ".join(facts.capabilities)))
    rows.append(("memory", f"{memory} from the start, {top}"))
    rows += [(f"says {key}", line(value)) for key, value in facts.says.items()]
    console.print(output.table(rows))
    console.print(output.table(facts.allowed.items(), "\nIt would be allowed"))
    console.print(output.table(_import_rows(facts.imports), "\nImports"))
    calls = [export.name for export in facts.exports if export.callable]
    others = [f"{export.name} ({export.kind})" for export in facts.exports if not export.callable]
    rows = [("callable", ", ".join(calls) or "none")]
    if others:
        rows.append(("other", ", ".join(others)))
    console.print(output.table(rows, "\nExports"))


def _import_rows(imports: list[str]) -> list[tuple[str, str]]:
    spaces: dict[str, list[str]] = {}
    for item in imports:
        module, _, name = item.partition("::")
        spaces.setdefault(module, []).append(name)
    if not spaces:
        return [("none", "")]
    return [
        (line(module, 60), ", ".join(sorted(Counter(names)))) for module, names in spaces.items()
    ]


def document(facts: Facts) -> dict[str, Any]:
    """The facts as JSON."""
    return asdict(facts)
