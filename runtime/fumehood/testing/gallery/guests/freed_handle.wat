;; Gives the host a handle after freeing it.
(module
  (import "extism:host/env" "free" (func $free (param i64)))
  (import "extism:host/env" "log_error" (func $log (param i64)))
  ;; @include tools.wat
  (data (i32.const 0) "used after free")
  (func (export "run") (result i32) (local $h i64)
    (local.set $h (call $block (i32.const 0) (i32.const 15)))
    (call $free (local.get $h))
    (call $log (local.get $h))
    (i32.const 0)))
