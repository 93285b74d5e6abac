;; Counts environment variables and arguments; both must be none.
(module
  (import "wasi_snapshot_preview1" "environ_sizes_get" (func $env (param i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "args_sizes_get" (func $args (param i32 i32) (result i32)))
  ;; @include tools.wat
  (func (export "run") (result i32)
    (call $note (call $env (i32.const 0) (i32.const 4)))
    (call $note (i32.load (i32.const 0)))
    (call $note (i32.load (i32.const 4)))
    (call $note (call $args (i32.const 0) (i32.const 4)))
    (call $note (i32.load (i32.const 0)))
    (call $note (i32.load (i32.const 4)))
    (call $tell)
    (i32.const 0)))
