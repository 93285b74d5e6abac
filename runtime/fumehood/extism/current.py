"""`CurrentPlugin`: what a host function of the Extism face can do with its caller (§4.1)."""

from __future__ import annotations

from typing import Any, Final, Protocol

from fumehood.errors import ProtocolError
from fumehood.extism.types import Block, Memory, UsageTypeError, Val

_U64: Final = (1 << 64) - 1


class Kernel(Protocol):
    """What is used of the engine's `HostCall`."""

    context: object

    def length(self, handle: int) -> int:
        """Bytes of the live block at `handle`, 0 for anything else."""
        ...

    def read(self, handle: int, what: str = ...) -> bytes:
        """A copy of a live block."""
        ...

    def write(self, data: bytes | bytearray | memoryview) -> int:
        """A new block with `data`; its handle."""
        ...

    def alloc(self, size: int) -> int:
        """A new block, or 0."""
        ...

    def free(self, handle: int) -> None:
        """Free a block."""
        ...

    def view(self, offset: int, length: int) -> memoryview:
        """Writable memory of the kernel, checked against its size."""
        ...


class CurrentPlugin:
    """The plugin that called the host function that is running.

    Usable until that function returns. Handles and lengths come from the guest: each is checked
    against the kernel's block table, and an unknown one is an empty block.
    """

    def __init__(self, p: Kernel) -> None:
        self.pointer = p
        self._blocks: list[Block] | None = None

    def memory(self, mem: Memory) -> Block:
        """The bytes of a block; assigning to it (`[:] = …`) writes to the kernel's memory."""
        block = Block(self.pointer, mem.offset, mem.length if mem.offset else 0)
        if self._blocks is None:
            self._blocks = []
        self._blocks.append(block)
        return block

    def host_context(self) -> Any:
        """The very object that was passed as `host_context` to `Plugin.call`, or None."""
        return self.pointer.context

    def alloc(self, size: int) -> Memory:
        """A new block of `size` bytes; its offset is 0 for size 0 and where no room is left.

        Raises OverflowError for a negative size.
        """
        if size < 0:
            raise OverflowError(f"a block cannot have {size} bytes")
        return Memory(self.pointer.alloc(size), size)

    def free(self, mem: Memory) -> None:
        """Free a block; anything else is ignored."""
        self.pointer.free(mem.offset)

    def memory_at_offset(self, offs: int | Val) -> Memory:
        """The block at a handle; its length is 0 where no live block begins there."""
        handle = offs.value if isinstance(offs, Val) else offs
        if not isinstance(handle, int):
            raise UsageTypeError(f"a handle is an int, not {type(handle).__name__}")
        handle &= _U64  # a Val holds it signed
        return Memory(handle, self.pointer.length(handle))

    def return_bytes(self, output: Val, b: bytes) -> None:
        """Put a new block with `b` into `output`. Raises OutOfMemory where it does not fit."""
        output.value = self.pointer.write(b)

    def return_string(self, output: Val, s: str) -> None:
        """As `return_bytes`, with the UTF-8 of `s`."""
        self.return_bytes(output, s.encode())

    def input_buffer(self, input: Val) -> Block:  # noqa: A002 - the name is the package's API
        """As `memory`, for the block whose handle is in `input`."""
        return self.memory(self.memory_at_offset(input))

    def input_bytes(self, input: Val) -> bytes:  # noqa: A002
        """A copy of the block whose handle is in `input`."""
        return self._bytes(input.value)

    def input_string(self, input: Val) -> str:  # noqa: A002
        """As `input_bytes`, decoded. Raises UnicodeDecodeError where it is not UTF-8."""
        return self.input_bytes(input).decode()

    def _finish(self) -> None:
        """The host function returned: blocks that it keeps are copies from now on."""
        if self._blocks is not None:
            for block in self._blocks:
                block.detach()
            self._blocks = None

    # What the converters of inferred signatures use: handles as they arrive, no `Val` between.

    def _bytes(self, handle: int) -> bytes:
        try:
            return self.pointer.read(handle & _U64)
        except ProtocolError:  # no live block begins there
            return b""

    def _text(self, handle: int) -> str:
        return self._bytes(handle).decode()

    def _block(self, data: bytes) -> int:
        return self.pointer.write(data)
