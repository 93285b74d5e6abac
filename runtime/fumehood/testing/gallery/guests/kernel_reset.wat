;; Resets the kernel under its own feet and goes on using what it had.
(module
  (import "extism:host/env" "reset" (func $reset))
  ;; @include tools.wat
  (data (i32.const 0) "stale")
  (func (export "run") (result i32) (local $h i64)
    (local.set $h (call $block (i32.const 0) (i32.const 5)))
    (call $reset)
    (call $note (i64.ne (call $length (local.get $h)) (i64.const 0)))
    (call $tell)
    (i32.const 0)))
