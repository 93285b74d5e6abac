"""The engine of components. Apart from the engine of modules, where the component model is off:
who opens no component pays for neither its code nor its advisories."""

from __future__ import annotations

import hashlib
from ctypes import byref, c_void_p
from typing import Final

import wasmtime

from fumehood import forks
from fumehood.engine import native
from fumehood.engine import native_component as raw
from fumehood.engine.artefact import Artefact
from fumehood.engine.machine import OFF, configuration, machine, one_line
from fumehood.engine.ticker import Ticker
from fumehood.errors import HostError, LoadError

_ALSO_OFF: Final = (
    "component_model_async",
    "component_model_more_async_builtins",
    "component_model_async_stackful",
    "component_model_map",
    "component_model_implements",
    "component_model_canonical_names",
    "component_model_accessors",
)
_COMPONENTS_OFF: Final = (*(name for name in OFF if name != "component_model"), *_ALSO_OFF)


class ComponentMachine:
    """The engine and its ticker. One a process, made with the first component."""

    kind = "component"

    def __init__(self) -> None:
        self.engine = wasmtime.Engine(configuration(off=_COMPONENTS_OFF))
        self.address = native.pointer(self.engine)
        raw.check_call(self.engine)
        self.ticker = Ticker(self.address)

    @property
    def fingerprint(self) -> str:
        """As `Machine.fingerprint`."""
        facts = (machine().fingerprint, "component", *_COMPONENTS_OFF)
        return hashlib.sha256("\0".join(facts).encode()).hexdigest()

    def translate(self, wasm: bytes) -> bytes:
        """The artefact of a component. Raises LoadError where it is not valid."""
        component = self._compile(wasm)
        try:
            artefact = raw.serialize(component)
        finally:
            raw.component_delete(component)
        if isinstance(artefact, native.Failure):
            raise HostError(f"a compiled component cannot be kept: {artefact.root()}")
        return artefact

    def _compile(self, wasm: bytes) -> int:
        component = c_void_p()
        error = raw.component_new(self.address, wasm, len(wasm), byref(component))
        failure = native.check(error)
        if failure is not None:
            raise LoadError(
                f"the component is not valid: {one_line(failure)}",
                hint="it may be damaged, or need a Wasm proposal that is off here",
            )
        if component.value is None:
            raise HostError("wasmtime gave no component and no error")
        return component.value

    def deserialize(self, artefact: Artefact) -> int | None:
        """As `Machine.deserialize`."""
        return artefact.load(
            self.address, raw.component_deserialize_file, raw.component_deserialize
        )


_lock = forks.lock()
_machine: ComponentMachine | None = None


def component_machine() -> ComponentMachine:
    """The process's machine for components, built at the first use."""
    global _machine  # noqa: PLW0603 - one engine per process is the point: it owns the epoch
    if _machine is None:
        with _lock:
            if _machine is None:
                _machine = ComponentMachine()
    return _machine
