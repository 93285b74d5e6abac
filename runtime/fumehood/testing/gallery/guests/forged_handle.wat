;; Gives the host a handle that was never allocated.
(module
  (import "extism:host/env" "config_get" (func $config_get (param i64) (result i64)))
  (func (export "run") (result i32)
    (drop (call $config_get (i64.const -1)))
    (i32.const 0)))
