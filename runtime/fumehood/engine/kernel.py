"""The kernel module and the layout of its registers (extism-abi.md §1, kernel.wat)."""

from __future__ import annotations

import functools
from pathlib import Path
from struct import Struct
from typing import Final

from fumehood.engine import native
from fumehood.engine.machine import Machine
from fumehood.errors import HostError

NAMESPACE: Final = "extism:host/env"
PAGE: Final = 65536
FIRST: Final = 80
"""The first block of a call, the input if there is one. Odd addresses below 65 are not handles."""
TABLE: Final = 80
"""Offset of the block table in the metadata memory."""
FREED: Final = 1 << 31
MOST: Final = FREED - 1
"""Bytes of blocks at most: the bit above marks a length as freed."""

REGISTERS: Final = Struct("<10Q")
"""in_off in_len out_off out_len error bump blocks capacity input_u64_limit refused."""
INPUT: Final = Struct("<10QII")
"""The registers and the first table entry."""
RESULT: Final = Struct("<3Q")
"""Read at offset 16: out_off out_len error."""
RESULT_AT: Final = 16
BLOCKS: Final = Struct("<Q")
BLOCKS_AT: Final = 48
REFUSED_AT: Final = 72
BUMP_AT: Final = 40
ERROR_AT: Final = 32

GUEST_FUNCTIONS: Final[dict[str, tuple[str, str]]] = {
    "alloc": ("I", "I"),
    "free": ("I", ""),
    "length": ("I", "I"),
    "length_unsafe": ("I", "I"),
    "load_u8": ("I", "i"),
    "load_u64": ("I", "I"),
    "store_u8": ("Ii", ""),
    "store_u64": ("II", ""),
    "input_load_u8": ("I", "i"),
    "input_load_u64": ("I", "I"),
    "input_set": ("II", ""),
    "input_offset": ("", "I"),
    "input_length": ("", "I"),
    "output_set": ("II", ""),
    "output_offset": ("", "I"),
    "output_length": ("", "I"),
    "error_set": ("I", ""),
    "error_get": ("", "I"),
    "reset": ("", ""),
    "memory_bytes": ("", "I"),
}
"""What guests may import, with the types of §1.2 (I = i64, i = i32)."""


def pages(size: int) -> int:
    """Whole pages that hold `size` bytes, at least one, at most a 32-bit memory."""
    return min(max(1, -(-size // PAGE)), 65536)


def kernel_text(page_count: int) -> str:
    """The kernel with `page_count` pages of data memory, as WAT."""
    # importlib.resources would take 0.5 ms of each process's first load
    text = Path(__file__).with_name("kernel.wat").read_text("utf-8")
    size = page_count * PAGE
    values = {
        "PAGES": page_count,
        "META_PAGES": page_count // 2 + 1,
        "SIZE": size,
        "LAST_U8": size - 66,
        "LAST_U64": size - 73,
    }
    for name, value in values.items():
        text = text.replace(f"{{{name}}}", str(value))
    return text


@functools.lru_cache(maxsize=16)
def kernel_binary(page_count: int) -> bytes:
    """The same as Wasm."""
    binary = native.wat2wasm(kernel_text(page_count).encode())
    if isinstance(binary, native.Failure):
        raise HostError(f"the kernel does not assemble: {binary.root()}")
    return binary


@functools.lru_cache(maxsize=16)
def kernel_module(page_count: int, engine: Machine) -> int:
    """Address of the compiled kernel, for guests that are not merged with it.

    Compiled once per size and engine and never freed: a handful of limits are in use at a time.
    """
    return engine.compile(kernel_binary(page_count))
