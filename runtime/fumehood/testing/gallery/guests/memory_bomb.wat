;; Takes and touches all memory it can get, then dies of the refusal.
(module
  (memory (export "memory") 1)
  (func (export "run") (result i32) (local $page i32)
    (loop $l
      (local.set $page (memory.grow (i32.const 1)))
      (if (i32.eq (local.get $page) (i32.const -1)) (then (unreachable)))
      (i64.store (i32.shl (local.get $page) (i32.const 16)) (i64.const -1))
      (br $l))
    (unreachable)))
