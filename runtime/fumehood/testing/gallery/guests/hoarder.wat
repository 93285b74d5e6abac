;; Two tenants. `plant` leaves its input everywhere it can: in its memory, grown too, a table of
;; kernel blocks, a variable, the output, the error text. `hunt` looks for a byte of anybody's: in memory that
;; it did not write, in memory that it grows, at every address of the kernel, in a block that it
;; did not fill, in the variable, in its input. `silent` gives no output at all.
(module
  (import "extism:host/env" "var_get" (func $var_get (param i64) (result i64)))
  (import "extism:host/env" "var_set" (func $var_set (param i64 i64)))
  ;; @include tools.wat
  (global $secret (mut i32) (i32.const 0))

  (func $plant_memory (param $from i32) (param $to i32)
    (loop $l
      (i32.store8 (local.get $from)
        (call $input_load_u8 (i64.extend_i32_u
          (i32.rem_u (local.get $from) (i32.wrap_i64 (call $input_length))))))
      (local.set $from (i32.add (local.get $from) (i32.const 1)))
      (br_if $l (i32.lt_u (local.get $from) (local.get $to)))))

  ;; 1 where a byte from `from` up to `to` is not 0
  (func $found (param $from i32) (param $to i32) (result i32)
    (loop $l
      (if (i64.ne (i64.load (local.get $from)) (i64.const 0)) (then (return (i32.const 1))))
      (local.set $from (i32.add (local.get $from) (i32.const 8)))
      (br_if $l (i32.lt_u (local.get $from) (local.get $to))))
    (i32.const 0))
  (func $found_in_kernel (param $from i64) (param $to i64) (result i32)
    (loop $l
      (if (call $load_u8 (local.get $from)) (then (return (i32.const 1))))
      (local.set $from (i64.add (local.get $from) (i64.const 1)))
      (br_if $l (i64.lt_u (local.get $from) (local.get $to))))
    (i32.const 0))
  (func $name (result i64) (local $h i64)
    (local.set $h (call $alloc (i64.const 1)))
    (call $store_u8 (local.get $h) (i32.const 107))
    (local.get $h))

  (func (export "plant") (result i32) (local $i i32)
    (global.set $secret (i32.const 1))
    (drop (memory.grow (i32.const 15)))
    (call $plant_memory (i32.const 1024) (i32.const 1048576))
    (loop $l
      (drop (call $block (i32.const 1024) (i32.const 4096)))
      (local.set $i (i32.add (local.get $i) (i32.const 1)))
      (br_if $l (i32.lt_u (local.get $i) (i32.const 32))))
    (call $var_set (call $name) (call $input))
    (call $output_set (call $input) (call $input_length))
    (i32.const 0))
  (func (export "plant_and_die") (result i32)
    (drop (memory.grow (i32.const 15)))
    (call $plant_memory (i32.const 1024) (i32.const 1048576))
    (drop (call $block (i32.const 1024) (i32.const 4096)))
    (unreachable))
  (func (export "plant_error") (result i32)
    (call $error_set (call $input))
    (i32.const 1))

  (func (export "hunt") (result i32) (local $h i64)
    (call $note (global.get $secret))
    (call $note (call $found (i32.const 0) (i32.const 59992)))
    (drop (memory.grow (i32.const 31)))
    (call $note (call $found (i32.const 65536) (i32.const 2097152)))
    (call $note (call $found_in_kernel (i64.const 0) (i64.const 262144)))
    (local.set $h (call $alloc (i64.const 65536)))
    (call $note (call $found_in_kernel (local.get $h)
      (i64.add (local.get $h) (i64.const 65536))))
    (call $note (i64.ne (call $var_get (call $name)) (i64.const 0)))
    (call $note (i64.ne (call $input_length) (i64.const 0)))
    (call $tell)
    (i32.const 0))
  (func (export "silent") (result i32) (i32.const 0))
  (func (export "fail") (result i32) (i32.const 1)))
