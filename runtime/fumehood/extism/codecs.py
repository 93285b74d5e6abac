"""How Python types of a host function map to Wasm values (extism-abi.md §4.3, "Ours").

A type becomes one or more converters: one for a parameter, one a value for a result. `str`,
`bytes` and annotated types travel as handles of kernel blocks, numbers as themselves, and an `int`
result as a handle of 8 bytes, as the `extism` package has it.
"""

from __future__ import annotations

import json
import pickle
import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, get_args, get_origin

from fumehood.extism.types import Memory, UsageTypeError, Val, ValType

if TYPE_CHECKING:
    from fumehood.extism.current import CurrentPlugin


class Json:
    """`Annotated[T, Json]`: JSON text in a block, in both directions."""


class Pickle:
    """`Annotated[T, Pickle]`: a pickle in a block, for results.

    Unpickling runs code that the bytes choose, so a parameter needs
    `Annotated[T, Pickle(trust_guest=True)]`: with that the plugin may do whatever this process may.
    """

    def __init__(self, *, trust_guest: bool = False) -> None:
        self.trust_guest = trust_guest


class Codec:
    """`Annotated[T, Codec(f)]`: `f(bytes)` for a parameter, `f(value) -> bytes` for a result."""

    def __init__(self, codec: Callable[[Any], Any]) -> None:
        self.codec = codec


class Raw:
    """`Annotated[int, Raw]`: the number itself as a Wasm value, in both directions."""


class Ptr:
    """`Annotated[int, Ptr]`: a handle of the number's little-endian bytes, in both directions.

    That is how the Rust PDK's `host_fn!` passes numbers. An int is read signed from 1, 2, 4 or 8
    bytes and written as 8, a float is 8 bytes.
    """


Read = Callable[["CurrentPlugin", Val], Any]
Write = Callable[["CurrentPlugin", Val, Any], None]


@dataclass(frozen=True, slots=True)
class Parameter:
    """One Wasm parameter and how its Python value is read."""

    type: ValType
    read: Read


@dataclass(frozen=True, slots=True)
class Result:
    """One Wasm result and how a Python value is written to it."""

    type: ValType
    write: Write


def parameter(name: str, hint: Any) -> Parameter:
    """The converter for a parameter annotated with `hint`; UsageTypeError where there is none."""
    simple = _PARAMETERS.get(hint) if isinstance(hint, type) else None
    if simple is not None:
        return simple
    inner, marks = _marks(hint)
    for mark in marks:
        if _is(mark, Json):
            return Parameter(ValType.I64, lambda at, slot: json.loads(at.input_string(slot)))
        if _is(mark, Pickle):
            if not (isinstance(mark, Pickle) and mark.trust_guest):
                raise UsageTypeError(
                    f"parameter {name}: unpickling a guest's bytes runs whatever code they name",
                    hint="use Json, or Pickle(trust_guest=True) if the plugin is as good as yours",
                )
            return Parameter(ValType.I64, _unpickle)
        if isinstance(mark, Codec):
            return Parameter(ValType.I64, _decoder(mark.codec))
        if _is(mark, Raw) and inner in _RAW:
            return _PARAMETERS[inner]
        if _is(mark, Ptr) and inner in (int, float):
            return Parameter(ValType.I64, _read_int if inner is int else _read_float)
    raise UsageTypeError(f"Could not infer input type for argument {name}", hint=_KNOWN)


def results(hint: Any) -> list[Result]:
    """The converters for a return annotation: none for None, one each for the items of a tuple.

    Raises UsageTypeError where there is none.
    """
    if hint is None or hint is type(None):
        return []
    if get_origin(hint) is tuple:
        return [result(item) for item in get_args(hint)]
    return [result(hint)]


def result(hint: Any) -> Result:
    """The converter for one value that a host function returns."""
    simple = _RESULTS.get(hint) if isinstance(hint, type) else None
    if simple is not None:
        return simple
    inner, marks = _marks(hint)
    for mark in marks:
        if _is(mark, Json):
            return Result(ValType.I64, lambda at, s, value: at.return_string(s, json.dumps(value)))
        if _is(mark, Pickle):
            return Result(ValType.I64, lambda at, s, value: at.return_bytes(s, pickle.dumps(value)))
        if isinstance(mark, Codec):
            return Result(ValType.I64, _encoder(mark.codec))
        if _is(mark, Raw) and inner in _RAW:
            return _RAW[inner]
        if _is(mark, Ptr) and inner in (int, float):
            return Result(ValType.I64, _write_int if inner is int else _write_float)
    raise UsageTypeError("Could not infer return type", hint=_KNOWN)


def spread(converters: Sequence[Result], value: Any) -> list[Any]:
    """A function's return value as one item a converter; UsageTypeError for another length."""
    if not converters:
        return []
    if len(converters) == 1 and not isinstance(value, tuple):
        return [value]
    if not isinstance(value, tuple) or len(value) != len(converters):
        raise UsageTypeError(f"{len(converters)} values are to be returned, not {value!r:.100}")
    return list(value)


_KNOWN = "str, bytes, int, float, bool, or Annotated with Json, Codec, Pickle, Raw or Ptr"


def _marks(hint: Any) -> tuple[Any, tuple[Any, ...]]:
    if get_origin(hint) is not Annotated:
        return hint, ()
    inner, *marks = get_args(hint)
    return inner, tuple(marks)


def _is(mark: Any, kind: type) -> bool:
    return mark is kind or isinstance(mark, kind)


def _decoder(codec: Callable[[Any], Any]) -> Read:
    return lambda at, slot: codec(at.input_bytes(slot))


def _encoder(codec: Callable[[Any], Any]) -> Write:
    return lambda at, slot, value: at.return_bytes(slot, codec(value))


def _unpickle(at: CurrentPlugin, slot: Val) -> Any:
    return pickle.loads(at.input_bytes(slot))  # noqa: S301 - only behind Pickle(trust_guest=True)


def _read_int(at: CurrentPlugin, slot: Val) -> int:
    data = at.input_bytes(slot)
    if len(data) not in (1, 2, 4, 8):
        raise ValueError(f"an integer has 1, 2, 4 or 8 bytes, not {len(data)}")
    return int.from_bytes(data, "little", signed=True)


def _read_float(at: CurrentPlugin, slot: Val) -> float:
    number: float = struct.unpack("<d", at.input_bytes(slot))[0]
    return number


def _write_int(at: CurrentPlugin, slot: Val, value: int) -> None:
    at.return_bytes(slot, value.to_bytes(8, "little", signed=value < 0))


def _write_unsigned(at: CurrentPlugin, slot: Val, value: int) -> None:
    at.return_bytes(slot, value.to_bytes(8, "little"))


def _write_float(at: CurrentPlugin, slot: Val, value: float) -> None:
    at.return_bytes(slot, struct.pack("<d", value))


def _assign(convert: Callable[[Any], Any]) -> Write:
    def write(_at: CurrentPlugin, slot: Val, value: Any) -> None:
        slot.value = convert(value)

    return write


def _handle(_at: CurrentPlugin, slot: Val, value: Memory) -> None:
    slot.value = value.offset


_PARAMETERS: dict[type, Parameter] = {
    str: Parameter(ValType.I64, lambda at, slot: at.input_string(slot)),
    bytes: Parameter(ValType.I64, lambda at, slot: at.input_bytes(slot)),
    int: Parameter(ValType.I64, lambda _, slot: slot.value),
    float: Parameter(ValType.F64, lambda _, slot: slot.value),
    bool: Parameter(ValType.I32, lambda _, slot: bool(slot.value)),
    Memory: Parameter(ValType.I64, lambda at, slot: at.memory_at_offset(slot)),
}

_RAW: dict[type, Result] = {
    int: Result(ValType.I64, _assign(int)),
    float: Result(ValType.F64, _assign(float)),
    bool: Result(ValType.I32, _assign(lambda value: int(bool(value)))),
}

_RESULTS: dict[type, Result] = {
    str: Result(ValType.I64, lambda at, slot, value: at.return_string(slot, value)),
    bytes: Result(ValType.I64, lambda at, slot, value: at.return_bytes(slot, value)),
    int: Result(ValType.I64, _write_unsigned),
    float: _RAW[float],
    bool: _RAW[bool],
    Memory: Result(ValType.I64, _handle),
}
