"""Payloads by copying: the descriptor that guests of our own PDKs export (docs/wire.md).

The kernel's way costs a guest one call, or with `merge.py` a few instructions, for every eight
bytes. Here the host copies the input into a buffer of the guest's, and the output out of its
memory. Everything in the descriptor is the guest's word: it is read once where it is used, and
each range is checked against the memory as it is at that moment.
"""

from __future__ import annotations

from struct import Struct
from typing import TYPE_CHECKING, Any, Final

from fumehood.abi.memory import check_range
from fumehood.engine import kernel, native
from fumehood.errors import ProtocolError, TooMuch

if TYPE_CHECKING:
    from fumehood.engine.blocks import Blocks
    from fumehood.engine.bulkfile import BulkInfo
    from fumehood.engine.making import Made

LEAST: Final = 4096
"""Smaller inputs for which there is no room yet take the kernel's way. Of a fresh instance the two
cost the same at 4 to 8 KiB, and room that was asked for stays."""
MOST: Final = 0x7FFF_FFFF
"""Bytes of one reservation at most, so that its i32 is positive to a guest that reads it signed."""
MAGIC: Final = 0x3142_4846

_SIZE: Final = 32
_HOST_AT: Final = 4
_ROOM: Final = Struct("<II")
_ROOM_AT: Final = 8
_CALL: Final = Struct("<III")
_CALL_AT: Final = 16
_OUTPUT: Final = Struct("<II")
_OUTPUT_AT: Final = 20
_WORD: Final = Struct("<I")

_room: Final = _ROOM.unpack_from
_announce: Final = _CALL.pack_into
_answer: Final = _OUTPUT.unpack_from
_FIRST: Final = kernel.FIRST


class Bulk:
    """The descriptor in the main module's own memory, whose argument is `where`, of one sandbox.

    Raises ProtocolError where there is none. Owns views of the guest's memory: `close()` it before
    its store is deleted. Memory never moves (`machine.py`) and never shrinks: what lies within the
    view lies within the memory, and beyond it the memory's size is asked for again.
    """

    __slots__ = ("_context", "_only", "_view", "_where", "_words")

    def __init__(self, context: Any, where: Any, info: BulkInfo) -> None:
        self._context = context
        self._only = info.only
        self._where = where
        self._view = native.memory_view_at(context, where)
        try:
            at = info.address
            check_range(at, _SIZE, len(self._view), "the bulk descriptor")
            self._words = self._view[at : at + _SIZE]
        except ProtocolError:
            self._view.release()
            raise
        # before the magic is read: a page that is read first and written then faults twice
        _WORD.pack_into(self._words, _HOST_AT, 1)
        if _WORD.unpack_from(self._words)[0] != MAGIC:
            self.close()
            raise ProtocolError("the bulk descriptor does not begin with FHB1")

    def begin(
        self, sandbox: Made, export: str, data: bytes | bytearray | memoryview, size: int
    ) -> None:
        """Hand the input of a call of `export` over, `size` bytes of `data`: by the buffer or by
        the kernel.

        May run the guest's `fumehood_reserve` first, on the operation's account, and raises what
        that raises. ProtocolError for a buffer that does not hold what the guest says it does,
        OutOfMemory where neither way has room.
        """
        blocks = sandbox.blocks
        assert blocks is not None
        if not size or (self._only is not None and export not in self._only):
            self._by_kernel(blocks, data, size)
            return
        capacity, buffer = _room(self._words, _ROOM_AT)
        if capacity < size:
            given = 0
            if LEAST <= size <= MOST:
                blocks.begin(0)  # for this entry; the call begins with registers of its own
                given = sandbox.reserve(size)
            if not given:
                self._by_kernel(blocks, data, size)
                return
            capacity, buffer = _room(self._words, _ROOM_AT)
            if capacity < size or buffer != given:
                raise ProtocolError(
                    f"fumehood_reserve gave {given} for {size} bytes, its descriptor says "
                    f"{capacity} at {buffer}"
                )
        blocks.begin(0)
        view = self._view
        if buffer + size > len(view):
            view = self._now()
            check_range(buffer, size, len(view), "the input buffer")
        view[buffer : buffer + size] = data
        _announce(self._words, _CALL_AT, size, 0, 0)

    def _by_kernel(self, blocks: Blocks, data: bytes | bytearray | memoryview, size: int) -> None:
        blocks.begin(size)
        if size:
            blocks.data[_FIRST : _FIRST + size] = data
        # a call that took no input left its length standing
        _announce(self._words, _CALL_AT, 0, 0, 0)

    def output(self, allowed: int) -> bytes | None:
        """A copy of what the guest answered here, None where it answered through the kernel.

        Raises TooMuch for more than `allowed` bytes, ProtocolError for a range outside its memory.
        """
        at, length = _answer(self._words, _OUTPUT_AT)
        if not length:
            return None
        if length > allowed:
            raise TooMuch(
                f"an output of {length} bytes; {allowed} are allowed", limit="output_bytes"
            )
        view = self._view
        if at + length > len(view):
            view = self._now()
            check_range(at, length, len(view), "the output")
        return view[at : at + length].tobytes()

    def _now(self) -> memoryview:
        """The memory with its present size."""
        if native.memory_size(self._context, self._where) != len(self._view):
            self._view.release()
            self._view = native.memory_view_at(self._context, self._where)
        return self._view

    def close(self) -> None:
        """Give the views up."""
        self._words.release()
        self._view.release()
