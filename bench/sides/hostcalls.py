"""A guest that calls a Python function of the host again and again."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any, Final

from bench.sides.side import Job, Side

GUEST: Final = Path(__file__).resolve().parent.parent / "guests" / "hostcall.wat"
EXPORT: Final = "run"
CALLS: Final = 1000
"""Calls of the host's function in one call of the guest's export."""
_USER: Final = "extism:host/user"


def add(left: int, right: int) -> int:
    """What every side offers its guest."""
    return left + right


class Fumehood(Side):
    """This package: fuel, deadline and the count of host calls on."""

    def imported(self) -> None:
        import fumehood.plugin

        self._module = fumehood.plugin

    def run(self) -> Job:
        """The export of a kept instance."""
        function = self._module.host_function()(add)
        plugin = self._module.Plugin(GUEST, functions=[function])
        return partial(plugin.call, EXPORT, b"")


class Extism(Side):
    """The peer, with a function of plain numbers."""

    def imported(self) -> None:
        import extism

        self._module = extism

    def run(self) -> Job:
        """The export of a kept instance."""
        extism = self._module
        number = extism.ValType.I64

        def function(_plugin: Any, given: Any, results: Any) -> None:
            results[0].value = given[0].value + given[1].value

        offered = extism.host_fn(
            name="add", namespace=_USER, signature=([number, number], [number])
        )(function)
        manifest = {"wasm": [{"data": GUEST.read_bytes()}]}
        plugin = extism.Plugin(manifest, wasi=True, functions=[offered])
        return partial(plugin.call, EXPORT, b"")


class Wasmtime(Side):
    """wasmtime-py as its documentation has it: no Extism, no metering."""

    def imported(self) -> None:
        import wasmtime

        self._module = wasmtime

    def run(self) -> Job:
        """The same export; it returns 0, here given as the others' empty output."""
        wasmtime = self._module
        engine = wasmtime.Engine()
        store, linker = wasmtime.Store(engine), wasmtime.Linker(engine)
        number = wasmtime.ValType.i64()
        linker.define_func(_USER, "add", wasmtime.FuncType([number, number], [number]), add)
        instance = linker.instantiate(store, wasmtime.Module(engine, GUEST.read_text()))
        export = instance.exports(store)[EXPORT]

        def job() -> bytes:
            assert export(store) == 0
            return b""

        return job
