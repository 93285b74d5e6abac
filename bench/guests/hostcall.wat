;; The guest of the benchmark's host calls: `run` calls the host's `add` a thousand times.
(module
  (import "extism:host/user" "add" (func $add (param i64 i64) (result i64)))
  (memory (export "memory") 1)
  (func (export "run") (result i32)
    (local $left i32) (local $sum i64)
    (local.set $left (i32.const 1000))
    (loop $again
      (local.set $sum (call $add (local.get $sum) (i64.extend_i32_u (local.get $left))))
      (br_if $again (local.tee $left (i32.sub (local.get $left) (i32.const 1)))))
    ;; 1000 + 999 + … + 1
    (if (i64.ne (local.get $sum) (i64.const 500500)) (then unreachable))
    (i32.const 0)))
