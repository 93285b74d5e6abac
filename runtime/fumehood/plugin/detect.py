"""Tells by its first bytes what a plugin was handed over as (extism-abi.md §3.1)."""

from __future__ import annotations

from enum import Enum
from typing import Final

from fumehood.engine.wasmfile import is_wat

WASM_MAGIC: Final = b"\0asm"


class Form(Enum):
    """What the bytes are: a binary module or component, WAT text, or a manifest."""

    WASM = "wasm"
    WAT = "wat"
    MANIFEST = "manifest"


def detect(content: bytes) -> Form:
    """The form of `content`.

    `\\0asm` begins a binary. WAT begins with `(module` (blanks only after the parenthesis) or with
    a comment, which blanks may precede. All else is taken for a manifest.
    """
    if content.startswith(WASM_MAGIC):
        return Form.WASM
    if is_wat(content):
        return Form.WAT
    return Form.MANIFEST
