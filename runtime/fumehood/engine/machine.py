"""The process's wasmtime engines: one that runs, one that only validates guests.

The kernel needs two memories, guests must not have them: a guest is validated alone, with
multi-memory and every other proposal that plugins do not need off, before it is compiled.
"""

from __future__ import annotations

import contextlib
import ctypes
import hashlib
import platform
from ctypes import byref, c_void_p
from typing import Any, Final, Protocol

import wasmtime

from fumehood import forks
from fumehood.engine import native
from fumehood.engine.artefact import Artefact
from fumehood.engine.ticker import Ticker
from fumehood.errors import HostError, LoadError

OFF: Final = (
    "threads",
    "tail_call",
    "function_references",
    "gc",
    "relaxed_simd",
    "memory64",
    "wide_arithmetic",
    "exceptions",
    "custom_page_sizes",
    "stack_switching",
    "component_model",
    "compact_imports",
)
"""Proposals no plugin toolchain needs. Fewer features, fewer advisories that reach us."""


_threaded = False


def use_threads() -> None:
    """Let engines that are made from now on compile with a thread for each core. For the compiler's
    own process: in others those threads are gone after a fork, and a compilation of the child's
    would wait for them for ever."""
    global _threaded  # noqa: PLW0603 - so is the pool of threads
    _threaded = True


def configuration(*, multi_memory: bool = False, off: tuple[str, ...] = OFF) -> wasmtime.Config:
    """An engine's configuration: metered and interruptible, the proposals in `off` are off."""
    config = wasmtime.Config()
    config.consume_fuel = True
    config.epoch_interruption = True
    config.parallel_compilation = _threaded
    for proposal in off:
        setter: Any = getattr(native.bindings, f"wasmtime_config_wasm_{proposal}_set", None)
        if setter is not None:  # a release that does not know a proposal has it off
            setter(config.ptr(), False)
    native.bindings.wasmtime_config_wasm_multi_memory_set(config.ptr(), multi_memory)
    # A memory that may not move lets the host keep its view of it (free: no bounds check is lost).
    native.bindings.wasmtime_config_memory_may_move_set(config.ptr(), False)
    return config


class Translator(Protocol):
    """What compiles one kind of file: modules or components."""

    @property
    def kind(self) -> str:
        """Its name, by which a compiler process finds it."""

    @property
    def fingerprint(self) -> str:
        """What an artefact depends on beside its file, as hex: release, platform, proposals."""

    def translate(self, wasm: bytes) -> bytes:
        """Validate and compile; the artefact. Raises LoadError."""

    def deserialize(self, artefact: Artefact) -> int | None:
        """The address of the code in bytes that were verified, None if this wasmtime cannot use
        them."""


class Machine:
    """The engines and the ticker. One a process, and one for its pool if it has one; they live as
    long as the process does."""

    kind = "module"

    def __init__(self, config: wasmtime.Config | None = None) -> None:
        self.engine = wasmtime.Engine(config or configuration(multi_memory=True))
        self._validator = wasmtime.Engine(configuration(multi_memory=False))
        native.check_call(self.engine)
        self.address = native.pointer(self.engine)
        self._validator_address = native.pointer(self._validator)
        self.ticker = Ticker(self.address)

    def validate(self, wasm: bytes) -> None:
        """Raise `LoadError` unless `wasm` is a core module that uses only what guests may."""
        failure = native.check(native.module_validate(self._validator_address, wasm, len(wasm)))
        if failure is not None:
            raise LoadError(
                f"the module is not valid: {one_line(failure)}",
                hint="it may be damaged, or need a Wasm proposal that is off here",
            )

    @property
    def fingerprint(self) -> str:
        """What an artefact depends on beside its module, as hex: release, platform, proposals."""
        facts = (native.version(), platform.system(), platform.machine(), *OFF, "fuel", "epoch")
        return hashlib.sha256("\0".join(facts).encode()).hexdigest()

    def translate(self, wasm: bytes) -> bytes:
        """Validate and compile a module of a guest's; the artefact."""
        self.validate(wasm)
        return bytes(wrap_module(self.compile(wasm)).serialize())

    def compile_guest(self, wasm: bytes) -> int:
        """Validate and compile a guest in this process; the caller owns the module."""
        self.validate(wasm)
        return self.compile(wasm)

    def deserialize(self, artefact: Artefact) -> int | None:
        """The compiled module in bytes that were verified, or None if this wasmtime cannot use
        them."""
        return artefact.load(
            self.address, native.module_deserialize_file, native.module_deserialize
        )

    def compile(self, wasm: bytes) -> int:
        """Compile; the caller owns the module behind the address."""
        module = c_void_p()
        failure = native.check(native.module_new(self.address, wasm, len(wasm), byref(module)))
        if failure is not None:
            raise LoadError(f"the module cannot be compiled: {one_line(failure)}")
        if module.value is None:
            raise HostError("wasmtime gave no module and no error")
        return module.value


def one_line(failure: native.Failure) -> str:
    """wasmtime's words for a failure, without line breaks."""
    lines = [line.strip() for line in failure.text.splitlines() if line.strip()]
    return ": ".join(line.removeprefix("0: ") for line in lines if line != "Caused by:")[:500]


_lock = forks.lock()
_machine: Machine | None = None


def machine() -> Machine:
    """The process's machine, built at the first use (some milliseconds)."""
    global _machine  # noqa: PLW0603 - one engine per process is the point: it owns the epoch
    if _machine is None:
        with _lock:
            if _machine is None:
                _machine = Machine()
    return _machine


def built() -> bool:
    """Whether it is."""
    return _machine is not None


def ready() -> None:
    """Build it where that works; where not, whoever asks for it is told."""
    with contextlib.suppress(Exception):
        machine()


def wrap_module(address: int) -> wasmtime.Module:
    """A wasmtime-py module that takes ownership of a compiled one, for reflection."""
    pointer: Any = ctypes.cast(address, ctypes.POINTER(native.bindings.wasmtime_module_t))
    module: wasmtime.Module = wasmtime.Module._from_ptr(pointer)
    return module
