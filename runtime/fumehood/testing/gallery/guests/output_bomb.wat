;; An output of sixteen mebibytes, more than the operator takes.
(module
  ;; @include tools.wat
  (func (export "run") (result i32)
    (call $output_set (call $alloc (i64.const 16777216)) (i64.const 16777216))
    (i32.const 0)))
