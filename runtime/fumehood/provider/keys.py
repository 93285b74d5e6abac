"""The secrets of one provider, and the only place of this room that reads the environment.

api.md "Keys and hosts": a secret goes to hosts that the operator named for it, or to a pair of
the shipped table. A variable that only the plugin named and a host that only the plugin named
never meet: that is a ConfigError which prints the lines to add.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

from fumehood.egress.binding import Binding, bind, binds
from fumehood.egress.known import known_hosts
from fumehood.egress.secrets import SHORTEST, Secrets, Slot
from fumehood.egress.sources import read_secret
from fumehood.egress.url import parse_url
from fumehood.errors import ConfigError, clip
from fumehood.provider.hosts import Hosts
from fumehood.provider.plain import unknown_keys

API_KEY: Final = "api_key"
_SOURCES: Final = ("env:", "file:", "keyring:")
_OPTIONS: Final = ("from", "hosts", "headers", "query", "slot")

log = logging.getLogger("fumehood.provider")

Problem = tuple[str, str]


@dataclass(frozen=True, slots=True)
class Request:
    """What is known when the secrets of a provider are read."""

    plugin: str
    hosts: Hosts
    config: Mapping[str, Any] = field(repr=False)
    secrets: Mapping[str, Any] = field(repr=False)
    variable: str | None = None
    """What the plugin's `api_key_name` says."""
    bundled: bool = False
    folder: Path | None = None
    environ: Mapping[str, str] = field(default_factory=lambda: os.environ, repr=False)


@dataclass(frozen=True, slots=True)
class Keys:
    """The secrets as egress needs them, and what the guest gets in their place."""

    secrets: Secrets
    values: Mapping[str, str]
    """Config keys to tokens; to the value itself where the operator said `slot = false`."""
    advice: Mapping[str, str]
    """Config keys of secrets that are not there to what the operator could do about it."""


def guest_config(environ: Mapping[str, str] | None = None) -> dict[str, str]:
    """The Extism config that every plugin may read (provider-abi.md hazard 5).

    `OLLAMA_HOST` is the one variable that known plugins read; they want a URL with a scheme.
    """
    environ = os.environ if environ is None else environ
    config = {"PROVIDERS_REGISTRY_DATA": '{"providers":{}}'}
    host = environ.get("OLLAMA_HOST", "").strip()
    if host:
        config["OLLAMA_HOST"] = host if "://" in host else f"http://{host}"
    return config


def config_variable(name: str) -> str | None:
    """The value of the environment variable that names the operator's file."""
    return os.environ.get(name) or None


def resolve(request: Request) -> Keys:
    """Read and bind every secret of a provider.

    Raises ConfigError for a secret that cannot be read, is bound to no host, or is written twice.
    """
    slots = [_slot(name, spec, request) for name, spec in request.secrets.items()]
    advice: dict[str, str] = {}
    if not any(slot.name == API_KEY for slot in slots):
        found = _literal(request) if request.config.get(API_KEY) else _from_variable(request)
        if found is not None:
            slots.append(found)
        else:
            advice[API_KEY] = _advice(request)
    elif request.config.get(API_KEY):
        message = "is written both in config and in secrets"
        raise ConfigError(
            f"{API_KEY} {message}",
            problems=[(f"secrets.{API_KEY}", message)],
            plugin=request.plugin,
        )
    secrets = Secrets(slots)
    secrets.check(request.hosts.grant)
    for name in secrets.given:
        log.warning("%s: the plugin itself gets the secret %r (slot = false)", request.plugin, name)
    return Keys(secrets, {slot.name: secrets.token_for(slot.name) for slot in slots}, advice)


def _slot(name: str, spec: object, request: Request) -> Slot:
    """One entry of `[providers.secrets]`."""
    table: Mapping[str, Any]
    if isinstance(spec, str):
        table = {"from": spec}
    elif isinstance(spec, Mapping):
        table = spec
    else:
        raise _bad(f"secrets.{name}", 'must be "env:VARIABLE" or a table with "from"')
    problems = _spec_problems(f"secrets.{name}", table)
    if problems:
        raise ConfigError(
            f"{problems[0][0]}: {problems[0][1]}", problems=problems, plugin=request.plugin
        )
    source = table["from"]
    value = read_secret(source, name=name, folder=request.folder, environ=request.environ)
    hosts = bind(
        name,
        source=source,
        hosts=table.get("hosts", ()),
        base_url=request.hosts.base_url,
        allowed_hosts=request.hosts.allowed,
    )
    return Slot.create(
        name,
        value,
        hosts,
        headers=table.get("headers"),
        query=table.get("query", ()),
        slot=table.get("slot", True),
        source=source,
    )


def _spec_problems(where: str, table: Mapping[str, Any]) -> list[Problem]:
    problems = unknown_keys(table, _OPTIONS, where)
    source = table.get("from")
    if not isinstance(source, str) or not source.startswith(_SOURCES):
        # The text is not quoted: somebody may have put the key itself there.
        problems.append((where, f"a source starts with one of {', '.join(_SOURCES)}"))
    for key in ("hosts", "headers", "query"):
        value = table.get(key, [])
        if not isinstance(value, list | tuple) or not all(isinstance(v, str) for v in value):
            problems.append((f"{where}.{key}", "must be a list of texts"))
    if not isinstance(table.get("slot", True), bool):
        problems.append((f"{where}.slot", "must be true or false"))
    return problems


def _literal(request: Request) -> Slot | None:
    """`api_key` written out in the config: a slot as well, bound to the operator's hosts.

    For a bundled plugin, which we wrote, the table's pair for its own variable will do. A value
    too short for a key is a placeholder for a local server, and the guest gets it as it is.
    """
    value = request.config[API_KEY]
    if not isinstance(value, str) or len(value.strip()) < SHORTEST:
        return None
    source = f"env:{request.variable}" if request.bundled and request.variable else ""
    try:
        hosts = bind(
            API_KEY,
            source=source,
            base_url=request.hosts.base_url,
            allowed_hosts=request.hosts.allowed,
        )
    except ConfigError as error:
        raise _unbound("the api_key of its config", request) from error
    return Slot.create(API_KEY, value.strip(), hosts, source=source)


def _from_variable(request: Request) -> Slot | None:
    """The variable that the plugin names, if it is set (provider-abi.md §4.4 step 2).

    Only for hosts that the operator named, or for a pair of the table.
    """
    if request.variable is None or request.config.get(API_KEY) is not None:
        return None  # an explicit empty text blocks the lookup
    value = request.environ.get(request.variable, "").strip()
    if not value:
        return None
    hosts = request.hosts
    operator = hosts.base_url is not None or any(h.strip() != "*" for h in hosts.allowed)
    if not operator and not known_hosts(request.variable):
        raise _unbound(f"the environment variable {request.variable}", request)
    bound = bind(
        API_KEY,
        source=f"env:{request.variable}",
        base_url=hosts.base_url,
        allowed_hosts=hosts.allowed,
    )
    if not operator and not _covers(bound, hosts.default_url):
        raise _unbound(f"the environment variable {request.variable}", request)
    return Slot.create(API_KEY, value, bound, source=f"env:{request.variable}")


def _covers(bound: tuple[Binding, ...], url: str | None) -> bool:
    return url is None or any(binds(binding, parse_url(url)) for binding in bound)


def _unbound(what: str, request: Request) -> ConfigError:
    """The plugin chose both the key and the host: nothing goes anywhere."""
    default = request.hosts.default_url
    host = (urlsplit(default).hostname or "api.example.com") if default else "api.example.com"
    variable = request.variable or "…"
    message = (
        f"the plugin asks for {what} and would send it to a host that only the plugin named "
        f"({clip(host, 100)})"
    )
    lines = (
        f"if that is meant, add under [providers.secrets]: "
        f'{API_KEY} = {{ from = "env:{variable}", hosts = ["{clip(host, 100)}"] }}'
    )
    return ConfigError(
        message, problems=[(f"secrets.{API_KEY}", message)], plugin=request.plugin, hint=lines
    )


def _advice(request: Request) -> str:
    if request.variable is None:
        return f'add under [providers.secrets]: {API_KEY} = "env:VARIABLE"'
    return (
        f"set {clip(request.variable, 100)}, or add under [providers.secrets]: "
        f'{API_KEY} = "env:{clip(request.variable, 100)}"'
    )


def _bad(where: str, message: str) -> ConfigError:
    return ConfigError(f"{where}: {message}", problems=[(where, message)])
