;; Names the middle of a block as its error text and fails.
(module
  ;; @include tools.wat
  (func (export "run") (result i32)
    (call $error_set (i64.add (call $alloc (i64.const 64)) (i64.const 8)))
    (i32.const 1)))
