"""`Registry`: the providers of a plugins.toml (spec/api.md)."""

from __future__ import annotations

import difflib
import os
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

from fumehood import arguments, forks
from fumehood.engine.pooling import pool_instances
from fumehood.errors import ClosedError, ConfigError
from fumehood.limits import Limits
from fumehood.provider import bundled, file, keys
from fumehood.provider.audit import Audit, Settings
from fumehood.provider.file import Entry, PluginsFile
from fumehood.provider.network import given
from fumehood.provider.opening import Spec, make_client
from fumehood.provider.pool import Pool
from fumehood.provider.provider import Provider, open_spec
from fumehood.provider.runtime import Client

if TYPE_CHECKING:
    from fumehood.provider.aprovider import AsyncProvider, Opening


class Registry:
    """The entries of one file. Nothing is loaded before it is opened.

    Without any file, and for names that the file has not, the bundled plugins can be opened by
    their own names.
    """

    def __init__(
        self,
        path: str | os.PathLike[str] | None = None,
        *,
        ceiling: Limits = Limits(),  # noqa: B008 - frozen
        audit: str | os.PathLike[str] | Mapping[str, Any] | None = None,
        pool: Pool | None = None,
        network: Mapping[str, Any] | None = None,
    ) -> None:
        """Read `path`; None: $FUMEHOOD_CONFIG, ./plugins.toml (`providers.*` too), the platform's
        config folder. `ceiling` is what no entry can go beyond. `audit` is a file that gets one
        JSON line for each call, or a table of `path` and `sync`, as the file's own `audit` is,
        which it replaces. `pool` bounds the instances that live at once and is fair to its
        plugins; without one there is the process's own. `network` replaces the file's
        `[network]`.

        Raises ConfigError for what concerns the file as a whole; UsageError where its
        `[runtime]` asks for a pool of memory and the process has one of another size.
        """
        found = file.find(path, keys.config_variable(file.VARIABLE))
        self._file = file.read(found) if found is not None else PluginsFile(None, {})
        if self._file.pooled_instances is not None:
            pool_instances(self._file.pooled_instances)
        self._ceiling = ceiling
        self._network = self._file.network if network is None else given(network)
        self._pool = pool
        self._lock = forks.lock()
        self._client: Client | None = None
        self._closed = False
        chosen = self._file.audit if audit is None else Settings.parse(audit, Path.cwd())
        self._audit = Audit(chosen) if chosen is not None else None

    @property
    def path(self) -> str | None:
        """The file that was read."""
        return str(self._file.path) if self._file.path else None

    @property
    def names(self) -> list[str]:
        """The names of all entries, in the file's order, usable or not."""
        return list(self._file.entries)

    def entry(self, name: str) -> Entry:
        """The entry called `name`. Raises ConfigError for an unknown name and for an entry that
        cannot be used."""
        entry = self._file.entries.get(arguments.text(name, "name"))
        if entry is None:
            if name in bundled.names():
                return Entry(name, f"{bundled.PREFIX}{name}")
            known = [*self._file.entries, *bundled.names()]
            near = difflib.get_close_matches(name, known, 1, 0.5)
            where = self.path or "no configuration file"
            raise ConfigError(
                f"no provider is called {name!r} ({where})",
                hint=f"did you mean {near[0]!r}?" if near else f"known: {', '.join(known)}",
            )
        if isinstance(entry, ConfigError):
            raise ConfigError(
                entry.message, problems=entry.problems, plugin=entry.plugin, hint=entry.hint
            )
        return entry

    def spec(self, name: str, **overrides: Any) -> Spec:
        """What `open` opens: the entry, its limits below the ceiling, `overrides` over its
        config. The overrides are the operator's words as much as the file is."""
        entry = self.entry(name)
        path = self._file.path
        return Spec(
            plugin=entry.plugin,
            name=entry.name,
            sha256=entry.sha256,
            config={**entry.config, **overrides},
            secrets=entry.secrets,
            private=entry.private,
            ports=entry.ports,
            clock_step=entry.clock_step,
            limits=entry.limits_below(self._ceiling),
            folder=path.parent.absolute() if path else None,
        )

    def open(self, name: str, **overrides: Any) -> Provider:
        """Open the provider called `name`; `overrides` replace keys of its config.

        Where the plugin's file is replaced, later operations run on the new one; those under way,
        streams too, end on the old one. A new file that cannot be used is logged and passed over.
        Raises ConfigError for the entry, and everything that `Provider.open` raises.
        """
        return open_spec(
            Provider,
            self.spec(name, **overrides),
            client=self._shared_client(),
            audit=self._audit,
            pool=self._pool,
            watch=True,
        )

    def aopen(self, name: str, **overrides: Any) -> Opening[AsyncProvider]:
        """`open` for event loops: `await` it, or use it with `async with`."""
        from fumehood.provider.aprovider import AsyncProvider, Opening, open_async

        async def make() -> AsyncProvider:
            return await open_async(
                AsyncProvider,
                self.spec(name, **overrides),
                client=self._shared_client(),
                network=self._network,
                audit=self._audit,
                pool=self._pool,
                watch=True,
            )

        return Opening(make)

    def close(self) -> None:
        """Close the connections and the audit file; providers of this registry end with it."""
        with self._lock:
            self._closed = True
            client, self._client = self._client, None
        if client is not None:
            client.close()
        if self._audit is not None:
            self._audit.close()

    def __enter__(self) -> Registry:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def _shared_client(self) -> Client:
        with self._lock:
            if self._closed:
                raise ClosedError("the registry was closed")
            if self._client is None:
                self._client = make_client(self._network)
            return self._client
