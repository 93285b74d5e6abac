;; Answers through the bulk descriptor with a range that begins in its memory and ends behind it.
(module
  ;; @include tools.wat
  (global (export "fumehood_bulk") i32 (i32.const 1024))
  (data (i32.const 1024) "FHB1")
  (func (export "fumehood_reserve") (param i32) (result i32) (i32.const 0))
  (func (export "run") (result i32)
    (i32.store (i32.const 1044) (i32.const 65528))
    (i32.store (i32.const 1048) (i32.const 4096))
    (i32.const 0)))
