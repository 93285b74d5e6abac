"""What a plugin asks for that an older version of it did not."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from fumehood.cli import output
from fumehood.cli.asks import Asks
from fumehood.cli.risk import HIGH, LOOK, NONE, Row, network_imports, secretive
from fumehood.cli.text import line

_MORE: Final = 4
"""Memory from the start: this many times as much is worth a look."""


def rows(old: Asks, new: Asks) -> list[Row]:
    """One row a difference: what it was (`asks`), what it is (`gets`), and a verdict."""
    if old.sha256 == new.sha256:
        return [Row("file", old.sha256, "the same file", NONE)]
    return [
        Row("file", old.sha256, new.sha256, NONE),
        *_words(old, new),
        *_imports(old, new),
        *_config(old, new),
        *_rest(old, new),
    ]


def _words(old: Asks, new: Asks) -> Iterator[Row]:
    """Another host or another key variable is what an upgrade must not smuggle in."""
    for question, what in (
        ("name", "name"),
        ("base_url", "its default host"),
        ("api_key_name", "its key variable"),
    ):
        before, after = old.says.get(question), new.says.get(question)
        if before != after:
            verdict = LOOK if question == "name" else HIGH
            yield Row(what, line(before or "none"), line(after or "none"), verdict)


def _imports(old: Asks, new: Asks) -> Iterator[Row]:
    before, after = set(old.imports), set(new.imports)
    sends = set(network_imports(new.imports)) - set(network_imports(old.imports))
    for item in sorted(after - before):
        yield Row("import", "no", line(item, 120), HIGH if item in sends else LOOK)
    for item in sorted(before - after):
        yield Row("import", line(item, 120), "no", NONE)
    if old.direct != new.direct:
        yield Row("kind", old.kind, new.kind, HIGH if new.direct else NONE)


def _config(old: Asks, new: Asks) -> Iterator[Row]:
    if new.schema_problem is not None and new.schema_problem != old.schema_problem:
        yield Row("config", "usable", line(new.schema_problem), HIGH)
        return
    for key in [*new.properties, *(k for k in old.properties if k not in new.properties)]:
        before, after = _key(old, key), _key(new, key)
        if before != after:
            verdict = LOOK if before == "no" and secretive(key) else NONE
            yield Row(f"config {line(key, 60)}", before, after, verdict)


def _key(asks: Asks, key: str) -> str:
    if key not in asks.properties:
        return "no"
    return f"{asks.properties[key]}, {'required' if key in asks.required else 'optional'}"


def _rest(old: Asks, new: Asks) -> Iterator[Row]:
    if old.generation != new.generation:
        yield Row("generation", old.generation or "none", new.generation or "none", LOOK)
    if old.capabilities != new.capabilities:
        yield Row("can", ", ".join(old.capabilities), ", ".join(new.capabilities), NONE)
    if old.memory_minimum != new.memory_minimum:
        more = new.memory_minimum >= _MORE * max(1, old.memory_minimum)
        sizes = output.size(old.memory_minimum), output.size(new.memory_minimum)
        yield Row("memory from the start", *sizes, LOOK if more else NONE)
    yield Row("size", output.size(old.size), output.size(new.size), NONE)
