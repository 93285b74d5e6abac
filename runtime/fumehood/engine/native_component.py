"""The raw calls of the component model, beside `native.py` and under its rules.

Payloads of components are strings: wasmtime copies those at once, where it would take a `list<u8>`
element by element (0.9 µs a byte). A value is built by hand, in place, from Python's own bytes: the
C API only reads arguments. `wasmtime.component.Func.__call__` reads all types anew in every call
and costs four times as much.

Here too layouts are private to wasmtime-py: `self_check` compares them at import, `check_call`
makes two calls when the engine is built.
"""

from __future__ import annotations

from ctypes import byref, c_void_p
from typing import Any, ClassVar, Final

from wasmtime import _ffi

from fumehood.engine import native
from fumehood.engine.native import RUN, SZ, TINY, C, P, bindings

_fn: Final = native._fn

KIND_U8: Final = 2
KIND_U64: Final = 8
KIND_STRING: Final = 12
KIND_RESULT: Final = 19
_FREED: Final = 0
"""A kind that owns nothing: the C API drops what an assigned value held before."""


class Value(C.Structure):
    """`wasmtime_component_val_t`, as far as it is used here.

    `a` is a number, a string's size, or whether a result is ok; `b` the string's bytes (Python's,
    kept alive by this object) or the address of a result's payload.
    """

    _fields_: ClassVar = [
        ("kind", C.c_uint8),
        ("_pad", C.c_uint8 * 7),
        ("a", C.c_uint64),
        ("b", C.c_char_p),
        ("_rest", C.c_uint64),
    ]


class _Foreign(C.Structure):
    """The same where `b` belongs to wasmtime: ctypes must not read it as a C string."""

    _fields_: ClassVar = [
        ("kind", C.c_uint8),
        ("_pad", C.c_uint8 * 7),
        ("a", C.c_uint64),
        ("b", P),
        ("_rest", C.c_uint64),
    ]


Instance: Final[Any] = bindings.wasmtime_component_instance_t
Func: Final[Any] = bindings.wasmtime_component_func_t

component_new: Any = _fn(RUN, "wasmtime_component_new", P, P, C.c_char_p, SZ, P)
component_serialize: Any = _fn(RUN, "wasmtime_component_serialize", P, P, P)
component_deserialize: Any = _fn(RUN, "wasmtime_component_deserialize", P, P, C.c_char_p, SZ, P)
component_deserialize_file: Any = _fn(
    RUN, "wasmtime_component_deserialize_file", P, P, C.c_char_p, P
)
component_delete: Any = _fn(TINY, "wasmtime_component_delete", None, P)
_export_index: Any = _fn(TINY, "wasmtime_component_get_export_index", P, P, P, C.c_char_p, SZ)
export_index_delete: Any = _fn(TINY, "wasmtime_component_export_index_delete", None, P)

linker_new: Any = _fn(TINY, "wasmtime_component_linker_new", P, P)
linker_delete: Any = _fn(TINY, "wasmtime_component_linker_delete", None, P)
_linker_root: Any = _fn(TINY, "wasmtime_component_linker_root", P, P)
linker_instantiate: Any = _fn(RUN, "wasmtime_component_linker_instantiate", P, P, P, P, P)
_add_instance: Any = _fn(
    TINY, "wasmtime_component_linker_instance_add_instance", P, P, C.c_char_p, SZ, P
)
_add_func: Any = _fn(
    TINY, "wasmtime_component_linker_instance_add_func", P, P, C.c_char_p, SZ, P, P, P
)
_instance_delete: Any = _fn(TINY, "wasmtime_component_linker_instance_delete", None, P)
instance_get_func: Any = _fn(TINY, "wasmtime_component_instance_get_func", C.c_bool, P, P, P, P)
HOST_CALLBACK: Any = C.CFUNCTYPE(SZ, P, P, P, C.POINTER(_Foreign), SZ, C.POINTER(_Foreign), SZ)

call: Any = _fn(RUN, "wasmtime_component_func_call", P)
"""Without argtypes, as `native.call`: ready ctypes objects only."""
_value_delete: Any = _fn(TINY, "wasmtime_component_val_delete", None, P)
_bytes_delete: Any = _fn(TINY, "wasm_byte_vec_delete", None, P)

_TRAPS: Final = {
    "call stack exhausted": 0,
    "out of bounds memory access": 1,
    "misaligned memory access": 2,
    "undefined element: out of bounds table access": 3,
    "uninitialized element": 4,
    "indirect call type mismatch": 5,
    "integer overflow": 6,
    "integer divide by zero": 7,
    "invalid conversion to integer": 8,
    "wasm `unreachable` instruction executed": 9,
    "interrupt": 10,
    "all fuel consumed by WebAssembly": 11,
}
"""A component's trap arrives as an error, its code only as words: the last line is wasmtime's own,
whatever names of the guest's stand in the backtrace before it."""


def check(error: int | None) -> native.Failure | None:
    """The failure behind an error pointer, with the code of the trap that it tells of; or None."""
    failure = native.check(error)
    if failure is not None:
        failure.code = _TRAPS.get(failure.root().removeprefix("wasm trap: "))
    return failure


def serialize(component: int) -> bytes | native.Failure:
    """The artefact of a compiled component."""
    out = bindings.wasm_byte_vec_t()
    failure = native.check(component_serialize(component, byref(out)))
    if failure is not None:
        return failure
    data = C.string_at(out.data, out.size)
    _bytes_delete(byref(out))
    return data


def export_index(component: int, name: str) -> int | None:
    """Where an export lies in a component's every instance; freed by `export_index_delete`."""
    raw = name.encode()
    found: int | None = _export_index(component, None, raw, len(raw))
    return found


def define(linker: int, interface: str, functions: list[str], callback: Any) -> None:
    """Define an interface of functions that all call `callback`, each with its index as the first
    argument. Raises HostError."""
    root = _linker_root(linker)
    instance = c_void_p()
    name = interface.encode()
    try:
        failure = native.check(_add_instance(root, name, len(name), byref(instance)))
        for index, function in enumerate(functions):
            if failure is not None:
                break
            raw = function.encode()
            failure = native.check(_add_func(instance, raw, len(raw), callback, index, None))
    finally:
        if instance.value is not None:
            _instance_delete(instance)
        _instance_delete(root)
    if failure is not None:
        raise native._refuse(f"{interface} cannot be linked: {failure.root()}")


class Arguments:
    """Room for `count` strings in and one value out, made once and used for every call."""

    __slots__ = ("_result", "_values", "count", "given", "out")

    def __init__(self, count: int) -> None:
        values = (Value * count)()
        self._values = tuple(values)
        for value in self._values:
            value.kind = KIND_STRING
        self._result = _Foreign()
        self.given = byref(values)
        self.count = count
        self.out = byref(self._result)

    def put(self, *texts: bytes) -> None:
        """The strings of the next call. UTF-8, or the C API ends the process."""
        for value, text in zip(self._values, texts, strict=True):
            value.a = len(text)
            value.b = text

    def clear(self) -> None:
        """Let go of the strings."""
        for value in self._values:
            value.b = None

    def take_string(self, cap: int) -> tuple[bytes, int]:
        """The string that came out: at most `cap` bytes of it, and its size."""
        try:
            return _text(self._result, cap)
        finally:
            self._free()

    def take_result(self, cap: int) -> tuple[bool, bytes, int]:
        """The `result<string, string>` that came out: whether it is ok, and as `take_string`."""
        try:
            # is_ok is one byte wide, what stands behind it is not set
            text, size = _text(_Foreign.from_address(self._result.b), cap)
            return bool(self._result.a & 0xFF), text, size
        finally:
            self._free()

    def _free(self) -> None:
        _value_delete(self.out)
        self._result.kind = _FREED


def _text(value: Any, cap: int) -> tuple[bytes, int]:
    size = int(value.a)
    return (C.string_at(value.b, min(size, cap)) if size else b""), size


def read_argument(value: Any, kind: int) -> int | bytes:
    """An argument of a host function: a number, or a string's bytes (a copy, UTF-8)."""
    if kind == KIND_STRING:
        return _text(value, int(value.a))[0]
    return int(value.a) & (0xFF if kind == KIND_U8 else 0xFFFFFFFFFFFFFFFF)


def write_number(value: Any, kind: int, number: int) -> None:
    """A host function's result, a number."""
    value.kind = kind
    value.a = number


def self_check() -> None:
    """Layouts and kinds, before anybody relies on them. Raises HostError."""
    theirs: Any = bindings.wasmtime_component_val_t
    for ours in (Value, _Foreign):
        if C.sizeof(ours) != C.sizeof(theirs) or ours.a.offset != theirs.of.offset:
            raise native._refuse("wasmtime_component_val_t has another layout")
    payload = bindings.wasmtime_component_valresult_t.val.offset
    if theirs.of.offset + payload != _Foreign.b.offset:
        raise native._refuse("a component's result has another layout")
    for name, kind in (("U8", 2), ("U64", 8), ("STRING", 12), ("RESULT", 19)):
        found = getattr(_ffi, f"WASMTIME_COMPONENT_{name}").value
        if found != kind:
            raise native._refuse(f"the kind {name} has another number")


_ECHO: Final = """(component
  (core module $m
    (memory (export "memory") 1)
    (global $top (mut i32) (i32.const 64))
    (func (export "realloc") (param i32 i32 i32 i32) (result i32)
      global.get $top
      (global.set $top (i32.add (global.get $top) (local.get 3))))
    (func (export "call") (param i32 i32 i32 i32) (result i32)
      (i32.store8 (i32.const 16) (i32.ne (local.get 1) (i32.const 2)))
      (i32.store (i32.const 20) (local.get 2))
      (i32.store (i32.const 24) (local.get 3))
      (i32.const 16)))
  (core instance $i (instantiate $m))
  (alias core export $i "memory" (core memory $memory))
  (alias core export $i "realloc" (core func $realloc))
  (alias core export $i "call" (core func $call))
  (func (export "call") (param "name" string) (param "input" string)
    (result (result string (error string)))
    (canon lift (core func $call) (memory $memory) (realloc $realloc))))"""


def check_call(engine: Any) -> None:
    """Two calls through this layer, made when the engine is built. Raises HostError."""
    import wasmtime
    from wasmtime import component

    store = wasmtime.Store(engine)
    store.set_fuel(100_000)
    store.set_epoch_deadline(1)
    compiled = component.Component(engine, _ECHO)
    instance = component.Linker(engine).instantiate(store, compiled)
    function = instance.get_func(store, "call")
    assert function is not None
    context = c_void_p(C.cast(store._context(), c_void_p).value)
    arguments = Arguments(2)
    for name, ok in ((b"ok", True), (b"error", False)):
        arguments.put(name, "grün".encode())
        failed = call(byref(function._func), context, arguments.given, 2, arguments.out, 1)
        if failed or arguments.take_result(64) != (ok, "grün".encode(), 5):
            raise native._refuse("a component gave another value back")
    store.close()


self_check()
