;; Sends the request that its input describes again and again.
(module
  (import "extism:host/env" "http_request" (func $http (param i64 i64) (result i64)))
  ;; @include tools.wat
  (func (export "run") (result i32)
    (loop $l (drop (call $http (call $input) (i64.const 0))) (br $l))
    (unreachable)))
