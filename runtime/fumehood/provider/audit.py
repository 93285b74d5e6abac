"""One JSON line per provider call, appended to a hash-chained file (`chain`).

A line holds who (plugin and digest), what (the operation and how it ended), under which grants,
and what it took: the hosts contacted, bytes, fuel. No prompt, no key, no path or query.
"""

from __future__ import annotations

import datetime
import functools
import os
import stat
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import msgspec

from fumehood.abi import jsonwire
from fumehood.egress.patterns import Pattern
from fumehood.egress.policy import Grant
from fumehood.egress.secrets import NO_SECRETS, Secrets
from fumehood.errors import (
    ConfigError,
    EgressDenied,
    Error,
    HostError,
    LimitError,
    ProviderError,
    TransportError,
)
from fumehood.limits import Exchange, Receipt, quantity
from fumehood.meter import Denial
from fumehood.provider import chain
from fumehood.provider.appender import PATIENCE, Appender
from fumehood.provider.filelock import locked
from fumehood.provider.reaper import reaper

ALWAYS: Final = "always"
NEVER: Final = "never"

_READ_FLAGS: Final = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)


@dataclass(frozen=True, slots=True)
class Settings:
    """Where the lines go, and when they are forced to the disk: `sync` is 0 for every line, else
    the seconds that lines may wait for the next one; None leaves it to the system."""

    path: Path
    sync: float | None = None

    @classmethod
    def parse(cls, value: object, folder: Path) -> Settings:
        """A path, or a table of `path` and `sync` ("always", "never" or a time such as "5s").

        Relative paths are taken from `folder`. Raises ConfigError.
        """
        table = value if isinstance(value, Mapping) else {"path": value}
        problems = [
            (f"audit.{key}", "unknown key; known are path, sync")
            for key in table
            if key not in ("path", "sync")
        ]
        path, sync = table.get("path"), table.get("sync", NEVER)
        if not isinstance(path, str | os.PathLike) or not str(path):
            problems.append(("audit.path", "must be the path of a file"))
            path = "audit"
        seconds: float | None = None
        if sync == ALWAYS:
            seconds = 0.0
        elif sync != NEVER:
            try:
                seconds = float(quantity(sync, "seconds"))
            except ValueError as problem:
                problems.append(("audit.sync", f'"{ALWAYS}", "{NEVER}" or a time: {problem}'))
        if problems:
            where, what = problems[0]
            raise ConfigError(f"the audit cannot be used: {where}: {what}", problems=problems)
        return cls(folder / Path(path).expanduser(), seconds)


@dataclass(slots=True)
class Granted:
    """What a provider was granted, as its lines say it: made once, not changed. No path: an
    operator's URL may hold one."""

    hosts: tuple[str, ...] = ()
    ports: tuple[int, ...] | None = ()
    """Ports beside the schemes' own; None: all."""
    private: tuple[str, ...] = ()
    given: tuple[str, ...] = ()
    """Secrets that the plugin itself holds (`slot = false`)."""
    secrets: Secrets = field(default=NO_SECRETS, repr=False)
    encoded: msgspec.Raw = field(init=False, repr=False)
    """Hosts, ports and private networks, as they stand in each line."""
    text: str = field(init=False, repr=False)
    """The texts in it."""
    clean: str | None = field(default=None, init=False, repr=False, compare=False)
    """The last texts of a line that were searched for secrets and held none: mostly the same."""

    def __post_init__(self) -> None:
        grants = {
            "hosts": self.hosts,
            "ports": "any" if self.ports is None else self.ports,
            "private": self.private,
        }
        self.encoded = msgspec.Raw(jsonwire.encode(grants))
        self.text = "\n".join(self.hosts)

    @classmethod
    def of(cls, grant: Grant, secrets: Secrets) -> Granted:
        """The facts of a grant and its secrets."""
        return cls(
            hosts=tuple(dict.fromkeys(_host(pattern) for pattern in grant.hosts)),
            ports=None if grant.ports is None else tuple(sorted(grant.ports)),
            private=tuple(str(net) for net in grant.private),
            given=secrets.given,
            secrets=secrets,
        )


NOTHING: Final = Granted()


class Audit:
    """Appends to one file. Safe between threads and processes, and across `fork` (`Appender`)."""

    def __init__(self, settings: Settings) -> None:
        """Raises ConfigError where the file cannot be written, or holds something else."""
        self._settings = settings
        try:
            self._file = Appender(settings.path, settings.sync)
        except (OSError, ValueError) as problem:
            raise ConfigError(
                f"the audit file cannot be written: {problem}",
                problems=[("audit", str(problem))],
            ) from None

    @property
    def path(self) -> Path:
        """The file."""
        return self._settings.path

    def write(
        self,
        receipt: Receipt,
        error: Error | None,
        granted: Granted = NOTHING,
        denied: Sequence[Denial] = (),
        denied_more: int = 0,
    ) -> None:
        """Record one call. Raises HostError where the line cannot be written: a call that leaves
        no trace would be worse than one that fails."""
        self._append(_line(receipt, error, granted, denied, denied_more))

    def _append(self, line: _Line) -> None:
        try:
            if self._file.append(line):
                return
        except (OSError, ValueError) as problem:
            raise HostError(f"the audit line cannot be written: {problem}") from None
        # of a stream that is collected while this thread writes a line
        reaper.ready()
        reaper.leave(functools.partial(self._append, line))

    def close(self) -> None:
        """End it; force to the disk what waits for that. Idempotent."""
        self._file.close()


class _Line(msgspec.Struct, omit_defaults=True, gc=False):
    """What a line says. Encoded as it stands: a dict that is built for each call costs twice as
    much."""

    seq: int
    time: str
    outcome: str
    plugin: str
    sha256: str
    operation: str
    fuel: int
    wall: float
    guest_time: float
    memory_peak: int
    host_calls: int
    log_dropped: int
    fresh: bool
    http: list[Exchange]
    sent: int
    received: int
    grants: msgspec.Raw
    detail: str | int | None = None
    """What kind of error."""
    secrets_given: tuple[str, ...] = ()
    denied: Sequence[Denial] = ()
    denied_more: int = 0
    prev: str = ""


def _line(
    receipt: Receipt,
    error: Error | None,
    granted: Granted,
    denied: Sequence[Denial],
    denied_more: int,
) -> _Line:
    """A line that has no place in the chain yet."""
    http = receipt.http
    sent = received = 0
    texts = [receipt.plugin, granted.text]
    for exchange in http:
        sent += exchange.sent
        received += exchange.received
        texts.append(exchange.host)
    for denial in denied:
        texts.append(denial.host or "")
    line = _Line(
        0,
        _now(),
        "done" if error is None else error.code,
        receipt.plugin,
        receipt.sha256,
        receipt.operation,
        receipt.fuel,
        receipt.wall,
        receipt.guest_time,
        receipt.memory_peak,
        receipt.host_calls,
        receipt.log_dropped,
        receipt.fresh,
        http,
        sent,
        received,
        granted.encoded,
        None if error is None else _detail(error),
        granted.given,
        denied,
        denied_more,
    )
    # One search instead of some thirty: the other texts are our own words, a digest, a time.
    text = "\n".join(texts)
    if text != granted.clean:
        if granted.secrets.scrub_text(text) is not text:
            said = jsonwire.decode(jsonwire.encode(line), "the audit line")
            clean = jsonwire.encode(_scrubbed(said, granted.secrets))
            return msgspec.json.decode(clean, type=_Line)
        granted.clean = text
    return line


_second: tuple[int, str] = (0, "")
"""The last second that was written, and its text."""


def _now() -> str:
    """The time in ISO 8601, to the millisecond, in UTC."""
    global _second  # noqa: PLW0603 - a busy program writes hundreds of lines in one second
    second, rest = divmod(time.time_ns(), 10**9)
    known, text = _second
    if known != second:
        text = datetime.datetime.fromtimestamp(second, datetime.UTC).isoformat()[:-6]
        _second = second, text
    return f"{text}.{rest // 10**6:03}+00:00"


def _detail(error: Error | None) -> str | int | None:
    """What kind of error: our own words and numbers only, never a message's."""
    match error:
        case EgressDenied():
            return error.reason
        case LimitError():
            return error.limit
        case TransportError():
            return error.kind
        case ProviderError():
            return error.status
    return None


def _scrubbed(value: Any, secrets: Secrets) -> Any:
    """The fields without secrets: a guest may have built a host name of one."""
    if isinstance(value, str):
        return secrets.scrub_text(value)
    if isinstance(value, dict):
        return {key: _scrubbed(item, secrets) for key, item in value.items()}
    if isinstance(value, list):
        return [_scrubbed(item, secrets) for item in value]
    return value


def _host(pattern: Pattern) -> str:
    """A pattern in the words of plugins.toml, without its path."""
    host = {"label": f"*.{pattern.host}", "octets": f"{pattern.host}*"}.get(
        pattern.kind, pattern.host
    )
    if ":" in host and pattern.kind == "exact":
        host = f"[{host}]"
    scheme = "" if pattern.scheme is None else f"{pattern.scheme}://"
    port = "" if pattern.port is None else f":{pattern.port}"
    return f"{scheme}{host}{port}"


def check(path: Path, head: str | None = None) -> chain.Report:
    """Verify a file as far as it is written now. Raises ConfigError where it cannot be read."""
    try:
        # not blocking, so that a pipe without a writer is seen for what it is
        with open(os.open(path, _READ_FLAGS), "rb") as file:  # noqa: PTH123 - of a descriptor
            if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                raise ConfigError(f"{path} is not a file")
            with locked(file.fileno(), PATIENCE):  # no line is half written now
                size = os.fstat(file.fileno()).st_size
            return chain.verify(file, size, head)
    except (OSError, ValueError) as problem:
        raise ConfigError(f"the audit file cannot be read: {problem}") from None
