;; A provider whose config schema is a megabyte long.
(module
  ;; @include tools.wat
  (func (export "config_schema") (result i32)
    (call $output_set (call $alloc (i64.const 1048576)) (i64.const 1048576))
    (i32.const 0))
  (func (export "chat_request") (result i32) (i32.const 1))
  (func (export "parse_chat_response") (result i32) (i32.const 1)))
