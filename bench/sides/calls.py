"""A plugin that is called: this package and its peer."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from bench.sides.side import Job, Side, payload


class Caller(Side, ABC):
    """The same jobs, each through what the package offers its users for it.

    `guest` is the file; `export` is called with `data` where given, else with a payload of the
    size that the request names.
    """

    def __init__(self, guest: str, export: str = "echo", data: str | None = None) -> None:
        self._guest = Path(guest)
        self._export = export
        self._data = data

    def _input(self, size: int) -> bytes:
        return payload(size) if self._data is None else self._data.encode()

    @abstractmethod
    def _compile(self) -> Any:
        """Load the module."""

    @abstractmethod
    def _instance(self, compiled: Any) -> Any:
        """An instance of it."""

    def load(self) -> Job:
        """Load the module: read it, look it up or compile it. No instance is made."""

        def job() -> None:
            self._compile()

        return job

    def cold(self, size: int = 11) -> Job:
        """Load the module, make an instance, call it."""
        data = self._input(size)
        return lambda: self._instance(self._compile()).call(self._export, data)

    def call(self, size: int = 11) -> Job:
        """One call of an instance that is kept."""
        plugin = self._instance(self._compile())
        return partial(plugin.call, self._export, self._input(size))

    @abstractmethod
    def fresh(self, size: int = 11) -> Job:
        """A new instance of the loaded module, one call, and its end."""


class Fumehood(Caller):
    """This package: default limits, so that fuel, deadline and memory are metered, and receipts.

    `pool` is the number of slots of its pool of memory, which it has for who asks for it.
    """

    def __init__(
        self, guest: str, export: str = "echo", data: str | None = None, pool: int = 0
    ) -> None:
        super().__init__(guest, export, data)
        self._pool = pool

    def imported(self) -> None:
        from fumehood.plugin import CompiledPlugin, Plugin

        if self._pool:
            from fumehood import pool_instances

            pool_instances(self._pool)
        self._class = Plugin
        self._load: Callable[[Path], Any] = CompiledPlugin.load

    def _compile(self) -> Any:
        return self._load(self._guest)

    def _instance(self, compiled: Any) -> Any:
        return self._class(compiled)

    def fresh(self, size: int = 11) -> Job:
        new, compiled = self._class, self._compile()
        export, data = self._export, self._input(size)

        def job() -> bytes:
            plugin = new(compiled)
            result: bytes = plugin.call(export, data)
            plugin.close()
            return result

        return job


class Copies(Side):
    """What a bulk call cannot do without: its input copied into a memory, its output out of it."""

    def imported(self) -> None:
        """Nothing is needed."""

    def call(self, size: int) -> Job:
        """Both copies, as the engine makes them."""
        data, memory = payload(size), memoryview(bytearray(size))

        def job() -> bytes:
            memory[:size] = data
            return memory[:size].tobytes()

        return job


class Extism(Caller):
    """The peer as it is installed, on libextism. It meters nothing by default."""

    def imported(self) -> None:
        import extism

        self._module = extism

        handle = extism.ValType.I64

        def unused(_plugin: Any, _given: Any, _results: Any) -> None:
            raise AssertionError("nothing is logged or sent")

        self._functions = [  # what provider plugins import
            extism.host_fn(name=name, namespace="extism:host/user", signature=([handle], results))(
                unused
            )
            for name, results in (("qmt_log", []), ("qmt_http_request", [handle]))
        ]

    def _compile(self) -> Any:
        manifest: dict[str, Any] = {"wasm": [{"path": str(self._guest)}]}
        if self._guest.suffix == ".wat":  # its manifest refuses a path to text
            manifest = {"wasm": [{"data": self._guest.read_bytes()}]}
        return self._module.extism.CompiledPlugin(manifest, wasi=True, functions=self._functions)

    def _instance(self, compiled: Any) -> Any:
        return self._module.Plugin(compiled)

    def fresh(self, size: int = 11) -> Job:
        new, compiled = self._module.Plugin, self._compile()
        export, data = self._export, self._input(size)

        def job() -> bytes:
            plugin = new(compiled)
            result: bytes = plugin.call(export, data)
            del plugin  # the package frees an instance when the object goes
            return result

        return job
