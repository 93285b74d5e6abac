"""What a plugin would be allowed, in words: the grant, the keys and the limits of a spec."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fumehood.cli import output
from fumehood.egress.binding import bind
from fumehood.egress.known import known_hosts
from fumehood.egress.url import URLError, parse_url
from fumehood.errors import ConfigError
from fumehood.provider import hosts
from fumehood.provider.opening import Spec

API_KEY = "api_key"


def allowances(
    spec: Spec, says: Mapping[str, str], imports: list[tuple[str, str]], *, provider: bool
) -> dict[str, str]:
    """Rows for a person to decide on. `says` are the plugin's own answers: attacker data.

    Raises ConfigError for hosts of the spec that cannot be used.
    """
    rows: dict[str, str] = {}
    if provider:
        named = hosts.resolve(
            spec.config,
            allowed_hosts=spec.allowed_hosts,
            default_url=says.get("base_url"),
            ports=spec.ports,
            private=spec.private,
        )
        rows["network"] = _network(named)
        rows |= _keys(spec, named, says.get("api_key_name"))
    else:
        rows["network"] = "no host; with `fumehood call`, what --allow names"
    wasi = any(module == "wasi_snapshot_preview1" for module, _ in imports)
    rows["files"] = "none"
    rows["environment"] = "none, no arguments" if wasi else "none; it does not ask for WASI"
    limits = spec.limits
    fuel = "no fuel limit" if limits.fuel is None else f"{limits.fuel:,} fuel"
    rows["time"] = (
        f"{limits.deadline:g} s an operation, {limits.guest_time:g} s of it inside, {fuel}"
    )
    rows["memory"] = (
        f"{output.size(limits.memory)}, and {output.size(limits.kernel_memory)} for payloads"
    )
    rows["requests"] = (
        f"{limits.http_requests} an operation, replies up to {output.size(limits.response_bytes)}"
    )
    return rows


def _network(named: hosts.Hosts) -> str:
    parts: list[str] = []
    if named.base_url is not None:
        parts.append(f"{parse_url(named.base_url).authority} (base_url)")
    if named.allowed:
        parts.append(f"{', '.join(named.allowed)} (allowed_hosts)")
    if named.default_url is not None:
        parts.append(f"{parse_url(named.default_url).authority} (the plugin's own default)")
    return "; ".join(parts) or "no host until base_url or allowed_hosts name one"


def _keys(spec: Spec, named: hosts.Hosts, variable: str | None) -> dict[str, str]:
    rows = {f"secret {name}": _secret(name, value, named) for name, value in spec.secrets.items()}
    if API_KEY in spec.secrets or variable is None:
        return rows or {"keys": "none"}
    if API_KEY in spec.config:
        return rows | {"key": f"the config's own {API_KEY}, to the hosts of base_url"}
    try:
        default = None if named.default_url is None else parse_url(named.default_url).host
    except URLError:
        default = None
    known = known_hosts(variable)
    operator = named.base_url is not None or any(h.strip() != "*" for h in named.allowed)
    if operator or (default is not None and default in known):
        bound = _bound(API_KEY, f"env:{variable}", (), named)
        return rows | {"key": f"{variable}, replaced by the host, to {bound}"}
    line = f'{API_KEY} = {{ from = "env:{variable}", hosts = ["{default or "…"}"] }}'
    return rows | {"key": f"it wants {variable}, which stays here until plugins.toml says: {line}"}


def _secret(name: str, value: Any, named: hosts.Hosts) -> str:
    table = {"from": value} if isinstance(value, str) else value
    if not isinstance(table, Mapping) or not isinstance(table.get("from"), str):
        return "cannot be used: no source"
    listed = table.get("hosts", ())
    if not isinstance(listed, list | tuple) or not all(isinstance(h, str) for h in listed):
        return "cannot be used: hosts must be a list of texts"
    bound = _bound(name, table["from"], tuple(listed), named)
    if table.get("slot", True) is False:
        return f"{table['from']}, GIVEN TO THE PLUGIN ITSELF (slot = false), meant for {bound}"
    return f"{table['from']}, replaced by the host, to {bound}"


def _bound(name: str, source: str, listed: tuple[str, ...], named: hosts.Hosts) -> str:
    try:
        bindings = bind(
            name,
            source=source,
            hosts=listed,
            base_url=named.base_url,
            allowed_hosts=named.allowed,
        )
    except ConfigError as problem:
        return f"nowhere: {problem.message}"
    return ", ".join(binding.text for binding in bindings)
