"""What a fuzz target is, and what "our documented error, nothing else" means."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from hypothesis.strategies import SearchStrategy

from fumehood.errors import Error

MESSAGE_CAP: Final = 100_000
"""Characters of any message: guests cannot grow our errors without end."""


def nothing_missing() -> str | None:
    """For targets that need nothing beyond Python."""
    return None


@dataclass(frozen=True)
class Target:
    """`cases()` makes JSON values, `check(case)` raises what is wrong with the answer to one.

    A target with a state machine has that instead of cases. `missing()` says why the target cannot
    run here, None where it can. `weight` is its share of the time;
    `caches` is off where compiled modules are not worth keeping.
    """

    name: str
    cases: Callable[[], SearchStrategy[Any]]
    check: Callable[[Any], None]
    missing: Callable[[], str | None] = nothing_missing
    weight: int = 1
    machine: type[Any] | None = None
    caches: bool = True


def outcome(function: Callable[[], Any]) -> tuple[str, Any]:
    """`("value", it)` or `("error", the error)`; anything but our errors goes through."""
    try:
        return "value", function()
    except Error as error:
        check_error(error)
        return "error", error


def check_error(error: Error) -> None:
    """An error that can be shown: it has a code and a message of bounded length, all of it text
    that can be written out."""
    shown = "\n".join(part for part in (str(error), error.guest_error) if part)
    shown.encode()
    assert error.code, "an error without a code"
    assert len(shown) <= MESSAGE_CAP, f"a message of {len(shown)} characters"


def signature(found: tuple[str, Any]) -> tuple[str, str]:
    """An outcome as something to compare: the value's repr, or the error's class and message."""
    kind, what = found
    return (kind, repr(what)) if kind == "value" else (type(what).__name__, str(what))
