;; Frees what it does not own: twice, in the middle, unknown, 0, the ends. The next block must still
;; be sound and a free one readable, as older guests rely on it.
(module
  (import "extism:host/env" "free" (func $free (param i64)))
  ;; @include tools.wat
  (data (i32.const 0) "sound")
  (func (export "run") (result i32) (local $a i64)
    (local.set $a (call $block (i32.const 0) (i32.const 5)))
    (call $free (local.get $a))
    (call $free (local.get $a))
    (call $free (i64.add (local.get $a) (i64.const 1)))
    (call $free (i64.const 0))
    (call $free (i64.const -1))
    (call $free (i64.const 0x8000000000000000))
    (call $free (i64.const 0x100000001))
    (if (i32.ne (call $load_u8 (local.get $a)) (i32.const 115)) (then (unreachable)))
    (call $say (i32.const 0) (i32.const 5))
    (i32.const 0)))
