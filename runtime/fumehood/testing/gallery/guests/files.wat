;; Looks for preopened folders and opens paths relative to every descriptor, `..` and absolute too.
(module
  (import "wasi_snapshot_preview1" "fd_prestat_get" (func $prestat (param i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "path_open"
    (func $open (param i32 i32 i32 i32 i32 i64 i64 i32 i32) (result i32)))
  ;; @include tools.wat
  (data (i32.const 0) "/etc/passwd")
  (data (i32.const 32) "../../../../etc/passwd")
  (func (export "run") (result i32) (local $fd i32)
    (loop $l
      (call $note (i32.eqz (call $prestat (local.get $fd) (i32.const 100))))
      (call $note (i32.eqz (call $open (local.get $fd) (i32.const 1) (i32.const 0) (i32.const 11)
        (i32.const 0) (i64.const 2) (i64.const 2) (i32.const 0) (i32.const 100))))
      (call $note (i32.eqz (call $open (local.get $fd) (i32.const 1) (i32.const 32) (i32.const 22)
        (i32.const 0) (i64.const 2) (i64.const 2) (i32.const 0) (i32.const 100))))
      (local.set $fd (i32.add (local.get $fd) (i32.const 1)))
      (br_if $l (i32.lt_u (local.get $fd) (i32.const 8))))
    (call $tell)
    (i32.const 0)))
