"""The pool: a second engine, whose instances take memories and tables from slots made beforehand.

Opt-in. A fresh instance then costs less, because nothing is mapped and unmapped for it; but a slot
has had other owners, and that an instance finds none of their bytes in it is wasmtime's promise,
which an advisory has broken before. By default every instance has mappings of
its own, which the kernel hands out as zeros.

Lone modules use the pool. More instances than it has slots for, sets of modules, modules with many
tables and limits beyond what a slot holds are made the ordinary way, on the ordinary engine: the
pool decides about time, never about whether a call succeeds.
"""

from __future__ import annotations

import mmap
import os
import sys
from typing import Any, Final

import wasmtime

from fumehood import forks
from fumehood.engine import native
from fumehood.engine.machine import Machine, configuration
from fumehood.engine.wasmfile import tables
from fumehood.errors import HostError, LoadError, UsageError

VARIABLE: Final = "FUMEHOOD_POOLED_INSTANCES"
"""Environment variable with the number of slots, for who does not say `pool_instances`."""
MOST: Final = 4096
"""Slots; each reserves 12 GiB of address space, of which a process has 128 TiB."""

_MEMORIES: Final = 3
"""Of one instance: the guest's, and the kernel's two."""
_TABLES: Final = 1
"""Of one module, as toolchains emit them; more are for the ordinary engine."""
TABLE_ELEMENTS: Final = 100_000
"""What the table of a slot holds, the default of `limits.table_elements`; a higher limit is for the
ordinary engine. Unlike memories, tables are writable in full from the start: a resource limit on a
process's data counts these 800 KB a slot."""
_MEMORY: Final = 1 << 32
"""Bytes that a memory can have: what a slot reserves anyway. `limits.memory` is the limit."""
_GUARD: Final = 64 << 20
"""Bytes that wasmtime leaves between memories, at least: 32 MiB by its documentation."""
_BATCH: Final = 16
"""Freed slots that are emptied together, before any of them has another owner."""


class PoolMachine(Machine):
    """An engine with `slots` slots. Its compiled code is the ordinary engine's."""

    def __init__(self, slots: int) -> None:
        """Raises HostError where the address space does not suffice."""
        self.slots = slots
        _check_room(slots)
        super().__init__(_configuration(slots))

    def fits(self, wasm: bytes) -> bool:
        """Whether a slot can hold an instance of this module. It need not be valid."""
        try:
            sizes = tables(wasm)
        except LoadError:
            return False  # the ordinary engine says why
        return len(sizes) <= _TABLES and max(sizes, default=0) <= TABLE_ELEMENTS


def _check_room(slots: int) -> None:
    """The C API has no error for an engine that finds no room: it ends the process."""
    if sys.platform == "win32":
        return
    size = slots * (_MEMORIES * (_MEMORY + _GUARD) + _TABLES * 8 * TABLE_ELEMENTS)
    flags = mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS
    try:
        mmap.mmap(-1, size, flags=flags, prot=0).close()
    except OSError as problem:
        raise HostError(
            f"a pool of {slots} instances cannot be made: {problem.strerror}",
            hint="each reserves 12 GiB of address space; fewer may do, or a higher `ulimit -v`",
        ) from problem


def _configuration(slots: int) -> wasmtime.Config:
    pool: Any = native.bindings.wasmtime_pooling_allocation_config_new()
    for name, value in (
        ("total_memories", _MEMORIES * slots),
        ("total_tables", _TABLES * slots),
        ("total_core_instances", 2 * slots),  # a kernel beside its guest is one more
        ("total_stacks", 0),  # of asynchronous calls, which there are none of: 2 MiB each
        ("total_gc_heaps", 0),
        ("max_memories_per_module", _MEMORIES),
        ("max_tables_per_module", _TABLES),
        ("max_memory_size", _MEMORY),
        ("table_elements", TABLE_ELEMENTS),
        ("max_core_instance_size", 1 << 30),  # a check, not a reservation; modules are bounded
        # nothing of a former owner stays: pages are given back to the system, not written over
        ("linear_memory_keep_resident", 0),
        ("table_keep_resident", 0),
        ("decommit_batch_size", _BATCH),
    ):
        setter: Any = getattr(native.bindings, f"wasmtime_pooling_allocation_config_{name}_set")
        setter(pool, value)
    config = configuration(multi_memory=True)
    native.bindings.wasmtime_pooling_allocation_strategy_set(config.ptr(), pool)
    native.bindings.wasmtime_pooling_allocation_config_delete(pool)
    return config


class PoolFullError(Exception):
    """No slot is free. Never leaves the engine."""


def is_full(failed: native.Failure) -> bool:
    """Whether this is wasmtime's word for a pool without a free slot; no guest has run then, and
    no name that it chose stands in the text."""
    return failed.code is None and not failed.frames and "maximum concurrent" in failed.text


_lock = forks.lock()
_pool: PoolMachine | None = None
_wanted: int | None = None
"""None: nobody has said; the environment decides at the first module."""


def pool_instances(count: int) -> None:
    """Make up to `count` instances at a time from a pool of reserved memory; 0 for none.

    For the whole process, for modules that are loaded from now on. It makes a fresh instance
    cheaper and has a risk, which docs/security-model.md names, so it is off unless asked for.
    More instances than `count` are made the ordinary way.

    Raises UsageError for a number that is not between 0 and 4096, and where a pool of another size
    is in use already.
    """
    global _wanted  # noqa: PLW0603 - an engine's allocator belongs to the process
    if type(count) is not int or not 0 <= count <= MOST:
        raise UsageError(f"a pool has 0 to {MOST} instances, not {count!r}")
    with _lock:
        if _pool is not None and count not in (0, _pool.slots):
            raise UsageError(
                f"this process has a pool of {_pool.slots} instances already, not {count}",
                hint="set its size once, before the first plugin is loaded",
            )
        _wanted = count


def pool_machine() -> PoolMachine | None:
    """The pool's engine, made at the first use, or None where nobody asked for a pool.

    Raises UsageError for an environment variable that is no number, HostError where the address
    space does not suffice.
    """
    global _pool, _wanted  # noqa: PLW0603 - as above
    if _wanted == 0:
        return None
    with _lock:
        if _wanted is None:
            _wanted = _from_environment()
        if _wanted == 0:
            return None
        if _pool is None:
            _pool = PoolMachine(_wanted)
        return _pool


def _from_environment() -> int:
    text = os.environ.get(VARIABLE, "0")
    count = int(text) if text.isascii() and text.isdigit() else -1
    if not 0 <= count <= MOST:
        raise UsageError(f"${VARIABLE} is {text!r}; a number from 0 to {MOST} is needed")
    return count
