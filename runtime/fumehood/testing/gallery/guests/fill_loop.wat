;; One long instruction after another: a fill of 48 MiB cannot be interrupted half-way.
(module
  (memory (export "memory") 768)
  (func (export "run") (result i32)
    (loop $l
      (memory.fill (i32.const 0) (i32.const 1) (i32.const 50331648))
      (br $l))
    (unreachable)))
