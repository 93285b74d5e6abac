"""What a plugin asks for: its imports, its own answers, its config's schema. All of it is the
plugin's word, so attacker data; nothing here decides anything."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, Final

from fumehood.errors import Error
from fumehood.limits import KIB, Limits
from fumehood.plugin import CompiledPlugin, Plugin
from fumehood.provider import schema
from fumehood.provider.opening import traits_of
from fumehood.provider.traits import Mode

ASK: Final = Limits(
    fuel=200_000_000, guest_time=1.0, deadline=2.0, output_bytes=256 * KIB, http_requests=0
)
"""What a plugin gets to answer with: enough for a schema, no request."""
ANSWER_CAP: Final = 200
PROPERTIES: Final = 100
"""Keys of a schema that are looked at, and characters of each."""
DEPTH: Final = 2
"""How far a type is followed."""


@dataclass(frozen=True, slots=True)
class Asks:
    """`says` are its answers to `name`, `base_url` and `api_key_name`, or why there is none;
    `properties` the config keys of its schema with their types, `required` those it needs."""

    sha256: str
    size: int
    kind: str
    provider: bool
    direct: bool
    generation: str | None
    capabilities: list[str]
    memory_minimum: int
    memory_maximum: int | None
    imports: list[str]
    says: dict[str, str] = field(default_factory=dict)
    properties: dict[str, str] = field(default_factory=dict)
    required: list[str] = field(default_factory=list)
    schema_problem: str | None = None


def collect(compiled: CompiledPlugin, *, ask: bool = True) -> Asks:
    """What a compiled plugin asks for; with `ask`, also what it says when it is run."""
    names = [name for name in compiled.exports if compiled.has(name)]
    traits = traits_of(compiled)
    provider = bool(traits.capabilities) and "config_schema" in names
    direct = traits.mode is Mode.DIRECT
    kind = "Extism plugin"
    if provider:
        kind = "provider, the host sends its requests"
        if direct:
            kind = "provider, it sends its own requests"
    if compiled.is_component:
        kind += " (a component)"
    minimum, maximum = compiled.memory
    asks = Asks(
        sha256=compiled.sha256,
        size=compiled.size,
        kind=kind,
        provider=provider,
        direct=direct,
        generation=traits.generation if provider else None,
        capabilities=sorted(traits.capabilities) if provider else [],
        memory_minimum=minimum,
        memory_maximum=maximum,
        imports=[f"{item.module}::{item.name}" for item in compiled.imports],
    )
    if not (ask and provider):
        return asks
    return _asked(asks, compiled, names)


def _asked(asks: Asks, compiled: CompiledPlugin, names: Iterable[str]) -> Asks:
    """`asks` with what the plugin answers to the questions that need no config."""
    says: dict[str, str] = {}
    document: schema.Schema | None = None
    problem: str | None = None
    with Plugin(compiled, limits=ASK) as plugin:
        for question in ("name", "base_url", "api_key_name"):
            if question not in names:
                continue
            try:
                answer = plugin.call(question, b"null").decode("utf-8", "replace")
            except Error as error:
                answer = f"({type(error).__name__})"
            if answer:
                says[question] = answer[:ANSWER_CAP]
        try:
            document = schema.load(plugin.call("config_schema", b"null"))
        except Error as error:
            problem = f"({type(error).__name__}) {error.message[:ANSWER_CAP]}"
    values: dict[str, Any] = {f: getattr(asks, f) for f in Asks.__dataclass_fields__}
    values |= {"says": says, "schema_problem": problem}
    if document is not None:
        listed = list((document.properties or {}).items())[:PROPERTIES]
        values["properties"] = {key[:PROPERTIES]: _type(value) for key, value in listed}
        required = document.document.get("required", [])
        values["required"] = [key[:PROPERTIES] for key in required[:PROPERTIES]]
    return Asks(**values)


def _type(value: object, depth: int = 0) -> str:
    """The type of a property in a word or two."""
    if not isinstance(value, dict):
        return "anything"
    given = value.get("type")
    if isinstance(given, list):
        return " or ".join(str(item)[:20] for item in given[:4])
    if isinstance(given, str):
        return given[:20]
    if "enum" in value:
        return "one of a list"
    for keyword in ("anyOf", "oneOf"):
        parts = value.get(keyword)
        if isinstance(parts, list) and depth < DEPTH:
            return " or ".join(dict.fromkeys(_type(part, depth + 1) for part in parts[:4]))
    return "a table" if "properties" in value else "anything"
