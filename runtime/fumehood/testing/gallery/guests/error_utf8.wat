;; An error text that is not UTF-8: invalid bytes, an overlong form, a surrogate, a NUL.
(module
  ;; @include tools.wat
  (data (i32.const 0) "bad \ff\fe \c0\af \ed\a0\80 \00 end")
  (func (export "run") (result i32)
    (call $fail (i32.const 0) (i32.const 19))
    (i32.const 1)))
