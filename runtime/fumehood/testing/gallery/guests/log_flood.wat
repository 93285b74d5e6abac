;; Writes five thousand lines to the host's log.
(module
  (import "extism:host/env" "log_error" (func $log (param i64)))
  ;; @include tools.wat
  (data (i32.const 0) "flooding the log of the host")
  (func (export "run") (result i32) (local $i i32)
    (loop $l
      (call $log (call $block (i32.const 0) (i32.const 28)))
      (local.set $i (i32.add (local.get $i) (i32.const 1)))
      (br_if $l (i32.lt_u (local.get $i) (i32.const 5000))))
    (i32.const 0)))
