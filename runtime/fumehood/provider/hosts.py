"""Where a provider may connect to (provider-abi.md §4.5, api.md "Keys and hosts")."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from fumehood.egress.policy import Grant, decide
from fumehood.egress.url import URLError, parse_url
from fumehood.errors import ConfigError, EgressDenied, clip

log = logging.getLogger("fumehood.provider")


@dataclass(frozen=True, slots=True)
class Hosts:
    """The hosts of one provider: what the operator named, and what only the plugin named."""

    grant: Grant
    allowed: tuple[str, ...]
    """`allowed_hosts`, the operator's."""
    base_url: str | None
    """The operator's `base_url`."""
    default_url: str | None
    """The plugin's own `base_url`, where the operator has none."""

    def problem(self, url: str) -> str | None:
        """What is wrong with `url` as a `base_url`, None where its host is granted."""
        try:
            decide(self.grant, "GET", url)
        except EgressDenied as denied:
            line = f"; add {denied.hint}" if denied.hint else ""
            return f"{denied.message}{line}"
        return None


def resolve(
    config: Mapping[str, Any],
    *,
    allowed_hosts: Iterable[str] | None,
    default_url: str | None,
    ports: Iterable[int] = (),
    private: Iterable[str] = (),
) -> Hosts:
    """The hosts of a provider from the operator's config and the plugin's `base_url` export.

    A `default_url` that is no URL is the plugin's fault and grants nothing. Raises ConfigError
    for what the operator wrote.
    """
    listed = config.get("allowed_hosts") or []
    if not isinstance(listed, list | tuple) or not all(isinstance(h, str) for h in listed):
        raise ConfigError(
            "allowed_hosts must be a list of hosts",
            problems=[("allowed_hosts", "must be a list of hosts")],
        )
    if isinstance(allowed_hosts, str):
        raise ConfigError("allowed_hosts must be a list of hosts, not one text")
    allowed = tuple(dict.fromkeys(h for h in [*listed, *(allowed_hosts or ())] if h))
    base_url = config.get("base_url")
    if not isinstance(base_url, str) or not base_url:
        base_url = None
    else:
        default_url = None
    if default_url is not None:
        try:
            parse_url(default_url)
        except URLError as problem:
            log.warning("the plugin's base_url %r is not used: %s", clip(default_url, 200), problem)
            default_url = None
    grant = Grant.of(
        allowed, base_url=base_url, default_url=default_url, ports=ports, private=private
    )
    return Hosts(grant, allowed, base_url, default_url)
