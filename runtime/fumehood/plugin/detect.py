"""Tells by its first bytes what a plugin was handed over as (extism-abi.md §3.1)."""

from __future__ import annotations

import re
from enum import Enum
from typing import Final

WASM_MAGIC: Final = b"\0asm"
_WAT: Final = re.compile(rb"\(\s*module|\s*(?:;;|\(;)")


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
    if _WAT.match(content):
        return Form.WAT
    return Form.MANIFEST
