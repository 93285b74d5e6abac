"""A compiled guest module and what it declares."""

from __future__ import annotations

import functools
import os
import sys
import tempfile
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Final

from fumehood import forks
from fumehood.engine import kernel, native
from fumehood.engine.artefact import Artefact
from fumehood.engine.bulkfile import BulkInfo
from fumehood.engine.cache import ModuleCache, default_cache
from fumehood.engine.compiler import compile_in_child, plain
from fumehood.engine.declared import ExportInfo, ImportInfo, declarations
from fumehood.engine.digests import digest_of
from fumehood.engine.machine import Machine, Translator, built, machine, ready
from fumehood.engine.meanwhile import WORTH_A_THREAD, meanwhile
from fumehood.engine.merge import META, RESERVED, START
from fumehood.engine.merging import Merging, merging
from fumehood.engine.pooling import PoolMachine, pool_machine
from fumehood.engine.wasmfile import MemoryLimits, is_component, is_wat, memories
from fumehood.errors import ClosedError, HostError, LoadError
from fumehood.limits import Limits

MERGED_PAGES: Final = kernel.pages(Limits().kernel_memory)
"""Modules are linked with a kernel of the default size; other sizes take a kernel beside them."""


class CompiledModule:
    """Compiled code; shared by every sandbox made from it, never freed while one may be.

    `merged` is the size in pages of the kernel that the code at `address` holds, None where it
    holds none. `alone()` is the guest by itself, compiled when it is first wanted: for module sets
    and for kernels of another size.
    """

    _address = 0
    _alone: int | None = None

    def __init__(
        self, sha256: str, size: int, binary: bytes, address: int, engine: Machine
    ) -> None:
        self._address = address
        self.sha256 = sha256
        self.size = size
        self.engine = engine
        """The engine that `address` belongs to."""
        declared = declarations(binary)
        self.imports: tuple[ImportInfo, ...] = declared.imports
        self.exports: dict[str, ExportInfo] = declared.exports
        self.bulk: BulkInfo | None = declared.bulk
        self.memories: tuple[MemoryLimits, ...] = memories(binary)
        # a guest with such names of its own was not merged: it must not pass off its memories as
        # the kernel's
        reserved = any(name.startswith(RESERVED) for name in self.exports)
        names = () if reserved else native.export_names(address)
        self.merged = MERGED_PAGES if META in names else None
        self.starts = START in names
        """Whether merged code has a start function for the host to run."""
        self._binary = binary
        self._lock = forks.lock()

    @property
    def address(self) -> int:
        """The address of the code. Raises ClosedError where it was freed."""
        if not self._address:
            raise ClosedError("the compiled module is gone")
        return self._address

    def alone(self) -> int:
        """The address of the guest's own code, without a kernel in it. Raises ClosedError where
        it was freed."""
        address = self.address
        if self.merged is None:
            return address
        with self._lock:
            if self._alone is None:
                self._alone = _module_code(self._binary, self.sha256, self.engine)
            return self._alone

    def __del__(self) -> None:
        """Free the code. Not by a weak reference's callback: the collector runs those first, and a
        `__del__` of somebody's that then makes an instance would reach code that is gone. Not at
        the end of the process: wasmtime-py may be gone by then, and the system frees everything
        anyway."""
        if sys.is_finalizing():
            return
        for address in (self._address, self._alone):
            if address:
                native.module_delete(address)
        self._address, self._alone, self.merged = 0, None, None

    def ordinary(self) -> CompiledModule:
        """The same module in the ordinary engine; itself, unless it lives in the pool's."""
        if self.engine is machine():
            return self
        return _load(self.sha256, self.size, lambda: self._binary, None)


def to_binary(source: bytes) -> bytes:
    """`source` as binary Wasm: WAT is assembled. Raises LoadError for anything else."""
    if source.startswith(b"\0asm"):
        if is_component(source):
            raise LoadError(
                "this file is a component, not a core module",
                hint="only a provider may be one; Extism plugins are core modules",
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
_lock = forks.lock()
_compiled: OrderedDict[tuple[str, bool], CompiledModule] = OrderedDict()
"""By digest, and whether in the pool's engine."""


def load_module(source: bytes, *, pooled: bool = True) -> CompiledModule:
    """Validate and compile (bytes or WAT); the same bytes are compiled once a process.

    Into the pool's engine where the process has a pool, unless `pooled` says otherwise. Raises
    LoadError: not Wasm, invalid, or a proposal that is off; what `pool_machine` raises.
    """
    source = bytes(source)
    pool = pool_machine() if pooled else None
    if pool is None and len(source) >= WORTH_A_THREAD and not built():
        with meanwhile(ready):
            digest = digest_of(source)
    else:
        digest = digest_of(source)
    return _load(digest, len(source), lambda: to_binary(source), pool)


def _load(
    digest: str, size: int, binary: Callable[[], bytes], pool: PoolMachine | None
) -> CompiledModule:
    key = (digest, pool is not None)
    with _lock:
        known = _compiled.get(key)
        if known is not None:
            _compiled.move_to_end(key)
            return known
    content = binary()
    engine = pool if pool is not None and pool.fits(content) else machine()
    code = _module_code(content, digest, merging(MERGED_PAGES, engine))
    module = CompiledModule(digest, size, content, code, engine)
    with _lock:
        _compiled[key] = module
        while len(_compiled) > _CACHE_SIZE:
            _compiled.popitem(last=False)
    return module


def _module_code(binary: bytes, digest: str, engine: Machine | Merging) -> int:
    if plain(binary):  # here and now: a child process would cost more
        return engine.compile_guest(binary)
    return machine_code(binary, digest, engine)


def machine_code(binary: bytes, digest: str, engine: Translator) -> int:
    """The address of compiled code: from the cache, or compiled in a child process.

    Raises LoadError, HostError and CacheError.
    """
    cache = _cache()
    if cache is not None:
        known = cache.load(digest, engine)
        if known is not None:
            return known
    if cache is None:
        with tempfile.TemporaryDirectory(prefix="fumehood-") as folder:
            artefact = Path(folder) / "module"
            compile_in_child(binary, artefact, engine.kind)
            return _load_artefact(artefact, engine)
    artefact = cache.scratch()
    try:
        compile_in_child(binary, artefact, engine.kind)
        fresh = _load_artefact(artefact, engine)
        cache.store(digest, artefact, engine)
    finally:
        artefact.unlink(missing_ok=True)
    return fresh


def _load_artefact(artefact: Path, engine: Translator) -> int:
    with (
        artefact.open("rb") as file,
        Artefact(file.fileno(), os.fstat(file.fileno()).st_size) as content,
    ):
        code = engine.deserialize(content)
    if code is None:
        raise HostError("wasmtime cannot load what it just compiled")
    return code


@functools.lru_cache(maxsize=1)
def _cache() -> ModuleCache | None:
    return default_cache()
