;; Computes for ever.
(module
  (func (export "run") (result i32) (loop $l (br $l)) (unreachable)))
