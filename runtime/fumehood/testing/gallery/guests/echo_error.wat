;; Fails in a way of its own: with its input as the error text, by a trap, or by an exit whose
;; status is the first byte of its input.
(module
  (import "wasi_snapshot_preview1" "proc_exit" (func $proc_exit (param i32)))
  ;; @include tools.wat
  (func (export "run") (result i32)
    (call $error_set (call $input))
    (i32.const 1))
  (func (export "trap") (result i32) (unreachable))
  (func (export "leave") (result i32)
    (call $proc_exit (call $input_load_u8 (i64.const 0)))
    (i32.const 0)))
