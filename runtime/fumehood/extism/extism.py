"""The near-public names of the `extism` package's inner module, for code that imports them."""

from __future__ import annotations

from typing import Any

from fumehood.errors import Error
from fumehood.extism.codecs import Codec, Json, Pickle
from fumehood.extism.current import CurrentPlugin
from fumehood.extism.functions import (
    HOST_FN_REGISTRY,
    ExplicitFunction,
    Function,
    TypeInferredFunction,
    _ExtismFunctionMetadata,
    host_fn,
)
from fumehood.extism.logs import CustomLogger, set_log_custom, set_log_file
from fumehood.extism.plugin import CancelHandle, CompiledPlugin, Plugin
from fumehood.extism.types import Memory, UsageTypeError, Val, ValType, to_wasm
from fumehood.extism.version import extism_version

_FIELDS = {ValType.I32: "i32", ValType.I64: "i64", ValType.F32: "f32", ValType.F64: "f64"}


def _convert_value(x: Any) -> Val | None:
    """A `Val` from an object with a type number `t` and a union `v`; None for other types."""
    for kind, name in _FIELDS.items():
        if x.t == kind.value:
            return Val(kind, getattr(x.v, name))
    return None


def _convert_output(x: Any, v: Val) -> None:
    """Write `v` to an object with a type number `t` and a union `v`.

    Raises UsageTypeError, an `Error`, where the types differ or are no numbers.
    """
    if v.t.value != x.t:
        raise UsageTypeError(f"Output type mismatch, got {v.t} but expected {x.t}")
    if v.t not in _FIELDS:
        raise UsageTypeError(f"Unsupported return type: {x.t}")
    setattr(x.v, _FIELDS[v.t], to_wasm(v.t, v))


__all__ = [
    "HOST_FN_REGISTRY",
    "CancelHandle",
    "Codec",
    "CompiledPlugin",
    "CurrentPlugin",
    "CustomLogger",
    "Error",
    "ExplicitFunction",
    "Function",
    "Json",
    "Memory",
    "Pickle",
    "Plugin",
    "TypeInferredFunction",
    "Val",
    "ValType",
    "_ExtismFunctionMetadata",
    "_convert_output",
    "_convert_value",
    "extism_version",
    "host_fn",
    "set_log_custom",
    "set_log_file",
]
