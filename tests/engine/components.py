"""Components written by hand, for the tests of the engine: a guest that does as it is told."""

from __future__ import annotations

from functools import cache

import wasmtime

HOST = "fumehood:plugin/host@0.1.0"

IMPORTS = f"""
  (import "{HOST}" (instance $host
    (export "log" (func (param "level" u8) (param "message" string)))
    (export "now" (func (result u64)))
    (export "monotonic" (func (result u64)))
    (export "random" (func (result u64)))))
"""

# fmt: off
EXPORTS = "\\0a".join([
    "echo", "fail", "loop", "unreachable", "recurse", "memory", "outside", "bytes", "latin",
    "write", "random", "now", "monotonic", "swarm", "zero", "divide",
])
# fmt: on

# The name's first letter chooses. A result lies at 16: {u8 err, u32 at, u32 length}.
CORE = """
  (core module $libc
    (memory (export "memory") {pages})
    (global $top (mut i32) (i32.const 4096))
    (func (export "realloc") (param i32 i32 i32 i32) (result i32)
      (local $at i32)
      (local.set $at (i32.and (i32.add (global.get $top) (i32.const 7)) (i32.const -8)))
      (global.set $top (i32.add (local.get $at) (local.get 3)))
      (if (i32.gt_u (global.get $top) (i32.shl (memory.size) (i32.const 16)))
        (then (if (i32.eq (i32.const -1) (memory.grow (i32.add (i32.const 1) (i32.shr_u
            (i32.sub (global.get $top) (i32.shl (memory.size) (i32.const 16))) (i32.const 16)))))
          (then unreachable))))
      (local.get $at))
    (func (export "reset") (global.set $top (i32.const 4096))))
  (core module $guest
    (import "libc" "memory" (memory 1))
    (import "host" "log" (func $log (param i32 i32 i32)))
    (import "host" "now" (func $now (result i64)))
    (import "host" "monotonic" (func $monotonic (result i64)))
    (import "host" "random" (func $random (result i64)))
    (data (i32.const 1024) "{exports}")
    (data (i32.const 3000) "\\ff\\fe")
    (func $answer (param $err i32) (param $at i32) (param $length i32) (result i32)
      (i32.store8 (i32.const 16) (local.get $err))
      (i32.store (i32.const 20) (local.get $at))
      (i32.store (i32.const 24) (local.get $length))
      (i32.const 16))
    (func $letters (param $word i64) (result i32)   ;; 16 letters, the low nibble first
      (local $i i32)
      (loop $next
        (i32.store8 offset=2048 (local.get $i)
          (i32.add (i32.const 97) (i32.wrap_i64 (i64.and (local.get $word) (i64.const 15)))))
        (local.set $word (i64.shr_u (local.get $word) (i64.const 4)))
        (local.set $i (i32.add (local.get $i) (i32.const 1)))
        (br_if $next (i32.lt_u (local.get $i) (i32.const 16))))
      (call $answer (i32.const 0) (i32.const 2048) (i32.const 16)))
    (func $recurse (param i32) (result i32)
      (i32.add (i32.const 1) (call $recurse (i32.add (local.get 0) (i32.const 1)))))
    (func $is (param $name i32) (param $letter i32) (result i32)
      (i32.eq (i32.load8_u (local.get $name)) (local.get $letter)))
    (func (export "call")
      (param $name i32) (param $size i32) (param $at i32) (param $length i32) (result i32)
      (if (call $is (local.get $name) (i32.const 101))   ;; echo
        (then (return (call $answer (i32.const 0) (local.get $at) (local.get $length)))))
      (if (call $is (local.get $name) (i32.const 102))   ;; fail
        (then (return (call $answer (i32.const 1) (local.get $at) (local.get $length)))))
      (if (call $is (local.get $name) (i32.const 108))   ;; loop, latin
        (then (if (i32.eq (local.get $size) (i32.const 5))
          (then (return (call $answer (i32.const 0) (i32.const 3000) (i32.const 2)))))
          (loop $ever (br $ever))))
      (if (call $is (local.get $name) (i32.const 117)) (then unreachable))
      (if (call $is (local.get $name) (i32.const 100))   ;; divide
        (then (return (i32.div_u (i32.const 1) (i32.const 0)))))
      (if (call $is (local.get $name) (i32.const 114))   ;; recurse, random
        (then (if (i32.eq (i32.load8_u offset=1 (local.get $name)) (i32.const 97))
            (then (return (call $letters (call $random)))))
          (return (call $recurse (i32.const 0)))))
      (if (call $is (local.get $name) (i32.const 109))   ;; memory, monotonic
        (then (if (i32.eq (local.get $size) (i32.const 9))
            (then (return (call $letters (call $monotonic)))))
          (loop $more (br_if $more (i32.ne (i32.const -1) (memory.grow (i32.const 1)))))
          (return (call $answer (i32.const 1) (local.get $at) (local.get $length)))))
      (if (call $is (local.get $name) (i32.const 111))   ;; outside
        (then (return (call $answer (i32.const 0) (i32.const -16) (i32.const 15)))))
      (if (call $is (local.get $name) (i32.const 98))    ;; bytes: all of the memory, from 65536 on
        (then (return (call $answer (i32.const 0) (i32.const 65536)
          (i32.sub (i32.shl (memory.size) (i32.const 16)) (i32.const 65536))))))
      (if (call $is (local.get $name) (i32.const 119))   ;; write
        (then (call $log (i32.const 3) (local.get $at) (local.get $length))
          (return (call $answer (i32.const 0) (i32.const 0) (i32.const 0)))))
      (if (call $is (local.get $name) (i32.const 110)) (then (return (call $letters (call $now)))))
      (if (call $is (local.get $name) (i32.const 115))   ;; swarm
        (then (loop $calls (drop (call $now)) (br $calls))))
      (call $answer (i32.const 0) (i32.const 0) (i32.const 0)))
    (func (export "list-exports") (result i32)
      {listing}
      (drop (call $answer (i32.const 0) (i32.const 1024) (i32.const {listed})))
      (i32.const 20))
    {start})
  (core instance $libc (instantiate $libc))
  (alias core export $libc "memory" (core memory $memory))
  (alias core export $libc "realloc" (core func $realloc))
  (core func $now (canon lower (func $host "now")))
  (core func $monotonic (canon lower (func $host "monotonic")))
  (core func $random (canon lower (func $host "random")))
  (core func $log (canon lower (func $host "log") (memory $memory)))
  (core instance $guest (instantiate $guest
    (with "libc" (instance $libc))
    (with "host" (instance
      (export "log" (func $log)) (export "now" (func $now))
      (export "monotonic" (func $monotonic)) (export "random" (func $random))))))
"""

TAIL = """
  (func (export "call") (param "name" string) (param "input" string)
    (result (result string (error string)))
    (canon lift (core func $call) (memory $memory)
      (realloc $realloc) (post-return $post)))
  (func (export "list-exports") (result string)
    (canon lift (core func $list) (memory $memory)))
"""

DONE = """
  (core module $after
    (import "libc" "reset" (func $reset))
    (func (export "done") (param i32) (call $reset)))
  (core instance $done (instantiate $after (with "libc" (instance $libc))))
  (alias core export $done "done" (core func $post))
  (alias core export $guest "call" (core func $call))
  (alias core export $guest "list-exports" (core func $list))
"""


@cache
def component(
    *,
    pages: int = 1,
    exports: str = EXPORTS,
    listed: int | None = None,
    start: str = "",
    listing: str = "",
    extra: str = "",
) -> bytes:
    """The component: `pages` of memory from the start, `exports` as its list (`listed` bytes of
    it), `start` in its core, `listing` where it lists, `extra` beside it all."""
    size = len(exports.replace("\\0a", "\n")) if listed is None else listed
    core = CORE.format(pages=pages, exports=exports, listed=size, start=start, listing=listing)
    return assemble(IMPORTS + core + DONE + TAIL + extra)


def assemble(fields: str) -> bytes:
    """A component of these fields."""
    return bytes(wasmtime.wat2wasm(f"(component {fields})"))
