"""What `Provider` and `AsyncProvider` have in common: what they are, and the books they keep.

Each operation borrows a version of the plugin, has a place in the pool and is known until it
ends; then its instance is freed or kept, and the audit gets its line.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from fumehood import arguments, forks
from fumehood.errors import ClosedError, Error, ProviderError
from fumehood.limits import Limits
from fumehood.provider.audit import Audit
from fumehood.provider.opening import Opened
from fumehood.provider.pool import Place, Pool, shared
from fumehood.provider.runtime import Kept, Session
from fumehood.provider.traits import Traits
from fumehood.provider.versions import Versions


@dataclass(slots=True)
class _Running:
    opened: Opened
    thread: int
    place: Place | None = None


class Base:
    """One plugin with one configuration."""

    def __init__(
        self,
        opened: Opened | Versions,
        *,
        reuse: bool = False,
        audit: Audit | None = None,
        pool: Pool | None = None,
        closers: Sequence[Callable[[], None]] = (),
    ) -> None:
        self._versions = (
            opened if isinstance(opened, Versions) else Versions((opened, lambda: None))
        )
        self._reuse = reuse
        self._audit = audit
        self._pool = shared if pool is None else arguments.instance(pool, Pool, "pool")
        self._closers = list(closers)
        self._lock = forks.rlock()  # a collected stream may end while we hold it
        self._kept: tuple[Opened, Kept] | None = None
        self._running: dict[Session, _Running] = {}
        self._closed = False
        forks.watch(self)

    # -- what it is -----------------------------------------------------------------------

    @property
    def _opened(self) -> Opened:
        return self._versions.current

    @property
    def name(self) -> str:
        """The operator's name for it; what the plugin calls itself does not count."""
        return self._opened.name

    @property
    def config_schema(self) -> dict[str, Any]:
        """The plugin's own JSON Schema for its config."""
        return self._opened.settings.schema.document

    @property
    def capabilities(self) -> frozenset[str]:
        """The operations that the plugin has exports for: `chat`, `chat_stream`, `embed`, …"""
        return self._opened.traits.capabilities

    @property
    def traits(self) -> Traits:
        """Generation and mode of the plugin."""
        return self._opened.traits

    @property
    def sha256(self) -> str:
        """The digest of the plugin's file."""
        return self._opened.compiled.sha256

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.name!r}, generation {self.traits.generation})"

    # -- the books ------------------------------------------------------------------------

    def _begin(self, operation: str, opened: Opened, limits: Limits) -> Session:
        """A session on a borrowed version; `_end` it. Raises ClosedError, the version given
        back."""
        with self._lock:
            if self._closed:
                self._versions.give(opened)
                raise ClosedError("the provider was closed", plugin=self.name)
            kept, self._kept = self._kept, None
            usable = kept[1] if kept is not None and kept[0] is opened else None
            session = Session(opened.host, operation, limits, usable)
            self._running[session] = _Running(opened, threading.get_ident())
        if kept is not None and usable is None:
            kept[1].instance.close()
        return session

    def _placed(self, session: Session, place: Place) -> None:
        self._running[session].place = place

    def _end(self, session: Session, error: Error | None) -> None:
        """The operation is over, because of `error` where there is one."""
        kept = session.release() if self._reuse else None
        session.close()
        with self._lock:
            run = self._running.pop(session, None)
            if run is None:
                return  # of the parent process, whose it is to account for it
            if run.place is not None:
                run.place.release()
            if kept is not None and self._kept is None and not self._closed:
                self._kept, kept = (run.opened, kept), None
        if kept is not None:
            kept.instance.close()
        self._versions.give(run.opened)
        if self._audit is not None:
            session.record(self._audit, error)

    def forked(self) -> None:
        """This is the child of a fork: operations of other threads are the parent's alone."""
        here = threading.get_ident()
        for session, run in list(self._running.items()):
            mine = run.thread == here
            if run.place is not None:
                run.place.forked(keep=mine)
            if not mine:
                del self._running[session]
                self._versions.give(run.opened)

    def _shut(self) -> list[Session] | None:
        """Close everything but what runs, which is returned; None where that was done before."""
        with self._lock:
            if self._closed:
                return None
            self._closed = True
            running = list(self._running)
            kept, self._kept = self._kept, None
        for session in running:
            session.cancel()
        if kept is not None:
            kept[1].instance.close()
        self._versions.close()
        for closer in self._closers:
            closer()
        return running

    def _advised(self, error: Error) -> Error:
        """A refused key gets the line that would set one."""
        refused = isinstance(error, ProviderError) and (
            error.status in (401, 403) or error.kind in ("authentication", "auth_error")
        )
        if refused and error.hint is None:
            error.hint = self._opened.advice.get("api_key")
        return error
