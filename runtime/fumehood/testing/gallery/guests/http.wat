;; Sends the request that its input describes (extism-abi.md §3.5) and answers with the reply.
(module
  (import "extism:host/env" "http_request" (func $http (param i64 i64) (result i64)))
  ;; @include tools.wat
  (func (export "run") (result i32) (local $reply i64)
    (local.set $reply (call $http (call $input) (i64.const 0)))
    (call $output_set (local.get $reply) (call $length (local.get $reply)))
    (i32.const 0)))
