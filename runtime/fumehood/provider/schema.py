"""A plugin's own JSON Schema: pruning and checking a config with it.

The schema is attacker data. It is bounded in size, depth and work (every keyword costs a step
of a budget and processor time, so that schemas that fan out through `$ref` end), no reference
leaves the document, and patterns run on the linear machine of `patterns`. A pattern which that
machine cannot evaluate is not checked, and the log says so, once: the plugin sees the config
itself and may refuse.
"""

from __future__ import annotations

import functools
import itertools
import json
import logging
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

import jsonschema
import referencing

from fumehood.abi import jsonwire
from fumehood.errors import ProtocolError, clip
from fumehood.limits import KIB
from fumehood.provider.patterns import Pattern, Unsupported

MAX_SCHEMA: Final = 256 * KIB
"""Bytes of a schema."""
MAX_DEPTH: Final = 64
"""Nested values of a schema, and of a config."""
MAX_NODES: Final = 10_000
"""Values of a schema: what a single keyword can look at."""
MAX_STEPS: Final = 200_000
"""Keywords evaluated for one config."""
MAX_CHECK_TIME: Final = 1.0
"""Seconds of processor time to see whether a schema is one, when a plugin is opened."""
MAX_TIME: Final = 0.25
"""Seconds of processor time for one config, which a call may bring, on an event loop's thread;
what is meant well takes a millisecond."""
MAX_PROBLEMS: Final = 100
"""Problems listed; a config with more has other troubles."""

log = logging.getLogger("fumehood.provider")

Json = Any
Problem = tuple[str, str]
_Errors = Iterator[jsonschema.ValidationError]
_Keyword = Callable[[Any, Any, Any, Any], _Errors | None]


class Schema:
    """The config schema of one plugin. Immutable; shared between threads."""

    __slots__ = ("_validator", "document", "properties")

    def __init__(self, text: bytes) -> None:
        """Raises ProtocolError where `text` is no JSON Schema that can be used safely."""
        if len(text) > MAX_SCHEMA:
            raise ProtocolError(f"config_schema is longer than {MAX_SCHEMA} bytes")
        document = jsonwire.decode(text, "config_schema")
        if not isinstance(document, dict):
            raise ProtocolError("config_schema is not a JSON object")
        _check_shape(document)
        self.document: dict[str, Json] = document
        properties = document.get("properties")
        self.properties: dict[str, Json] | None = (
            properties if isinstance(properties, dict) else None
        )
        try:
            base = jsonschema.validators.validator_for(
                document, default=jsonschema.Draft202012Validator
            )
            problem = _invalid(base, document)
        except ProtocolError:
            raise
        except Exception as error:  # noqa: BLE001 - see _unusable
            raise _unusable(error) from None
        if problem is not None:
            path = key_path(problem.absolute_path)
            raise ProtocolError(
                f"config_schema is not a valid schema at {path or 'its root'}: "
                f"{clip(problem.message, 200)}"
            )
        self._validator = _bounded(base)

    def prune(self, config: Mapping[str, Json]) -> dict[str, Json]:
        """`config` with only the keys that the schema lists (provider-abi.md §4.4 step 4).

        Goes into a property whose schema has `properties` of its own, not through `$ref`. A
        schema without `properties` keeps everything.
        """
        return _prune(self.document, config)

    def problems(self, config: Mapping[str, Json], secret: frozenset[str]) -> list[Problem]:
        """Everything that is wrong with `config`, as (key path, message).

        Messages about the top-level keys in `secret` do not quote the value. Raises
        ProtocolError where the schema cannot be evaluated or costs too much.
        """
        if _depth(config) > MAX_DEPTH:
            return [("", f"nested deeper than {MAX_DEPTH}")]
        validator = self._validator(self.document, registry=referencing.Registry())
        _budget.begin(MAX_TIME)
        found: dict[Problem, None] = {}
        try:
            for error in validator.iter_errors(config):
                found |= dict.fromkeys(_describe(error, secret)[:MAX_PROBLEMS])
                if len(found) >= MAX_PROBLEMS:
                    break
        except ProtocolError:
            raise
        except Exception as error:  # noqa: BLE001 - see _unusable
            raise _unusable(error) from None
        finally:
            _budget.tell()
        return sorted(found)[:MAX_PROBLEMS]

    def accepts(self, key: str, value: Json) -> bool:
        """Whether `value` alone is right for the top-level `key`."""
        return not any(
            path == key or path.startswith((f"{key}.", f"{key}["))
            for path, _ in self.problems({key: value}, frozenset())
        )


@functools.lru_cache(maxsize=64)
def load(text: bytes) -> Schema:
    """The schema of this text; checking one costs milliseconds, plugins are opened often."""
    return Schema(text)


def key_path(parts: Any) -> str:
    """`a.b[0]` for the path `["a", "b", 0]`."""
    text = ""
    for part in parts:
        text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else str(part)
    return text


def _describe(error: jsonschema.ValidationError, secret: frozenset[str]) -> list[Problem]:
    path = key_path(error.absolute_path)
    if error.validator == "required" and isinstance(error.instance, dict):
        wanted = error.validator_value if isinstance(error.validator_value, list) else []
        return [
            (f"{path}.{key}" if path else str(key), "is required")
            for key in wanted
            if key not in error.instance
        ]
    if error.absolute_path and error.absolute_path[0] in secret:
        return [(path, f"does not meet the schema's {error.validator!r}")]
    return [(path, clip(str(error.message), 300))]


def _prune(schema: Json, value: Mapping[str, Json]) -> dict[str, Json]:
    properties = schema.get("properties") if isinstance(schema, dict) else None
    if not isinstance(properties, dict):
        return dict(value)
    return {
        key: _prune(properties[key], item) if isinstance(item, dict) else item
        for key, item in value.items()
        if key in properties
    }


def _check_shape(document: Json) -> None:
    """Refuse what is too deep, and references out of the document."""
    waiting: list[tuple[Json, int]] = [(document, 1)]
    nodes = 0
    while waiting:
        value, depth = waiting.pop()
        nodes += 1
        if nodes > MAX_NODES:
            raise ProtocolError(f"config_schema has more than {MAX_NODES} values")
        if depth > MAX_DEPTH:
            raise ProtocolError(f"config_schema is nested deeper than {MAX_DEPTH}")
        if isinstance(value, dict):
            for key in ("$ref", "$dynamicRef", "$recursiveRef"):
                target = value.get(key)
                if isinstance(target, str) and not target.startswith("#"):
                    raise ProtocolError(
                        f"config_schema refers to {clip(target, 100)!r}; only references within "
                        "the schema are followed"
                    )
            waiting += [(item, depth + 1) for item in value.values()]
        elif isinstance(value, list):
            waiting += [(item, depth + 1) for item in value]


def _depth(value: Json) -> int:
    deepest = 0
    waiting: list[tuple[Json, int]] = [(value, 1)]
    while waiting:
        item, depth = waiting.pop()
        deepest = max(deepest, depth)
        if depth > MAX_DEPTH:
            break
        if isinstance(item, Mapping):
            waiting += [(inner, depth + 1) for inner in item.values()]
        elif isinstance(item, list | tuple):
            waiting += [(inner, depth + 1) for inner in item]
    return deepest


def _unusable(error: Exception) -> ProtocolError:
    """jsonschema evaluates attacker data and fails in many ways: recursion, wrong types,
    references to nowhere. All of them are the schema's fault."""
    what = "it refers to itself without end" if isinstance(error, RecursionError) else repr(error)
    return ProtocolError(f"config_schema cannot be evaluated: {clip(what, 200)}")


# -- the bounded validator ---------------------------------------------------------------------


class _Budget(threading.local):
    """What is left of the evaluation that this thread is in."""

    steps = 0
    until = 0.0
    unchecked: frozenset[str] = frozenset()

    def begin(self, seconds: float) -> None:
        self.steps = MAX_STEPS
        self.until = time.thread_time() + seconds
        self.unchecked = frozenset()

    def charge(self, steps: int) -> None:
        self.steps -= steps
        if self.steps < 0 or time.thread_time() > self.until:
            raise ProtocolError("config_schema costs too much to evaluate")

    def tell(self) -> None:
        """One line about all patterns that were not checked: their number is the plugin's."""
        if self.unchecked:
            why = ", ".join(sorted(self.unchecked)[:3])
            log.warning("patterns of a config schema are not checked: %s", why)


_budget: Final = _Budget()


@functools.cache
def _bounded(base: Any) -> Any:
    """`base` with every keyword charged to the budget, and patterns on the linear machine."""
    keywords: dict[str, _Keyword] = dict(base.VALIDATORS)
    keywords["pattern"] = _pattern
    keywords["uniqueItems"] = _unique_items
    keywords["patternProperties"] = _pattern_properties
    keywords["additionalProperties"] = _additional_properties
    for name in ("unevaluatedProperties", "unevaluatedItems"):
        if name in keywords:  # they run patterns through `re`; the plugin checks for itself
            keywords[name] = _nothing
    bounded = jsonschema.validators.extend(  # type: ignore[no-untyped-call]
        base, {name: _charged(keyword) for name, keyword in keywords.items()}
    )
    bounded.evolve = _evolve
    return bounded


def _evolve(self: Any, **changes: Any) -> Any:
    """The validator for a part of the schema. jsonschema's own looks at the part's `$schema` and
    takes the class that is registered for it: one without our bounds."""
    kind = type(self)
    for field in kind.__attrs_attrs__:
        if field.init and field.alias not in changes:
            changes[field.alias] = getattr(self, field.name)
    return kind(**changes)


def _charged(keyword: _Keyword) -> _Keyword:
    def run(validator: Any, value: Any, instance: Any, schema: Any) -> _Errors:
        _budget.charge(1)
        yield from keyword(validator, value, instance, schema) or ()

    return run


def _nothing(validator: Any, value: Any, instance: Any, schema: Any) -> _Errors:
    return iter(())


def _invalid(base: Any, document: Json) -> jsonschema.ValidationError | None:
    """What is wrong with a schema by its own metaschema: `check_schema`, within the budget."""
    _budget.begin(MAX_CHECK_TIME)
    found = _bounded(base)(base.META_SCHEMA).iter_errors(document)
    best: jsonschema.ValidationError | None = jsonschema.exceptions.best_match(
        itertools.islice(found, MAX_PROBLEMS)
    )
    return best


def _unique_items(validator: Any, value: Any, instance: Any, schema: Any) -> _Errors:
    """jsonschema compares each item with each other one where they cannot be sorted."""
    if not value or not isinstance(instance, list):
        return
    if len({_canonical(item) for item in instance}) != len(instance):
        yield jsonschema.ValidationError("has items that are not unique")


def _canonical(value: Json) -> str:
    """One text for what JSON Schema calls equal: 1 and 1.0, whatever the order of keys."""

    def whole(item: Json) -> Json:
        if isinstance(item, float) and item.is_integer():
            return int(item)
        if isinstance(item, dict):
            return {key: whole(inner) for key, inner in item.items()}
        return [whole(inner) for inner in item] if isinstance(item, list) else item

    return json.dumps(whole(value), sort_keys=True)


def _pattern(validator: Any, value: Any, instance: Any, schema: Any) -> _Errors:
    if isinstance(instance, str) and not _matches(value, instance, unsure=True):
        yield jsonschema.ValidationError(f"{instance!r} does not match {value!r}")


def _pattern_properties(validator: Any, value: Any, instance: Any, schema: Any) -> _Errors:
    if not isinstance(instance, dict):
        return
    for pattern, inner in value.items():
        for key, item in instance.items():
            if _matches(pattern, key, unsure=False):
                yield from validator.descend(item, inner, path=key, schema_path=pattern)


def _additional_properties(validator: Any, value: Any, instance: Any, schema: Any) -> _Errors:
    if not isinstance(instance, dict):
        return
    known = schema.get("properties", {})
    patterns = schema.get("patternProperties", {})
    for key, item in instance.items():
        if key in known or any(_matches(pattern, key, unsure=True) for pattern in patterns):
            continue
        if value is False:
            yield jsonschema.ValidationError("is not a key that the schema knows", path=(key,))
        else:
            yield from validator.descend(item, value, path=key)


def _matches(source: str, text: str, *, unsure: bool) -> bool:
    """Whether the pattern is found in `text`; `unsure` where it cannot be evaluated."""
    _budget.charge(1)
    pattern = _compiled(source)
    if isinstance(pattern, str):
        _budget.unchecked |= {pattern}
        return unsure
    _budget.charge(1 + pattern.cost(text) // 50)
    return pattern.search(text)


@functools.lru_cache(maxsize=256)
def _compiled(source: str) -> Pattern | str:
    """The machine, or why there is none."""
    try:
        return Pattern(source)
    except Unsupported as why:
        return clip(str(why), 100)
