;; Moves the input registers to ranges that are not there, then reads the input.
(module
  (import "extism:host/env" "input_set" (func $input_set (param i64 i64)))
  (import "extism:host/env" "input_load_u64" (func $input_load_u64 (param i64) (result i64)))
  ;; @include tools.wat
  (func $look
    (call $note (i64.ne (call $input_load_u64 (i64.const -1)) (i64.const 0)))
    (call $note (call $input_load_u8 (i64.const 0x7fffffffffffffff)))
    (call $note (i64.gt_u (call $input_length) (i64.const 64))))
  (func (export "run") (result i32)
    (call $look)
    (call $input_set (i64.const -8) (i64.const 16))
    (call $look)
    (call $input_set (i64.const 1) (i64.const -1))
    (call $look)
    (call $input_set (i64.const 0x100000000) (i64.const 0x100000000))
    (call $look)
    (call $tell)
    (i32.const 0)))
