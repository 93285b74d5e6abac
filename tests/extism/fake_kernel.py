"""A kernel in Python with the engine's `HostCall` methods, for tests that need no guest."""

from __future__ import annotations

from fumehood.errors import ProtocolError


class FakeKernel:
    """Blocks in a bytearray of `size` bytes, first handle 80, nothing reused."""

    def __init__(self, size: int = 65536, context: object = None) -> None:
        self.memory = bytearray(size)
        self.blocks: dict[int, int] = {}
        self.freed: list[int] = []
        self.context = context
        self._next = 80

    def length(self, handle: int) -> int:
        return self.blocks.get(handle, 0)

    def read(self, handle: int, what: str = "a value") -> bytes:
        if handle == 0:
            return b""
        if handle not in self.blocks:
            raise ProtocolError(f"invalid handle offset for {what}: {handle}")
        return bytes(self.memory[handle : handle + self.blocks[handle]])

    def write(self, data: bytes | bytearray | memoryview) -> int:
        handle = self.alloc(len(data))
        self.memory[handle : handle + len(data)] = data
        return handle

    def alloc(self, size: int) -> int:
        if size == 0 or self._next + size > len(self.memory):
            return 0
        handle = self._next
        self.blocks[handle] = size
        self._next += size + 8
        return handle

    def free(self, handle: int) -> None:
        if self.blocks.pop(handle, None) is not None:
            self.freed.append(handle)

    def view(self, offset: int, length: int) -> memoryview:
        if not 0 <= offset <= offset + length <= len(self.memory):
            raise ProtocolError("out of bounds")
        return memoryview(self.memory)[offset : offset + length]
