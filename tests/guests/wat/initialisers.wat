;; Has a start section, _initialize and __wasm_call_ctors. "trace" outputs the letters of those
;; that ran, in order: S, C and not I, for __wasm_call_ctors is called instead of _initialize.
(module
  (import "extism:host/env" "alloc" (func $alloc (param i64) (result i64)))
  (import "extism:host/env" "store_u8" (func $store_u8 (param i64 i32)))
  (import "extism:host/env" "output_set" (func $output_set (param i64 i64)))
  (memory 1)
  (global $used (mut i32) (i32.const 0))
  (func $note (param $letter i32)
    (i32.store8 (global.get $used) (local.get $letter))
    (global.set $used (i32.add (global.get $used) (i32.const 1))))
  (func $start (call $note (i32.const 83)))
  (start $start)
  (func (export "__wasm_call_ctors") (call $note (i32.const 67)))
  (func (export "_initialize") (call $note (i32.const 73)))
  (func (export "trace") (result i32) (local $block i64) (local $at i32)
    (local.set $block (call $alloc (i64.extend_i32_u (global.get $used))))
    (block $end
      (loop $next
        (br_if $end (i32.ge_u (local.get $at) (global.get $used)))
        (call $store_u8
          (i64.add (local.get $block) (i64.extend_i32_u (local.get $at)))
          (i32.load8_u (local.get $at)))
        (local.set $at (i32.add (local.get $at) (i32.const 1)))
        (br $next)))
    (call $output_set (local.get $block) (i64.extend_i32_u (global.get $used)))
    (i32.const 0)))
