;; Logs the record that its input is, and answers that it did.
(module
  (import "extism:host/user" "qmt_log" (func $log (param i64)))
  ;; @include tools.wat
  (data (i32.const 0) "logged")
  (func (export "run") (result i32)
    (call $log (call $input))
    (call $say (i32.const 0) (i32.const 6))
    (i32.const 0)))
