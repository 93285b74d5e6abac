"""plugins.toml as spec/api.md fixes it; the same keys in JSON and YAML.

Reading a file never opens a plugin. What is wrong with one entry is kept with that entry and
raised when it is opened, so that it does not stop the others; what is wrong with the file as a
whole is raised at once. Unknown keys are an error which names the nearest known one.
"""

from __future__ import annotations

import os
import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import platformdirs

from fumehood.abi import jsonwire
from fumehood.egress.transport import Network
from fumehood.engine.pooling import MOST
from fumehood.errors import ConfigError, ProtocolError, UsageError
from fumehood.limits import MIB, Limits, parse_limits, quantity
from fumehood.provider.audit import Settings
from fumehood.provider.network import parse as parse_network
from fumehood.provider.plain import plain, unknown_keys

NAMES: Final = tuple(
    f"{stem}.{ending}"
    for stem in ("plugins", "providers")
    for ending in ("toml", "json", "yaml", "yml")
)
VARIABLE: Final = "FUMEHOOD_CONFIG"
MAX_FILE: Final = 4 * MIB

_FILE_KEYS: Final = ("providers", "network", "runtime", "audit", "oci")
_ENTRY_KEYS: Final = ("name", "path", "sha256", "config", "secrets", "limits", "grants")
_RUNTIME_KEYS: Final = ("pooled_instances",)
_GRANT_KEYS: Final = ("private", "ports", "clock")
_NATIVE: Final = (".so", ".dylib", ".dll", ".pyd")
_SHA256: Final = re.compile(r"(?:sha256:)?([0-9a-fA-F]{64})")

Problem = tuple[str, str]


@dataclass(frozen=True, slots=True)
class Entry:
    """One entry of the file. `plugin` is an absolute path, or `bundled:` and a name."""

    name: str
    plugin: str
    sha256: str | None = None
    config: Mapping[str, Any] = field(default_factory=dict, repr=False)  # may hold a key
    secrets: Mapping[str, Any] = field(default_factory=dict, repr=False)
    limits: Mapping[str, Any] = field(default_factory=dict)
    private: tuple[str, ...] = ()
    ports: tuple[int, ...] = ()
    clock_step: int = 1
    """Nanoseconds that the plugin's clocks are rounded down to."""
    where: str = "providers"

    def limits_below(self, ceiling: Limits) -> Limits:
        """The limits of this entry: its own fields where lower, the ceiling's elsewhere."""
        return parse_limits(self.limits, f"{self.where}.limits", ceiling).clamp(ceiling)


@dataclass(frozen=True, slots=True)
class PluginsFile:
    """A file as read: entries by name, each usable or the error that says why it is not."""

    path: Path | None
    entries: Mapping[str, Entry | ConfigError]
    network: Network = field(default_factory=Network)
    audit: Settings | None = None
    pooled_instances: int | None = None
    """What the operator says about the process's pool of memory; None: nothing."""


def find(path: str | os.PathLike[str] | None, variable: str | None) -> Path | None:
    """The file to read: `path`, else `variable` (the value of $FUMEHOOD_CONFIG), else the first
    of `NAMES` in the working directory, else in the platform's config folder; None without any.

    Raises ConfigError where `path` or `variable` names a file that is not there.
    """
    for given, origin in ((path, "the given path"), (variable, f"${VARIABLE}")):
        if given is not None and not isinstance(given, str | os.PathLike):
            raise UsageError(f"a file is given by its path, not {type(given).__name__}")
        if given:
            file = Path(given).expanduser()
            if not file.is_file():
                raise ConfigError(f"no configuration file at {str(file)!r} ({origin})")
            return file
    folders = (Path.cwd(), Path(platformdirs.user_config_dir("fumehood", appauthor=False)))
    for folder in folders:
        for name in NAMES:
            if (folder / name).is_file():
                return folder / name
    return None


def read(path: Path) -> PluginsFile:
    """The file at `path`. Raises ConfigError for what concerns the file as a whole."""
    try:
        if path.stat().st_size > MAX_FILE:
            raise ConfigError(f"{path} is larger than {MAX_FILE} bytes")
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as problem:
        raise ConfigError(f"{path} cannot be read: {problem}") from None
    return parse(_load(path, text), path)


def parse(document: object, path: Path | None) -> PluginsFile:
    """A decoded file. Relative paths in it are taken from the folder of `path`."""
    where = str(path) if path else "the configuration"
    if not isinstance(document, dict):
        raise ConfigError(f"{where} is not a table")
    problems = unknown_keys(document, _FILE_KEYS, "")
    if not isinstance(document.get("oci", {}), dict):
        problems.append(("oci", "must be a table"))
    folder = (path.parent if path else Path()).absolute()
    network = parse_network(document.get("network", {}), folder, problems)
    pooled = _runtime(document.get("runtime", {}), problems)
    audit: Settings | None = None
    if "audit" in document:
        try:
            audit = Settings.parse(document["audit"], folder)
        except ConfigError as error:
            problems += error.problems
    providers = document.get("providers", [])
    if not isinstance(providers, list):
        problems.append(("providers", "must be an array of tables: [[providers]]"))
    if problems:
        raise ConfigError(
            f"{where} cannot be used: {problems[0][0]}: {problems[0][1]}", problems=problems
        )
    entries: dict[str, Entry | ConfigError] = {}
    for position, table in enumerate(providers):
        name, entry = _entry(table, f"providers[{position}]", folder)
        if name in entries:
            entry = ConfigError(f"two entries are called {name!r}", problems=[(name, "twice")])
        entries[name] = entry
    return PluginsFile(path, entries, network, audit, pooled)


def _load(path: Path, text: str) -> object:
    ending = path.suffix.lower()
    try:
        if ending == ".toml":
            return plain(tomllib.loads(text), "")
        if ending == ".json":
            return jsonwire.decode(text.encode(), str(path))
        if ending in (".yaml", ".yml"):
            return plain(_yaml(text), "")
    except (ValueError, RecursionError) as problem:  # TOML's own is a ValueError
        raise ConfigError(f"{path} cannot be read: {problem}") from None
    except ProtocolError as problem:
        raise ConfigError(problem.message) from None
    raise ConfigError(f"{path}: the ending must be .toml, .json, .yaml or .yml")


def _yaml(text: str) -> object:
    import yaml  # 10 ms, for who writes YAML

    try:
        return yaml.safe_load(text)
    except yaml.YAMLError as problem:
        raise ValueError(str(problem)) from problem


def _entry(table: object, where: str, folder: Path) -> tuple[str, Entry | ConfigError]:
    """The name under which an entry is listed, and the entry or what is wrong with it."""
    if not isinstance(table, dict):
        return where, ConfigError(f"{where} is not a table", problems=[(where, "not a table")])
    problems = unknown_keys(table, _ENTRY_KEYS, where)
    name = table.get("name")
    if not isinstance(name, str) or not name.strip():
        problems.append((f"{where}.name", "is required: the name of the provider, as text"))
        name = where
    plugin = _plugin(table.get("path"), f"{where}.path", folder, problems)
    pin = table.get("sha256")
    match = _SHA256.fullmatch(pin) if isinstance(pin, str) else None
    if pin is not None and match is None:
        problems.append((f"{where}.sha256", "must be 64 hexadecimal digits"))
    tables: dict[str, dict[str, Any]] = {}
    for key in ("config", "secrets", "limits", "grants"):
        value = table.get(key, {})
        if not isinstance(value, dict):
            problems.append((f"{where}.{key}", "must be a table"))
            value = {}
        tables[key] = value
    try:
        parse_limits(tables["limits"], f"{where}.limits", Limits())
    except ConfigError as error:
        problems += error.problems
    hosts = tables["config"].get("allowed_hosts", [])
    if not _texts(hosts):
        problems.append((f"{where}.config.allowed_hosts", "must be a list of hosts"))
    private, ports, clock_step = _grants(tables["grants"], f"{where}.grants", problems)
    if problems:
        return name, ConfigError(
            f"entry {name!r} cannot be used: {problems[0][0]}: {problems[0][1]}", problems=problems
        )
    return name, Entry(
        name=name,
        plugin=plugin,
        sha256=match[1].lower() if match else None,
        config=tables["config"],
        secrets=tables["secrets"],
        limits=tables["limits"],
        private=private,
        ports=ports,
        clock_step=clock_step,
        where=where,
    )


def _plugin(value: object, where: str, folder: Path, problems: list[Problem]) -> str:
    if not isinstance(value, str) or not value.strip():
        problems.append((where, 'is required: a .wasm file, or "bundled:" and a name'))
        return ""
    if value.startswith("bundled:"):
        return value
    if value.startswith("oci://"):
        problems.append((where, "images are not supported yet; name the .wasm file"))
    elif "://" in value:
        problems.append((where, "URLs are not supported; download the file and pin its sha256"))
    elif value.lower().endswith(_NATIVE):
        problems.append((where, f"{value!r} is a native library; only Wasm can be sandboxed"))
    return str(folder / Path(value).expanduser())


def _grants(
    table: dict[str, Any], where: str, problems: list[Problem]
) -> tuple[tuple[str, ...], tuple[int, ...], int]:
    problems += unknown_keys(table, _GRANT_KEYS, where)
    private, ports = table.get("private", []), table.get("ports", [])
    if not _texts(private):
        problems.append((f"{where}.private", 'must be a list of networks such as "10.0.0.0/8"'))
        private = []
    if not isinstance(ports, list) or not all(type(port) is int for port in ports):
        problems.append((f"{where}.ports", "must be a list of port numbers"))
        ports = []
    step = 1
    if "clock" in table:
        try:
            step = round(quantity(table["clock"], "seconds") * 1e9)
        except (ValueError, OverflowError):
            step = 0
        if not 0 < step <= 10**9:
            problems.append((f"{where}.clock", 'must be a time up to a second, such as "1ms"'))
    return tuple(private), tuple(ports), step


def _runtime(table: object, problems: list[Problem]) -> int | None:
    if not isinstance(table, dict):
        problems.append(("runtime", "must be a table"))
        return None
    problems += unknown_keys(table, _RUNTIME_KEYS, "runtime")
    count = table.get("pooled_instances")
    if count is not None and (type(count) is not int or not 0 <= count <= MOST):
        problems.append(("runtime.pooled_instances", f"must be a number from 0 to {MOST}"))
    return count


def _texts(value: object) -> bool:
    return isinstance(value, list) and all(isinstance(item, str) for item in value)
