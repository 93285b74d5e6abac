;; Reads the host's standard input; there must be nothing in it.
(module
  (import "wasi_snapshot_preview1" "fd_read" (func $read (param i32 i32 i32 i32) (result i32)))
  ;; @include tools.wat
  (func (export "run") (result i32)
    (i32.store (i32.const 0) (i32.const 1000))
    (i32.store (i32.const 4) (i32.const 100))
    (drop (call $read (i32.const 0) (i32.const 0) (i32.const 1) (i32.const 8)))
    (call $note (i32.load (i32.const 8)))
    (call $note (i32.load8_u (i32.const 1000)))
    (call $tell)
    (i32.const 0)))
