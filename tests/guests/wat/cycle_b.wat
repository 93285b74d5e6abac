;; The other half of the cycle.
(module
  (import "a" "back" (func $back (result i32)))
  (func (export "answer") (result i32) (call $back)))
