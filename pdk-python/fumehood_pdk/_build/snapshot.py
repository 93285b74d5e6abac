"""Runs a module's initialisation once and keeps the result: a new module that begins where that one had come to.

Pure Python over wasmtime. Deterministic: the world during the run is `world.World`, and what is kept is memory and
globals, nothing else.
"""

from __future__ import annotations

import functools
import importlib
import re
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from fumehood_pdk._build.failure import BuildError
from fumehood_pdk._build.wasmfile import Export, Module, constant
from fumehood_pdk._build.world import Exited, World

WASI: Final = "wasi_snapshot_preview1"
INITIALISERS: Final = ("_initialize", "fumehood.snapshot")
_STACK_POINTER: Final = "__stack_pointer"
_GLOBAL: Final = "fumehood.global."
_PAGE: Final = 65536
_RUNS: Final = re.compile(rb"[^\0](?:\0{0,31}[^\0]+)*")
"""What is not zero; a gap of up to 31 zeros costs less than a segment of its own."""
_SECONDS: Final = 300
_THREAD_STACK: Final = 16 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The new module and what the guest wrote on standard output during the run."""

    module: Module
    output: bytes
    pages: int


class Stopped(Exception):
    """The run ended early; `output` and `errors` are what the guest wrote."""

    def __init__(self, message: str, output: bytes, errors: str) -> None:
        super().__init__(message)
        self.output = output
        self.errors = errors


def take(runtime: bytes, files: Mapping[str, bytes]) -> Snapshot:
    """Run the initialisers of `runtime` over `files` and keep what has become of it.

    Raises Stopped when the guest exits or traps, BuildError when wasmtime is missing or the run takes five minutes.
    """
    module = Module(runtime)
    kept = [index for index, item in enumerate(module.globals) if item.mutable]
    exports = module.exports
    module.exports = exports + [Export(f"{_GLOBAL}{index}", 3, index) for index in kept]
    world = World(files)
    machine = _Machine(module.encode(), world)
    machine.run()
    values = {index: machine.number(f"{_GLOBAL}{index}") for index in kept}

    data = machine.memory()
    before, after = machine.stack
    if before == after:
        data = bytes(after) + data[after:]  # the stack lies below its pointer, and nothing on it is alive
    segments = [(found.start(), found.group()) for found in _RUNS.finditer(data)]
    globals_ = module.globals
    for index in kept:
        globals_[index].init = constant(globals_[index].type, values[index])
    module.globals = globals_
    module.exports = [item for item in exports if item.name not in (*INITIALISERS, _STACK_POINTER)]
    module.memory(len(data) // _PAGE, segments)
    return Snapshot(module, bytes(world.output[1]), len(data) // _PAGE)


class _Machine:
    """The one instance of a run."""

    def __init__(self, wasm: bytes, world: World) -> None:
        wasmtime = _wasmtime()
        self._world = world
        self._wasmtime = wasmtime
        self._engine, compiled = _compiled(wasm)
        self._store = wasmtime.Store(self._engine)
        self._store.set_epoch_deadline(1)
        linker = wasmtime.Linker(self._engine)
        for item in compiled.imports:
            function = world.function(item.name) if item.module == WASI else _no_host(f"{item.module}::{item.name}")
            linker.define_func(item.module, item.name, item.type, function)
        self._names = {item.name for item in compiled.exports}
        self._exports: Any = linker.instantiate(self._store, compiled).exports(self._store)
        self._memory = self._exports["memory"]
        world.read = lambda at, length: bytes(self._memory.read(self._store, at, at + length))
        world.write = lambda at, data: self._memory.write(self._store, data, at)
        self.stack = (0, 0)

    def run(self) -> None:
        """The initialisers, in a thread of its own: Ctrl-C and a time limit then work."""
        before = self.number(_STACK_POINTER)
        failure: list[BaseException] = []

        def work() -> None:
            try:
                for name in INITIALISERS:
                    if name in self._names:
                        self._exports[name](self._store)
            except BaseException as problem:  # noqa: BLE001 - handed to the thread that waits
                failure.append(problem)

        previous = threading.stack_size(_THREAD_STACK)
        thread = threading.Thread(target=work, daemon=True)
        try:
            thread.start()
        finally:
            threading.stack_size(previous)
        try:
            thread.join(_SECONDS)
        finally:
            late = thread.is_alive()
            self._engine.increment_epoch()
            thread.join()
        if late:
            raise BuildError(f"importing the plugin took more than {_SECONDS} s", "what runs at import must end")
        if failure:
            self._stopped(failure[0])
        self.stack = (before, self.number(_STACK_POINTER))

    def _stopped(self, problem: BaseException) -> None:
        output = bytes(self._world.output[1])
        errors = self._world.output[2].decode("utf-8", "replace").strip()
        if isinstance(problem, Exited):
            raise Stopped(str(problem), output, errors) from None
        if isinstance(problem, self._wasmtime.WasmtimeError | self._wasmtime.Trap):
            raise Stopped(str(problem).strip().splitlines()[-1].strip(), output, errors) from None
        raise problem

    def number(self, name: str) -> Any:
        """The value of an exported global."""
        return self._exports[name].value(self._store)

    def memory(self) -> bytes:
        """All of the memory."""
        return bytes(self._memory.read(self._store, 0, self._memory.data_len(self._store)))


def _wasmtime() -> Any:
    try:
        return importlib.import_module("wasmtime")
    except ImportError:
        raise BuildError("wasmtime is not installed", "pip install './pdk-python[build]'") from None


@functools.lru_cache(maxsize=1)
def _compiled(wasm: bytes) -> tuple[Any, Any]:
    """An engine and the module; the interpreter is the same for every plugin that a process builds."""
    wasmtime = _wasmtime()
    config = wasmtime.Config()
    config.cranelift_opt_level = "none"  # it runs once: compiling is what takes time
    config.cranelift_nan_canonicalization = True  # NaN has the same bits on every processor
    config.epoch_interruption = True
    engine = wasmtime.Engine(config)
    return engine, wasmtime.Module(engine, wasm)


def _no_host(name: str) -> Any:
    def missing(*_arguments: Any) -> Any:
        raise RuntimeError(f"{name} was called while the plugin was built: there is no host yet")

    return missing
