;; Exports a function that takes arguments where a call gives none.
(module
  (func (export "run") (param i64 i64) (result i64) (local.get 0)))
