;; The kernel: module `extism:host/env` as Wasm (extism-abi.md §1).
;;
;; Memory $d holds the blocks; guests reach it through the functions below only. Memory $m holds the
;; registers and the block table; no function that a guest can call takes an address in it, so
;; nothing there can be forged. The host reads and writes the registers as memory, which saves it
;; all calls but the guest's own.
;;
;; Registers in $m (u64 each; engine/kernel.py has the same table):
;;   0 input offset   8 input length   16 output offset   24 output length   32 error handle
;;  40 bump (next free address)        48 number of blocks
;;  56 capacity: bytes for blocks and table together, set by the host
;;  64 limit of input_load_u64: max(input length - 7, 0)
;;  72 size of the last refused allocation, 0 if none
;; From 80: the table, one {u32 address, u32 length} a block, addresses ascending. Bit 31 of a
;; length marks a freed block: its data stays readable, as guests rely on (§1.5).
;;
;; $d has its full size from the start, {SIZE} bytes (pages are only committed when touched) and its own maximum,
;; so it never grows, never moves, and the host may keep one view of it.
(module
  (memory $d (export "memory") {PAGES} {PAGES})
  (memory $m (export "meta") 1 {META_PAGES})

  ;; address in $m of the entry for block $p, or 0
  (func $find (param $p i32) (result i32)
    (local $lo i32) (local $hi i32) (local $mid i32) (local $v i32)
    (local.set $hi (i32.wrap_i64 (i64.load $m (i32.const 48))))
    (block $out (loop $l
      (br_if $out (i32.ge_u (local.get $lo) (local.get $hi)))
      (local.set $mid (i32.shr_u (i32.add (local.get $lo) (local.get $hi)) (i32.const 1)))
      (local.set $v (i32.load $m offset=80 (i32.shl (local.get $mid) (i32.const 3))))
      (if (i32.eq (local.get $v) (local.get $p))
        (then (return (i32.add (i32.const 80) (i32.shl (local.get $mid) (i32.const 3))))))
      (if (i32.lt_u (local.get $v) (local.get $p))
        (then (local.set $lo (i32.add (local.get $mid) (i32.const 1))))
        (else (local.set $hi (local.get $mid))))
      (br $l)))
    (i32.const 0))

  (func $entry (param $p i64) (result i32)
    (if (i64.gt_u (local.get $p) (i64.const 0xffffffff)) (then (return (i32.const 0))))
    (call $find (i32.wrap_i64 (local.get $p))))

  (func $size (result i64) (i64.const {SIZE}))

  ;; 65 <= p <= size and n bytes fit behind it, without wrapping
  (func $ok (param $p i64) (param $n i64) (result i32)
    (i32.and
      (i32.and (i64.ge_u (local.get $p) (i64.const 65)) (i64.le_u (local.get $p) (call $size)))
      (i64.le_u (local.get $n) (i64.sub (call $size) (local.get $p)))))

  (func $refuse (param $n i64) (result i64)
    (i64.store $m (i32.const 72) (local.get $n))
    (i64.const 0))

  ;; A freed block that is large enough, first fit; only asked when the bump area is used up.
  (func $reuse (param $n i64) (result i64)
    (local $i i32) (local $k i32) (local $e i32) (local $p i64) (local $end i64)
    (local.set $k (i32.wrap_i64 (i64.load $m (i32.const 48))))
    (block $out (loop $l
      (br_if $out (i32.ge_u (local.get $i) (local.get $k)))
      (local.set $e (i32.shl (local.get $i) (i32.const 3)))
      (local.set $i (i32.add (local.get $i) (i32.const 1)))
      (br_if $l (i32.ge_s (i32.load $m offset=84 (local.get $e)) (i32.const 0)))
      (local.set $p (i64.load32_u $m offset=80 (local.get $e)))
      (local.set $end
        (if (result i64) (i32.eq (local.get $i) (local.get $k))
          (then (i64.load $m (i32.const 40)))
          (else (i64.load32_u $m offset=88 (local.get $e)))))
      (br_if $l (i64.lt_u (i64.sub (local.get $end) (local.get $p)) (local.get $n)))
      (i32.store $m offset=84 (local.get $e) (i32.wrap_i64 (local.get $n)))
      (return (local.get $p))))
    (call $refuse (local.get $n)))

  (func $alloc (export "alloc") (param $n i64) (result i64)
    (local $p i64) (local $end i64) (local $k i32) (local $cap i64)
    (if (i64.eqz (local.get $n)) (then (return (i64.const 0))))
    (local.set $cap (i64.load $m (i32.const 56)))
    ;; before any arithmetic: an absurd size can then not wrap (§1.4)
    (if (i64.gt_u (local.get $n) (local.get $cap)) (then (return (call $refuse (local.get $n)))))
    (local.set $p (i64.load $m (i32.const 40)))
    (local.set $k (i32.wrap_i64 (i64.load $m (i32.const 48))))
    (local.set $end
      (i64.and (i64.add (i64.add (local.get $p) (local.get $n)) (i64.const 15)) (i64.const -8)))
    ;; blocks and table share the capacity
    (if (i64.gt_u
          (i64.add (local.get $end) (i64.shl (i64.extend_i32_u (local.get $k)) (i64.const 3)))
          (local.get $cap))
      (then (return (call $reuse (local.get $n)))))
    (if (i32.ge_u
          (i32.add (i32.shl (local.get $k) (i32.const 3)) (i32.const 88))
          (i32.shl (memory.size $m) (i32.const 16)))
      (then (if (i32.eq (i32.const -1) (memory.grow $m (i32.const 1)))
        (then (return (call $reuse (local.get $n)))))))
    (i64.store $m offset=80 (i32.shl (local.get $k) (i32.const 3))
      (i64.or (local.get $p) (i64.shl (local.get $n) (i64.const 32))))
    (i64.store $m (i32.const 48) (i64.extend_i32_u (i32.add (local.get $k) (i32.const 1))))
    (i64.store $m (i32.const 40) (local.get $end))
    (local.get $p))

  (func (export "free") (param $p i64) (local $e i32)
    (local.set $e (call $entry (local.get $p)))
    (if (i32.eqz (local.get $e)) (then (return)))
    (i32.store $m offset=4 (local.get $e)
      (i32.or (i32.load $m offset=4 (local.get $e)) (i32.const 0x80000000)))
    (if (i64.eq (local.get $p) (i64.load $m (i32.const 0)))
      (then
        (i64.store $m (i32.const 8) (i64.const 0))
        (i64.store $m (i32.const 64) (i64.const 0)))))

  (func $length (export "length") (param $p i64) (result i64) (local $e i32) (local $n i32)
    (local.set $e (call $entry (local.get $p)))
    (if (i32.eqz (local.get $e)) (then (return (i64.const 0))))
    (local.set $n (i32.load $m offset=4 (local.get $e)))
    (if (i32.lt_s (local.get $n) (i32.const 0)) (then (return (i64.const 0))))
    (i64.extend_i32_u (local.get $n)))
  (func (export "length_unsafe") (param $p i64) (result i64) (call $length (local.get $p)))

  ;; (p - 65) <=u (size - 65 - width): one comparison, no wrap; outside is 0 or ignored (§1.4).
  ;; The size is a constant of this build of the kernel: a call here would double the cost.
  (func (export "load_u8") (param $p i64) (result i32)
    (if (result i32)
      (i64.le_u (i64.sub (local.get $p) (i64.const 65)) (i64.const {LAST_U8}))
      (then (i32.load8_u $d (i32.wrap_i64 (local.get $p)))) (else (i32.const 0))))
  (func (export "load_u64") (param $p i64) (result i64)
    (if (result i64)
      (i64.le_u (i64.sub (local.get $p) (i64.const 65)) (i64.const {LAST_U64}))
      (then (i64.load $d (i32.wrap_i64 (local.get $p)))) (else (i64.const 0))))
  (func (export "store_u8") (param $p i64) (param $v i32)
    (if (i64.le_u (i64.sub (local.get $p) (i64.const 65)) (i64.const {LAST_U8}))
      (then (i32.store8 $d (i32.wrap_i64 (local.get $p)) (local.get $v)))))
  (func (export "store_u64") (param $p i64) (param $v i64)
    (if (i64.le_u (i64.sub (local.get $p) (i64.const 65)) (i64.const {LAST_U64}))
      (then (i64.store $d (i32.wrap_i64 (local.get $p)) (local.get $v)))))

  ;; below the length the address is in bounds: input_set and the host checked the range
  (func (export "input_load_u8") (param $i i64) (result i32)
    (if (result i32) (i64.lt_u (local.get $i) (i64.load $m (i32.const 8)))
      (then (i32.load8_u $d
        (i32.wrap_i64 (i64.add (i64.load $m (i32.const 0)) (local.get $i)))))
      (else (i32.const 0))))
  (func (export "input_load_u64") (param $i i64) (result i64)
    (if (result i64) (i64.lt_u (local.get $i) (i64.load $m (i32.const 64)))
      (then (i64.load $d
        (i32.wrap_i64 (i64.add (i64.load $m (i32.const 0)) (local.get $i)))))
      (else (i64.const 0))))
  (func (export "input_set") (param $p i64) (param $n i64)
    (if (call $ok (local.get $p) (local.get $n)) (then
      (i64.store $m (i32.const 0) (local.get $p))
      (i64.store $m (i32.const 8) (local.get $n))
      (i64.store $m (i32.const 64)
        (select (i64.sub (local.get $n) (i64.const 7)) (i64.const 0)
          (i64.gt_u (local.get $n) (i64.const 7)))))))
  (func (export "input_offset") (result i64) (i64.load $m (i32.const 0)))
  (func (export "input_length") (result i64) (i64.load $m (i32.const 8)))

  (func (export "output_set") (param $p i64) (param $n i64)
    (if (call $ok (local.get $p) (local.get $n)) (then
      (i64.store $m (i32.const 16) (local.get $p))
      (i64.store $m (i32.const 24) (local.get $n)))))
  (func (export "output_offset") (result i64) (i64.load $m (i32.const 16)))
  (func (export "output_length") (result i64) (i64.load $m (i32.const 24)))

  (func (export "error_set") (param $p i64)
    (if (i32.or (i64.eqz (local.get $p)) (call $ok (local.get $p) (i64.const 0)))
      (then (i64.store $m (i32.const 32) (local.get $p)))))
  (func (export "error_get") (result i64) (i64.load $m (i32.const 32)))

  (func (export "reset")
    (memory.fill $m (i32.const 0) (i32.const 0) (i32.const 40))
    (i64.store $m (i32.const 40) (i64.const 80))
    (i64.store $m (i32.const 48) (i64.const 0))
    (i64.store $m (i32.const 64) (i64.const 0)))
  (func (export "memory_bytes") (result i64) (call $size))
)
