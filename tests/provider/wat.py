"""Providers in WAT whose answers are texts of the test's choice."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Final

SPLIT_EXPORTS: Final = (
    "chat_request",
    "chat_stream_request",
    "parse_chat_response",
    "list_models_request",
    "parse_list_models_response",
)

_TOOLS: Final = """
(func $say (param $from i32) (param $size i32) (result i32)
  (local $to i64) (local $i i32)
  (local.set $to (call $alloc (i64.extend_i32_u (local.get $size))))
  (block $done (loop $next
    (br_if $done (i32.ge_u (local.get $i) (local.get $size)))
    (call $store (i64.add (local.get $to) (i64.extend_i32_u (local.get $i)))
                 (i32.load8_u (i32.add (local.get $from) (local.get $i))))
    (local.set $i (i32.add (local.get $i) (i32.const 1))) (br $next)))
  (call $output (local.get $to) (i64.extend_i32_u (local.get $size)))
  (i32.const 0))
;; a block with a text of the memory
(func $block (param $from i32) (param $size i32) (result i64)
  (local $to i64) (local $i i32)
  (local.set $to (call $alloc (i64.extend_i32_u (local.get $size))))
  (block $done (loop $next
    (br_if $done (i32.ge_u (local.get $i) (local.get $size)))
    (call $store (i64.add (local.get $to) (i64.extend_i32_u (local.get $i)))
                 (i32.load8_u (i32.add (local.get $from) (local.get $i))))
    (local.set $i (i32.add (local.get $i) (i32.const 1))) (br $next)))
  (local.get $to))
"""


def module(
    says: Mapping[str, str],
    imports: str = "",
    memory: int = 1,
    bodies: Mapping[str, str] | None = None,
    split: bool = True,
) -> str:
    """A provider: `says` are the answers of its exports, `bodies` the code of others, which may
    use `$say`, `$block`, `$error`, `$input`, `$length` and the texts in `says` as `@name@`
    (pointer and size); surrogates stand for bytes that are no UTF-8. With `split` it has every
    export of generation C; those that are in neither answer 1."""
    parts = [
        '(import "extism:host/env" "alloc" (func $alloc (param i64) (result i64)))',
        '(import "extism:host/env" "store_u8" (func $store (param i64 i32)))',
        '(import "extism:host/env" "output_set" (func $output (param i64 i64)))',
        '(import "extism:host/env" "error_set" (func $error (param i64)))',
        '(import "extism:host/env" "input_offset" (func $input (result i64)))',
        '(import "extism:host/env" "input_length" (func $length (result i64)))',
        imports,
        f'(memory (export "memory") {memory})',
        _TOOLS,
    ]
    bodies = dict(bodies or {})
    place = 16
    for export, text in says.items():
        data = text.encode("utf-8", "surrogateescape")
        escaped = "".join(f"\\{byte:02x}" for byte in data)
        here = f"(i32.const {place}) (i32.const {len(data)})"
        parts.append(f'(data (i32.const {place}) "{escaped}")')
        if not export.startswith("_"):
            parts.append(f'(func (export "{export}") (result i32) (call $say {here}))')
        bodies = {name: body.replace(f"@{export}@", here) for name, body in bodies.items()}
        place += len(data)
    parts += [f'(func (export "{name}") (result i32) {body})' for name, body in bodies.items()]
    if split:
        missing = [name for name in SPLIT_EXPORTS if name not in says and name not in bodies]
        parts += [f'(func (export "{name}") (result i32) (i32.const 1))' for name in missing]
    return "(module " + "\n".join(parts) + ")"


def schema(*keys: str, required: tuple[str, ...] = ()) -> str:
    """A config schema of texts."""
    properties: dict[str, Any] = {key: {"type": "string"} for key in keys}
    return json.dumps({"type": "object", "properties": properties, "required": list(required)})


FAILING: Final = module(
    {"config_schema": schema("model", "base_url")},
    bodies={"chat_request": "(call $error (call $input)) (i32.const 1)"},
)
"""Every chat fails with the input as its error text."""

YIELDING: Final = module(
    {
        "config_schema": schema("model"),
        "supports_streaming": "true",
        "_chunk": '{"chunk":{"text":"a"}}',
    },
    '(import "extism:host/user" "qmt_yield_chunk" (func $yield (param i64)))',
    bodies={
        "from_config": "(i32.const 0)",
        "init_logging": "(i32.const 0)",
        "chat": "(i32.const 1)",
        "chat_stream": "(local $i i32) (loop $next (call $yield (call $block @_chunk@))"
        " (local.set $i (i32.add (local.get $i) (i32.const 1)))"
        " (br_if $next (i32.lt_u (local.get $i) (i32.const 1000)))) (i32.const 0)",
    },
    split=False,
)
"""Generation B: a thousand chunks from inside one call."""
