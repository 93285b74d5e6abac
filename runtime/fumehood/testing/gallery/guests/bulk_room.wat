;; Says that it has room for any input, at the last bytes of the address space.
(module
  ;; @include tools.wat
  (global (export "fumehood_bulk") i32 (i32.const 1024))
  (data (i32.const 1024) "FHB1")
  (func (export "fumehood_reserve") (param i32) (result i32)
    (i32.store (i32.const 1032) (i32.const -1))
    (i32.store (i32.const 1036) (i32.const -64))
    (i32.const -64))
  (func (export "run") (result i32) (i32.const 0)))
