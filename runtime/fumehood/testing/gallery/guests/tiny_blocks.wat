;; Allocates one-byte blocks until there are none: a block table is memory too.
(module
  (import "extism:host/env" "alloc" (func $alloc (param i64) (result i64)))
  (func (export "run") (result i32)
    (loop $l (br_if $l (i64.ne (call $alloc (i64.const 1)) (i64.const 0))))
    (unreachable)))
