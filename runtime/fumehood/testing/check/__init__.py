"""Does a plugin keep to the provider ABI, and which hosts would load it? (`fumehood check`)

    for finding in check(Path("my_provider.wasm"), {"model": "m"}):
        print(finding.level, finding.about, finding.text)

A plugin runs here as it always does: in the sandbox, without a network. What is examined: exports
and imports, what it says of itself, its config schema, the requests it builds, and how it takes
replies that no API would send.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from fumehood.plugin import CompiledPlugin
from fumehood.provider.opening import traits_of
from fumehood.provider.traits import Mode
from fumehood.testing.check.behaviour import Examination
from fumehood.testing.check.finding import Finding, Level
from fumehood.testing.check.structure import structure

__all__ = ["Finding", "Level", "check", "verdict"]


def check(plugin: Path | bytes, config: Mapping[str, Any] | None = None) -> Iterator[Finding]:
    """Everything found out about a plugin, in the order of the examination.

    `config` is laid over the one that is made up from the schema, where that does not do. Raises
    LoadError for what is no plugin at all; whatever a plugin does wrong is a finding.
    """
    with CompiledPlugin.load(plugin) as compiled:
        yield from structure(compiled)
        traits = traits_of(compiled)
        if traits.mode is Mode.SPLIT:
            yield from Examination(compiled, dict(config or {})).run()
        elif "config_schema" in compiled.exports:
            yield Finding(
                Level.NOTE, "behaviour",
                "not examined: this plugin sends its requests itself, and there is no network here",
            )  # fmt: skip


def verdict(findings: list[Finding]) -> bool:
    """Whether nothing is wrong; what is only unwise does not count."""
    return not any(finding.level is Level.WRONG for finding in findings)
