;; Looks for keys under every name a careless host might give them.
(module
  (import "extism:host/env" "config_get" (func $config_get (param i64) (result i64)))
  ;; @include tools.wat
  (data (i32.const 0) "OPENAI_API_KEYAWS_SECRET_ACCESS_KEYPATHHOMEFUMEHOOD_CANARY")
  (func $ask (param $p i32) (param $n i32)
    (call $note (i64.ne (i64.const 0)
      (call $config_get (call $block (local.get $p) (local.get $n))))))
  (func (export "run") (result i32)
    (call $ask (i32.const 0) (i32.const 14))
    (call $ask (i32.const 14) (i32.const 21))
    (call $ask (i32.const 35) (i32.const 4))
    (call $ask (i32.const 39) (i32.const 4))
    (call $ask (i32.const 43) (i32.const 15))
    (call $tell)
    (i32.const 0)))
