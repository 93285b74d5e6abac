"""A compiled guest module and what it declares."""

from __future__ import annotations

import functools
import hashlib
import tempfile
import threading
from collections import OrderedDict
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import wasmtime

from fumehood.engine import native
from fumehood.engine.cache import ModuleCache, default_cache
from fumehood.engine.compiler import compile_in_child, plain
from fumehood.engine.machine import machine, wrap_module
from fumehood.engine.wasmfile import MemoryLimits, is_component, is_wat, memories
from fumehood.errors import HostError, LoadError

_LETTERS: Final = {"i32": "i", "i64": "I", "f32": "f", "f64": "F", "v128": "v"}
_REFERENCE: Final = "r"


@dataclass(frozen=True, slots=True)
class ImportInfo:
    """One import. `kind` is func, memory, table, global or tag; the types are one letter a
    value: i = i32, I = i64, f = f32, F = f64, v = v128, r = a reference."""

    module: str
    name: str
    kind: str
    params: str = ""
    results: str = ""


@dataclass(frozen=True, slots=True)
class ExportInfo:
    """One export; see `ImportInfo` for `kind` and the type letters."""

    name: str
    kind: str
    params: str = ""
    results: str = ""

    @property
    def callable(self) -> bool:
        """A function without parameters that gives nothing or one i32: what a host may call as
        a plugin function (provider-abi.md §0.1, extism-abi.md §2.5)."""
        return self.kind == "func" and not self.params and self.results in {"", "i"}


@dataclass(frozen=True)
class CompiledModule:
    """Compiled code; shared by every sandbox made from it, never freed while one may be."""

    sha256: str
    size: int
    imports: tuple[ImportInfo, ...]
    exports: dict[str, ExportInfo]
    memories: tuple[MemoryLimits, ...]
    handle: wasmtime.Module = field(repr=False)
    address: int = field(repr=False)


def _types(values: Any) -> str:
    return "".join(_LETTERS.get(str(v), _REFERENCE) for v in values)


def _shape(kind: Any) -> tuple[str, str, str]:
    if isinstance(kind, wasmtime.FuncType):
        return "func", _types(kind.params), _types(kind.results)
    if isinstance(kind, wasmtime.MemoryType):
        return "memory", "", ""
    if isinstance(kind, wasmtime.TableType):
        return "table", "", ""
    if isinstance(kind, wasmtime.GlobalType):
        return "global", "", ""
    return "tag", "", ""


def to_binary(source: bytes) -> bytes:
    """`source` as binary Wasm: WAT is assembled. Raises LoadError for anything else."""
    if source.startswith(b"\0asm"):
        if is_component(source):
            raise LoadError(
                "this file is a component, not a core module",
                hint="fumehood runs core modules with the Extism ABI",
            )
        return source
    if is_wat(source):
        out = native.wat2wasm(source)
        if isinstance(out, native.Failure):
            line = " ".join(part.strip() for part in out.text.splitlines()[:2])
            raise LoadError(f"the text module does not assemble: {line[:300]}")
        return out
    what = "an empty file" if not source else f"a file that begins with {bytes(source[:4])!r}"
    raise LoadError(f"not WebAssembly: {what}", hint="a .wasm or .wat file is needed")


_CACHE_SIZE: Final = 64
_lock = threading.Lock()
_compiled: OrderedDict[str, CompiledModule] = OrderedDict()


def load_module(source: bytes) -> CompiledModule:
    """Validate and compile (bytes or WAT); the same bytes are compiled once a process.

    Raises LoadError: not Wasm, invalid, or a proposal that is off.
    """
    source = bytes(source)
    digest = hashlib.sha256(source).hexdigest()
    with _lock:
        known = _compiled.get(digest)
        if known is not None:
            _compiled.move_to_end(digest)
            return known
    module = _compile(source, digest)
    with _lock:
        _compiled[digest] = module
        while len(_compiled) > _CACHE_SIZE:
            _compiled.popitem(last=False)
    return module


def _compile(source: bytes, digest: str) -> CompiledModule:
    binary = to_binary(source)
    handle = wrap_module(_machine_code(binary, digest))
    try:
        imports = tuple(ImportInfo(i.module, i.name or "", *_shape(i.type)) for i in handle.imports)
        exports = {e.name: ExportInfo(e.name, *_shape(e.type)) for e in handle.exports}
    except UnicodeDecodeError as problem:
        raise LoadError("an import or export name is not UTF-8") from problem
    return CompiledModule(
        sha256=digest,
        size=len(source),
        imports=imports,
        exports=exports,
        memories=memories(binary),
        handle=handle,
        address=native.pointer(handle),
    )


def _machine_code(binary: bytes, digest: str) -> int:
    """From the cache, or compiled: small and plain modules here, all others in a child."""
    engine = machine()
    if plain(binary):
        engine.validate(binary)
        return engine.compile(binary)
    cache = _cache()
    if cache is not None:
        known = cache.load(digest)
        if known is not None:
            return known
    if cache is None:
        with tempfile.TemporaryDirectory(prefix="fumehood-") as folder:
            artefact = Path(folder) / "module"
            compile_in_child(binary, artefact)
            return _load_artefact(artefact)
    artefact = cache.scratch()
    try:
        compile_in_child(binary, artefact)
        fresh = _load_artefact(artefact)
        cache.store(digest, artefact)
    finally:
        artefact.unlink(missing_ok=True)
    return fresh


def _load_artefact(artefact: Path) -> int:
    module = machine().deserialize(artefact.read_bytes())
    if module is None:
        raise HostError("wasmtime cannot load what it just compiled")
    return module


@functools.lru_cache(maxsize=1)
def _cache() -> ModuleCache | None:
    return default_cache()
