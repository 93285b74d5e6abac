"""Who is measured, each in a process of its own: two wasmtimes in one disturb each other."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final, Protocol

EXPORT: Final = "echo"


class Side(Protocol):
    """The same three jobs, each through what the package offers its users for it."""

    def imported(self) -> None:
        """Import what a user of `Plugin` imports."""

    def load(self, guest: Path) -> None:
        """Load the module and make the instance that `call` uses."""

    def call(self, data: bytes) -> bytes:
        """One call of the kept instance."""

    def fresh(self, data: bytes) -> bytes:
        """A new instance of the loaded module, one call, and its end."""


class Fumehood:
    """This package: default limits, so that fuel, deadline and memory are metered, and receipts."""

    def imported(self) -> None:
        import fumehood.plugin  # noqa: F401  the import is the job

    def load(self, guest: Path) -> None:
        from fumehood.plugin import CompiledPlugin, Plugin

        self._class = Plugin
        self._compiled = CompiledPlugin.load(guest)
        self._plugin: Any = Plugin(self._compiled)

    def call(self, data: bytes) -> bytes:
        result: bytes = self._plugin.call(EXPORT, data)
        return result

    def fresh(self, data: bytes) -> bytes:
        plugin = self._class(self._compiled)
        result: bytes = plugin.call(EXPORT, data)
        plugin.close()
        return result


class Extism:
    """The peer as it is installed, on libextism. It meters nothing by default."""

    def imported(self) -> None:
        import extism  # noqa: F401  the import is the job

    def load(self, guest: Path) -> None:
        import extism

        self._module = extism
        manifest: dict[str, Any] = {"wasm": [{"path": str(guest)}]}
        if guest.suffix == ".wat":  # its manifest refuses a path to text
            manifest = {"wasm": [{"data": guest.read_bytes()}]}
        self._compiled = extism.extism.CompiledPlugin(manifest, wasi=True, functions=[])
        self._plugin: Any = extism.Plugin(self._compiled)

    def call(self, data: bytes) -> bytes:
        result: bytes = self._plugin.call(EXPORT, data)
        return result

    def fresh(self, data: bytes) -> bytes:
        plugin = self._module.Plugin(self._compiled)
        result: bytes = plugin.call(EXPORT, data)
        del plugin  # the package frees an instance when the object goes
        return result


SIDES: Final[dict[str, type[Side]]] = {"fumehood": Fumehood, "extism": Extism}
