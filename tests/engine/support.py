"""A sandbox from a few lines of WAT, for the tests of the engine."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from fumehood.engine import HostImport, NamedModule, Sandbox, Template, load_module
from fumehood.limits import Limits
from fumehood.meter import Meter

ENV = "extism:host/env"


def template(wat: str | bytes, imports: Sequence[HostImport] = ()) -> Template:
    """A template of one module."""
    source = wat.encode() if isinstance(wat, str) else wat
    return Template([NamedModule("main", load_module(source))], imports)


class Guest:
    """One sandbox and the limits it runs under; `call` makes a meter of its own each time."""

    def __init__(
        self,
        wat: str | bytes,
        imports: Sequence[HostImport] = (),
        *,
        services: object = None,
        **limits: Any,
    ) -> None:
        self.limits = Limits(**limits)
        self.template = template(wat, imports)
        self.meter = Meter(self.limits)
        try:
            self.sandbox: Sandbox = self.template.instantiate(services, self.limits, self.meter)
        except BaseException:
            self.template.close()
            raise

    def call(self, export: str, data: bytes = b"", meter: Meter | None = None) -> bytes:
        self.meter = meter or Meter(self.limits)
        return self.sandbox.call(export, data, self.meter)

    def __enter__(self) -> Guest:
        return self

    def __exit__(self, *exc: object) -> None:
        self.sandbox.close()
        self.template.close()


def env(*functions: str) -> str:
    """Import lines for kernel functions, each under its own name as `$name`."""
    types = {
        "alloc": "(param i64) (result i64)",
        "free": "(param i64)",
        "length": "(param i64) (result i64)",
        "length_unsafe": "(param i64) (result i64)",
        "load_u8": "(param i64) (result i32)",
        "load_u64": "(param i64) (result i64)",
        "store_u8": "(param i64 i32)",
        "store_u64": "(param i64 i64)",
        "input_load_u8": "(param i64) (result i32)",
        "input_load_u64": "(param i64) (result i64)",
        "input_set": "(param i64 i64)",
        "input_offset": "(result i64)",
        "input_length": "(result i64)",
        "output_set": "(param i64 i64)",
        "output_offset": "(result i64)",
        "output_length": "(result i64)",
        "error_set": "(param i64)",
        "error_get": "(result i64)",
        "reset": "",
        "memory_bytes": "(result i64)",
    }
    return "\n".join(
        f'(import "{ENV}" "{name}" (func ${name} {types[name]}))' for name in functions
    )


SHAPES: dict[str, tuple[str, str]] = {
    "alloc": ("I", "I"),
    "free": ("I", ""),
    "length": ("I", "I"),
    "length_unsafe": ("I", "I"),
    "load_u8": ("I", "i"),
    "load_u64": ("I", "I"),
    "store_u8": ("Ii", ""),
    "store_u64": ("II", ""),
    "input_load_u8": ("I", "i"),
    "input_load_u64": ("I", "I"),
    "input_set": ("II", ""),
    "input_offset": ("", "I"),
    "input_length": ("", "I"),
    "output_set": ("II", ""),
    "output_offset": ("", "I"),
    "output_length": ("", "I"),
    "error_set": ("I", ""),
    "error_get": ("", "I"),
    "reset": ("", ""),
    "memory_bytes": ("", "I"),
}
OPERATIONS = list(SHAPES)
