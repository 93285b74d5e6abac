"""Which hosts a secret belongs to (api.md "Keys and hosts"). Pure.

A host is bound to a secret by the operator's word or by the shipped table, never by a plugin's.
"""

from __future__ import annotations

from collections.abc import Iterable

from fumehood.egress.addresses import range_of
from fumehood.egress.known import known_hosts
from fumehood.egress.patterns import Pattern, provider_pattern, url_pattern
from fumehood.egress.url import URL
from fumehood.errors import ConfigError

Binding = Pattern


def parse_binding(entry: str) -> Binding:
    """A host that a secret may go to: an entry of `allowed_hosts`, or a URL that also fixes the
    scheme. Raises ValueError saying what is wrong."""
    pattern = url_pattern(entry) if "://" in entry else provider_pattern(entry)
    if pattern.kind == "any":
        raise ValueError("a secret needs hosts by name; * names none")
    return pattern


def bind(
    name: str,
    *,
    source: str = "",
    hosts: Iterable[str] = (),
    base_url: str | None = None,
    allowed_hosts: Iterable[str] = (),
) -> tuple[Binding, ...]:
    """The bindings of the secret `name`, read from `source` (`env:VARIABLE`, …).

    The operator's `hosts` if there are any; else `base_url`, else `allowed_hosts` (an entry `*`
    names nobody and is passed over), together with the hosts that the shipped table knows for the
    variable. Only values written by the operator may be passed.

    Raises ConfigError, with the line to add, where nothing binds the secret to a host.
    """
    explicit = list(hosts)
    entries = explicit or ([base_url] if base_url else [h for h in allowed_hosts if _names(h)])
    key = "hosts" if explicit else "base_url" if base_url else "allowed_hosts"
    found: list[Binding] = []
    problems: list[tuple[str, str]] = []
    for entry in entries:
        try:
            found.append(url_pattern(entry) if key == "base_url" else parse_binding(entry))
        except ValueError as problem:
            problems.append((f"secrets.{name}.{key}" if explicit else key, f"{entry!r}: {problem}"))
    if problems:
        raise ConfigError(
            f"the hosts of secret {name!r} cannot be used: {problems[0][1]}", problems=problems
        )
    if not explicit and source.startswith("env:"):
        found += [url_pattern(f"https://{host}") for host in known_hosts(source[4:])]
    if not found:
        line = f'{name} = {{ from = "{source or "…"}", hosts = ["api.example.com"] }}'
        raise ConfigError(
            f"no host is named that the secret {name!r} may go to",
            problems=[(f"secrets.{name}", "no host is bound to it")],
            hint=f"add the host under [providers.secrets]: {line}",
        )
    return tuple(dict.fromkeys(found))


def binds(binding: Binding, url: URL) -> bool:
    """Whether the binding lets a secret go to `url`.

    In clear text (`http`) only where the operator wrote that scheme, or the host is `localhost`
    or an address that is not public.
    """
    if not binding.names(url.host, url.address) or binding.port not in (None, url.port):
        return False
    if not binding.opens(url.path):
        return False
    if binding.scheme is not None:
        return binding.scheme == url.scheme
    if url.scheme == "https" or url.host == "localhost":
        return True
    return url.address is not None and range_of(url.address) is not None


def contains(binding: Binding, entry: Pattern) -> bool:
    """Whether every host that `entry` of a grant names is bound."""
    if binding.port not in (None, entry.port) or binding.prefix not in (None, entry.prefix):
        return False
    if entry.kind == "exact":
        return binding.names(entry.host, entry.address)
    return entry.kind == binding.kind and entry.host == binding.host


def _names(entry: str) -> bool:
    return not entry.strip().startswith("*") or entry.strip().startswith("*.")
