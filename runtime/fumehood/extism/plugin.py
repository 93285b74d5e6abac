"""`Plugin`, `CompiledPlugin` and `CancelHandle` of the Extism face (extism-abi.md §4.1).

A thin layer: what runs is `fumehood.plugin.Plugin`, with the package's names, defaults and habits.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from sys import is_finalizing
from typing import TYPE_CHECKING, Any, Final
from uuid import UUID, uuid4

from fumehood import plugin as native
from fumehood.engine import ExportInfo
from fumehood.errors import ClosedError, Error, PluginError
from fumehood.extism.functions import HOST_FN_REGISTRY, Function
from fumehood.extism.logs import plugin_log
from fumehood.extism.types import UsageTypeError
from fumehood.limits import Limits, Receipt
from fumehood.plugin.functions import as_imports
from fumehood.plugin.linking import link_manifest
from fumehood.plugin.manifest import Manifest, Source, read
from fumehood.plugin.plugin import effective_limits, merged_config

if TYPE_CHECKING:
    from types import TracebackType

Functions = Iterable["Function | native.HostFunction"] | None

_FREED: Final = -1
"""What the package's `plugin` and `pointer` attributes are once they are given up."""


class CompiledPlugin:
    """A manifest's modules, compiled and linked with their host functions; makes any number of
    plugins. `close()` it, use `with`, or let it go.

    `pointer` is the native compiled plugin, and -1 once closed. With `untrusted=True` the
    manifest may not name paths, URLs or folders. Raises ManifestError and LoadError.
    """

    def __init__(
        self,
        plugin: Source,
        wasi: bool = False,
        functions: Functions = HOST_FN_REGISTRY,
        *,
        untrusted: bool = False,
    ) -> None:
        self.pointer: Any = _FREED
        self.functions = functions
        self.manifest: Manifest = read(plugin, untrusted=untrusted)
        self.pointer = link_manifest(self.manifest, functions=as_imports(functions), wasi=wasi)

    @property
    def exports(self) -> dict[str, ExportInfo]:
        """Exports of the main module by name."""
        exports: dict[str, ExportInfo] = self._native().exports
        return exports

    def _native(self) -> Any:
        if self.pointer == _FREED:
            raise ClosedError("compiled plugin is closed")
        return self.pointer

    def close(self) -> None:
        """Free what linking made; plugins made before live on. Idempotent."""
        pointer, self.pointer = self.pointer, _FREED
        if pointer != _FREED:
            pointer.close()

    def __del__(self, _ending: Callable[[], bool] = is_finalizing) -> None:
        if hasattr(self, "pointer") and not _ending():  # then modules below may be gone already
            self.close()

    def __enter__(self) -> CompiledPlugin:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


class CancelHandle:
    """Stops a plugin's call from any thread."""

    def __init__(self, ptr: Any) -> None:
        self.pointer = ptr

    def cancel(self) -> bool:
        """Stop the call under way; it raises Cancelled. Without one this has no effect, nor has it
        on later calls. False once the plugin is closed."""
        target: Plugin = self.pointer
        if target.plugin == _FREED:
            return False
        target.plugin.cancel()
        return True


class Plugin:
    """An Extism plugin.

    `plugin` is a module, WAT, a manifest in any form, a path to one of these, or a
    `CompiledPlugin`, whose `wasi` and `functions` then count. `config` is laid over the
    manifest's, None removes a key. `functions` defaults to every `host_fn` of the process; None is
    none; those of `fumehood.host_function` are taken too.

    Every limit is finite; `limits` changes them, a manifest's `timeout_ms` and `memory` replace
    defaults and lower `limits`. `http_response_headers` lets guests read reply headers.
    Raises ManifestError, LoadError and UsageError; each is an `Error`.
    """

    def __init__(
        self,
        plugin: Source | CompiledPlugin,
        wasi: bool = False,
        config: Mapping[str, str | None] | None = None,
        functions: Functions = HOST_FN_REGISTRY,
        *,
        limits: Limits | None = None,
        http_response_headers: bool = False,
    ) -> None:
        self.plugin: Any = _FREED
        self._owns_compiled_plugin = not isinstance(plugin, CompiledPlugin)
        compiled = (
            plugin
            if isinstance(plugin, CompiledPlugin)
            else CompiledPlugin(plugin, wasi, functions)
        )
        self.compiled_plugin: CompiledPlugin | None = compiled
        self._id = uuid4()
        manifest = compiled.manifest
        self.plugin = native.Plugin(
            compiled._native(),
            config=merged_config(manifest.config, config),
            allowed_hosts=manifest.allowed_hosts or (),
            limits=_limits(manifest, limits),
            log=plugin_log(str(self._id)),
            response_headers=http_response_headers,
        )

    @property
    def id(self) -> UUID:
        """A random id of this plugin; log lines carry it."""
        return self._id

    def call(
        self,
        function_name: str,
        data: str | bytes | bytearray | memoryview = b"",
        parse: Callable[[bytes], Any] | None = bytes,
        host_context: Any = None,
    ) -> Any:
        """Call an export and return `parse(output)`; with `parse=None` the output itself.

        Text is sent as UTF-8. The output is a copy that later calls leave alone. `host_context` is
        the object that `CurrentPlugin.host_context` gives to host functions during this call.

        Raises an `Error` whose class tells the cause: PluginError for what the guest reports, Trap,
        Exit, Timeout, OutOfFuel, OutOfMemory, Cancelled, HostFunctionError … After a trap, timeout,
        cancellation or exit the next call starts with a fresh instance; vars and config stay.
        """
        if not isinstance(data, str | bytes | bytearray | memoryview):
            raise UsageTypeError(f"the input must be str or bytes, not {type(data).__name__}")
        output = self._native().call(function_name, data, context=host_context)
        return output if parse is None else parse(output)

    def function_exists(self, name: str) -> bool:
        """Whether `name` is an exported function without parameters and with at most one i32."""
        found: bool = self._native().has(name)
        return found

    def cancel_handle(self) -> CancelHandle:
        """What stops a call of this plugin from another thread."""
        return CancelHandle(self)

    def reset(self) -> None:
        """Drop the instance: the next call starts with fresh memory. Vars and config stay."""
        self._native().reset()

    @property
    def exports(self) -> dict[str, ExportInfo]:
        """Exports of the main module by name."""
        exports: dict[str, ExportInfo] = self._native().exports
        return exports

    @property
    def last_receipt(self) -> Receipt | None:
        """What the last call used: fuel, time, memory. None before the first."""
        receipt: Receipt | None = self._native().last_receipt
        return receipt

    def _native(self) -> Any:
        if self.plugin == _FREED:
            raise ClosedError("plugin is closed")
        return self.plugin

    def _check_error(self, rc: int) -> None:
        if rc != 0:
            raise PluginError(f"Error code: {rc}", rc=rc)

    def close(self) -> None:
        """Free the instance, and the compiled code if it is this plugin's own. Idempotent; later
        use raises ClosedError."""
        plugin, self.plugin = self.plugin, _FREED
        if plugin != _FREED:
            plugin.close()
        if self._owns_compiled_plugin and self.compiled_plugin is not None:
            self.compiled_plugin.close()
            self.compiled_plugin = None

    def __del__(self, _ending: Callable[[], bool] = is_finalizing) -> None:
        if hasattr(self, "compiled_plugin") and not _ending():
            self.close()

    def __enter__(self) -> Plugin:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


def _limits(manifest: Manifest, limits: Limits | None) -> Limits:
    """A manifest that sets a time means all of it: guest time and fuel make room for it."""
    found = effective_limits(manifest, limits)
    if manifest.timeout_ms is None or limits is not None:
        return found
    default = Limits()
    scale = max(1.0, found.deadline / default.guest_time)
    assert default.fuel is not None
    return found.replace(
        guest_time=max(default.guest_time, found.deadline), fuel=int(default.fuel * scale)
    )


__all__ = ["CancelHandle", "CompiledPlugin", "Error", "Plugin"]
