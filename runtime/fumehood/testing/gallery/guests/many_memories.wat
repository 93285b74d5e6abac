;; Brings memories of its own beside the first; a limit that is per memory would be passed by.
(module
  (memory (export "memory") 1)
  (memory $second 1)
  (memory $third 1)
  (func (export "run") (result i32) (i32.const 0)))
