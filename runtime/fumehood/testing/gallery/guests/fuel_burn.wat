;; Counts to 2**60: its fuel ends long before its time.
(module
  (func (export "run") (result i32) (local $n i64)
    (loop $l
      (local.set $n (i64.add (local.get $n) (i64.const 1)))
      (br_if $l (i64.lt_u (local.get $n) (i64.const 0x1000000000000000))))
    (i32.const 0)))
