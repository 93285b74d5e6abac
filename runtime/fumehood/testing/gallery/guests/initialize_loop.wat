;; Loops in `_initialize`, which a host runs once before the first call.
(module
  (func (export "_initialize") (loop $l (br $l)))
  (func (export "run") (result i32) (i32.const 0)))
