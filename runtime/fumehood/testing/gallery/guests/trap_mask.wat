;; Leaves an error text that claims another cause, then uses up its memory.
(module
  ;; @include tools.wat
  (data (i32.const 0) "the network is down")
  (func (export "run") (result i32)
    (call $fail (i32.const 0) (i32.const 19))
    (loop $l (br_if $l (i32.ne (memory.grow (i32.const 16)) (i32.const -1))))
    (loop $l (br_if $l (i32.ne (memory.grow (i32.const 1)) (i32.const -1))))
    (unreachable)))
