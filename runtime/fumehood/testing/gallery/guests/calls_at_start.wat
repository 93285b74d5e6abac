;; Calls a host function, which calls this plugin again, before it is even made.
(module
  (import "extism:host/user" "again" (func $again (param i64) (result i64)))
  (func $start (drop (call $again (i64.const 0))))
  (func (export "run") (result i32) (i32.const 0))
  (start $start))
