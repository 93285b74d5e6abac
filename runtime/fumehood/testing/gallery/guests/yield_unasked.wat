;; Yields stream chunks, broken ones too, in a call that nobody streams.
(module
  (import "extism:host/user" "qmt_yield_chunk" (func $yield (param i64)))
  ;; @include tools.wat
  (data (i32.const 0) "{\ff[[[[")
  (func (export "run") (result i32)
    (call $yield (call $block (i32.const 0) (i32.const 6)))
    (call $yield (i64.const 0))
    (i32.const 0)))
