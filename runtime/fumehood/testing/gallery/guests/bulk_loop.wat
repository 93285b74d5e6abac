;; Loops when it is asked for room, before the export is even called.
(module
  ;; @include tools.wat
  (global (export "fumehood_bulk") i32 (i32.const 1024))
  (data (i32.const 1024) "FHB1")
  (func (export "fumehood_reserve") (param i32) (result i32) (loop $l (br $l)) (i32.const 0))
  (func (export "run") (result i32) (i32.const 0)))
