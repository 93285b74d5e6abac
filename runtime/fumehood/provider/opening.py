"""How a plugin becomes a provider: load, ask it who it is, grant, bind keys, check the config.

Everything that a provider needs to know is learnt here once (provider-abi.md §1.3 "Load" and
"Build a provider"); `Provider` and an asynchronous one only run operations on the outcome.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from fumehood import arguments
from fumehood.abi import calls, outputs, wire
from fumehood.egress.client import Client
from fumehood.egress.transport import Network
from fumehood.engine import digest_of
from fumehood.errors import (
    ConfigError,
    Error,
    LoadError,
    PluginError,
    ProtocolError,
    ProviderError,
    Trap,
    UsageError,
    clip,
)
from fumehood.limits import Limits
from fumehood.plugin.compiled import CompiledPlugin, read_module
from fumehood.provider import bundled, hosts, keys, schema
from fumehood.provider.audit import Audit
from fumehood.provider.config import Config, Settings
from fumehood.provider.effects import Op
from fumehood.provider.failures import call
from fumehood.provider.runtime import Client as AnyClient
from fumehood.provider.runtime import Compiled, Host, Session
from fumehood.provider.traits import GenerationName, Traits, detect

log = logging.getLogger("fumehood.provider")


@dataclass(frozen=True, slots=True)
class Spec:
    """What somebody asked for. `plugin` is a path, the bytes of a module, or `bundled:` and a
    name; `folder` is where relative paths of secrets are looked for."""

    plugin: str | os.PathLike[str] | bytes
    name: str | None = None
    sha256: str | None = None
    config: Mapping[str, Any] = field(default_factory=dict, repr=False)  # may hold a key
    secrets: Mapping[str, Any] = field(default_factory=dict, repr=False)
    allowed_hosts: Iterable[str] = ()
    private: tuple[str, ...] = ()
    ports: tuple[int, ...] = ()
    clock_step: int = 1
    limits: Limits = field(default_factory=Limits)
    generation: GenerationName | None = None
    folder: Path | None = None

    def __post_init__(self) -> None:
        arguments.table(self.config, "config")
        arguments.table(self.secrets, "secrets")
        arguments.texts(self.allowed_hosts, "allowed_hosts")
        arguments.instance(self.limits, Limits, "limits")


@dataclass(slots=True)
class Opened:
    """A provider ready to work."""

    name: str
    host: Host
    traits: Traits
    settings: Settings
    compiled: Compiled
    grants: hosts.Hosts
    advice: Mapping[str, str]
    checked: set[bytes] = field(default_factory=set)
    """Configs that the plugin's `from_config` accepted."""


def make_client(network: Network = Network()) -> Client:  # noqa: B008 - frozen
    """The HTTP client of a provider or of a whole file."""
    return Client(
        ca_file=network.ca_file,
        proxy=network.proxy,
        proxy_private=network.proxy_private,
        http2=network.http2,
    )


def load(spec: Spec) -> tuple[CompiledPlugin, bool]:
    """The compiled plugin of a spec, and whether it is one of ours.

    Raises ConfigError for an unknown bundled name, LoadError for what cannot be loaded and for a
    digest that is not the pinned one.
    """
    source = spec.plugin
    ours = isinstance(source, str) and source.startswith(bundled.PREFIX)
    if isinstance(source, bytes | bytearray | memoryview):
        content, name = bytes(source), "plugin"
    elif ours:
        found = bundled.read(str(source).removeprefix(bundled.PREFIX))
        content, name = found.content, found.name
    elif isinstance(source, str | os.PathLike):
        content, name = read_module(Path(source)), Path(source).stem
    else:
        raise UsageError(f"a plugin is a path, bytes or 'bundled:…', not {type(source).__name__}")
    name = spec.name or name
    if spec.sha256 is not None:  # before it is compiled
        digest = digest_of(content)
        if digest != spec.sha256.removeprefix("sha256:").lower():
            raise LoadError(
                f"the file has the digest {digest}, {spec.sha256} is pinned",
                plugin=name,
                hint="if the plugin was upgraded on purpose, inspect it and change sha256",
            )
    return CompiledPlugin.load(content, name=name), ours


def traits_of(compiled: CompiledPlugin, generation: GenerationName | None = None) -> Traits:
    """The traits of a compiled plugin. Raises UsageError for an impossible override."""
    exports = compiled.exports
    told = exports.get(wire.MSGPACK_EXPORT)
    return detect(
        (name for name in exports if compiled.has(name)),
        ((item.module, item.name) for item in compiled.imports),
        generation,
        wire.MSGPACK if told is not None and told.kind == "global" else wire.JSON,
    )


def open_plugin(
    spec: Spec,
    compiled: Compiled,
    traits: Traits,
    client: AnyClient,
    *,
    name: str,
    ours: bool,
    audit: Audit | None = None,
) -> Opened:
    """Ask a compiled plugin who it is and make it ready.

    One instance answers all questions and is dropped. A failure gets a line in the audit: it may
    be a plugin that asks for a key and names the host to send it to. Raises ConfigError for what
    the operator wrote, and what the plugin's exports raise.
    """
    host = Host(
        name,
        compiled,
        client,
        spec.limits,
        config=keys.guest_config(),
        clock_step=spec.clock_step,
    )
    session = Session(host, "open")
    try:
        facts = session.run(_questions(traits, name))
        grants = hosts.resolve(
            spec.config,
            allowed_hosts=spec.allowed_hosts,
            default_url=facts.base_url,
            ports=spec.ports,
            private=spec.private,
        )
        found = keys.resolve(
            keys.Request(
                plugin=name,
                hosts=grants,
                config=spec.config,
                secrets=spec.secrets,
                variable=facts.api_key_name,
                bundled=ours,
                folder=spec.folder,
            )
        )
        settings = Settings(
            schema.load(facts.schema),
            {**spec.config, **found.values},
            secret=frozenset(found.values),
            gen_a=traits.gen_a,
            check_host=grants.problem,
            missing=found.advice,
            plugin=name,
        )
        host.grant, host.secrets = grants.grant, found.secrets
        opened = Opened(name, host, traits, settings, compiled, grants, found.advice)
        try:
            cfg = settings.cfg({})
        except ConfigError:
            return opened  # a call may still bring what is missing
        session.run(check_config(opened, cfg))
        return opened
    except Error as error:
        if audit is not None:
            session.record(audit, error)
        raise session.sign(error) from error.__cause__
    finally:
        session.close()


@dataclass(frozen=True, slots=True)
class _Facts:
    base_url: str | None
    api_key_name: str | None
    schema: bytes


def _questions(traits: Traits, name: str) -> Op[_Facts]:
    """Only the schema is mandatory; what else fails counts as absent. The operator's name for a
    plugin is the one that counts (hazard 24)."""
    called = yield from _optional(traits, "name")
    if called is not None and called != name:
        log.info("%s: the plugin calls itself %r", name, clip(called, 100))
    text = yield from call("config_schema", calls.NULL)
    base_url = yield from _optional(traits, "base_url")
    variable = yield from _optional(traits, "api_key_name")
    return _Facts(base_url, variable, text)


def _optional(traits: Traits, export: str) -> Op[str | None]:
    if export not in traits.exports:
        return None
    try:
        answer = yield from call(export, calls.NULL)
        text = outputs.decode_optional_raw(answer, export)
    except (PluginError, ProviderError, ProtocolError) as failure:
        log.debug("%s failed: %s", export, clip(failure.message, 500))
        return None
    return text.strip() or None if text else None


def check_config(opened: Opened, cfg: Config) -> Op[None]:
    """Have the plugin itself check `cfg` (`from_config`), once for each config.

    Its output is discarded (provider-abi.md §1.3). What it reports is raised as ConfigError.
    """
    encoded = opened.traits.wire.encode(cfg)
    if encoded in opened.checked:
        return
    if "from_config" in opened.traits.exports:
        try:
            yield from call("from_config", encoded)
        except (PluginError, ProviderError) as refused:
            message = opened.host.secrets.scrub_text(clip(refused.message, 500))
            error = ConfigError(
                f"the plugin refuses its config: {message}", problems=[("config", message)]
            )
            error.guest_error = refused.guest_error or refused.message
            raise error from refused
        except Trap as trap:
            trap.hint = trap.hint or "the plugin cannot read its config"
            raise
    if len(opened.checked) < 256:
        opened.checked.add(encoded)
