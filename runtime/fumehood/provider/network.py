"""`[network]` of a plugins.toml: the operator's words about every connection of the file."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from fumehood import arguments
from fumehood.egress.policy import Grant
from fumehood.egress.transport import Network
from fumehood.errors import ConfigError
from fumehood.provider.plain import unknown_keys

KEYS: Final = ("ca_file", "proxy", "proxy_private", "http2")

Problem = tuple[str, str]


def parse(table: object, folder: Path, problems: list[Problem]) -> Network:
    """The table; a relative `ca_file` is taken from `folder`. Adds to `problems` what is wrong
    with its keys; what only using them shows (`Network.check`) comes later."""
    if not isinstance(table, Mapping):
        problems.append(("network", "must be a table"))
        return Network()
    found = unknown_keys(table, KEYS, "network")
    for key in ("ca_file", "proxy"):
        if not isinstance(table.get(key, ""), str):
            found.append((f"network.{key}", "must be text"))
    if not isinstance(table.get("http2", False), bool):
        found.append(("network.http2", "must be true or false"))
    found += _private(table)
    problems += found
    if found:
        return Network()
    ca_file = table.get("ca_file")
    return Network(
        ca_file=str(folder / Path(ca_file).expanduser()) if ca_file else None,
        proxy=table.get("proxy") or None,
        proxy_private=tuple(table.get("proxy_private", ())),
        http2=table.get("http2", False),
    )


def given(table: Mapping[str, Any] | None) -> Network:
    """The table as a program writes it; a relative `ca_file` is taken from the working directory.
    Raises UsageError for what is no mapping, ConfigError for what is wrong in it."""
    table = arguments.table(table, "network")
    problems: list[Problem] = []
    network = parse(table, Path.cwd(), problems)
    if problems:
        key, message = problems[0]
        raise ConfigError(f"{key}: {message}", problems=problems)
    return network


def _private(table: Mapping[str, Any]) -> list[Problem]:
    where = "network.proxy_private"
    value = table.get("proxy_private", ())
    if not isinstance(value, list | tuple) or not all(isinstance(v, str) for v in value):
        return [(where, "must be a list of networks")]
    if value and not table.get("proxy"):
        return [(where, "is about the addresses of `proxy`, which is not there")]
    try:
        Grant.of(private=value)
    except ConfigError as error:
        return [(key.replace("grants.private", where), message) for key, message in error.problems]
    return []
