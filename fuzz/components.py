"""Any bytes as a component: refused with a LoadError, or it runs within its limits.

Compiled in this process: a child for each case would cost a hundred times the rest, and a compiler
that dies is found all the same.
"""

from __future__ import annotations

import functools
import time
from typing import Any, Final
from unittest import mock

from hypothesis import strategies as st

from fumehood.engine.component_machine import ComponentMachine
from fumehood.errors import Error, LoadError
from fumehood.imports import Services
from fumehood.limits import Limits
from fumehood.meter import Meter
from fumehood.plugin.compiled import CompiledPlugin
from fumehood.testing import strategies
from fuzz.target import Target, check_error, outcome
from tests.engine import components

LIMITS: Final = Limits(
    deadline=3, guest_time=1, fuel=300_000, memory=16 << 20, host_calls=2_000,
    input_bytes=4096, output_bytes=4096,
)  # fmt: skip
SLACK: Final = 5.0
"""Seconds beyond the deadline: the machine is shared."""
MANY: Final = 6
"""Exports of one component that are called."""


def compile_here(source: bytes, _digest: str, engine: ComponentMachine) -> int:
    """In the place of `machine_code`: without a process, without a cache."""
    return engine._compile(source)


def check_component(case: dict[str, Any]) -> None:
    """Load it, ask it, call what it lists."""
    source = bytes.fromhex(case["wasm"])
    with mock.patch("fumehood.engine.component.machine_code", compile_here):
        kind, compiled = outcome(lambda: CompiledPlugin.load(source, name="fuzzed"))
    if kind == "error":
        assert isinstance(compiled, LoadError), f"loading raised {compiled!r}"
        return
    with compiled:
        names = [name for name in compiled.exports if compiled.has(name)]
        data = bytes.fromhex(case["input"])
        for name in [*case["names"], *names][:MANY]:
            _call(compiled, name, data)


def _call(compiled: CompiledPlugin, name: str, data: bytes) -> None:
    meter = Meter(LIMITS)
    began = time.monotonic()
    with compiled.instance(Services(), LIMITS, renew=True) as instance:
        for _ in range(2):
            try:
                output = instance.call(name, data, meter)
                assert len(output) <= LIMITS.output_bytes
                if compiled.is_component:
                    output.decode()
            except Error as error:
                check_error(error)
                assert error.receipt is not None, f"no receipt: {error!r}"
    spent = time.monotonic() - began
    assert spent < LIMITS.deadline + SLACK, f"{name} took {spent:.1f} s"
    assert meter.receipt().fuel <= (LIMITS.fuel or 0)


@functools.cache
def _whole() -> tuple[bytes, ...]:
    return (
        components.component(),
        components.component(exports="echo"),
        components.component(exports="", listed=0),
        components.component(exports="echo", listed=70_000),
        components.component(exports="echo\\0aecho"),
        components.component(pages=300),
    )


def cases() -> st.SearchStrategy[dict[str, Any]]:
    """Whole components and damaged ones, and what they are called with."""
    whole = st.sampled_from(_whole())
    header = st.binary(max_size=60).map(lambda rest: b"\0asm\x0d\0\1\0" + rest)
    wasm = st.one_of(strategies.mutated(whole), whole, header)
    names = st.lists(
        st.sampled_from(components.EXPORTS.split("\\0a")) | strategies.texts(8), max_size=3
    )
    data = st.one_of(
        st.binary(max_size=40), strategies.texts(20).map(str.encode), st.just(b"x" * 5000)
    )
    return st.builds(
        lambda wasm, names, data: {"wasm": wasm.hex(), "names": names, "input": data.hex()},
        wasm,
        names,
        data,
    )


TARGET: Final = Target("components", cases, check_component, weight=2, caches=False)
