;; Gives WASI pointers outside its memory and counts that overflow. An error number or a trap is
;; right; a byte of the host is not.
(module
  (import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "random_get" (func $random (param i32 i32) (result i32)))
  (memory (export "memory") 1)
  (func (export "run") (result i32)
    (drop (call $write (i32.const 1) (i32.const 0) (i32.const -1) (i32.const 16)))
    (drop (call $write (i32.const 1) (i32.const -8) (i32.const 1) (i32.const 16)))
    (drop (call $random (i32.const -16) (i32.const 64)))
    (drop (call $random (i32.const 65535) (i32.const -1)))
    (unreachable)))
