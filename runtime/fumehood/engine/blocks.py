"""The kernel of one sandbox seen from the host: registers and blocks, read and written as memory.

What a guest hands over are numbers; `abi/memory.py` decides whether they are blocks.
"""

from __future__ import annotations

import functools
import weakref
from collections.abc import Callable
from ctypes import byref, c_uint64, c_void_p
from typing import Any, Final

from fumehood.abi.memory import Block, find_block
from fumehood.engine import kernel, native
from fumehood.errors import OutOfMemory

_ALIGN: Final = -8
_FIRST: Final = kernel.FIRST
_pack_input: Final = kernel.INPUT.pack
_KEPT: Final = 64
_WORD: Final = 0xFFFFFFFFFFFFFFFF


@functools.lru_cache(maxsize=16)
def _starts(_capacity: int) -> dict[int, bytes]:
    """Shared by all kernels of one size."""
    return {}


class Blocks:
    """`data` is the kernel's memory, `meta` its registers and table (kernel.wat).

    `export` finds an export of the kernel; `failed` makes the exception for kernel code that did
    not return: it runs on the guest's fuel and deadline. Close it before its store is deleted.
    """

    def __init__(
        self,
        context: Any,
        *,
        capacity: int,
        export: Callable[[bytes], native.Extern],
        failed: Callable[[native.Failure], BaseException],
    ) -> None:
        memory, meta = export(b"memory"), export(b"meta")
        self.capacity = capacity
        self.data = native.memory_view(context, memory)
        self.size = len(self.data)
        self.meta = native.memory_view(context, meta)
        self.head = self.meta[: kernel.INPUT.size]
        self.starts = _starts(capacity)
        """What `head` is at the beginning of a call, by the size of its input: to lay it down
        whole costs half of packing it (0.06 against 0.11 µs)."""
        self._context = context
        self._memory = memory
        self._meta_memory = meta
        self._export = export
        self._functions: dict[bytes, Any] = {}
        self._failed = failed

    def begin(self, size: int) -> None:
        """Reset the kernel and make room for an input of `size` bytes, at `kernel.FIRST`.

        Raises OutOfMemory where the kernel's memory cannot hold it.
        """
        self.head[:] = self.starts.get(size) or self.start(size)

    def start(self, size: int) -> bytes:
        """Registers and first table entry at the beginning of a call, kept for small inputs."""
        if not size:
            start = _pack_input(0, 0, 0, 0, 0, _FIRST, 0, self.capacity, 0, 0, 0, 0)
        else:
            end = (_FIRST + size + 15) & _ALIGN
            if end > self.capacity:
                raise OutOfMemory(
                    f"an input of {size} bytes does not fit in {self.capacity} bytes of kernel "
                    "memory",
                    limit="kernel_memory",
                    hint="raise limits.kernel_memory",
                )
            limit = size - 7 if size > 7 else 0
            # fmt: off
            start = _pack_input(
                _FIRST, size, 0, 0, 0, end, 1, self.capacity, limit, 0, _FIRST, size
            )
            # fmt: on
        if len(self.starts) < _KEPT:
            self.starts[size] = start
        return start

    def find(self, handle: int) -> Block | None:
        """The block that starts at `handle`, freed or not."""
        (count,) = kernel.BLOCKS.unpack_from(self.meta, kernel.BLOCKS_AT)
        need = kernel.TABLE + 8 * count
        if need > len(self.meta):  # the table grew past the first pages
            self.meta.release()
            self.meta = native.memory_view(self._context, self._meta_memory)
        with self.meta[kernel.TABLE : need] as table:
            return find_block(table, count, handle)

    def alloc(self, size: int) -> int:
        """A block, or 0. Runs in the kernel, so that its rules stand in one place."""
        return self._call(b"alloc", size)

    def free(self, handle: int) -> None:
        """Free a block; unknown ones are ignored."""
        self._call(b"free", handle & _WORD)

    def _call(self, name: bytes, argument: int) -> int:
        function = self._functions.get(name)
        if function is None:
            found = self._export(name)
            function = self._functions[name] = byref(native.Func(found.a, found.b))
        words = (c_uint64 * native.RAW_WORDS)(argument)
        trap = c_void_p()
        error = native.call(self._context, function, byref(words), 1, byref(trap))
        failure = native.check(error, trap)
        if failure is not None:
            raise self._failed(failure)
        return int(words[0])

    def lend(self) -> tuple[memoryview, weakref.ref[Any]]:
        """The data memory for a host function; see `native.lend`."""
        return native.lend(self._context, self._memory)

    def _register(self, offset: int) -> int:
        return int(kernel.BLOCKS.unpack_from(self.meta, offset)[0])

    def refused(self) -> int:
        """Bytes of the last refused allocation in this call, 0 if none was."""
        return self._register(kernel.REFUSED_AT)

    def error_handle(self) -> int:
        """The guest's error register."""
        return self._register(kernel.ERROR_AT)

    def reach(self) -> int:
        """Bytes up to the end of the last block."""
        return self._register(kernel.BUMP_AT)

    def close(self) -> None:
        """Give the views up."""
        self.data.release()
        self.head.release()
        self.meta.release()
