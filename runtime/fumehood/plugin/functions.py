"""Host functions that a program gives its plugins: `@host_function`.

Types are taken from the annotations. A `str` or `bytes` travels as a block, its handle as i64; an
`int` is a signed i64, a `float` an f64, a `bool` an i32; a `tuple` result is several of them. A
first parameter annotated `HostCall` gets the call itself: blocks, the meter, the caller's context.
"""

from __future__ import annotations

import inspect
import typing
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Final

from fumehood import arguments
from fumehood.engine import HostCall, HostImport
from fumehood.errors import HostFunctionError, ProtocolError, UsageError

USER_NAMESPACE: Final = "extism:host/user"

_SIGN: Final = 1 << 63
_WRAP: Final = 1 << 64


@dataclass(frozen=True)
class Converter:
    """How one annotated type crosses the boundary: its Wasm letter, both directions."""

    letter: str
    load: Callable[[HostCall, Any], Any]
    store: Callable[[HostCall, Any], int | float]


def _load_text(call: HostCall, handle: int) -> str:
    try:
        return call.read(handle, "argument").decode("utf-8")
    except UnicodeDecodeError as problem:
        raise ProtocolError("a text argument of a host function is not UTF-8") from problem


CONVERTERS: Final[dict[Any, Converter]] = {
    str: Converter("I", _load_text, lambda call, v: call.write(v.encode("utf-8"))),
    bytes: Converter("I", lambda call, h: call.read(h, "argument"), lambda call, v: call.write(v)),
    # arrives unsigned
    int: Converter("I", lambda _call, v: v - _WRAP if v >= _SIGN else v, lambda _call, v: int(v)),
    float: Converter("F", lambda _call, v: v, lambda _call, v: float(v)),
    bool: Converter("i", lambda _call, v: bool(v), lambda _call, v: int(bool(v))),
}


@dataclass(frozen=True)
class HostFunction:
    """A function that plugins may import. Calling the object calls the Python function itself.

    `raw(call, *arguments)` is what the engine runs, with arguments as they arrive.
    """

    name: str
    namespace: str
    params: str
    results: str
    function: Callable[..., Any]
    raw: Callable[..., Any]
    charge: int = 0

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """The original function."""
        return self.function(*args, **kwargs)

    def to_import(self) -> HostImport:
        """As the engine takes it. What the function raises is reported as HostFunctionError."""
        return HostImport(
            self.namespace,
            self.name,
            self.params,
            self.results,
            self.raw,
            charge=self.charge,
            timed=True,
        )


def as_imports(functions: Iterable[Any] | None) -> list[HostImport]:
    """Host functions as the engine takes them. Raises UsageError for what is none."""
    found = arguments.items(functions, "functions", "host functions")
    for function in found:
        if not callable(getattr(function, "to_import", None)):
            raise UsageError(
                f"{type(function).__name__} is no host function",
                hint="decorate it with @host_function(), with the parentheses",
            )
    return [function.to_import() for function in found]


def guarded(function: Callable[..., Any]) -> Callable[..., Any]:
    """`function`, with any exception it raises wrapped as the cause of a HostFunctionError."""

    def run(*arguments: Any) -> Any:
        try:
            return function(*arguments)
        except Exception as problem:
            raise _raised(function, problem) from problem

    return run


def _raised(function: Callable[..., Any], problem: Exception) -> HostFunctionError:
    return HostFunctionError(
        f"host function {getattr(function, '__name__', '?')!r} raised "
        f"{type(problem).__name__}: {problem}"
    )


def _annotations(function: Callable[..., Any]) -> dict[str, Any]:
    try:
        return typing.get_type_hints(function)
    except Exception as problem:
        raise UsageError(f"the annotations of {function!r} cannot be read: {problem}") from problem


def _converter(kind: Any, where: str) -> Converter:
    found = CONVERTERS.get(kind)
    if found is None:
        raise UsageError(
            f"{where}: {kind!r} cannot cross the boundary", hint="use str, bytes, int, float, bool"
        )
    return found


def _build(function: Callable[..., Any], name: str, namespace: str, charge: int) -> HostFunction:
    hints = _annotations(function)
    takes_call = False
    loads: list[Converter] = []
    try:
        signature = inspect.signature(function)
    except (TypeError, ValueError) as problem:
        raise UsageError(f"{name}: its parameters cannot be read: {problem}") from problem
    for position, parameter in enumerate(signature.parameters.values()):
        kind = hints.get(parameter.name)
        if kind is HostCall:
            if position:
                raise UsageError(f"{name}: only the first parameter may be a HostCall")
            takes_call = True
            continue
        if parameter.kind not in (parameter.POSITIONAL_ONLY, parameter.POSITIONAL_OR_KEYWORD):
            raise UsageError(f"{name}: parameter {parameter.name!r} is not positional")
        if kind is None:
            raise UsageError(f"{name}: parameter {parameter.name!r} has no annotation")
        loads.append(_converter(kind, f"{name}({parameter.name})"))
    returned = hints.get("return", type(None))
    kinds = typing.get_args(returned) if typing.get_origin(returned) is tuple else (returned,)
    stores = [_converter(k, f"{name} -> …") for k in kinds if k is not type(None)]
    if len(stores) == 1 and len(loads) == 1 and not takes_call:
        raw = _single(function, name, loads[0], stores[0])
    elif len(stores) == 1 and len(loads) == 2 and not takes_call:
        raw = _double(function, name, loads, stores[0])
    else:
        raw = _general(function, name, loads, stores, takes_call)
    return HostFunction(
        name=name,
        namespace=namespace,
        params="".join(c.letter for c in loads),
        results="".join(c.letter for c in stores),
        function=function,
        raw=raw,
        charge=charge,
    )


def _single(
    function: Callable[..., Any], name: str, load: Converter, store: Converter
) -> Callable[..., Any]:
    """One value in, one out, without the lists of `_general` (0.6 µs a call)."""
    take, give = load.load, store.store

    def raw(call: HostCall, argument: int | float) -> Any:
        value = take(call, argument)
        try:
            result = function(value)
        except Exception as problem:
            raise _raised(function, problem) from problem
        try:
            return give(call, result)
        except _UNFIT as problem:
            raise _unfit(name, result, problem) from problem

    return raw


def _double(
    function: Callable[..., Any], name: str, loads: list[Converter], store: Converter
) -> Callable[..., Any]:
    """Two values in, one out, in the same way."""
    first, second, give = loads[0].load, loads[1].load, store.store

    def raw(call: HostCall, left: int | float, right: int | float) -> Any:
        values = first(call, left), second(call, right)
        try:
            result = function(*values)
        except Exception as problem:
            raise _raised(function, problem) from problem
        try:
            return give(call, result)
        except _UNFIT as problem:
            raise _unfit(name, result, problem) from problem

    return raw


def _general(
    function: Callable[..., Any],
    name: str,
    loads: list[Converter],
    stores: list[Converter],
    takes_call: bool,
) -> Callable[..., Any]:
    run = guarded(function)

    def raw(call: HostCall, *arguments: int | float) -> Any:
        values = [c.load(call, a) for c, a in zip(loads, arguments, strict=True)]
        result = run(call, *values) if takes_call else run(*values)
        if not stores:
            return None
        if len(stores) == 1:
            return _stored(stores[0], call, result, name)
        try:
            pairs = list(zip(stores, result, strict=True))
        except (TypeError, ValueError) as problem:
            raise HostFunctionError(f"host function {name!r}: {problem}") from problem
        return tuple(_stored(c, call, r, name) for c, r in pairs)

    return raw


_UNFIT: Final = (TypeError, ValueError, AttributeError, OverflowError)


def _unfit(name: str, value: Any, problem: Exception) -> HostFunctionError:
    return HostFunctionError(f"host function {name!r} returned {type(value).__name__}: {problem}")


def _stored(converter: Converter, call: HostCall, value: Any, name: str) -> int | float:
    try:
        return converter.store(call, value)
    except _UNFIT as problem:
        raise _unfit(name, value, problem) from problem


def host_function(
    name: str | None = None, namespace: str = USER_NAMESPACE, charge: int = 0
) -> Callable[[Callable[..., Any]], HostFunction]:
    """Decorate a function for `Plugin(functions=[…])`.

    `name` is what guests import (default: the function's own), `charge` the fuel a call costs
    beside the ordinary. Raises UsageError at once for annotations that cannot cross the boundary.
    """

    if name is not None and not isinstance(name, str):
        raise UsageError(
            f"the name of a host function must be text, not {type(name).__name__}",
            hint="the decorator needs parentheses: @host_function()",
        )
    arguments.text(namespace, "namespace")
    if arguments.whole(charge, "charge") < 0:
        raise UsageError("charge must not be negative")

    def decorate(function: Callable[..., Any]) -> HostFunction:
        if not callable(function):
            raise UsageError(f"{type(function).__name__} is no function")
        called = name or str(getattr(function, "__name__", "?"))
        return _build(function, called, namespace, charge)

    return decorate
