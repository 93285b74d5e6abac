;; An error text that would steer a terminal and forge a line of the host's own.
(module
  ;; @include tools.wat
  (data (i32.const 0) "\1b]0;owned\07\1b[2J\0d\0afumehood: all is well\1b[8m")
  (func (export "run") (result i32)
    (call $fail (i32.const 0) (i32.const 41))
    (i32.const 1)))
