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

from fumehood.extism.types import Memory, UsageTypeError, ValType, fitting, signed

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


Read = Callable[["CurrentPlugin", Any], Any]
Write = Callable[["CurrentPlugin", Any], "int | float"]


@dataclass(frozen=True, slots=True)
class Parameter:
    """One Wasm parameter and how its Python value is read from the number that arrives
    (integers unsigned)."""

    type: ValType
    read: Read


@dataclass(frozen=True, slots=True)
class Result:
    """One Wasm result and how a Python value becomes its number."""

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
            return Parameter(ValType.I64, lambda at, word: json.loads(at._text(word)))
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
            return Result(ValType.I64, lambda at, value: at._block(json.dumps(value).encode()))
        if _is(mark, Pickle):
            return Result(ValType.I64, lambda at, value: at._block(pickle.dumps(value)))
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
    return lambda at, word: codec(at._bytes(word))


def _encoder(codec: Callable[[Any], Any]) -> Write:
    return lambda at, value: at._block(codec(value))


def _unpickle(at: CurrentPlugin, word: int) -> Any:
    return pickle.loads(at._bytes(word))  # noqa: S301 - only behind Pickle(trust_guest=True)


def _read_int(at: CurrentPlugin, word: int) -> int:
    data = at._bytes(word)
    if len(data) not in (1, 2, 4, 8):
        raise ValueError(f"an integer has 1, 2, 4 or 8 bytes, not {len(data)}")
    return int.from_bytes(data, "little", signed=True)


def _read_float(at: CurrentPlugin, word: int) -> float:
    number: float = struct.unpack("<d", at._bytes(word))[0]
    return number


def _write_int(at: CurrentPlugin, value: int) -> int:
    return at._block(value.to_bytes(8, "little", signed=value < 0))


def _write_float(at: CurrentPlugin, value: float) -> int:
    return at._block(struct.pack("<d", value))


_PARAMETERS: dict[type, Parameter] = {
    str: Parameter(ValType.I64, lambda at, word: at._text(word)),
    bytes: Parameter(ValType.I64, lambda at, word: at._bytes(word)),
    int: Parameter(ValType.I64, lambda _, word: signed(word, ValType.I64)),
    float: Parameter(ValType.F64, lambda _, word: word),
    bool: Parameter(ValType.I32, lambda _, word: bool(word)),
    Memory: Parameter(ValType.I64, lambda at, word: at.memory_at_offset(word)),
}

_RAW: dict[type, Result] = {
    int: Result(ValType.I64, lambda _, value: fitting(ValType.I64, value)),
    float: Result(ValType.F64, lambda _, value: float(value)),
    bool: Result(ValType.I32, lambda _, value: int(bool(value))),
}

_RESULTS: dict[type, Result] = {
    str: Result(ValType.I64, lambda at, value: at._block(value.encode())),
    bytes: Result(ValType.I64, lambda at, value: at._block(value)),
    int: Result(ValType.I64, lambda at, value: at._block(value.to_bytes(8, "little"))),
    float: _RAW[float],
    bool: _RAW[bool],
    Memory: Result(ValType.I64, lambda _, value: value.offset),
}
