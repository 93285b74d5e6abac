"""Values that people write, as values that JSON has."""

from __future__ import annotations

import datetime
import difflib
import math
from collections.abc import Iterable, Mapping
from typing import Any, Final

from fumehood.errors import ConfigError

MAX_DEPTH: Final = 64
_INT_MIN, _INT_MAX = -(1 << 63), (1 << 64) - 1


def plain(value: object, where: str, depth: int = 0) -> Any:
    """`value` with nothing but JSON in it: dates become RFC 3339 text, tuples lists.

    `where` is its key path. Raises ConfigError for numbers that JSON has not, keys that are no
    text, other types, and what is nested deeper than `MAX_DEPTH` (a list inside itself too).
    """
    if depth > MAX_DEPTH:
        raise _bad(where, f"is nested deeper than {MAX_DEPTH}")
    if isinstance(value, Mapping):
        table = {}
        for key, item in value.items():
            if not isinstance(key, str):
                raise _bad(where, f"the key {key!r} is not text")
            table[key] = plain(item, f"{where}.{key}" if where else key, depth + 1)
        return table
    if isinstance(value, list | tuple):
        return [plain(item, f"{where}[{i}]", depth + 1) for i, item in enumerate(value)]
    if isinstance(value, datetime.datetime | datetime.date | datetime.time):
        text = value.isoformat()
        return f"{text[:-6]}Z" if text.endswith("+00:00") else text
    if isinstance(value, float) and not math.isfinite(value):
        raise _bad(where, "is not a number that JSON has")
    if isinstance(value, int) and not _INT_MIN <= value <= _INT_MAX:
        raise _bad(where, "is an integer beyond 64 bits")
    if value is None or isinstance(value, str | bool | int | float):
        return value
    raise _bad(where, f"a {type(value).__name__} cannot stand here")


def unknown_keys(
    table: Mapping[str, Any], known: Iterable[str], where: str
) -> list[tuple[str, str]]:
    """A problem for each key of `table` that is not `known`, naming the nearest that is."""
    known = list(known)
    problems = []
    for key in table:
        if key not in known:
            near = difflib.get_close_matches(str(key), known, 1, 0.5)
            advice = f"did you mean {near[0]!r}?" if near else f"known are {', '.join(known)}"
            problems.append((f"{where}.{key}" if where else str(key), f"unknown key; {advice}"))
    return problems


def _bad(where: str, message: str) -> ConfigError:
    return ConfigError(f"{where}: {message}", problems=[(where, message)])
