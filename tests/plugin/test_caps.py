"""Nothing that a plugin ships can raise its limits: manifests."""

from __future__ import annotations

import pytest

from fumehood import Limits, Plugin
from fumehood.errors import Error, LoadError, OutOfMemory, Timeout
from fumehood.limits import KINDS, MIB

LOOP = '(module (func (export "run") (loop $again (br $again))))'
GROW = """(module (memory (export "memory") 1)
  (func (export "run") (result i32)
    (loop $again (br_if $again (i32.ne (memory.grow (i32.const 1)) (i32.const -1))))
    unreachable))"""
GREEDY = {
    "timeout_ms": 2**64 - 1,
    "memory": {
        "max_pages": 2**32 - 1,
        "max_http_response_bytes": 2**64 - 1,
        "max_var_bytes": 2**64 - 1,
    },
}


def manifest(wat: str, **more: object) -> dict[str, object]:
    return {"wasm": [{"data": wat.encode()}], **GREEDY, **more}


@pytest.mark.parametrize("limits", [None, Limits(), Limits(deadline=1, memory=MIB, var_bytes=5)])
def test_a_manifest_raises_nothing(limits: Limits | None) -> None:
    with Plugin(manifest(LOOP), limits=limits) as plugin:
        ceiling = limits or Limits()
        for name in KINDS:
            assert getattr(plugin.limits, name) <= getattr(ceiling, name), name


def test_a_manifest_may_lower() -> None:
    low = {"timeout_ms": 100, "memory": {"max_pages": 2, "max_var_bytes": 7}}
    with Plugin({**manifest(LOOP), **low}) as plugin:
        assert plugin.limits.deadline == 0.1
        assert plugin.limits.memory == 2 * 65536
        assert plugin.limits.var_bytes == 7


def test_the_operators_limits_hold_in_use() -> None:
    with Plugin(manifest(LOOP), limits=Limits(deadline=0.1)) as plugin, pytest.raises(Timeout):
        plugin.call("run")
    with Plugin(manifest(GROW), limits=Limits(memory=4 * MIB)) as plugin:
        with pytest.raises(OutOfMemory) as caught:
            plugin.call("run")
        assert caught.value.receipt is not None
        assert caught.value.receipt.memory_peak <= 4 * MIB + 65536  # and what the kernel holds


@pytest.mark.parametrize("pages", ["4096", "1 4096", "4096 65536"])
def test_what_a_module_declares_is_no_right(pages: str) -> None:
    """A minimum beyond the limit does not start; a maximum beyond it changes nothing."""
    body = '(func (export "run") (result i32) (memory.grow (i32.const 200)))'
    module = f'(module (memory (export "memory") {pages}) {body})'
    try:
        with Plugin(module.encode(), limits=Limits(memory=4 * MIB)) as plugin:
            plugin.call("run")
    except (OutOfMemory, LoadError):
        return
    except Error as error:  # memory.grow answered -1, which is the export's return code
        assert "-1" in f"{error!r} {getattr(error, 'rc', '')}"
        return
    pytest.fail("the module got more memory than its limit")
