;; Stores one variable after another, 64 KiB each, until it is stopped.
(module
  (import "extism:host/env" "var_set" (func $var_set (param i64 i64)))
  ;; @include tools.wat
  (func (export "run") (result i32) (local $i i32)
    (loop $l
      (i32.store (i32.const 0)
        (i32.add (i32.const 0x30303030) (i32.and (local.get $i) (i32.const 63))))
      (call $var_set (call $block (i32.const 0) (i32.const 4)) (call $alloc (i64.const 65536)))
      (local.set $i (i32.add (local.get $i) (i32.const 1)))
      (br $l))
    (unreachable)))
