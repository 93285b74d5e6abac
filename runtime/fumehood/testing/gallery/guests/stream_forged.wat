;; Reads from a stream that it never opened.
(module
  (import "extism:host/user" "qmt_http_stream_next" (func $next (param i64) (result i64)))
  (import "extism:host/user" "qmt_http_stream_close" (func $close (param i64)))
  ;; @include tools.wat
  (data (i32.const 0) "41")
  (func (export "run") (result i32)
    (call $close (call $block (i32.const 0) (i32.const 2)))
    (call $close (call $block (i32.const 0) (i32.const 2)))
    (drop (call $next (call $block (i32.const 0) (i32.const 2))))
    (i32.const 0)))
