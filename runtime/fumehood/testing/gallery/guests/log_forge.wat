;; A log text with a second line that looks like the host's own, escapes, and invalid UTF-8.
(module
  (import "extism:host/env" "log_warn" (func $log (param i64)))
  ;; @include tools.wat
  (data (i32.const 0) "innocent\0aERROR fumehood: key leaked\1b[2J\ff\e2\80\ae")
  (func (export "run") (result i32)
    (call $log (call $block (i32.const 0) (i32.const 43)))
    (i32.const 0)))
