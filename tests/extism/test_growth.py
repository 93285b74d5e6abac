"""Making, calling and closing plugins does not make the process grow (issue figures)."""

from __future__ import annotations

import gc
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

import fumehood.extism as extism
from tests.counts import CALLS_ON_ONE_INSTANCE, CREATE_CLOSE_CYCLES
from tests.extism import wat

pytestmark = pytest.mark.skipif(
    not sys.platform.startswith("linux"), reason="resident memory is read from /proc"
)
WARM_UP = 200


def resident() -> int:
    """Bytes of resident memory now."""
    gc.collect()
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096


@extism.host_fn(name="hello_world")
def greet(text: str) -> str:
    return f"{text}!"


extism.HOST_FN_REGISTRY.remove(greet)


def once(plugin: extism.Plugin) -> None:
    assert plugin.call("count_vowels", "aaa") == b'{"count": 3}!'


@pytest.mark.parametrize("how", ["closed", "dropped"])
def test_cycles_of_create_call_close(how: str) -> None:
    with extism.CompiledPlugin(wat.WITH_HOST_FUNCTION, functions=[greet]) as compiled:

        def closed() -> None:
            with extism.Plugin(compiled) as plugin:
                once(plugin)

        def dropped() -> None:
            once(extism.Plugin(compiled))

        cycle: Callable[[], None] = closed if how == "closed" else dropped
        for _ in range(WARM_UP):
            cycle()
        before = resident()
        for _ in range(CREATE_CLOSE_CYCLES):
            cycle()
        assert (resident() - before) / CREATE_CLOSE_CYCLES < 1024


def test_calls_on_one_instance() -> None:
    with extism.Plugin(wat.WITH_HOST_FUNCTION, functions=[greet]) as plugin:
        for _ in range(WARM_UP):
            once(plugin)
        before = resident()
        for _ in range(CALLS_ON_ONE_INSTANCE):
            once(plugin)
        assert resident() - before < 256 * 1024  # the allocator's noise, not a leak of a byte each
