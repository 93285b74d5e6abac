"""The smallest host that can drive a Python plugin, straight over wasmtime: Extism's kernel as one
run of bytes, the bulk descriptor by hand (docs/wire.md). What it shows is the guest's own doing."""

from __future__ import annotations

import struct
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import wasmtime

MAGIC: Final = 0x31424846
_WORDS: Final = struct.Struct("<8I")
_NOT_THERE: Final = 52


@dataclass(slots=True)
class Answer:
    """What a call came to: its return code, and what the kernel was told (None: nothing)."""

    code: int
    output: bytes | None
    error: bytes | None


@dataclass(slots=True)
class _Kernel:
    """Blocks by address, in one run of bytes of which none is ever freed."""

    data: bytearray = field(default_factory=lambda: bytearray(8))
    lengths: dict[int, int] = field(default_factory=dict)
    input: bytes = b""
    output: bytes | None = None
    error: bytes | None = None

    def block(self, at: int) -> bytes:
        return bytes(self.data[at : at + self.lengths.get(at, 0)])

    def alloc(self, length: int) -> int:
        at = len(self.data)
        self.data += bytes(length)
        self.lengths[at] = length
        return at

    def load(self, source: bytes | bytearray, at: int, size: int) -> int:
        return int.from_bytes(source[at : at + size], "little")

    def store(self, at: int, value: int, size: int) -> None:
        self.data[at : at + size] = (value & ((1 << 8 * size) - 1)).to_bytes(size, "little")

    def function(self, name: str) -> Any:
        def set_output(at: int, length: int) -> None:
            self.output = bytes(self.data[at : at + length])

        def set_error(at: int) -> None:
            self.error = self.block(at)

        return {
            "alloc": self.alloc,
            "length": lambda at: self.lengths.get(at, 0),
            "input_length": lambda: len(self.input),
            "input_load_u8": lambda at: self.load(self.input, at, 1),
            "input_load_u64": lambda at: self.load(self.input, at, 8),
            "load_u8": lambda at: self.load(self.data, at, 1),
            "load_u64": lambda at: self.load(self.data, at, 8),
            "store_u8": lambda at, value: self.store(at, value, 1),
            "store_u64": lambda at, value: self.store(at, value, 8),
            "output_set": set_output,
            "error_set": set_error,
        }.get(name, lambda *_arguments: None)


class Driver:
    """One instance of a plugin."""

    def __init__(self, engine: wasmtime.Engine, module: wasmtime.Module) -> None:
        self._kernel = _Kernel()
        self._store = wasmtime.Store(engine)
        linker = wasmtime.Linker(engine)
        linker.allow_shadowing = True  # `length` stands there twice
        for item in module.imports:
            name = item.name or ""
            wasi = item.module == "wasi_snapshot_preview1"
            function = self._wasi(name) if wasi else self._kernel.function(name)
            linker.define_func(item.module, name, item.type, function)
        self._exports: Any = linker.instantiate(self._store, module).exports(self._store)
        self._memory = self._exports["memory"]
        self.at: int = self._exports["fumehood_bulk"].value(self._store)

    def _wasi(self, name: str) -> Any:
        def random_get(at: int, length: int) -> int:
            self.write(at, bytes(length))
            return 0

        return random_get if name == "random_get" else lambda *_arguments: _NOT_THERE

    def read(self, at: int, length: int) -> bytes:
        return bytes(self._memory.read(self._store, at, at + length))

    def write(self, at: int, data: bytes) -> None:
        self._memory.write(self._store, data, at)

    @property
    def words(self) -> tuple[int, ...]:
        """magic, host, capacity, buffer, input, output, output length, reserved."""
        return _WORDS.unpack(self.read(self.at, _WORDS.size))

    def set(self, word: int, value: int) -> None:
        """Write a word of the descriptor."""
        self.write(self.at + 4 * word, struct.pack("<I", value))

    def reserve(self, size: int) -> int:
        """`fumehood_reserve`; sizes and addresses are unsigned."""
        signed = size - (1 << 32) if size >> 31 else size
        return int(self._exports["fumehood_reserve"](self._store, signed)) & 0xFFFFFFFF

    def hand_over(self, data: bytes) -> None:
        """Put the next input into a buffer that is reserved for it."""
        self.write(self.reserve(len(data)), data)
        self.set(4, len(data))

    def call(self, export: str, data: bytes = b"") -> Answer:
        """An export, with `data` as the kernel's input."""
        kernel = self._kernel
        kernel.input, kernel.output, kernel.error = data, None, None
        code = self._exports[export](self._store)
        return Answer(code, kernel.output, kernel.error)

    def outside(self) -> bytes | None:
        """The output that the descriptor names, None where it is the kernel's."""
        at, length = self.words[5:7]
        return self.read(at, length) if length else None


def compiled(file: Path) -> tuple[wasmtime.Engine, wasmtime.Module]:
    """A plugin file, compiled quickly."""
    config = wasmtime.Config()
    config.cranelift_opt_level = "none"
    engine = wasmtime.Engine(config)
    return engine, wasmtime.Module(engine, file.read_bytes())
