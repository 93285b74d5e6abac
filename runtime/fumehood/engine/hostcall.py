"""Functions of ours that a guest may call, and what such a function can do while it runs."""

from __future__ import annotations

import ctypes
import functools
import struct
import weakref
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from fumehood.abi.memory import check_range
from fumehood.engine import native
from fumehood.errors import ClosedError, OutOfFuel, OutOfMemory, ProtocolError

if TYPE_CHECKING:
    from fumehood.engine.blocks import Blocks
    from fumehood.engine.sandbox import Sandbox
    from fumehood.meter import Meter

CALL_FUEL: Final = 1_000
"""Fuel of any host call: about the guest instructions that the same time would buy."""
BYTES_PER_FUEL: Final = 4
"""Bytes moved by the host for one unit of fuel."""

NOTES_CAP: Final = 4096
"""Characters of guest standard error that are kept."""

_U32: Final = 0xFFFFFFFF
_U64: Final = 0xFFFFFFFFFFFFFFFF


@dataclass(frozen=True, slots=True)
class HostImport:
    """A host function: `function(call, *arguments)`.

    Types are one letter a value (i = i32, I = i64, f = f32, F = f64); integers arrive unsigned
    and any integer is accepted as a result. `charge` is fuel beyond `CALL_FUEL`. `timed` keeps
    the time it takes out of the guest's own (`Limits.guest_time`); the deadline always counts.
    What the function raises stops the guest and reaches the caller.
    """

    namespace: str
    name: str
    params: str
    results: str
    function: Callable[..., Any]
    charge: int = 0
    timed: bool = False


Decoder = Callable[[Any], tuple[int | float, ...]]
Encoder = Callable[[Any, Any], None]

_STEP: Final = native.RAW_WORDS


@functools.lru_cache(maxsize=256)
def decoder(params: str) -> Decoder:
    """What reads the raw words of a call as Python numbers, integers unsigned. The usual
    signatures have a reader without a loop: a host call costs about 1 µs in all."""
    if not params:
        return lambda words: ()
    if params == "I":
        return lambda words: (words[0],)
    if params == "II":
        return lambda words: (words[0], words[_STEP])

    def decode(words: Any) -> tuple[int | float, ...]:
        values: list[int | float] = []
        for index, letter in enumerate(params):
            word = words[index * _STEP]
            if letter == "I":
                values.append(word)
            elif letter == "i":
                values.append(word & _U32)
            elif letter == "f":
                values.append(struct.unpack("<f", struct.pack("<I", word & _U32))[0])
            else:
                values.append(struct.unpack("<d", struct.pack("<Q", word))[0])
        return tuple(values)

    return decode


@functools.lru_cache(maxsize=256)
def encoder(results: str) -> Encoder:
    """What writes a function's result; a tuple for several. It raises TypeError, struct.error and
    OverflowError for values that the types cannot hold: the host function's own mistake."""
    if not results:
        return lambda value, words: None
    if results == "I":

        def encode_one(value: Any, words: Any) -> None:
            words[0] = int(value) & _U64

        return encode_one

    def encode(value: Any, words: Any) -> None:
        values = value if len(results) > 1 else (value,)
        if len(values) != len(results):
            raise TypeError(f"{len(results)} results are needed, not {len(values)}")
        for index, (letter, item) in enumerate(zip(results, values, strict=True)):
            if letter == "I":
                word = int(item) & _U64
            elif letter == "i":
                word = int(item) & _U32
            elif letter == "f":
                word = struct.unpack("<I", struct.pack("<f", item))[0]
            else:
                word = struct.unpack("<Q", struct.pack("<d", item))[0]
            words[index * _STEP] = word

    return encode


class Prepared:
    """A host function as the engine calls it: what is the same in every call, looked up once."""

    __slots__ = ("decode", "encode", "fuel", "function", "timed")

    def __init__(self, item: HostImport) -> None:
        self.function = item.function
        self.decode = decoder(item.params)
        self.encode = encoder(item.results)
        self.fuel = CALL_FUEL + item.charge
        self.timed = item.timed


class HostCall:
    """What a host function works with; one object a sandbox, valid while the function runs: later
    it raises ClosedError.

    Handles are the kernel's (extism-abi.md §1.1) and attacker data: unknown ones raise
    `ProtocolError`, whose message names `what`.
    """

    __slots__ = ("_sandbox", "caller", "context", "views")

    def __init__(self, sandbox: Sandbox) -> None:
        self._sandbox = sandbox
        self.caller: int = 0
        """wasmtime's pointer to the calling instance, 0 while no host function runs."""
        self.views: list[tuple[memoryview, weakref.ref[Any]]] = []
        """Views handed to functions of the caller's; none outlives the call."""
        self.context: object = None
        """The caller's object for this call (Extism's host context); the guest cannot see it."""

    @property
    def meter(self) -> Meter:
        """The account of the operation under way."""
        return self._sandbox.meter

    @property
    def services(self) -> Any:
        """What the plugin was given: `imports.Services`."""
        return self._sandbox.services

    def _running(self) -> None:
        """Whoever kept this object may not reach a store that is in use or gone."""
        if not self.caller:
            raise ClosedError(
                "the host function that this belonged to has returned",
                hint="a HostCall is valid while its function runs",
            )

    def _blocks(self) -> Blocks:
        self._running()
        blocks = self._sandbox.blocks
        assert blocks is not None  # there before the first guest instruction
        return blocks

    def length(self, handle: int) -> int:
        """Bytes of the live block at `handle`; 0 for anything else."""
        block = self._blocks().find(handle)
        return 0 if block is None or block.freed else block.length

    def read(self, handle: int, what: str = "a value") -> bytes:
        """A copy of the block at `handle`; handle 0 is the empty value.

        Charges fuel for its bytes. Raises ProtocolError for a handle that is no live block.
        """
        if handle == 0:
            return b""
        block = self._blocks().find(handle)
        if block is None or block.freed:
            raise ProtocolError(f"invalid handle offset for {what}: {handle}")
        self.charge_bytes(block.length)
        data = self._blocks().data
        check_range(block.offset, block.length, len(data), what)
        return data[block.offset : block.offset + block.length].tobytes()

    def write(self, data: bytes | bytearray | memoryview) -> int:
        """A new block holding `data`; its handle, 0 for empty data. Charges fuel for its bytes.

        Raises OutOfMemory where the kernel's memory has no room.
        """
        size = len(data)
        self.charge_bytes(size)
        handle = self.alloc(size)
        if handle:
            self._blocks().data[handle : handle + size] = data
        elif size:
            limit = self.meter.limits.kernel_memory
            raise OutOfMemory(
                f"{size} bytes do not fit in what is left of the kernel's {limit}",
                limit="kernel_memory",
                hint="raise limits.kernel_memory",
            )
        return handle

    def alloc(self, size: int) -> int:
        """A block of `size` bytes, or 0 where the kernel refuses it."""
        return self._blocks().alloc(size)

    def free(self, handle: int) -> None:
        """Mark the block free; anything that is no block is ignored."""
        self._blocks().free(handle)

    def view(self, offset: int, length: int) -> memoryview:
        """Writable view of kernel memory, checked; valid until the call ends."""
        blocks = self._blocks()
        check_range(offset, length, blocks.size, "a memory view")
        data, owner = blocks.lend()
        with data:
            view = data[offset : offset + length]
        self.views.append((view, owner))
        return view

    def release_views(self) -> None:
        """Take back what `view` and `guest_memory` gave: after the call the memory may be gone.

        What was made from a view (a slice, an array over it) cannot be taken back; then the store
        is never freed, which is better than a pointer into nothing.
        """
        views, self.views = self.views, []
        for view, owner in views:
            try:
                view.release()
            except BufferError:
                self._sandbox.pin()
            if owner() is not None:
                self._sandbox.pin()

    def guest_memory(self, *, owned: bool = False) -> memoryview:
        """The calling module's own linear memory, valid until the call ends; with `owned` the
        caller releases it. Raises ProtocolError where the module exports none."""
        self._running()
        extern = native.Extern()
        found = native.caller_export_get(self.caller, b"memory", 6, ctypes.byref(extern))
        if not found or extern.kind != native.KIND_MEMORY:
            raise ProtocolError("the module exports no memory of the name 'memory'")
        if owned:
            return native.memory_view(self._sandbox.context, extern)
        view, owner = native.lend(self._sandbox.context, extern)
        self.views.append((view, owner))
        return view

    def note(self, text: str) -> None:
        """Keep the end of what the guest wrote to its standard error, as a note on a trap."""
        self._sandbox.notes = (self._sandbox.notes + text)[-NOTES_CAP:]

    def waited(self, seconds: float) -> None:
        """Keep time spent waiting out of the guest's own; the deadline counts it all the same."""
        self._running()
        self._sandbox.not_guest_time(seconds)

    def charge_bytes(self, size: int) -> None:
        """Take the fuel of `size` bytes moved by the host."""
        self.charge(size // BYTES_PER_FUEL)

    def charge(self, fuel: int) -> None:
        """Take `fuel` from the operation; raises OutOfFuel where it is not there."""
        self._running()
        if not self._sandbox.take_fuel(fuel):
            raise OutOfFuel(
                "the operation's fuel is used up by host calls",
                limit="fuel",
                hint="raise limits.fuel if the work is legitimate",
            )
