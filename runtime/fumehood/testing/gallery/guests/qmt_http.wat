;; Sends the wire request of its input through `qmt_http_request` and answers with the reply.
(module
  (import "extism:host/user" "qmt_http_request" (func $http (param i64) (result i64)))
  ;; @include tools.wat
  (func (export "run") (result i32) (local $reply i64)
    (local.set $reply (call $http (call $input)))
    (call $output_set (local.get $reply) (call $length (local.get $reply)))
    (i32.const 0)))
