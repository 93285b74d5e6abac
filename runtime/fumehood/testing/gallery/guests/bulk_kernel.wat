;; Takes its input at, and answers with, addresses that mean something in the kernel's memory. The
;; host must mean its own: there it finds its input again, and an "o" that it put there itself.
(module
  ;; @include tools.wat
  (global (export "fumehood_bulk") i32 (i32.const 32768))
  (data (i32.const 32768) "FHB1")
  (func (export "fumehood_reserve") (param i32) (result i32)
    (i32.store (i32.const 32776) (i32.const 16384))
    (i32.store (i32.const 32780) (i32.const 80))
    (i32.const 80))
  (func (export "run") (result i32)
    (call $note (i64.ne (call $input_length) (i64.const 0)))
    (call $note (i32.ne (i32.load8_u (i32.const 80)) (i32.const 120)))
    (i32.store8 (i32.const 60002) (i32.const 111))
    (i32.store (i32.const 32788) (i32.const 60000))
    (i32.store (i32.const 32792) (i32.const 3))
    (i32.const 0)))
