;; Grows a table by fifty million elements: 400 MB that no memory limit sees.
(module
  ;; @include tools.wat
  (table $t 1 funcref)
  (func (export "run") (result i32)
    (call $note (i32.ne (table.grow $t (ref.null func) (i32.const 50000000)) (i32.const -1)))
    (call $tell)
    (i32.const 0)))
