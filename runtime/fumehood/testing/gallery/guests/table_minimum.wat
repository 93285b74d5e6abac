;; Declares a table of fifty million elements.
(module
  (table 50000000 funcref)
  (func (export "run") (result i32) (i32.const 0)))
