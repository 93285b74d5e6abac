;; Reads every clock of WASI and its resolution: eight numbers of eight bytes.
(module
  (import "wasi_snapshot_preview1" "clock_time_get"
    (func $time (param i32 i64 i32) (result i32)))
  (import "wasi_snapshot_preview1" "clock_res_get" (func $res (param i32 i32) (result i32)))
  ;; @include tools.wat
  (func (export "run") (result i32) (local $id i32)
    (loop $l
      (drop (call $time (local.get $id) (i64.const 1)
        (i32.mul (local.get $id) (i32.const 8))))
      (drop (call $res (local.get $id)
        (i32.add (i32.const 32) (i32.mul (local.get $id) (i32.const 8)))))
      (local.set $id (i32.add (local.get $id) (i32.const 1)))
      (br_if $l (i32.lt_u (local.get $id) (i32.const 4))))
    (call $say (i32.const 0) (i32.const 64))
    (i32.const 0)))
