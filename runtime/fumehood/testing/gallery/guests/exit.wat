;; Ends the process, as a command-line program would.
(module
  (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))
  (memory (export "memory") 1)
  (func (export "run") (result i32) (call $exit (i32.const 3)) (unreachable)))
