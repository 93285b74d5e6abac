;; Allocations that wrap in other kernels: each must be refused, none may overlap a good block.
(module
  ;; @include tools.wat
  (func $try (param $n i64) (call $note (i64.ne (call $alloc (local.get $n)) (i64.const 0))))
  (func (export "run") (result i32)
    (call $try (i64.const -1))
    (call $try (i64.const 0x8000000000000000))
    (call $try (i64.const 0x1000000000000))
    (call $try (i64.const 0x100000000))
    (call $try (i64.const 0xffffffff))
    (call $try (i64.const 0xfffffffffffffff0))
    (call $try (i64.const 0))
    (call $tell)
    (i32.const 0)))
