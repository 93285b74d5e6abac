"""Config schemas that are traps: the host evaluates them, outside every limit of a guest."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any, Final

from fumehood.testing.gallery.attacks import HARMLESS, STUB, Attack
from fumehood.testing.gallery.documents import wire

SCHEMAS: Final = "A schema from a plugin costs bounded time and no network."

_DRAFT_4: Final = "http://json-schema.org/draft-04/schema#"
_DRAFT_7: Final = "http://json-schema.org/draft-07/schema#"
_SLOW: Final = "^(a+)+$"
_MISSED: Final = "a" * 40 + "!"
"""What the pattern nearly matches: `re` would try for ever."""


def _row(name: str, expect: str, schema: Any, model: str = "m", *, text: str = "") -> Attack:
    return Attack(
        f"schema_{name}",
        "schemas",
        SCHEMAS,
        expect,
        guest="provider",
        config={"base_url": STUB, "model": model},
        chat=True,
        fill={
            "prefix": wire(f"{STUB}models"),
            "schema": text or json.dumps(schema, separators=(",", ":")),
        },
        limits={"deadline": 6.0},
    )


def _model(*parts: Any, **schema: Any) -> dict[str, Any]:
    """A schema in which the plugin's `model` must meet all of `parts`."""
    return {**schema, "properties": {"model": {"allOf": list(parts)} if parts else {}}}


def _doubling(depth: int, leaf: Any, by: str = "anyOf") -> dict[str, Any]:
    """Definitions of which each refers twice to the next."""
    inner = {f"d{n}": {by: [{"$ref": f"#/$defs/d{n + 1}"}] * 2} for n in range(depth)}
    return {**inner, f"d{depth}": leaf}


def _numbers(count: int) -> Sequence[Any]:
    return [{}, *range(count)]


_FIRST: Final = {"$ref": "#/$defs/d0"}

SCHEMA_TRAPS: Final = (
    _row("is_no_json", "Error", None, text="{"),
    _row("is_no_object", "Error", [1]),
    _row("is_deep", "Error", None, text=('{"properties":' * 2_000 + "{}" + "}" * 2_000)[:19_000]),
    Attack("schema_is_huge", "schemas", SCHEMAS, "ProtocolError", guest="schema_flood", chat=True),
    _row("remote_reference", "Error", _model({"$ref": "http://attacker.example/schema.json"})),
    _row("remote_identity", HARMLESS,
         _model({"$ref": "#/$defs/a"}, **{"$id": "http://attacker.example/s",
                "$defs": {"a": {"$id": "http://attacker.example/a"}}})),
    _row("remote_dialect", HARMLESS, {"$schema": "http://attacker.example/dialect"}),
    _row("recursive_reference", "Error",
         {"properties": {"model": {"$ref": "#/properties/model"}}}),
    _row("reference_cycle", "Error",
         {"$defs": {"a": {"$ref": "#/$defs/b"}, "b": {"$ref": "#/$defs/a"}},
          **_model({"$ref": "#/$defs/a"})}),
    _row("doubling_references", "Error", {"$defs": _doubling(24, False), **_model(_FIRST)}),
    _row("dynamic_references", "Error",
         {"$dynamicAnchor": "x", "allOf": [{"$dynamicRef": "#x"}] * 700}),
    _row("searched_references", "Error",
         {"$defs": {"z": {"$anchor": "z"}, **_doubling(17, {"$ref": "#z"}, "allOf"),
                    **{f"n{n}": {} for n in range(1_000)}}, **_model(_FIRST)}),
    _row("huge_enum", "Error",
         {"$defs": _doubling(14, {"enum": _numbers(3_000)}), **_model(_FIRST)}),
    _row("enum_that_cannot_be_sorted", HARMLESS,
         _model({"enum": ["m", *_numbers(3_500)]}, **{"$schema": _DRAFT_4})),
    _row("slow_pattern", "ConfigError", _model({"pattern": _SLOW}), _MISSED),
    _row("slow_pattern_in_another_dialect", "ConfigError",
         _model({"$schema": _DRAFT_7, "pattern": _SLOW}), _MISSED),
    _row("slow_pattern_of_names", "Error",
         {"properties": {"model": {}},
          "patternProperties": {f"(a{{1,60}}){{1,60}}{n}": {} for n in range(700)}}),
    _row("patterns_that_flood_the_log", HARMLESS,
         {"properties": {"model": {}},
          "patternProperties": {f"(?=z){n}": {} for n in range(1_000)}}),
)  # fmt: skip
