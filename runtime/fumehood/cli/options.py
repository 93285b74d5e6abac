"""The flags that every command shares, and what they mean."""

from __future__ import annotations

import functools
import json
import logging
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, TypeVar

import click

from fumehood.cli.text import line
from fumehood.errors import ConfigError, UsageError
from fumehood.limits import KINDS, Limits, parse_limits, quantity

_F = TypeVar("_F", bound=Callable[..., Any])
_LEVELS: Final = (logging.WARNING, logging.INFO, logging.DEBUG)


@dataclass(frozen=True, slots=True)
class Common:
    """The shared flags of one run. `settings` are the `--set` values as a config table; `limits`
    is the ceiling of the run."""

    config: Path | None = None
    settings: dict[str, Any] = field(default_factory=dict)
    json: bool = False
    receipt: bool = False
    limits: Limits = field(default_factory=Limits)
    verbose: int = 0


def setting(text: str) -> tuple[list[str], Any]:
    """`key=value`: the dotted key's parts, and the value as JSON where it is JSON, else as text.

    Raises UsageError without a key or an `=`.
    """
    key, equals, value = text.partition("=")
    parts = key.strip().split(".")
    if not equals or not all(parts):
        raise UsageError(f"--set {text!r} is not key=value", hint="e.g. --set temperature=0.2")
    try:
        # NaN and Infinity are not JSON: they stay text and the schema refuses them
        return parts, json.loads(value, parse_constant=_no_constant)
    except (ValueError, RecursionError):
        return parts, value


def _no_constant(name: str) -> float:
    raise ValueError(f"{name} is not JSON")


def settings(texts: tuple[str, ...]) -> dict[str, Any]:
    """The `--set` flags as one table; later ones win. Raises UsageError where one makes a table
    of what another made a value."""
    table: dict[str, Any] = {}
    for text in texts:
        parts, value = setting(text)
        inner = table
        for part in parts[:-1]:
            inner = inner.setdefault(part, {})
            if not isinstance(inner, dict):
                raise UsageError(f"--set {text!r}: {part!r} was given a value before")
        inner[parts[-1]] = value
    return table


def limits(deadline: str | None, texts: tuple[str, ...] = ()) -> Limits:
    """The ceiling from `--deadline` and `--limit name=value`.

    Raises UsageError for a name or a quantity that does not exist.
    """
    table: dict[str, object] = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if not equals:
            raise UsageError(
                f"--limit {text!r} is not name=value", hint="e.g. --limit memory=32MiB"
            )
        table[name.strip()] = value.strip()
    if deadline is not None:
        try:
            quantity(deadline, "seconds")
        except ValueError as problem:
            raise UsageError(f"--deadline: {problem}", hint="e.g. --deadline 30s") from None
        table["deadline"] = deadline
    try:
        return parse_limits(table, "--limit", Limits())
    except ConfigError as error:
        where, what = error.problems[0]
        raise UsageError(
            f"{where.replace('--limit.', '--limit ')}: {what}", hint=f"limits: {', '.join(KINDS)}"
        ) from None


class _SafeHandler(logging.Handler):
    """Log records on stderr, each as one escaped line: guests write some of them."""

    def emit(self, record: logging.LogRecord) -> None:
        try:
            text = f"{record.levelname.lower()}: {record.getMessage()}"
        except (TypeError, ValueError):
            text = f"{record.levelname.lower()}: {record.msg}"
        click.echo(f"fumehood: {line(text)}", err=True)


def start_logging(verbose: int) -> None:
    """Send the package's log to stderr: warnings, with -v information, with -vv everything."""
    logger = logging.getLogger("fumehood")
    for old in [h for h in logger.handlers if isinstance(h, _SafeHandler)]:
        logger.removeHandler(old)
    logger.addHandler(_SafeHandler())
    logger.setLevel(_LEVELS[min(verbose, 2)])
    logger.propagate = False


def common(function: _F) -> _F:
    """Add the shared flags to a command; it gets one `common: Common`."""

    @functools.wraps(function)
    def command(
        *,
        config: Path | None,
        set_: tuple[str, ...],
        as_json: bool,
        receipt: bool,
        deadline: str | None,
        limit: tuple[str, ...],
        verbose: int,
        **rest: Any,
    ) -> Any:
        start_logging(verbose)
        shared = Common(config, settings(set_), as_json, receipt, limits(deadline, limit), verbose)
        return function(common=shared, **rest)

    options = (
        click.option(
            "--config", type=click.Path(path_type=Path), metavar="FILE",
            help="The plugins.toml to use instead of the search order.",
        ),
        click.option(
            "--set", "set_", multiple=True, metavar="KEY=VALUE",
            help="A key of the plugin's config; JSON values are understood. Repeatable.",
        ),
        click.option("--json", "as_json", is_flag=True, help="The result as JSON, exact."),
        click.option("--receipt", is_flag=True, help="Show what the operation used."),
        click.option("--deadline", metavar="TIME", help="Wall time of the operation, e.g. 30s."),
        click.option(
            "--limit", multiple=True, metavar="NAME=VALUE",
            help="Another limit, e.g. memory=64MiB. Repeatable.",
        ),
        click.option("-v", "--verbose", count=True, help="Show the log; twice for all of it."),
    )  # fmt: skip
    decorated: Any = command
    for option in reversed(options):
        decorated = option(decorated)
    result: _F = decorated
    return result


def stdin_is_terminal() -> bool:
    """True where nothing is piped in."""
    return sys.stdin is None or sys.stdin.closed or sys.stdin.isatty()
