"""One provider's plugin over time: its file may be replaced while operations run.

An operation borrows the version that is current when it begins and keeps it to its end, streams
too; a version that is no longer current is closed when the last operation on it has ended. A
file that cannot be used, half written or not the pinned one, changes nothing but the log.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable
from pathlib import Path

from fumehood import forks
from fumehood.errors import ClosedError, Error
from fumehood.provider import bundled
from fumehood.provider.audit import Audit
from fumehood.provider.opening import Opened, Spec, load, open_plugin, traits_of
from fumehood.provider.runtime import Client

log = logging.getLogger("fumehood.provider")

Version = tuple[Opened, Callable[[], None]]
"""An opened plugin, and what closes it."""


class _Borrowed:
    def __init__(self, version: Version) -> None:
        self.opened, self.close = version
        self.users = 0


class Versions:
    """Gives operations the plugin to run on. Thread-safe.

    With `watch` the file's date and size are looked at when an operation begins (2 µs); where
    they changed, `reopen` gives the new version.
    """

    def __init__(
        self,
        version: Version,
        *,
        watch: Path | None = None,
        seen: object = None,
        reopen: Callable[[], Version] | None = None,
    ) -> None:
        """`seen` is what `stamp(watch)` gave before the file was read."""
        self._lock = forks.rlock()  # a collected stream may end while we hold it
        self._loading = forks.lock()
        self._current = _Borrowed(version)
        self._old: set[_Borrowed] = set()
        self._watch = watch
        self._seen = seen
        self._reopen = reopen
        self._closed = False

    @property
    def current(self) -> Opened:
        """The version that the next operation gets."""
        return self._current.opened

    def stale(self) -> bool:
        """Whether `refresh` has something to do."""
        return (
            self._watch is not None
            and self._reopen is not None
            and not self._closed
            and stamp(self._watch) != self._seen
        )

    def refresh(self) -> None:
        """Load the file if it changed; takes as long as opening a provider. While one thread
        does it the others go on with the version that they have."""
        if not self.stale() or not self._loading.acquire(blocking=False):
            return
        try:
            assert self._watch is not None
            assert self._reopen is not None
            seen = stamp(self._watch)
            if seen is None:
                return  # it is being replaced
            try:
                fresh = _Borrowed(self._reopen())
            except Error as error:
                log.warning("%s: the changed plugin is not used: %s", self.current.name, error)
                self._seen = seen
                return
            with self._lock:
                self._seen = seen
                if self._closed:
                    fresh.close()
                    return
                old, self._current = self._current, fresh
                self._old.add(old)
                self._drop(old)
            log.info("%s: the plugin changed and was loaded again", self.current.name)
        finally:
            self._loading.release()

    def take(self) -> Opened:
        """The current version, borrowed. Raises ClosedError."""
        with self._lock:
            if self._closed:
                raise ClosedError("the provider was closed", plugin=self.current.name)
            self._current.users += 1
            return self._current.opened

    def give(self, opened: Opened) -> None:
        """The other half of `take`."""
        with self._lock:
            for one in (self._current, *self._old):
                if one.opened is opened:
                    one.users -= 1
                    self._drop(one)
                    break

    def close(self) -> None:
        """Close what nobody uses; what is in use is closed as it is given back. Idempotent."""
        with self._lock:
            if not self._closed:
                self._closed = True
                self._old.add(self._current)
                for one in list(self._old):
                    self._drop(one)

    def _drop(self, one: _Borrowed) -> None:
        if one in self._old and not one.users:
            self._old.discard(one)
            one.close()


def stamp(path: Path) -> object:
    """What changes when the file at `path` does; None where there is none, or cannot be."""
    try:
        status = os.stat(path)  # noqa: PTH116 - 2 µs; Path.stat takes three times that
    except (OSError, ValueError):  # a NUL in it, say: whoever opens it tells so
        return None
    return status.st_mtime_ns, status.st_size, status.st_ino


def open_versions(
    spec: Spec, client: Client, *, audit: Audit | None = None, watch: bool = False
) -> Versions:
    """Open a spec; with `watch`, again whenever its file changes. Raises what opening raises."""

    def reopen() -> Version:
        compiled, ours = load(spec)
        try:
            opened = open_plugin(
                spec,
                compiled,
                traits_of(compiled, spec.generation),
                client,
                name=spec.name or compiled.name,
                ours=ours,
                audit=audit,
            )
        except BaseException:
            compiled.close()
            raise
        return opened, compiled.close

    source = spec.plugin
    if not watch or isinstance(source, bytes) or str(source).startswith(bundled.PREFIX):
        return Versions(reopen())
    path = Path(source)
    seen = stamp(path)
    return Versions(reopen(), watch=path, seen=seen, reopen=reopen)
