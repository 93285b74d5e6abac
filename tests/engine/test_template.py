"""What is native and what keeps it alive."""

from __future__ import annotations

import gc
import weakref
from typing import Any

import pytest
import wasmtime

from fumehood.engine import HostImport, kernel, native
from fumehood.engine import template as room
from fumehood.limits import Limits
from fumehood.meter import Meter
from tests.engine.support import template


def test_a_type_lives_as_long_as_the_call_that_reads_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of two threads that miss the cache of types at once, one gets an object of its own."""
    made: list[weakref.ref[wasmtime.FuncType]] = []
    seen: list[bool] = []
    define = native.linker_define_func_unchecked

    make = room._func_type.__wrapped__

    def uncached(params: str, results: str) -> wasmtime.FuncType:
        kind = make(params, results)
        made.append(weakref.ref(kind))
        return kind

    def watched(*arguments: Any) -> Any:
        gc.collect()
        seen.append(made[-1]() is not None)
        return define(*arguments)

    wat = '(module (import "t" "f" (func (param i64 i32) (result i64))))'
    it = template(wat, [HostImport("t", "f", "Ii", "I", lambda *_: 0)])
    monkeypatch.setattr(native, "linker_define_func_unchecked", watched)
    monkeypatch.setattr(room, "_func_type", uncached)
    linker = it._new_linker()
    native.linker_delete(linker)
    it.close()
    assert seen == [True]


def test_a_template_that_is_forgotten_is_freed(monkeypatch: pytest.MonkeyPatch) -> None:
    alive = {"linkers": 0, "links": 0}

    def counted(name: str, key: str, step: int) -> None:
        function = getattr(native, name)

        def call(*arguments: object) -> object:
            alive[key] += step
            return function(*arguments)

        monkeypatch.setattr(native, name, call)

    engine = template("(module)").engine
    gc.collect()
    counted("linker_new", "linkers", 1)
    counted("linker_delete", "linkers", -1)
    counted("linker_instantiate_pre", "links", 1)
    counted("instance_pre_delete", "links", -1)
    for kernel_memory in (Limits().kernel_memory, 3 << 20):
        room.kernel_pre(kernel.pages(kernel_memory), engine)  # lives as long as the process
        before = dict(alive)
        made = template('(module (memory (export "memory") 1) (func (export "run")))')
        limits = Limits(kernel_memory=kernel_memory)
        made.instantiate(None, limits, Meter(limits))
        assert alive != before
        del made
        gc.collect()
        assert alive == before
