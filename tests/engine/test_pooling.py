"""The pool: that no instance finds a neighbour's bytes, and that it decides about time alone."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any, Final

import pytest

from fumehood.engine import NamedModule, Sandbox, Template, load_module, native, pooling
from fumehood.engine import module as module_file
from fumehood.engine.cache import ModuleCache
from fumehood.engine.machine import machine
from fumehood.engine.pooling import PoolMachine, pool_instances, pool_machine
from fumehood.errors import OutOfFuel, OutOfMemory, PluginError, Timeout, Trap, UsageError
from fumehood.limits import Limits
from fumehood.meter import Meter
from tests.engine.support import Guest, env, template

SLOTS: Final = 4
PAGE: Final = 65536
APART: Final[dict[str, Any]] = {"kernel_memory": 2 << 20}
"""No module is linked with a kernel of this size: it is an instance of its own."""
PATHS: Final = pytest.mark.parametrize("limits", [{}, APART], ids=["merged", "apart"])


@pytest.fixture(scope="module")
def engine() -> PoolMachine:
    return PoolMachine(SLOTS)


@pytest.fixture
def pool(engine: PoolMachine, monkeypatch: pytest.MonkeyPatch) -> PoolMachine:
    """The process has a pool; afterwards it has none again."""
    monkeypatch.setattr(pooling, "_pool", engine)
    monkeypatch.setattr(pooling, "_wanted", SLOTS)
    monkeypatch.setattr(module_file, "_compiled", type(module_file._compiled)())
    return engine


# -- a neighbour's bytes ----------------------------------------------------------------------

GREETING: Final = b"as it was declared"
WRITER: Final = f"""(module {env("alloc", "store_u64", "output_set")}
  (memory (export "memory") 2)
  (table $t (export "t") 8 funcref)
  (global $g (export "g") (mut i64) (i64.const 7))
  (data (i32.const 100) "{GREETING.decode()}")
  (elem declare func $mark)
  (func $mark)
  (func $out (param $at i32) (param $size i32) (local $h i64) (local $i i32)
    (local.set $h (call $alloc (i64.extend_i32_u (local.get $size))))
    (loop $next
      (call $store_u64 (i64.add (local.get $h) (i64.extend_i32_u (local.get $i)))
        (i64.load (i32.add (local.get $at) (local.get $i))))
      (local.set $i (i32.add (local.get $i) (i32.const 8)))
      (br_if $next (i32.lt_u (local.get $i) (local.get $size))))
    (call $output_set (local.get $h) (i64.extend_i32_u (local.get $size))))
  (func (export "greeting") (call $out (i32.const 96) (i32.const 24)))
  (func (export "dirty") (local $i i32) (local $h i64)
    (drop (memory.grow (i32.const 40)))
    (memory.fill (i32.const 0) (i32.const 0xA5) (i32.mul (memory.size) (i32.const 65536)))
    (global.set $g (i64.const -1))
    (drop (table.grow $t (ref.func $mark) (i32.const 3000)))
    (table.fill $t (i32.const 0) (ref.func $mark) (table.size $t))
    (local.set $h (call $alloc (i64.const 1000000)))
    (loop $next
      (call $store_u64 (i64.add (local.get $h) (i64.extend_i32_u (local.get $i)))
        (i64.const 0xA5A5A5A5A5A5A5A5))
      (local.set $i (i32.add (local.get $i) (i32.const 8)))
      (br_if $next (i32.lt_u (local.get $i) (i32.const 1000000)))))
  (func (export "elements") (local $i i32) (local $n i32) (local $h i64)
    (drop (table.grow $t (ref.null func) (i32.const 6000)))
    (loop $next
      (if (i32.eqz (ref.is_null (table.get $t (local.get $i))))
        (then (local.set $n (i32.add (local.get $n) (i32.const 1)))))
      (local.set $i (i32.add (local.get $i) (i32.const 1)))
      (br_if $next (i32.lt_u (local.get $i) (table.size $t))))
    (i32.store (i32.const 0) (local.get $n))
    (i64.store (i32.const 8) (global.get $g))
    (call $out (i32.const 0) (i32.const 16)))
  (func (export "grow") (drop (memory.grow (i32.const 60)))))"""
READER: Final = WRITER[:-1] + '(func (export "another") (result i32) (i32.const 1)))'
REGISTERS: Final = 256
"""Bytes of the kernel's registers and first blocks, which the host writes before each call."""


def bases(sandbox: Sandbox) -> list[int]:
    """Where the guest's memory and the kernel's two begin."""
    assert sandbox.blocks is not None
    memory = sandbox._export(sandbox._guest, b"memory")
    assert memory is not None
    found = [native._memory_address(sandbox.context, native.memory_argument(memory))]
    for own in (sandbox.blocks._memory, sandbox.blocks._meta_memory):
        found.append(native._memory_address(sandbox.context, native.memory_argument(own)))
    return found


def guest_memory(sandbox: Sandbox) -> memoryview:
    memory = sandbox._export(sandbox._guest, b"memory")
    assert memory is not None
    return native.memory_view(sandbox.context, memory)


def strange(view: memoryview, known: bytes, at: int) -> int:
    """How many bytes of `view` are neither zero nor `known` at `at`."""
    content = bytearray(view)
    if known:
        assert content[at : at + len(known)] == known
        content[at : at + len(known)] = bytes(len(known))
    return len(content) - content.count(0)


@PATHS
@pytest.mark.parametrize("reader", [WRITER, READER], ids=["the same plugin", "another plugin"])
def test_no_instance_finds_a_neighbours_bytes(
    pool: PoolMachine, limits: dict[str, Any], reader: str
) -> None:
    written: set[int] = set()
    for _ in range(6):  # more than is emptied at a time
        guests = [Guest(WRITER, **limits) for _ in range(SLOTS)]
        for guest in guests:
            assert guest.sandbox._template.engine is pool
            guest.call("dirty", b"\xa5" * 300_000)
            written.update(bases(guest.sandbox))
            with guest_memory(guest.sandbox) as view:
                assert strange(view, b"", 0) == len(view) == 42 * PAGE
        for guest in guests:
            guest.__exit__()
    seen = 0
    for _ in range(6):
        guests = [Guest(reader, **limits) for _ in range(SLOTS)]
        for guest in guests:
            sandbox = guest.sandbox
            assert sandbox._template.engine is pool
            seen += len(written.intersection(bases(sandbox)))
            # before any guest code of this instance ran
            with guest_memory(sandbox) as view:
                assert strange(view, GREETING, 100) == 0
            assert sandbox.blocks is not None
            assert strange(sandbox.blocks.meta[REGISTERS:], b"", 0) == 0
            assert strange(sandbox.blocks.data[: 2 << 20], b"", 0) == 0
            # pages and elements that it gets later
            guest.call("grow")
            with guest_memory(sandbox) as view:
                assert len(view) == 62 * PAGE
                assert strange(view, GREETING, 100) == 0
            found = guest.call("elements")
            assert int.from_bytes(found[:4], "little") == 0
            assert int.from_bytes(found[8:], "little") == 7
        for guest in guests:
            guest.__exit__()
    assert seen >= 6 * SLOTS, "the slots were never used again: this showed nothing"


@PATHS
def test_a_kernel_of_a_former_owner_is_empty_in_full(
    pool: PoolMachine, limits: dict[str, Any]
) -> None:
    """All of its 64 MiB, once; the test above looks at the part that guests reach first."""
    size = Limits(**limits).kernel_memory
    with Guest(WRITER, **limits) as guest:
        assert guest.sandbox.blocks is not None
        view = guest.sandbox.blocks.data
        view[:] = b"\xa5" * len(view)
    with Guest(WRITER, **limits) as guest:
        assert guest.sandbox.blocks is not None
        assert guest.sandbox.blocks.data.nbytes == size
        assert strange(guest.sandbox.blocks.data, b"", 0) == 0


def test_a_trapped_instance_leaves_nothing_either(pool: PoolMachine) -> None:
    wat = """(module (memory (export "memory") 1) (func (export "run")
      (memory.fill (i32.const 0) (i32.const 0xA5) (i32.const 65536)) unreachable))"""
    for _ in range(3 * SLOTS):
        with Guest(wat) as guest:
            with guest_memory(guest.sandbox) as view:
                assert strange(view, b"", 0) == 0
            with pytest.raises(Trap):
                guest.call("run")


# -- time alone -------------------------------------------------------------------------------

QUIET: Final = '(module (memory (export "memory") 1) (func (export "run")))'


@PATHS
def test_more_instances_than_slots_are_made_the_ordinary_way(
    pool: PoolMachine, limits: dict[str, Any]
) -> None:
    it = template(QUIET)
    chosen = Limits(**limits)
    alive = [it.instantiate(None, chosen, Meter(chosen)) for _ in range(3 * SLOTS)]
    engines = [sandbox._template.engine for sandbox in alive]
    assert engines[:SLOTS] == [pool] * SLOTS
    assert engines[-SLOTS:] == [machine()] * SLOTS
    for sandbox in alive:
        assert sandbox.call("run", b"", Meter(chosen)) == b""
    for sandbox in alive:
        sandbox.close()
    with it.instantiate(None, chosen, Meter(chosen)) as again:
        assert again._template.engine is pool
    it.close()


def test_a_guest_cannot_pretend_that_the_pool_is_full(pool: PoolMachine) -> None:
    name = "maximum concurrent limit reached"
    wat = f"""(module (memory (export "memory") 1) (func (export "{name}") unreachable)
      (func $go (@name "{name}") unreachable) (start $go) (func (export "run")))"""
    with pytest.raises(Trap):
        Guest(wat)
    with pytest.raises(Trap):
        Guest(wat, **APART)


@pytest.mark.parametrize(
    "wat",
    [
        "(module" + "(table 1 funcref)" * 5 + '(func (export "run")))',
        f'(module (table {pooling.TABLE_ELEMENTS + 1} funcref) (func (export "run")))',
    ],
    ids=["many tables", "a large table"],
)
def test_what_no_slot_can_hold_is_made_the_ordinary_way(pool: PoolMachine, wat: str) -> None:
    with Guest(wat, table_elements=2 * pooling.TABLE_ELEMENTS) as guest:
        assert guest.sandbox._template.engine is machine()
        guest.call("run")


def test_limits_that_no_slot_can_hold_are_kept_the_ordinary_way(pool: PoolMachine) -> None:
    wat = f"""(module (memory (export "memory") 1) (table $t 1 funcref) (func (export "run")
      (if (i32.lt_s (table.grow $t (ref.null func) (i32.const {pooling.TABLE_ELEMENTS}))
                    (i32.const 0)) (then unreachable))))"""
    with Guest(wat, table_elements=2 * pooling.TABLE_ELEMENTS) as guest:
        assert guest.sandbox._template.engine is machine()
        guest.call("run")


def test_sets_of_modules_are_made_the_ordinary_way(pool: PoolMachine) -> None:
    library = load_module(b'(module (func (export "one") (result i32) (i32.const 1)))')
    main = load_module(
        b'(module (import "lib" "one" (func $one (result i32))) (func (export "run")'
        b"(if (i32.ne (call $one) (i32.const 1)) (then unreachable))))"
    )
    assert library.engine is pool
    it = Template([NamedModule("lib", library), NamedModule("main", main)], [])
    assert it.engine is machine()
    limits = Limits()
    with it.instantiate(None, limits, Meter(limits)) as sandbox:
        sandbox.call("run", b"", Meter(limits))
    it.close()


def test_one_artefact_serves_both_engines(
    pool: PoolMachine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache = ModuleCache(tmp_path / "modules", tmp_path / "keys" / "cache.key")
    monkeypatch.setattr(module_file, "_cache", lambda: cache)
    padding = "(func (result i32) (i32.const 1))" * 6000
    source = f'(module (memory 1) (func (export "run")) {padding})'.encode()
    assert load_module(source, pooled=False).engine is machine()

    def never(*_: object) -> None:
        raise AssertionError("it is compiled already")

    monkeypatch.setattr(module_file, "compile_in_child", never)
    module = load_module(source)
    assert module.engine is pool
    assert module.merged
    assert module.ordinary() is load_module(source, pooled=False)


# -- limits -----------------------------------------------------------------------------------


@PATHS
def test_limits_hold_in_a_slot(pool: PoolMachine, limits: dict[str, Any]) -> None:
    wat = """(module (memory (export "memory") 1) (table $t (export "t") 1 funcref)
      (func (export "memory_grows") (result i32) (memory.grow (i32.const 16)))
      (func (export "table_grows") (result i32) (table.grow $t (ref.null func) (i32.const 100)))
      (func (export "fuel") (loop $l (br $l))))"""
    for grows, memory, elements in ((False, 16, 100), (True, 17, 101)):
        with Guest(wat, memory=memory * PAGE, table_elements=elements, **limits) as guest:
            assert guest.sandbox._template.engine is pool
            for export in ("memory_grows", "table_grows"):
                with pytest.raises(PluginError) as told:
                    guest.call(export)
                assert told.value.rc == (1 if grows else -1)
    with Guest(wat, fuel=10_000, **limits) as guest, pytest.raises(OutOfFuel):
        guest.call("fuel")
    with Guest(wat, fuel=None, guest_time=0.05, **limits) as guest, pytest.raises(Timeout):
        guest.call("fuel")


def test_a_memory_that_is_too_large_from_the_start(pool: PoolMachine) -> None:
    with pytest.raises(OutOfMemory):
        Guest('(module (memory (export "memory") 100) (func (export "run")))', memory=PAGE)


# -- asking for it ----------------------------------------------------------------------------


@pytest.fixture
def unsaid(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pooling, "_pool", None)
    monkeypatch.setattr(pooling, "_wanted", None)
    monkeypatch.delenv(pooling.VARIABLE, raising=False)


@pytest.mark.usefixtures("unsaid")
def test_there_is_no_pool_unless_somebody_asks() -> None:
    assert pool_machine() is None


@pytest.mark.usefixtures("unsaid")
@pytest.mark.parametrize("text", ["-1", "many", "1.5", "4097", "٣", ""])
def test_the_variable_must_be_a_number(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(pooling.VARIABLE, text)
    with pytest.raises(UsageError, match=pooling.VARIABLE):
        pool_machine()


@pytest.mark.usefixtures("unsaid")
def test_the_variable_asks_and_the_program_decides(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(pooling.VARIABLE, "2")
    made = pool_machine()
    assert made is not None
    assert made.slots == 2
    pool_instances(2)
    with pytest.raises(UsageError, match="a pool of 2 instances already"):
        pool_instances(3)
    pool_instances(0)
    assert pool_machine() is None
    pool_instances(2)
    assert pool_machine() is made


@pytest.mark.usefixtures("unsaid")
@pytest.mark.parametrize("count", [-1, 4097, 1.5, True, None, "64"])
def test_a_pool_has_a_sensible_size(count: int) -> None:
    with pytest.raises(UsageError, match="0 to 4096"):
        pool_instances(count)


@pytest.mark.skipif(sys.platform != "linux", reason="limits of address space are Linux's")
def test_a_pool_that_finds_no_room_says_so() -> None:
    assert _run(
        """
        import resource
        resource.setrlimit(resource.RLIMIT_AS, (64 << 30, 64 << 30))
        fumehood.pool_instances(64)
        try:
            fumehood.Plugin(b"(module)")
        except fumehood.HostError as error:
            answer = [error.message]
        """
    ) == ["a pool of 64 instances cannot be made: Cannot allocate memory"]


def test_from_the_public_face_and_in_the_child_of_a_fork() -> None:
    answer = _run(
        """
        import os, signal
        signal.alarm(60)
        fumehood.pool_instances(2)
        text = '(module (memory (export "memory") 1) (func (export "run")))'
        plugins = [fumehood.Plugin(text.encode()) for _ in range(5)]
        said = [plugin.call("run").decode() for plugin in plugins]
        child = os.fork()
        if not child:
            for plugin in plugins:
                plugin.call("run")
                plugin.close()
            with fumehood.Plugin(text.encode()) as another:
                another.call("run")
            os._exit(7)
        _, status = os.waitpid(child, 0)
        said += [plugin.call("run").decode() for plugin in plugins]
        answer = [os.waitstatus_to_exitcode(status), len(said)]
        """
    )
    assert answer == [7, 10]


def _run(text: str) -> list[object]:
    """`answer` of a program, in a process of its own."""
    lines = [line.removeprefix("        ") for line in text.splitlines()]
    program = "\n".join(["import json, fumehood", *lines, "print(json.dumps(answer))"])
    environ = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, env=environ, check=False
    )
    assert done.returncode == 0, done.stderr
    answer: list[object] = json.loads(done.stdout)
    return answer
