;; Declares a memory above any sane limit, so that it is had before the first instruction.
(module
  (memory (export "memory") 60000)
  (func (export "run") (result i32) (i32.const 0)))
