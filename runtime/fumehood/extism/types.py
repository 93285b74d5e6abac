"""The Wasm values and memory blocks that a host function of the Extism face works with (§4.1)."""

from __future__ import annotations

from collections.abc import Iterator
from enum import Enum
from typing import Any, Final, NoReturn, SupportsIndex

from fumehood.errors import ClosedError, UsageError


class UsageTypeError(UsageError, TypeError):
    """A value or annotation of a type that cannot be used here; also a `TypeError`."""


class ValType(Enum):
    """A Wasm value type. `PTR` is the canonical name of 1, `I64` its alias: one is read as the
    other. Host functions can use the first four numbers only."""

    I32 = 0
    PTR = 1
    I64 = 1
    F32 = 2
    F64 = 3
    V128 = 4
    FUNC_REF = 5
    EXTERN_REF = 6


LETTERS: Final = {ValType.I32: "i", ValType.I64: "I", ValType.F32: "f", ValType.F64: "F"}
"""How the engine writes the types that host functions can use."""

BITS: Final = {ValType.I32: 32, ValType.I64: 64}


class Val:
    """A Wasm value: `t` its type, `value` an int (signed) or a float."""

    def __init__(self, t: ValType, v: Any) -> None:
        self.t = t
        self.value = v

    def __repr__(self) -> str:
        return f"Val({self.t}, {self.value})"

    def _assign(self, v: Any) -> None:
        self.value = v


class Memory:
    """A block of kernel memory: `offset` is its handle (0 = null), `length` its bytes."""

    def __init__(self, offs: int, length: int) -> None:
        self.offset = offs
        self.length = length

    def __len__(self) -> int:
        return self.length

    def __repr__(self) -> str:
        return f"Memory({self.offset}, {self.length})"


def signed(value: int, t: ValType) -> int:
    """An unsigned Wasm integer read as a signed one of the width of `t`."""
    bits = BITS[t]
    return value - (1 << bits) if value >> (bits - 1) else value


def from_wasm(t: ValType, value: float) -> Val:
    """What the engine hands over, as a `Val`; integers become signed."""
    return Val(t, signed(int(value), t) if t in BITS else float(value))


def to_wasm(declared: ValType, result: Val) -> int | float:
    """The number in `result` for a result of type `declared`.

    Integers may be signed or unsigned, within the width. Raises UsageTypeError for another type
    and OverflowError for a number that does not fit.
    """
    if result.t is not declared:
        raise UsageTypeError(f"Output type mismatch, got {result.t} but expected {declared}")
    if declared not in BITS:
        return float(result.value)
    return fitting(declared, int(result.value))


def fitting(t: ValType, number: int) -> int:
    """`number`, if the integer type `t` holds it, signed or unsigned; else OverflowError."""
    bits = BITS[t]
    if not -(1 << (bits - 1)) <= number < 1 << bits:
        raise OverflowError(f"{number} does not fit in an {t.name} result")
    return number


class Block(bytearray):
    """The bytes of a block at the moment it was asked for; assignments reach the kernel's memory.

    It behaves as the buffer of the `extism` package does: its size is fixed, an index gives bytes
    of length 1, a slice gives `bytes`. Being a copy it stays readable after the host function has
    returned; assigning to it then raises `ClosedError`.
    """

    __slots__ = ("_call", "_offset")

    def __init__(self, call: Any, offset: int, length: int) -> None:
        self._call = call
        self._offset = offset
        super().__init__(call.view(offset, length) if length else b"")

    def detach(self) -> None:
        """Cut the link to the kernel: the call is over."""
        self._call = None

    def __getitem__(self, key: Any) -> Any:
        found = super().__getitem__(key)
        return bytes(found) if isinstance(key, slice) else bytes((found,))

    def __iter__(self) -> Iterator[Any]:
        return (self[i] for i in range(len(self)))

    def __setitem__(self, key: Any, value: Any) -> None:
        if self._call is None:
            raise ClosedError("the memory of a host function is written while it runs, not after")
        if isinstance(key, slice):
            data = bytes(value)
            start, stop, step = key.indices(len(self))
            room = len(range(start, stop, step))
            if len(data) != room:
                raise ValueError(
                    f"{len(data)} bytes do not fit a slice of {room}: blocks are fixed"
                )
            super().__setitem__(key, data)
        else:
            super().__setitem__(key, value[0] if isinstance(value, bytes) else value)
        self._flush()

    def _flush(self) -> None:
        view = self._call.view(self._offset, len(self))
        view[:] = self
        view.release()

    def _fixed(self, *_: object) -> NoReturn:
        raise UsageTypeError("a block of kernel memory cannot change its size")

    def __delitem__(self, key: SupportsIndex | slice) -> NoReturn:
        self._fixed()

    __iadd__ = __imul__ = _fixed
    append = extend = insert = pop = remove = clear = reverse = _fixed
