;; Names output ranges that do not exist, overflow, or wrap: the host must not read one of them.
(module
  ;; @include tools.wat
  (func (export "run") (result i32)
    (call $output_set (i64.const 0) (i64.const 8))
    (call $output_set (i64.const 1) (i64.const -1))
    (call $output_set (i64.const -8) (i64.const 16))
    (call $output_set (i64.const 0x8000000000000000) (i64.const 1))
    (call $output_set (i64.const 0x100000000) (i64.const 1))
    (call $output_set (i64.const 0xffffffff) (i64.const 0xffffffff))
    (call $output_set (call $alloc (i64.const 8)) (i64.const 0x7fffffffffffffff))
    (i32.const 0)))
