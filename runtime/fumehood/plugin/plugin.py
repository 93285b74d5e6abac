"""`Plugin`: any Extism plugin, called with bytes."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Final

from fumehood import arguments
from fumehood.egress.policy import Grant
from fumehood.engine import ExportInfo, GoneError, ImportInfo
from fumehood.errors import ClosedError, ProtocolError, UsageError
from fumehood.imports import PluginLog, Services, VarStore
from fumehood.limits import DEFAULT_LIMITS, Limits, Receipt
from fumehood.meter import Meter
from fumehood.plugin.compiled import CompiledPlugin
from fumehood.plugin.functions import HostFunction, as_imports
from fumehood.plugin.linking import link_manifest
from fumehood.plugin.manifest import Manifest, Source, read

if TYPE_CHECKING:
    from types import TracebackType

    from fumehood.egress.client import Client

PAGE: Final = 65536
_NO_MANIFEST: Final = Manifest(modules=())
_NO_HOSTS: Final = Grant.extism(())
REDIRECTS: Final = 10
"""Redirects that `http_request` follows, each decided and dialled anew (extism-abi.md §3.5)."""
_LONGEST: Final = 1e8
"""Seconds: a manifest's u64 of milliseconds may be more than a socket takes for a timeout."""
_MOST: Final = (1 << 63) - 1


class Plugin:
    """An Extism plugin in a sandbox of its own; keeps its instance between calls.

    `source` is a module (bytes or WAT), a path, or an Extism manifest in any of its forms
    (extism-abi.md §3.1). `config`, `allowed_hosts` and `allowed_paths` are added to what the
    manifest says. Every limit is finite by default; a manifest may only lower `limits`, given or
    not. Calls from several threads are serialised. A `source` that is compiled already brings its
    own functions, WASI and folders. With `response_headers` guests may read reply headers (§3.5);
    `log` replaces the log under `fumehood.plugin`.

    Raises ManifestError for a manifest, LoadError for a module that cannot be used.
    """

    def __init__(
        self,
        source: Source | CompiledPlugin,
        *,
        wasi: bool = True,
        config: Mapping[str, str | None] | None = None,
        functions: Iterable[HostFunction] = (),
        allowed_hosts: Iterable[str] = (),
        allowed_paths: Mapping[str, str] | None = None,
        limits: Limits | None = None,
        name: str | None = None,
        log: PluginLog | None = None,
        response_headers: bool = False,
    ) -> None:
        self._client: Client | None = None
        self._meter: Meter | None = None
        self._closed = False
        if limits is not None:
            arguments.instance(limits, Limits, "limits")
        if name is not None:
            arguments.text(name, "name")
        if log is not None:
            arguments.instance(log, PluginLog, "log")
        if isinstance(source, CompiledPlugin):
            manifest = _NO_MANIFEST
            self._compiled, self._owns = source, False
            self.name = name or source.name
        else:
            manifest = read(source)
            self.name = name or _name_of(source)
            self._compiled, self._owns = (
                link_manifest(
                    manifest,
                    name=self.name,
                    functions=as_imports(functions),
                    wasi=wasi,
                    allowed_paths=allowed_paths,
                ),
                True,
            )
        self.sha256 = self._compiled.sha256
        """Of the main module, in hex."""
        self.limits = effective_limits(manifest, limits or DEFAULT_LIMITS)
        given = arguments.texts(allowed_hosts, "allowed_hosts")
        hosts = [*(manifest.allowed_hosts or ()), *given]
        self._services = Services(
            name=self.name,
            config=merged_config(manifest.config, config),
            vars=VarStore(self.limits.var_bytes),
            log=log or PluginLog(self.name),
            response_headers=response_headers,
            client=self._http() if hosts else None,
            grant=Grant.extism(hosts) if hosts else _NO_HOSTS,
            follow=REDIRECTS,
        )
        self._instance = self._compiled.instance(self._services, self.limits, renew=True)

    def _http(self) -> Client:
        if self._client is None:
            # a plugin without network does not pay for loading the HTTP client (measured: ~100 ms)
            from fumehood.egress.client import Client

            self._client = Client()
        return self._client

    # -- calling --------------------------------------------------------------------------

    def call(
        self,
        export: str,
        data: bytes | bytearray | memoryview | str = b"",
        *,
        context: object = None,
    ) -> bytes:
        """Call `export` with `data` (text is sent as UTF-8) and return its output.

        `context` is handed to host functions as `HostCall.context`. Raises the errors of
        `fumehood.errors`, each with its receipt; after a trap, timeout, cancellation or exit the
        next call starts with a fresh instance, vars and config kept.
        """
        if data.__class__ is not bytes:
            data = _as_bytes(data)
        meter = Meter(self.limits, self.name, self.sha256, export)
        instance = self._instance
        ready = instance.ready
        try:
            if ready is None:
                return self._call(export, data, meter, context)
            try:
                return ready.call(export, data, meter, context)
            except GoneError as gone:
                if gone.whose != id(ready):  # a host function let another sandbox's error pass
                    instance.settle()
                    raise
                return self._call(export, data, meter, context)
            except BaseException:
                instance.settle()
                raise
        except (TypeError, ProtocolError):
            arguments.text(export, "the name of an export")  # one that is not found, if it is none
            raise
        finally:
            self._meter = meter

    def _call(self, export: str, data: bytes, meter: Meter, context: object) -> bytes:
        """The long way: the instance may have to be made first."""
        if self._closed:
            raise ClosedError("the plugin is closed", plugin=self.name)
        return self._instance.call(export, data, meter, context)

    def has(self, export: str) -> bool:
        """Whether `export` can be called: a function with no parameters and at most one i32."""
        return self._compiled.has(arguments.text(export, "the name of an export"))

    def cancel(self) -> None:
        """Stop the call that is under way, from any thread. Without one this does nothing."""
        self._instance.cancel()

    def reset(self) -> None:
        """Forget the instance; the next call starts with a fresh one. Vars and config stay."""
        self._instance.reset()

    # -- facts ----------------------------------------------------------------------------

    @property
    def exports(self) -> dict[str, ExportInfo]:
        """Exports of the main module by name."""
        return self._compiled.exports

    @property
    def imports(self) -> list[ImportInfo]:
        """Imports of the main module."""
        return self._compiled.imports

    @property
    def compiled(self) -> CompiledPlugin:
        """The compiled code; further plugins can be made from it."""
        return self._compiled

    @property
    def last_receipt(self) -> Receipt | None:
        """What the last finished call used; None before the first."""
        return None if self._meter is None else self._meter.receipt()

    # -- the end --------------------------------------------------------------------------

    def close(self) -> None:
        """Free instance, code and connections. Idempotent; calls raise ClosedError afterwards."""
        if self._closed:
            return
        self._closed = True
        self._instance.close()
        if self._owns:
            self._compiled.close()
        if self._client is not None:
            self._client.close()

    def __enter__(self) -> Plugin:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


def _as_bytes(data: object) -> bytes:
    if isinstance(data, str):
        try:
            return data.encode()
        except UnicodeEncodeError as problem:
            raise UsageError("the input holds a lone surrogate: not text") from problem
    if not isinstance(data, bytes | bytearray | memoryview):
        raise UsageError(f"the input must be bytes or str, not {type(data).__name__}")
    return bytes(data)  # a view may count items that are wider than a byte


def _name_of(source: object) -> str:
    if isinstance(source, os.PathLike):
        return Path(source).stem
    if isinstance(source, str) and len(source) < 1024 and source.endswith((".wasm", ".wat")):
        return Path(source).stem
    return "plugin"


def merged_config(base: Mapping[str, str], over: Mapping[str, str | None] | None) -> dict[str, str]:
    """`over` laid over `base`; None removes a key. Raises UsageError for values that are not
    text."""
    if over is not None and not isinstance(over, Mapping):
        raise UsageError(f"config must be a mapping, not {type(over).__name__}")
    merged = dict(base)
    for key, value in (over or {}).items():
        if value is None:
            merged.pop(key, None)
        elif isinstance(key, str) and isinstance(value, str):
            merged[key] = value
        else:
            raise UsageError(f"config[{key!r}] must be text, not {type(value).__name__}")
    return merged


def effective_limits(manifest: Manifest, limits: Limits | None) -> Limits:
    """The limits of a plugin. A manifest only ever lowers `limits`; where there are none (the
    Extism face, whose callers write manifests to set them) its words replace the defaults."""
    base = limits or DEFAULT_LIMITS
    said: dict[str, float | int] = {}
    if manifest.timeout_ms is not None:
        said["deadline"] = min(manifest.timeout_ms / 1000, _LONGEST)
    memory = manifest.memory
    if memory.max_pages is not None:
        said["memory"] = memory.max_pages * PAGE
    if memory.max_http_response_bytes is not None:
        said["response_bytes"] = min(memory.max_http_response_bytes, _MOST)
    if memory.max_var_bytes is not None:
        said["var_bytes"] = min(memory.max_var_bytes, _MOST)
    if not said:
        return base
    wanted = base.replace(**said)
    return wanted if limits is None else wanted.clamp(limits)
