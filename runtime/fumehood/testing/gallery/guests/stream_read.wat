;; Opens the stream of its input and answers with all that it reads from it; it takes for granted
;; that the first stream has the id 1. What is more than it has room for it reads and forgets.
(module
  (import "extism:host/user" "qmt_http_stream_open" (func $open (param i64) (result i64)))
  (import "extism:host/user" "qmt_http_stream_next" (func $next (param i64) (result i64)))
  ;; @include tools.wat
  (data (i32.const 0) "1")
  (global $at (mut i32) (i32.const 1024))

  (func $take (param $h i64) (local $i i64)
    (block $out (loop $l
      (br_if $out (i64.ge_u (local.get $i) (call $length (local.get $h))))
      (br_if $out (i32.ge_u (global.get $at) (i32.const 60000)))
      (i32.store8 (global.get $at) (call $load_u8 (i64.add (local.get $h) (local.get $i))))
      (global.set $at (i32.add (global.get $at) (i32.const 1)))
      (local.set $i (i64.add (local.get $i) (i64.const 1)))
      (br $l))))

  (func (export "run") (result i32) (local $chunk i64)
    (drop (call $open (call $input)))
    (block $end (loop $l
      (local.set $chunk (call $next (call $block (i32.const 0) (i32.const 1))))
      (br_if $end (i64.eqz (local.get $chunk)))
      (call $take (local.get $chunk))
      (br $l)))
    (call $say (i32.const 1024) (i32.sub (global.get $at) (i32.const 1024)))
    (i32.const 0)))
