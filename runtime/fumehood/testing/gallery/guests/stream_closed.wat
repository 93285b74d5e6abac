;; Opens the stream of its input, closes it twice, and reads from it.
(module
  (import "extism:host/user" "qmt_http_stream_open" (func $open (param i64) (result i64)))
  (import "extism:host/user" "qmt_http_stream_next" (func $next (param i64) (result i64)))
  (import "extism:host/user" "qmt_http_stream_close" (func $close (param i64)))
  ;; @include tools.wat
  (data (i32.const 0) "1")
  (func (export "run") (result i32)
    (drop (call $open (call $input)))
    (call $close (call $block (i32.const 0) (i32.const 1)))
    (call $close (call $block (i32.const 0) (i32.const 1)))
    (drop (call $next (call $block (i32.const 0) (i32.const 1))))
    (i32.const 0)))
