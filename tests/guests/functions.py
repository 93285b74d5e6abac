"""The host functions that the guests import, for `fumehood.Plugin(functions=FUNCTIONS)`."""

from __future__ import annotations

import json
from typing import Final

from fumehood import host_function
from fumehood.engine import HostCall
from fumehood.plugin.functions import HostFunction


@host_function()
def upper(text: str) -> str:
    return text.upper()


@host_function()
def measure_json(value: str) -> str:
    parsed = json.loads(value)
    return json.dumps({**parsed, "length": len(parsed["text"])})


@host_function()
def double_boxed(value: bytes) -> bytes:
    return (int.from_bytes(value, "little") * 2).to_bytes(8, "little")


@host_function()
def sink(text: str) -> None:
    """Takes it and returns nothing."""


@host_function()
def same(handle: int) -> int:
    return handle


@host_function()
def fails(text: str) -> str:
    raise LookupError(text)


@host_function(namespace="test:elsewhere")
def greet(name: str) -> str:
    return f"Hello, {name}!"


@host_function()
def add(left: int, right: int) -> int:
    return left + right


def _mix(_call: HostCall, *values: float) -> float:
    """Integers arrive unsigned."""
    first, second, third, fourth = values
    signed = first - (1 << 32) if first >= 1 << 31 else first
    return signed + second + third + fourth


def _answer(_call: HostCall) -> int:
    return 42


USER: Final = "extism:host/user"

FUNCTIONS: Final = (
    upper,
    measure_json,
    double_boxed,
    sink,
    same,
    fails,
    greet,
    add,
    # Types that no annotation stands for: i32 and f32.
    HostFunction("mix", USER, "iIfF", "F", _mix, _mix),
    HostFunction("answer", USER, "", "i", _answer, _answer),
)
