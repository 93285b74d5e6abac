"""Every raw call into wasmtime's C API. Nothing outside this file touches a pointer.

wasmtime-py's own `Func.__call__` costs 24.8 µs, a call through a private ctypes handle with
prebuilt `byref` arguments 0.36 µs (a prototype's figures). So two private handles stand on the
shared library that wasmtime-py has loaded; its own prototypes are never changed:

`RUN` (CDLL) releases the GIL: everything that may run guest code or compile.
`TINY` (PyDLL) keeps the GIL: getters and setters below a microsecond. A guest must never be
entered through it: the epoch ticker is a Python thread and could then never stop a loop.

This layer of wasmtime-py is private, so `self_check` runs at import and the range of releases is
pinned in pyproject.toml; CI runs the suite at both ends of it.
"""

from __future__ import annotations

import ctypes
import functools
import re
import weakref
from ctypes import byref, c_uint64, c_void_p
from pathlib import Path
from typing import Any, ClassVar, Final

from wasmtime import _bindings, _ffi

from fumehood.errors import HostError

KNOWN_BAD: Final = {"46.0.1": "RUSTSEC-2026-0222, -0223", "47.0.1": "RUSTSEC-2026-0222"}
"""Releases on PyPI with advisories that reach an embedder like us."""
OLDEST: Final = 48

_path: Final = str(_ffi.filename)
C: Final = ctypes
bindings: Final[Any] = _bindings
RUN: Final = C.CDLL(_path)
TINY: Final = C.PyDLL(_path)

P: Final = c_void_p
U64: Final = c_uint64
SZ: Final = C.c_size_t

KIND_FUNC: Final = 0
KIND_MEMORY: Final = 3


class Func(C.Structure):
    """`wasmtime_func_t`."""

    _fields_: ClassVar = [("store", U64), ("private", P)]


class Extern(C.Structure):
    """`wasmtime_extern_t`; `a`, `b`, `c` are the union, whatever it holds."""

    _fields_: ClassVar = [
        ("kind", C.c_uint8),
        ("_pad", C.c_uint8 * 7),
        ("a", U64),
        ("b", U64),
        ("c", U64),
    ]


Instance: Any = bindings.wasmtime_instance_t
RAW_WORDS: Final = C.sizeof(bindings.wasmtime_val_raw) // 8
"""A raw value is as wide as a v128: arguments stand this many 64-bit words apart."""


def _fn(lib: Any, name: str, result: Any, *args: Any) -> Any:
    """A function object of our own: item access never returns wasmtime-py's cached one."""
    function = lib[name]
    function.restype = result
    if args:
        function.argtypes = args
    return function


# Without argtypes the caller passes ready ctypes objects: that is the cheapest form (0.36 µs
# against 0.66). A bare Python int would then be passed as a C int, so only small counts may be.
call: Any = _fn(RUN, "wasmtime_func_call_unchecked", P)
# Both fail only on an engine that does not meter fuel: ours all do.
set_fuel: Any = _fn(TINY, "wasmtime_context_set_fuel", None)
get_fuel: Any = _fn(TINY, "wasmtime_context_get_fuel", None)
ONE: Final = SZ.from_param(1)
"""A ready argument, as `fuel_argument` makes them: converted once (0.05 µs a call)."""

_memory_address: Any = _fn(TINY, "wasmtime_memory_data", P)
memory_size: Any = _fn(TINY, "wasmtime_memory_data_size", SZ)

store_new: Any = _fn(TINY, "wasmtime_store_new", P, P, P, P)
store_delete: Any = _fn(RUN, "wasmtime_store_delete", None, P)
store_context: Any = _fn(TINY, "wasmtime_store_context", P, P)
store_limiter: Any = _fn(TINY, "wasmtime_store_limiter", None, P, *[C.c_int64] * 5)
set_epoch_deadline: Any = _fn(TINY, "wasmtime_context_set_epoch_deadline", None, P, U64)
EPOCH_CALLBACK: Any = C.CFUNCTYPE(SZ, P, P, C.POINTER(U64), C.POINTER(C.c_uint8))
epoch_callback: Any = _fn(TINY, "wasmtime_store_epoch_deadline_callback", None, P, P, P, P)
increment_epoch: Any = _fn(TINY, "wasmtime_engine_increment_epoch", None, P)

pre_instantiate: Any = _fn(RUN, "wasmtime_instance_pre_instantiate", P, P, P, P, P)
instance_pre_delete: Any = _fn(TINY, "wasmtime_instance_pre_delete", None, P)
linker_new: Any = _fn(TINY, "wasmtime_linker_new", P, P)
linker_delete: Any = _fn(TINY, "wasmtime_linker_delete", None, P)
linker_allow_shadowing: Any = _fn(TINY, "wasmtime_linker_allow_shadowing", None, P, C.c_bool)
linker_define_instance: Any = _fn(
    TINY, "wasmtime_linker_define_instance", P, P, P, C.c_char_p, SZ, P
)
linker_module: Any = _fn(RUN, "wasmtime_linker_module", P, P, P, C.c_char_p, SZ, P)
linker_define_wasi: Any = _fn(TINY, "wasmtime_linker_define_wasi", P, P)
set_wasi: Any = _fn(TINY, "wasmtime_context_set_wasi", P, P, P)
linker_instantiate: Any = _fn(RUN, "wasmtime_linker_instantiate", P, P, P, P, P, P)
linker_instantiate_pre: Any = _fn(TINY, "wasmtime_linker_instantiate_pre", P, P, P, P)
HOST_CALLBACK: Any = C.CFUNCTYPE(SZ, P, P, P, SZ)
linker_define_func_unchecked: Any = _fn(
    TINY, "wasmtime_linker_define_func_unchecked", P, P, C.c_char_p, SZ, C.c_char_p, SZ, P, P, P, P
)
instance_export_get: Any = _fn(
    TINY, "wasmtime_instance_export_get", C.c_bool, P, P, C.c_char_p, SZ, P
)
func_new_unchecked: Any = _fn(
    TINY, "wasmtime_func_new_unchecked", None, P, P, HOST_CALLBACK, P, P, P
)
caller_context: Any = _fn(TINY, "wasmtime_caller_context", P, P)
caller_export_get: Any = _fn(TINY, "wasmtime_caller_export_get", C.c_bool, P, C.c_char_p, SZ, P)
module_validate: Any = _fn(RUN, "wasmtime_module_validate", P, P, C.c_char_p, SZ)
module_new: Any = _fn(RUN, "wasmtime_module_new", P, P, C.c_char_p, SZ, P)
module_deserialize_file: Any = _fn(RUN, "wasmtime_module_deserialize_file", P, P, C.c_char_p, P)
module_deserialize: Any = _fn(RUN, "wasmtime_module_deserialize", P, P, C.c_char_p, SZ, P)
_module_exports: Any = _fn(TINY, "wasmtime_module_exports", None, P, P)
_exporttype_name: Any = _fn(TINY, "wasm_exporttype_name", P, P)
_exporttypes_delete: Any = _fn(TINY, "wasm_exporttype_vec_delete", None, P)
module_delete: Any = _fn(TINY, "wasmtime_module_delete", None, P)
wat2wasm_raw: Any = _fn(RUN, "wasmtime_wat2wasm", P, C.c_char_p, SZ, P)
trap_new: Any = _fn(TINY, "wasmtime_trap_new", P, C.c_char_p, SZ)
error_new: Any = _fn(TINY, "wasmtime_error_new", P, C.c_char_p)
_error_message: Any = _fn(TINY, "wasmtime_error_message", None, P, P)
_error_trace: Any = _fn(TINY, "wasmtime_error_wasm_trace", None, P, P)
_error_delete: Any = _fn(TINY, "wasmtime_error_delete", None, P)
_trap_code: Any = _fn(TINY, "wasmtime_trap_code", C.c_bool, P, P)
_trap_message: Any = _fn(TINY, "wasm_trap_message", None, P, P)
_trap_trace: Any = _fn(TINY, "wasm_trap_trace", None, P, P)
_trap_delete: Any = _fn(TINY, "wasm_trap_delete", None, P)
_bytes_delete: Any = _fn(TINY, "wasm_byte_vec_delete", None, P)
_frames_delete: Any = _fn(TINY, "wasm_frame_vec_delete", None, P)
_frame_index: Any = _fn(TINY, "wasm_frame_func_index", C.c_uint32, P)
_frame_offset: Any = _fn(TINY, "wasm_frame_module_offset", SZ, P)
_frame_name: Any = _fn(TINY, "wasmtime_frame_func_name", P, P)

_view: Any = C.pythonapi.PyMemoryView_FromMemory
_view.restype = C.py_object
_view.argtypes = [P, C.c_ssize_t, C.c_int]
_PYBUF_WRITE: Final = 0x200

MAX_FRAMES: Final = 32


def fuel_argument(fuel: int) -> Any:
    """An amount as a ready argument for `set_fuel`."""
    return U64.from_param(fuel)


def memory_argument(extern: Extern) -> Any:
    """A memory as a ready argument for `memory_size`; keeps `extern` alive."""
    return byref(extern, Extern.a.offset)


def view(address: int, size: int) -> memoryview:
    """A writable view over foreign memory. Release it before its store is deleted."""
    result: memoryview = _view(address, size, _PYBUF_WRITE)
    return result


def memory_view(context: Any, extern: Extern) -> memoryview:
    """A view over a whole memory as it is now; see `view`."""
    return memory_view_at(context, memory_argument(extern))


def memory_view_at(context: Any, where: Any) -> memoryview:
    """The same for a `memory_argument`."""
    return view(_memory_address(context, where), memory_size(context, where))


@functools.lru_cache(maxsize=16)
def _block_of(size: int) -> Any:
    return C.c_ubyte * size


def lend(context: Any, extern: Extern) -> tuple[memoryview, weakref.ref[Any]]:
    """As `memory_view`, for hands that are not ours. The reference is alive for as long as anything
    looks into the memory: the view itself until it is released, and every slice of it."""
    where = memory_argument(extern)
    size = memory_size(context, where)
    owner = _block_of(max(1, size)).from_address(_memory_address(context, where))
    with memoryview(owner) as raw, raw.cast("B") as flat:
        return flat[:size], weakref.ref(owner)


def pointer(managed: Any) -> int:
    """The address behind a wasmtime-py object (an Engine, a Module, a FuncType)."""
    address = C.cast(managed.ptr(), c_void_p).value
    assert address is not None
    return address


def take_pointer(managed: Any) -> int:
    """The address behind a wasmtime-py object, which gives up owning it."""
    address = C.cast(managed._consume(), c_void_p).value
    assert address is not None
    return address


class Failure:
    """What wasmtime said about a failed call: `text`, the trap's `code` if it was one, the
    Wasm `frames`, innermost first. Owns nothing."""

    __slots__ = ("code", "frames", "text")

    def __init__(self, text: str, code: int | None, frames: list[str]) -> None:
        self.text = text
        self.code = code
        self.frames = frames

    def root(self) -> str:
        """The innermost cause, one line."""
        for line in reversed(self.text.splitlines()):
            if line.strip():
                return re.sub(r"^\d+: ", "", line.strip())
        return "unknown failure"


def take_failure(error: int | None, trap: int | None) -> Failure:
    """Take ownership of an error or trap pointer, read it and free it."""
    message = bindings.wasm_byte_vec_t()
    frames = bindings.wasm_frame_vec_t()
    code: int | None = None
    if error:
        _error_message(error, byref(message))
        _error_trace(error, byref(frames))
    else:
        value = C.c_uint8()
        if _trap_code(trap, byref(value)):
            code = value.value
        _trap_message(trap, byref(message))
        _trap_trace(trap, byref(frames))
    raw = C.string_at(message.data, message.size) if message.size else b""
    _bytes_delete(byref(message))
    names = [_frame(frames.data[i]) for i in range(min(frames.size, MAX_FRAMES))]
    _frames_delete(byref(frames))
    if error:
        _error_delete(error)
    else:
        _trap_delete(trap)
    return Failure(raw.rstrip(b"\0").decode("utf-8", "replace"), code, names)


def _frame(frame: Any) -> str:
    name = _frame_name(frame)
    label = "?"
    if name:
        vec = C.cast(name, C.POINTER(bindings.wasm_byte_vec_t)).contents
        label = C.string_at(vec.data, min(vec.size, 256)).decode("utf-8", "replace")
    return f"{label}[{_frame_index(frame)}]@{_frame_offset(frame):#x}"


def check(error: int | None, trap: Any = None) -> Failure | None:
    """The failure behind an error pointer or a filled trap slot, which is emptied; or None."""
    held = trap.value if trap is not None else None
    if not error and not held:
        return None
    if trap is not None:
        trap.value = None
    if error and held:
        _trap_delete(held)
    return take_failure(error or None, held)


def export_names(module: int) -> list[str]:
    """The names of a compiled module's exports, in order."""
    exports = bindings.wasm_exporttype_vec_t()
    _module_exports(module, byref(exports))
    try:
        names = []
        for index in range(exports.size):
            name = C.cast(
                _exporttype_name(exports.data[index]), C.POINTER(bindings.wasm_byte_vec_t)
            ).contents
            names.append(C.string_at(name.data, name.size).decode("utf-8", "replace"))
        return names
    finally:
        _exporttypes_delete(byref(exports))


def wat2wasm(text: bytes) -> bytes | Failure:
    """Binary of a WebAssembly text module."""
    out = bindings.wasm_byte_vec_t()
    failure = check(wat2wasm_raw(text, len(text), byref(out)))
    if failure is not None:
        return failure
    data = C.string_at(out.data, out.size)
    _bytes_delete(byref(out))
    return data


@functools.cache
def version() -> str:
    """The installed release of wasmtime-py."""
    # its folder of metadata bears it; importlib.metadata, which reads what lies in there, takes a
    # quarter of the time that importing all of this takes
    found = list(Path(_ffi.__file__).parent.parent.glob("wasmtime-*.dist-info"))
    if len(found) == 1:
        return found[0].name.removeprefix("wasmtime-").removesuffix(".dist-info")
    from importlib import metadata

    return metadata.version("wasmtime")


def _refuse(why: str) -> HostError:
    return HostError(
        f"wasmtime {version()} cannot be used: {why}",
        hint="install a release in the range that fumehood's package metadata names",
    )


def self_check() -> None:
    """Release and structure sizes, before anybody relies on them (a missing symbol has already
    failed above). Raises HostError."""
    release = version()
    if release in KNOWN_BAD:
        raise _refuse(f"known advisories {KNOWN_BAD[release]}")
    if int(release.split(".", 1)[0]) < OLDEST:
        raise _refuse(f"releases before {OLDEST} carry known advisories")
    sizes = (
        (Extern, bindings.wasmtime_extern_t),
        (Func, bindings.wasmtime_func_t),
    )
    for ours, theirs in sizes:
        if C.sizeof(ours) != C.sizeof(theirs):
            raise _refuse(f"{theirs.__name__} has another size")
    if RAW_WORDS != 2:
        raise _refuse("wasmtime_val_raw has another size")


def check_call(engine: Any) -> None:
    """One call through the raw layer and back into a callback, made when the process's engine is
    built: a host function, so that nothing has to be compiled for it. Raises HostError."""
    import wasmtime

    store = wasmtime.Store(engine)
    kind = wasmtime.FuncType([wasmtime.ValType.i64()] * 2, [wasmtime.ValType.i64()])
    callback = HOST_CALLBACK(_subtract)
    context = c_void_p(C.cast(store._context(), c_void_p).value)
    function = Func()
    func_new_unchecked(context, pointer(kind), callback, None, None, byref(function))
    raw = (c_uint64 * (2 * RAW_WORDS))()
    raw[0], raw[RAW_WORDS] = 0x1122334455667788, 0x1111111111111111
    trap = c_void_p()
    failed = call(context, byref(function), byref(raw), 2, byref(trap))
    if failed or trap.value or raw[0] != 0x0011223344556677:
        raise _refuse("a call through the C API gave another value back")
    store.close()


def _subtract(env: int | None, caller: int, address: int, count: int) -> int:
    words = (U64 * (2 * RAW_WORDS)).from_address(address)
    words[0] -= words[RAW_WORDS]
    return 0


self_check()
