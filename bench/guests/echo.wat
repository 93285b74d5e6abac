;; The guest of the benchmark where no Rust toolchain built the real one: its export `echo` copies
;; the input to the output, eight bytes a call, as a PDK does.
(module
  (import "extism:host/env" "input_length" (func $input_length (result i64)))
  (import "extism:host/env" "input_load_u64" (func $input_load_u64 (param i64) (result i64)))
  (import "extism:host/env" "input_load_u8" (func $input_load_u8 (param i64) (result i32)))
  (import "extism:host/env" "alloc" (func $alloc (param i64) (result i64)))
  (import "extism:host/env" "store_u64" (func $store_u64 (param i64 i64)))
  (import "extism:host/env" "store_u8" (func $store_u8 (param i64 i32)))
  (import "extism:host/env" "output_set" (func $output_set (param i64 i64)))
  (memory (export "memory") 40)

  ;; into the guest's own memory first, then out again: what a PDK's echo does
  (func (export "echo") (result i32)
    (local $size i64) (local $at i64) (local $out i64) (local $room i64)
    (local.set $size (call $input_length))
    (local.set $room (i64.mul (i64.extend_i32_u (memory.size)) (i64.const 65536)))
    (if (i64.gt_u (local.get $size) (local.get $room))
      (then
        (if (i32.eq (i32.const -1)
              (memory.grow (i32.wrap_i64 (i64.add (i64.const 1) (i64.div_u
                (i64.sub (local.get $size) (local.get $room)) (i64.const 65536))))))
          (then unreachable))))
    (block $read
      (loop $words
        (br_if $read (i64.gt_u (i64.add (local.get $at) (i64.const 8)) (local.get $size)))
        (i64.store (i32.wrap_i64 (local.get $at)) (call $input_load_u64 (local.get $at)))
        (local.set $at (i64.add (local.get $at) (i64.const 8)))
        (br $words)))
    (block $rest
      (loop $bytes
        (br_if $rest (i64.ge_u (local.get $at) (local.get $size)))
        (i32.store8 (i32.wrap_i64 (local.get $at)) (call $input_load_u8 (local.get $at)))
        (local.set $at (i64.add (local.get $at) (i64.const 1)))
        (br $bytes)))
    (local.set $out (call $alloc (local.get $size)))
    (local.set $at (i64.const 0))
    (block $written
      (loop $words
        (br_if $written (i64.gt_u (i64.add (local.get $at) (i64.const 8)) (local.get $size)))
        (call $store_u64 (i64.add (local.get $out) (local.get $at))
          (i64.load (i32.wrap_i64 (local.get $at))))
        (local.set $at (i64.add (local.get $at) (i64.const 8)))
        (br $words)))
    (block $tail
      (loop $bytes
        (br_if $tail (i64.ge_u (local.get $at) (local.get $size)))
        (call $store_u8 (i64.add (local.get $out) (local.get $at))
          (i32.load8_u (i32.wrap_i64 (local.get $at))))
        (local.set $at (i64.add (local.get $at) (i64.const 1)))
        (br $bytes)))
    (call $output_set (local.get $out) (local.get $size))
    (i32.const 0)))
