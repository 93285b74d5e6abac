"""Exit codes, and errors as one line that says what to do."""

from __future__ import annotations

from typing import Final

from fumehood.cli.text import line
from fumehood.errors import (
    Cancelled,
    ConfigError,
    EgressDenied,
    Error,
    GuestError,
    HostError,
    LimitError,
    PluginError,
    ProviderError,
    UsageError,
)

DONE: Final = 0
USAGE: Final = 2
PLUGIN: Final = 3
DENIED: Final = 4
LIMIT: Final = 5
HOST: Final = 6
REMOTE: Final = 7
INTERRUPTED: Final = 130

_CODES: Final[tuple[tuple[type[Error], int], ...]] = (
    (UsageError, USAGE),
    (EgressDenied, DENIED),
    (LimitError, LIMIT),
    (GuestError, PLUGIN),
    (HostError, HOST),
    (ProviderError, REMOTE),
    (Cancelled, INTERRUPTED),
)
PROBLEMS_SHOWN: Final = 5


def exit_code(error: Error) -> int:
    """The exit code of an error, as spec/api.md fixes it."""
    for kind, code in _CODES:
        if isinstance(error, kind):
            return code
    return HOST


def describe(error: Error) -> str:
    """The error as one line safe for a terminal: what happened, where, what to do."""
    text = error.message or error.code
    if error.plugin and not text.startswith(f"{error.plugin}:"):
        text = f"{error.plugin}: {text}"
    if isinstance(error, ConfigError):
        missing = [f"{key}: {what}" for key, what in error.problems if what not in text]
        if missing:
            text += ": " + "; ".join(missing[:PROBLEMS_SHOWN])
        if len(missing) > PROBLEMS_SHOWN:
            text += f"; and {len(missing) - PROBLEMS_SHOWN} more"
    if isinstance(error, ProviderError) and error.retry_after is not None:
        text += f"; retry after {error.retry_after:g} s"
    if error.guest_error and not isinstance(error, ProviderError | PluginError | ConfigError):
        text += f'; the plugin said: "{line(error.guest_error, 200)}"'
    if error.hint:
        text += f" ({error.hint})"
    return line(text)
