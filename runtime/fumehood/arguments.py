"""What a program hands us, checked where it enters.

A mistake of the caller's is a UsageError that names the argument, not a TypeError from somewhere
inside. Each function answers with the value in the form that is used from there on.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, TypeVar

from fumehood.errors import UsageError

_T = TypeVar("_T")


def text(value: object, what: str) -> str:
    """A text. Raises UsageError."""
    if not isinstance(value, str):
        raise UsageError(f"{what} must be text, not {type(value).__name__}")
    return value


def texts(value: object, what: str) -> list[str]:
    """A list of texts, None is none; one text is no list: its characters would be taken for the
    items, a `*` among them. Raises UsageError."""
    found = items(value, what, "texts")
    for item in found:
        if not isinstance(item, str):
            raise UsageError(f"{what} must be a list of texts; {type(item).__name__} is none")
    return found


def items(value: object, what: str, of: str) -> list[Any]:
    """A list of anything, None is none. Raises UsageError for what cannot be gone through, and
    for text, bytes and mappings."""
    if value is None:
        return []
    if isinstance(value, (list, tuple)):  # nearly always; the questions below cost 1 µs
        return list(value)
    if isinstance(value, str | bytes | bytearray | memoryview):
        kind = "text" if isinstance(value, str) else type(value).__name__
        raise UsageError(f"{what} must be a list of {of}, not one {kind}")
    if isinstance(value, Mapping) or not isinstance(value, Iterable):
        raise UsageError(f"{what} must be a list of {of}, not {type(value).__name__}")
    return list(value)


def table(value: object, what: str) -> Mapping[str, Any]:
    """A mapping with text for keys, None is an empty one. Raises UsageError."""
    if value is None:
        return {}
    if not isinstance(value, Mapping):
        raise UsageError(f"{what} must be a mapping, not {type(value).__name__}")
    for key in value:
        if not isinstance(key, str):
            raise UsageError(f"{what}: keys must be text, not {type(key).__name__}")
    return value


def instance(value: object, kind: type[_T], what: str) -> _T:
    """An object of a class of ours. Raises UsageError."""
    if not isinstance(value, kind):
        raise UsageError(f"{what} must be {kind.__name__}, not {type(value).__name__}")
    return value


def whole(value: object, what: str) -> int:
    """A whole number; a bool is none. Raises UsageError."""
    if isinstance(value, bool) or not isinstance(value, int):
        raise UsageError(f"{what} must be a whole number, not {type(value).__name__}")
    return value
