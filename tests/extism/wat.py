"""Guests in WAT for the tests of the Extism face: each does what its name says, no more."""

from __future__ import annotations

from typing import Final

_IMPORTS: Final = """
  (import "extism:host/env" "input_length" (func $input_length (result i64)))
  (import "extism:host/env" "input_load_u8" (func $input_load_u8 (param i64) (result i32)))
  (import "extism:host/env" "alloc" (func $alloc (param i64) (result i64)))
  (import "extism:host/env" "store_u8" (func $store_u8 (param i64 i32)))
  (import "extism:host/env" "length" (func $length (param i64) (result i64)))
  (import "extism:host/env" "output_set" (func $output_set (param i64 i64)))
"""

_COUNT: Final = """
  (func $vowel (param $c i32) (result i32)
    (local.set $c (i32.or (local.get $c) (i32.const 32)))
    (i32.or (i32.or (i32.eq (local.get $c) (i32.const 97)) (i32.eq (local.get $c) (i32.const 101)))
      (i32.or (i32.eq (local.get $c) (i32.const 105))
        (i32.or (i32.eq (local.get $c) (i32.const 111))
          (i32.eq (local.get $c) (i32.const 117))))))
  (func $count (result i64) (local $i i64) (local $n i64)
    (block $end (loop $next
      (br_if $end (i64.ge_u (local.get $i) (call $input_length)))
      (if (call $vowel (call $input_load_u8 (local.get $i)))
        (then (local.set $n (i64.add (local.get $n) (i64.const 1)))))
      (local.set $i (i64.add (local.get $i) (i64.const 1)))
      (br $next)))
    (local.get $n))
  ;; a block with {"count": D}, D one digit
  (data (i32.const 0) "{\\"count\\": 0}")
  (func $json (param $n i64) (result i64) (local $p i64) (local $i i32)
    (local.set $p (call $alloc (i64.const 12)))
    (loop $next
      (call $store_u8 (i64.add (local.get $p) (i64.extend_i32_u (local.get $i)))
        (i32.load8_u (local.get $i)))
      (local.set $i (i32.add (local.get $i) (i32.const 1)))
      (br_if $next (i32.lt_u (local.get $i) (i32.const 12))))
    (call $store_u8 (i64.add (local.get $p) (i64.const 10))
      (i32.add (i32.const 48) (i32.wrap_i64 (local.get $n))))
    (local.get $p))
"""

COUNT_VOWELS: Final = f"""(module {_IMPORTS}
  (memory 1)
  {_COUNT}
  (func (export "count_vowels") (result i32) (local $p i64)
    (local.set $p (call $json (call $count)))
    (call $output_set (local.get $p) (i64.const 12))
    (i32.const 0)))"""
"""`count_vowels`: JSON with the number of vowels of the input."""

WITH_HOST_FUNCTION: Final = f"""(module {_IMPORTS}
  (import "extism:host/user" "hello_world" (func $hello_world (param i64) (result i64)))
  (memory 1)
  {_COUNT}
  (func (export "count_vowels") (result i32) (local $p i64)
    (local.set $p (call $hello_world (call $json (call $count))))
    (call $output_set (local.get $p) (call $length (local.get $p)))
    (i32.const 0)))"""
"""As above, but the JSON goes through the host function `hello_world`: its block is the output."""

LOOP_FOREVER: Final = '(module (func (export "loop_forever") (loop $again (br $again))))'

GLOBALS: Final = f"""(module {_IMPORTS}
  (global $n (mut i32) (i32.const 0))
  (func (export "globals") (result i32) (local $p i64)
    (local.set $p (call $alloc (i64.const 1)))
    (call $store_u8 (local.get $p) (i32.add (i32.const 48) (global.get $n)))
    (call $output_set (local.get $p) (i64.const 1))
    (global.set $n (i32.add (global.get $n) (i32.const 1)))
    (i32.const 0)))"""
"""`globals`: a digit that counts the calls of this instance."""

ECHO: Final = f"""(module {_IMPORTS}
  (import "extism:host/env" "input_offset" (func $input_offset (result i64)))
  (func (export "echo") (result i32)
    (call $output_set (call $input_offset) (call $input_length)) (i32.const 0)))"""

FAILURES: Final = """(module
  (import "extism:host/env" "error_set" (func $error_set (param i64)))
  (import "extism:host/env" "input_offset" (func $input_offset (result i64)))
  (func (export "error_text") (result i32) (call $error_set (call $input_offset)) (i32.const 1))
  (func (export "error_zero") (result i32) (call $error_set (call $input_offset)) (i32.const 0))
  (func (export "code") (result i32) (i32.const 7))
  (func (export "trap") (result i32) unreachable)
  (func (export "trap_with_text") (result i32) (call $error_set (call $input_offset)) unreachable)
  (func (export "takes") (param i32))
  (func (export "gives_i64") (result i64) (i64.const 0))
  (func (export "gives_two") (result i32 i32) (i32.const 0) (i32.const 0))
  (func (export "nothing")))"""


def calls(signature: str, body: str, namespace: str = "extism:host/user", name: str = "f") -> str:
    """A guest whose export `run` calls the host function `name` once; `body` is its body.

    `$f` is the function; the imports of `extism:host/env` above and `$input_offset` are there.
    """
    return f"""(module {_IMPORTS}
      (import "extism:host/env" "input_offset" (func $input_offset (result i64)))
      (import "extism:host/env" "store_u64" (func $store_u64 (param i64 i64)))
      (import "{namespace}" "{name}" (func $f {signature}))
      (func $out (param $v i64) (local $p i64)
        (local.set $p (call $alloc (i64.const 8)))
        (call $store_u64 (local.get $p) (local.get $v))
        (call $output_set (local.get $p) (i64.const 8)))
      (func $out_block (param $p i64)
        (call $output_set (local.get $p) (call $length (local.get $p))))
      (func (export "run") (result i32) {body} (i32.const 0)))"""
