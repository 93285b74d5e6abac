"""`Function`, `host_fn` and the registry of decorated functions (extism-abi.md §4.2)."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Final, get_type_hints

from fumehood.engine import HostImport
from fumehood.errors import Cancelled, Error, HostFunctionError, LimitError
from fumehood.extism import codecs
from fumehood.extism.current import CurrentPlugin, Kernel
from fumehood.extism.types import (
    LETTERS,
    UsageTypeError,
    Val,
    ValType,
    from_wasm,
    to_wasm,
)

DEFAULT_NAMESPACE: Final = "extism:host/user"

HOST_FN_REGISTRY: list[Function] = []
"""Every decorated function of the process: what a `Plugin` gets that is given no `functions`."""


class Function:
    """A host function: `f(plugin, params, results, *user_data)`, with `Val` lists.

    `args` and `returns` are the numbers of the value types. Raises UsageTypeError for a type that
    host functions cannot use.
    """

    def __init__(
        self,
        namespace: str | None,
        name: str,
        args: Iterable[ValType],
        returns: Iterable[ValType],
        f: Callable[..., Any],
        *user_data: Any,
    ) -> None:
        self.namespace = namespace
        self.name = name
        self.parameter_types = _numbers(name, args)
        self.result_types = _numbers(name, returns)
        self.args = [t.value for t in self.parameter_types]
        self.returns = [t.value for t in self.result_types]
        self.user_data = user_data
        self.f = f

    @property
    def params(self) -> str:
        """The parameter types as the engine writes them, one letter a value."""
        return "".join(LETTERS[t] for t in self.parameter_types)

    @property
    def results(self) -> str:
        """The result types, likewise."""
        return "".join(LETTERS[t] for t in self.result_types)

    def run(self, call: Kernel, *arguments: float) -> Any:
        """What the engine calls: Wasm numbers in, Wasm numbers out (a tuple for several).

        What the function raises stops the guest. An error of fumehood's own that it lets through,
        such as one of another plugin that it called, becomes the cause of a HostFunctionError: only
        this operation's limits speak for this operation.
        """
        plugin = CurrentPlugin(call)
        try:
            return self._run(plugin, arguments)
        except Error as raised:
            if raised.plugin is None and isinstance(raised, LimitError | Cancelled):
                raise
            raise HostFunctionError(
                f"host function {self.name!r} raised {type(raised).__name__}: {raised}"
            ) from raised
        finally:
            plugin._finish()

    def _run(self, plugin: CurrentPlugin, arguments: tuple[float, ...]) -> Any:
        given = [from_wasm(t, v) for t, v in zip(self.parameter_types, arguments, strict=True)]
        slots = [Val(t, 0) for t in self.result_types]
        self.f(plugin, given, slots, *self.user_data)
        numbers = [to_wasm(t, slot) for t, slot in zip(self.result_types, slots, strict=True)]
        if not numbers:
            return None
        return numbers[0] if len(numbers) == 1 else tuple(numbers)

    def to_import(self) -> HostImport:
        """As the engine takes it; the time it takes is not the guest's."""
        namespace = self.namespace or DEFAULT_NAMESPACE
        return HostImport(namespace, self.name, self.params, self.results, self.run, timed=True)

    def __repr__(self) -> str:
        namespace = self.namespace or DEFAULT_NAMESPACE
        return f"{type(self).__name__}({namespace}::{self.name} ({self.params})→({self.results}))"


class ExplicitFunction(Function):
    """A function with an explicit signature. Calling it calls the function it decorates."""

    def __init__(  # noqa: PLR0917 - positional, as the package has it
        self,
        namespace: str | None,
        name: str,
        args: Iterable[ValType],
        returns: Iterable[ValType],
        func: Callable[..., Any],
        user_data: Sequence[Any],
        low_level: Callable[..., Any] | None = None,
    ) -> None:
        self.func = func
        super().__init__(namespace, name, args, returns, low_level or func, *user_data)
        functools.update_wrapper(self, func)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self.func(*args, **kwargs)


class TypeInferredFunction(ExplicitFunction):
    """A function whose signature is read from its annotations (§4.3).

    A first parameter annotated `CurrentPlugin` gets the caller; `user_data` is appended. Raises
    UsageTypeError where the annotations do not say enough.
    """

    def __init__(
        self,
        namespace: str | None,
        name: str,
        func: Callable[..., Any],
        user_data: Sequence[Any],
    ) -> None:
        self._uses_plugin, self._parameters, self._results = _infer(func)
        super().__init__(
            namespace,
            name,
            [p.type for p in self._parameters],
            [r.type for r in self._results],
            func,
            user_data,
            self._low_level,
        )

    def _run(self, plugin: CurrentPlugin, arguments: tuple[float, ...]) -> Any:
        given = [p.read(plugin, word) for p, word in zip(self._parameters, arguments, strict=True)]
        if self._uses_plugin:
            given.insert(0, plugin)
        value = self.func(*given, *self.user_data)
        results = self._results
        if not results:
            return None
        if len(results) == 1 and not isinstance(value, tuple):
            return results[0].write(plugin, value)
        values = codecs.spread(results, value)
        found = tuple(r.write(plugin, item) for r, item in zip(results, values, strict=True))
        return found[0] if len(found) == 1 else found

    def _low_level(
        self, plugin: CurrentPlugin, inputs: list[Val], outputs: list[Val], *_: Any
    ) -> None:
        found = self._run(plugin, tuple(slot.value for slot in inputs))
        numbers = found if isinstance(found, tuple) else (found,) if outputs else ()
        for slot, number in zip(outputs, numbers, strict=True):
            slot.value = number


def host_fn(
    name: str | Callable[..., Any] | None = None,
    namespace: str | None = None,
    signature: tuple[Sequence[ValType], Sequence[ValType]] | None = None,
    user_data: Any = None,
) -> Any:
    """Make a Python function callable by guests, and put it into `HOST_FN_REGISTRY`.

    `name` defaults to the function's, `namespace` to `extism:host/user`. With `signature` the
    function is called as `f(plugin, params, results, *user_data)`; without it the types are
    inferred from the annotations. `user_data` is one `bytes` or a list, and is copied.

    The decorated object can be called like the function itself. An exception that it raises while
    a guest calls it stops the guest, and is the `__cause__` of what the caller of the plugin gets.
    """
    if callable(name):  # `@extism.host_fn` without parentheses
        return host_fn()(name)
    extra = [] if user_data is None else [user_data] if _is_one(user_data) else list(user_data)

    def decorate(func: Callable[..., Any]) -> ExplicitFunction:
        wasm_name = name or getattr(func, "__name__", "")
        if not wasm_name:
            raise UsageTypeError("a host function without a name needs name=")
        made = (
            TypeInferredFunction(namespace, wasm_name, func, extra)
            if signature is None
            else ExplicitFunction(namespace, wasm_name, signature[0], signature[1], func, extra)
        )
        HOST_FN_REGISTRY.append(made)
        return made

    return decorate


class _ExtismFunctionMetadata:
    """A function as registered with one plugin; `pointer` is None once it is given up."""

    def __init__(self, f: Function) -> None:
        self.pointer: Function | None = f

    def __del__(self) -> None:
        self.pointer = None


def _is_one(user_data: Any) -> bool:
    return isinstance(user_data, bytes | bytearray | str) or not isinstance(user_data, Iterable)


def _numbers(name: str, types: Iterable[ValType]) -> list[ValType]:
    found = list(types)
    for t in found:
        if not isinstance(t, ValType):
            raise UsageTypeError(f"{name}: a ValType is needed, not {t!r:.60}")
        if t not in LETTERS:
            raise UsageTypeError(f"{name}: host functions cannot use {t.name} values")
    return found


def _infer(
    func: Callable[..., Any],
) -> tuple[bool, list[codecs.Parameter], list[codecs.Result]]:
    try:
        hints = get_type_hints(func, include_extras=True)
    except NameError as problem:
        raise UsageTypeError(
            f"an annotation of {_name(func)} cannot be resolved: {problem}",
            hint="names in annotations must be module-level where annotations are strings",
        ) from problem
    if not hints:
        raise UsageTypeError(
            "Host function must include Python type annotations or explicitly list arguments."
        )
    parameters: list[codecs.Parameter] = []
    uses_plugin = False
    skipped: str | None = None
    for index, item in enumerate(inspect.signature(func).parameters.values()):
        if item.kind in (item.VAR_POSITIONAL, item.VAR_KEYWORD, item.KEYWORD_ONLY):
            continue  # *user_data, and what no guest can pass
        if item.name not in hints:
            skipped = item.name
        elif skipped is not None:
            raise UsageTypeError(
                f"{_name(func)}: parameter {skipped} before {item.name} needs an annotation",
                hint="parameters without one get user_data, which comes last",
            )
        elif index == 0 and hints[item.name] is CurrentPlugin:
            uses_plugin = True
        else:
            parameters.append(codecs.parameter(item.name, hints[item.name]))
    return uses_plugin, parameters, codecs.results(hints.get("return"))


def _name(func: Callable[..., Any]) -> str:
    return getattr(func, "__name__", repr(func))
