  ;; What most guests need; a guest includes this after its own imports (gallery/__init__.py).
  (import "extism:host/env" "alloc" (func $alloc (param i64) (result i64)))
  (import "extism:host/env" "load_u8" (func $load_u8 (param i64) (result i32)))
  (import "extism:host/env" "store_u8" (func $store_u8 (param i64 i32)))
  (import "extism:host/env" "length" (func $length (param i64) (result i64)))
  (import "extism:host/env" "input_length" (func $input_length (result i64)))
  (import "extism:host/env" "input_load_u8" (func $input_load_u8 (param i64) (result i32)))
  (import "extism:host/env" "output_set" (func $output_set (param i64 i64)))
  (import "extism:host/env" "error_set" (func $error_set (param i64)))
  (memory (export "memory") 1)
  (global $noted (mut i32) (i32.const 0))

  ;; a kernel block with a copy of n bytes at p
  (func $block (param $p i32) (param $n i32) (result i64) (local $h i64) (local $i i32)
    (local.set $h (call $alloc (i64.extend_i32_u (local.get $n))))
    (block $out (loop $l
      (br_if $out (i32.ge_u (local.get $i) (local.get $n)))
      (call $store_u8 (i64.add (local.get $h) (i64.extend_i32_u (local.get $i)))
        (i32.load8_u (i32.add (local.get $p) (local.get $i))))
      (local.set $i (i32.add (local.get $i) (i32.const 1)))
      (br $l)))
    (local.get $h))

  ;; a kernel block with a copy of the input
  (func $input (result i64) (local $h i64) (local $i i64)
    (local.set $h (call $alloc (call $input_length)))
    (block $out (loop $l
      (br_if $out (i64.ge_u (local.get $i) (call $input_length)))
      (call $store_u8 (i64.add (local.get $h) (local.get $i)) (call $input_load_u8 (local.get $i)))
      (local.set $i (i64.add (local.get $i) (i64.const 1)))
      (br $l)))
    (local.get $h))

  ;; the n bytes at p are the output
  (func $say (param $p i32) (param $n i32)
    (call $output_set (call $block (local.get $p) (local.get $n))
      (i64.extend_i32_u (local.get $n))))

  ;; the n bytes at p are the error text
  (func $fail (param $p i32) (param $n i32)
    (call $error_set (call $block (local.get $p) (local.get $n))))

  ;; add "1" to the notes where the value is not zero, else "0"; $tell makes them the output
  (func $note (param $value i32)
    (i32.store8 (i32.add (i32.const 60000) (global.get $noted))
      (i32.add (i32.const 48) (i32.ne (local.get $value) (i32.const 0))))
    (global.set $noted (i32.add (global.get $noted) (i32.const 1))))
  (func $tell (call $say (i32.const 60000) (global.get $noted)))
