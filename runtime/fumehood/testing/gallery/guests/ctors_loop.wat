;; Loops in `__wasm_call_ctors`.
(module
  (func (export "__wasm_call_ctors") (loop $l (br $l)))
  (func (export "run") (result i32) (i32.const 0)))
