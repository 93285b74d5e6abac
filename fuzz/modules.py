"""Any bytes as a module, and modules that wasm-smith makes: the host survives, within limits.

A module is run twice, linked with the kernel and beside it: both ways must come to the same.
"""

from __future__ import annotations

import functools
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Final

from hypothesis import strategies as st

from fumehood.engine import NamedModule, Template, load_module, native
from fumehood.engine.machine import machine, wrap_module
from fumehood.engine.module import to_binary
from fumehood.errors import Error, LoadError
from fumehood.imports import Services, standard
from fumehood.limits import Limits
from fumehood.meter import Meter
from fumehood.testing import strategies
from fuzz import tools
from fuzz.target import Target, check_error, outcome
from tests.engine.support import SHAPES

LIMITS: Final = Limits(deadline=3, guest_time=1, fuel=300_000, memory=16 << 20, host_calls=2_000)
SLACK: Final = 5.0
"""Seconds beyond the deadline: the machine is shared."""
MANY: Final = 6
"""Exports of one module that are called."""
_SPARE: Final = NamedModule("spare", load_module(b"(module)"))

Said = list[tuple[str, str]]


def lives(module: bytes, *, apart: bool) -> Said:
    """What loading, making and calling come to, each as (class of the error or "value", bytes).

    `apart` puts a second module beside it, so that the kernel is not linked in.
    """
    kind, loaded = outcome(lambda: load_module(module))
    if kind == "error":
        assert isinstance(loaded, LoadError), f"loading raised {loaded!r}"
        assert not compiles(module), f"refused, though it compiles alone: {loaded!r}"
        return [("LoadError", "")]
    main = NamedModule("main", loaded)
    modules = [_SPARE, main] if apart else [main]
    kind, template = outcome(lambda: Template(modules, standard(with_wasi=True)))
    if kind == "error":
        return [(type(template).__name__, "")]
    try:
        return _calls(template, [name for name, e in loaded.exports.items() if e.callable])
    finally:
        template.close()


def compiles(module: bytes) -> bool:
    """Whether wasmtime takes the module by itself: linking may refuse nothing that it takes."""
    try:
        binary = to_binary(module)
        machine().validate(binary)
        wrap_module(machine().compile(binary))
    except LoadError:
        return False
    return True


def _calls(template: Template, names: list[str]) -> Said:
    services = Services(config={"key": "value"})
    said: Said = []
    sandbox = None
    try:
        for name in names[:MANY] or ["none"]:
            meter = Meter(LIMITS)
            began = time.monotonic()
            try:
                if sandbox is None:
                    sandbox = template.instantiate(services, LIMITS, meter)
                said.append(("value", sandbox.call(name, b"some input", meter).hex()))
            except Error as error:
                check_error(error)
                assert error.receipt is not None, f"no receipt: {error!r}"
                said.append((type(error).__name__, ""))
                if sandbox is not None and sandbox.dead:
                    sandbox.close()
                    sandbox = None
            spent = time.monotonic() - began
            assert spent < LIMITS.deadline + SLACK, f"{name} took {spent:.1f} s"
            receipt = meter.receipt()
            most = LIMITS.memory + LIMITS.kernel_memory
            assert receipt.memory_peak <= most, f"{receipt.memory_peak} bytes were used"
            assert receipt.fuel <= (LIMITS.fuel or 0), f"{receipt.fuel} units of fuel were used"
    finally:
        services.close()
        if sandbox is not None:
            sandbox.close()
    return said


def both_ways(module: bytes) -> None:
    """Linked with the kernel and beside it, the outcomes are the same; where a limit was reached
    on either side they may differ: linking changes what a kernel call costs."""
    together, apart = lives(module, apart=False), lives(module, apart=True)
    limits = {"OutOfFuel", "Timeout", "TooMuch"}
    for one, other in zip(together, apart, strict=True):
        if one[0] in limits or other[0] in limits:
            return
        assert one == other, f"linked: {together}; apart: {apart}"


# -- any bytes -------------------------------------------------------------------------------------


def check_bytes(case: dict[str, str]) -> None:
    """WAT or Wasm: refused, or run."""
    source = case["wat"].encode() if "wat" in case else bytes.fromhex(case["wasm"])
    both_ways(source)


_WATS: Final = (
    '(module (memory (export "memory") 1) (func (export "f") (result i32) i32.const 0))',
    """(module
      (import "extism:host/env" "input_length" (func $n (result i64)))
      (import "extism:host/env" "input_load_u8" (func $in (param i64) (result i32)))
      (import "extism:host/env" "alloc" (func $alloc (param i64) (result i64)))
      (import "extism:host/env" "store_u8" (func $put (param i64 i32)))
      (import "extism:host/env" "output_set" (func $out (param i64 i64)))
      (import "extism:host/user" "qmt_log" (func $log (param i64)))
      (memory (export "memory") 1)
      (table 4 funcref) (elem (i32.const 1) $copy $copy)
      (global $g (mut i64) (i64.const 7))
      (func $copy (export "echo") (result i32) (local $h i64) (local $i i64)
        (local.set $h (call $alloc (call $n)))
        (block $done (loop $more
          (br_if $done (i64.ge_u (local.get $i) (call $n)))
          (call $put (i64.add (local.get $h) (local.get $i)) (call $in (local.get $i)))
          (local.set $i (i64.add (local.get $i) (i64.const 1)))
          (br $more)))
        (call $out (local.get $h) (call $n))
        (i32.const 0))
      (func (export "indirect") (result i32) (call_indirect (result i32) (i32.const 1)))
      (func (export "log") (call $log (call $alloc (i64.const 3))))
      (func $start (global.set $g (i64.const 9)))
      (start $start))""",
    """(module
      (import "wasi_snapshot_preview1" "fd_write"
        (func $w (param i32 i32 i32 i32) (result i32)))
      (memory (export "memory") 1 2)
      (data (i32.const 8) "\\10\\00\\00\\00\\03\\00\\00\\00hi\\0a")
      (func (export "f") (result i32)
        (drop (call $w (i32.const 2) (i32.const 8) (i32.const 1) (i32.const 0)))
        (drop (memory.grow (i32.const 5)))
        (memory.fill (i32.const 0) (i32.const 1) (i32.const 65536))
        (i32.const 3)))""",
    '(module (memory 1) (func (export "f") (loop (br 0))))',
    '(module (func $f (export "f") (call $f)))',
)


def any_bytes() -> st.SearchStrategy[dict[str, str]]:
    """Damaged modules and damaged text."""
    binaries = st.sampled_from([to_binary(text.encode()) for text in _WATS])
    texts = st.sampled_from([text.encode() for text in _WATS])
    header = st.binary(max_size=60).map(lambda rest: b"\0asm\1\0\0\0" + rest)
    wasm = st.one_of(strategies.mutated(binaries), header, st.binary(max_size=60))
    wat = strategies.mutated(texts).map(lambda data: {"wat": data.decode("utf-8", "replace")})
    return wasm.map(lambda data: {"wasm": data.hex()}) | wat


# -- wasm-smith ------------------------------------------------------------------------------------


@functools.cache
def importable() -> Path:
    """A module that imports everything we give a plugin; wasm-smith picks from it."""
    lines = [
        _import_line(item.namespace, item.name, item.params, item.results)
        for item in standard(with_wasi=True)
        if item.name not in {"clock_time_get", "random_get", "poll_oneoff"}  # differ by run
    ]
    lines += [_import_line("extism:host/env", name, *SHAPES[name]) for name in SHAPES]
    folder = Path(tempfile.mkdtemp(prefix="fuzz-"))
    binary = native.wat2wasm(f"(module {' '.join(lines)})".encode())
    assert isinstance(binary, bytes), binary
    path = folder / "imports.wasm"
    path.write_bytes(binary)
    return path


def _import_line(module: str, name: str, params: str, results: str) -> str:
    names = {"i": "i32", "I": "i64", "f": "f32", "F": "f64"}
    given = " ".join(names[letter] for letter in params)
    taken = " ".join(names[letter] for letter in results)
    return f'(import "{module}" "{name}" (func (param {given}) (result {taken})))'


def check_smith(case: dict[str, str]) -> None:
    """The module of these bytes; a case in the corpus holds the module itself."""
    if "wasm" in case:
        both_ways(bytes.fromhex(case["wasm"]))
        return
    module = _made(case["kind"], bytes.fromhex(case["bytes"]))
    if module is None:
        return
    case["wasm"] = module.hex()  # what a finding is kept as: it needs no wasm-smith
    both_ways(module)


_PANIC = 101
"""How a Rust program ends that panics."""


def _made(kind: str, data: bytes) -> bytes | None:
    command = [str(tools.smith()), kind]
    if kind == "plain":
        command.append(str(importable()))
    done = subprocess.run(command, input=data, capture_output=True, check=False, timeout=60)
    if done.returncode == _PANIC and b"/wasm-smith-" in done.stderr:
        return None  # an assertion of wasm-smith's own (`max >= min`): no module came of it
    assert done.returncode in (0, 3), f"wasm-smith failed: {done.stderr[-500:]!r}"
    return done.stdout if done.returncode == 0 else None


def smith_cases() -> st.SearchStrategy[dict[str, str]]:
    """Random bytes, many of them: wasm-smith eats about one a byte of module."""
    # drawn as a number and stretched, for Hypothesis hardly draws long binaries
    data = st.builds(_stretch, st.integers(0, (1 << 64) - 1), st.integers(100, 6000))
    kinds = st.sampled_from(["plain", "plain", "plain", "any"])
    return st.builds(lambda kind, raw: {"kind": kind, "bytes": raw.hex()}, kinds, data)


def _stretch(number: int, size: int) -> bytes:
    import random

    return random.Random(number).randbytes(size)


TARGETS: Final = (
    Target("modules", any_bytes, check_bytes, weight=3, caches=False),
    Target("smith", smith_cases, check_smith, tools.missing_smith, weight=5, caches=False),
)
