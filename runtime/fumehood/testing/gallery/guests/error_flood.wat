;; An error text of eight mebibytes.
(module
  ;; @include tools.wat
  (func (export "run") (result i32)
    (call $error_set (call $alloc (i64.const 8388608)))
    (i32.const 1)))
