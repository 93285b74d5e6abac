;; The other of two linked modules: adds one to every byte of a block of the shared kernel.
(module
  (import "extism:host/env" "length" (func $length (param i64) (result i64)))
  (import "extism:host/env" "alloc" (func $alloc (param i64) (result i64)))
  (import "extism:host/env" "load_u8" (func $load_u8 (param i64) (result i32)))
  (import "extism:host/env" "store_u8" (func $store_u8 (param i64 i32)))
  (global $calls (mut i64) (i64.const 0))

  (func (export "shift") (param $block i64) (result i64)
    (local $size i64) (local $made i64) (local $at i64)
    (global.set $calls (i64.add (global.get $calls) (i64.const 1)))
    (local.set $size (call $length (local.get $block)))
    (local.set $made (call $alloc (local.get $size)))
    (block $end
      (loop $next
        (br_if $end (i64.ge_u (local.get $at) (local.get $size)))
        (call $store_u8
          (i64.add (local.get $made) (local.get $at))
          (i32.add
            (call $load_u8 (i64.add (local.get $block) (local.get $at)))
            (i32.const 1)))
        (local.set $at (i64.add (local.get $at) (i64.const 1)))
        (br $next)))
    (local.get $made))

  (func (export "count") (result i64) (global.get $calls)))
