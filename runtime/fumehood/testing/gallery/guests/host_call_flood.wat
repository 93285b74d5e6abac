;; Moves its work into host calls, which cost a guest next to no fuel.
(module
  (import "extism:host/env" "get_log_level" (func $level (result i32)))
  (func (export "run") (result i32)
    (loop $l (drop (call $level)) (br $l))
    (unreachable)))
