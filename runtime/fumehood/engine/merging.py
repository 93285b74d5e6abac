"""Compiles a guest linked with the kernel (`merge.py`), or alone where that cannot be done."""

from __future__ import annotations

import functools
import hashlib

from fumehood.engine import kernel
from fumehood.engine.artefact import Artefact
from fumehood.engine.machine import Machine, machine, wrap_module
from fumehood.engine.merge import merge
from fumehood.engine.wasmcode import UnusualError
from fumehood.errors import LoadError


class Merging:
    """A translator for guests with a kernel of `pages` pages in them."""

    def __init__(self, pages: int, engine: Machine) -> None:
        self.pages = pages
        self._engine = engine
        self.kind = f"merged-{pages}"

    @functools.cached_property
    def fingerprint(self) -> str:
        """As the machine's, and the kernel's own code: a changed kernel is another artefact."""
        facts = (self._engine.fingerprint, self.kind, kernel.kernel_text(self.pages))
        return hashlib.sha256("\0".join(facts).encode()).hexdigest()

    def compile_guest(self, wasm: bytes) -> int:
        """Validate the guest alone, link it, compile; the caller owns the module. A guest that
        cannot be linked is compiled as it is: its exports tell."""
        engine = self._engine
        engine.validate(wasm)
        try:
            linked = merge(
                wasm, kernel.kernel_binary(self.pages), self.pages * kernel.PAGE, kernel.NAMESPACE
            )
            return engine.compile(linked)
        except (UnusualError, IndexError, LoadError):
            return engine.compile(wasm)

    def translate(self, wasm: bytes) -> bytes:
        """The artefact of `compile_guest`."""
        return bytes(wrap_module(self.compile_guest(wasm)).serialize())

    def deserialize(self, artefact: Artefact) -> int | None:
        """As the machine's."""
        return self._engine.deserialize(artefact)


@functools.lru_cache(maxsize=4)
def merging(pages: int, engine: Machine | None = None) -> Merging:
    """The translator for one size of kernel; into the ordinary engine unless another is given."""
    return Merging(pages, engine or machine())
