;; Main of two linked modules: hands its input to "library" and outputs what that returns.
(module
  (import "extism:host/env" "input_offset" (func $input_offset (result i64)))
  (import "extism:host/env" "length" (func $length (param i64) (result i64)))
  (import "extism:host/env" "output_set" (func $output_set (param i64 i64)))
  (import "library" "shift" (func $shift (param i64) (result i64)))
  (import "library" "count" (func $count (result i64)))
  (import "extism:host/env" "alloc" (func $alloc (param i64) (result i64)))
  (import "extism:host/env" "store_u8" (func $store_u8 (param i64 i32)))

  (func (export "run") (result i32) (local $answer i64)
    (local.set $answer (call $shift (call $input_offset)))
    (call $output_set (local.get $answer) (call $length (local.get $answer)))
    (i32.const 0))

  ;; One digit: how often the library was called; it keeps its state between calls.
  (func (export "calls") (result i32) (local $block i64)
    (local.set $block (call $alloc (i64.const 1)))
    (call $store_u8 (local.get $block) (i32.add (i32.const 48) (i32.wrap_i64 (call $count))))
    (call $output_set (local.get $block) (i64.const 1))
    (i32.const 0)))
