;; Allocates kernel blocks until there are none, then dies: memory that is not the guest's own.
(module
  (import "extism:host/env" "alloc" (func $alloc (param i64) (result i64)))
  (func (export "run") (result i32)
    (loop $l (br_if $l (i64.ne (call $alloc (i64.const 1048576)) (i64.const 0))))
    (unreachable)))
