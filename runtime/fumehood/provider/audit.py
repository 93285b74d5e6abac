"""One JSON line per provider call, appended to a hash-chained file (`chain`).

A line holds who (plugin and digest), what (the operation and how it ended), under which grants,
and what it took: the hosts contacted, bytes, fuel. No prompt, no key, no path or query.
"""

from __future__ import annotations

import contextlib
import datetime
import os
import stat
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

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
from fumehood.limits import Receipt, quantity
from fumehood.meter import Denial
from fumehood.provider import chain
from fumehood.provider.filelock import locked

PATIENCE: Final = 30.0
"""Seconds to wait for other processes that write the file."""
ALWAYS: Final = "always"
NEVER: Final = "never"

_FIRST: Final = b'{"seq":1,'
"""How the first line of all begins."""
_BLOCK: Final = 16 * 1024
_READ_FLAGS: Final = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
_FLAGS: Final = os.O_RDWR | os.O_APPEND | os.O_CREAT | getattr(os, "O_BINARY", 0)


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


@dataclass(frozen=True, slots=True)
class Granted:
    """What a provider was granted, as its lines say it. No path: an operator's URL may hold one."""

    hosts: tuple[str, ...] = ()
    ports: tuple[int, ...] | None = ()
    """Ports beside the schemes' own; None: all."""
    private: tuple[str, ...] = ()
    given: tuple[str, ...] = ()
    """Secrets that the plugin itself holds (`slot = false`)."""
    secrets: Secrets = field(default=NO_SECRETS, repr=False)

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


class Audit:
    """Appends to one file. Safe between threads and processes, and across `fork`: each line is
    written with a descriptor of its own, under the file's lock, after the line that is then last.
    """

    def __init__(self, settings: Settings) -> None:
        """Raises ConfigError where the file cannot be written, or holds something else."""
        self._settings = settings
        self._closed = False
        self._synced = time.monotonic()
        self._waiting = False
        self._tail: _Tail | None = None
        try:
            with self._opened() as fd:
                _last(fd)
                if settings.sync is not None:
                    os.fsync(fd)
                    _sync_folder(settings.path.parent)
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
        granted: Granted = Granted(),
        denied: Sequence[Denial] = (),
        denied_more: int = 0,
    ) -> None:
        """Record one call. Raises HostError where the line cannot be written: a call that leaves
        no trace would be worse than one that fails."""
        if self._closed:
            raise HostError("the audit file was closed")
        fields = _fields(receipt, error, granted, denied, denied_more)
        try:
            with self._opened() as fd:
                self._append(fd, fields)
        except (OSError, ValueError) as problem:
            raise HostError(f"the audit line cannot be written: {problem}") from None

    def close(self) -> None:
        """End it; force to the disk what waits for that. Idempotent."""
        if self._closed:
            return
        self._closed = True
        if self._waiting:
            with contextlib.suppress(OSError), self._opened() as fd:
                os.fsync(fd)

    @contextlib.contextmanager
    def _opened(self) -> Iterator[int]:
        """The file, locked. Raises OSError, ValueError where it is no file."""
        fd = os.open(self._settings.path, _FLAGS, 0o600)
        try:
            if not stat.S_ISREG(os.fstat(fd).st_mode):
                raise ValueError(f"{self._settings.path} is not a file")
            with locked(fd, PATIENCE):
                yield fd
        finally:
            os.close(fd)

    def _append(self, fd: int, fields: Mapping[str, Any]) -> None:
        tail = self._tail
        if tail is not None and tail.stamp == _stamp(fd):  # nobody wrote since
            size, seq, prev, torn = tail.stamp[2], tail.seq, tail.hash, False
        else:
            size, seq, prev, torn = _last(fd)
        self._tail = None
        line = (b"\n" if torn else b"") + chain.seal(fields, seq + 1, prev)
        view = memoryview(line)
        try:
            while view:
                view = view[os.write(fd, view) :]
        except OSError:
            with contextlib.suppress(OSError):
                os.ftruncate(fd, size)  # half a line would break the chain
            raise
        self._tail = _Tail(_stamp(fd), seq + 1, chain.sealed_hash(line))
        sync = self._settings.sync
        if sync is None:
            return
        now = time.monotonic()
        self._waiting = now - self._synced < sync
        if not self._waiting:
            os.fsync(fd)
            self._synced = now


@dataclass(frozen=True, slots=True)
class _Tail:
    """The last line as we wrote it: known without reading it again, as long as the file is the
    same. What is changed within one tick of its clock breaks the chain, as any change does."""

    stamp: tuple[int, int, int, int]
    seq: int
    hash: str


def _stamp(fd: int) -> tuple[int, int, int, int]:
    """Which file it is, its size and when it was changed. To be taken under the lock."""
    found = os.fstat(fd)
    return found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns


def _last(fd: int) -> tuple[int, int, str, bool]:
    """The file's size, number and hash of its last line, and whether a torn one comes after it.

    Raises ValueError where the file is no audit file.
    """
    size = os.lseek(fd, 0, os.SEEK_END)
    if size == 0:
        return 0, 0, chain.START, False
    text = b""
    start = size
    while start > 0 and size - start < chain.MAX_LINE:
        step = min(start, _BLOCK)
        start -= step
        os.lseek(fd, start, os.SEEK_SET)
        text = _read(fd, step) + text
        end = text.rfind(b"\n")
        first = text.rfind(b"\n", 0, end) if end > 0 else -1
        if end < 0 or (first < 0 and start > 0):
            continue
        link = chain.parse(text[first + 1 : end])
        if link is None:
            break
        return size, link.seq, link.hash, end + 1 < len(text)
    if start == 0 and b"\n" not in text and _FIRST.startswith(text[: len(_FIRST)]):
        return size, 0, chain.START, True  # the first line of all is torn
    raise ValueError("its last line is not an audit line")


def _read(fd: int, count: int) -> bytes:
    parts: list[bytes] = []
    while count > 0 and (part := os.read(fd, count)):
        parts.append(part)
        count -= len(part)
    return b"".join(parts)


def _fields(
    receipt: Receipt,
    error: Error | None,
    granted: Granted,
    denied: Sequence[Denial],
    denied_more: int,
) -> dict[str, Any]:
    facts = receipt.to_dict()
    exchanges = facts.pop("http")
    detail = None if error is None else _detail(error)
    fields: dict[str, Any] = {
        "time": _now(),
        "outcome": "done" if error is None else error.code,
    }
    if detail is not None:
        fields["detail"] = detail
    fields |= facts
    fields["grants"] = {
        "hosts": list(granted.hosts),
        "ports": "any" if granted.ports is None else list(granted.ports),
        "private": list(granted.private),
    }
    if granted.given:
        fields["secrets_given"] = list(granted.given)
    fields["http"] = exchanges
    fields["sent"] = sum(exchange["sent"] for exchange in exchanges)
    fields["received"] = sum(exchange["received"] for exchange in exchanges)
    if denied:
        fields["denied"] = [{"reason": item.reason, "host": item.host} for item in denied]
    if denied_more:
        fields["denied_more"] = denied_more
    # One search instead of some thirty: the other texts are our own words, a digest, a time.
    others = (receipt.plugin, *granted.hosts, *(each["host"] for each in exchanges))
    text = "\n".join((*others, *(item.host or "" for item in denied)))
    if granted.secrets.scrub_text(text) is text:
        return fields
    cleaned: dict[str, Any] = _scrubbed(fields, granted.secrets)
    return cleaned


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


def _sync_folder(folder: Path) -> None:
    """Make a new file's name durable, where the system can."""
    if os.name != "posix":
        return
    fd = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


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
