"""Random sequences of import calls with absurd arguments, in one guest: the host survives.

Each sequence is run linked with the kernel and beside it; what every call answered and how it ended
must be the same, less what the clock and chance decide.
"""

from __future__ import annotations

import time
from typing import Any, Final

from hypothesis import strategies as st

from fumehood.engine import HostCall, HostImport, NamedModule, Template, load_module
from fumehood.errors import Error
from fumehood.imports import Services, standard
from fumehood.limits import Limits
from fumehood.meter import Meter
from fuzz.modules import SLACK
from fuzz.target import Target, check_error
from tests.engine.support import SHAPES

KERNEL: Final = "extism:host/env"
FUNCTIONS: Final[dict[str, tuple[str, str, str]]] = {
    **{name: (KERNEL, *shape) for name, shape in SHAPES.items()},
    **{item.name: (item.namespace, item.params, item.results) for item in standard(with_wasi=True)},
}
"""Every function that a plugin may import: its module and its type."""
CHANCE: Final = {"clock_time_get", "random_get", "poll_oneoff"}
LIMITS: Final = Limits(
    deadline=1, guest_time=1, fuel=3_000_000, memory=8 << 20, kernel_memory=64 << 20, log_lines=5
)
_SPARE: Final = NamedModule("spare", load_module(b"(module)"))
_TYPES: Final = {"i": "i32", "I": "i64"}
_MASK: Final = (1 << 64) - 1

Call = list[Any]
"""`[function, [argument, …]]`; an argument is a number or `[k]`, the answer of call k."""


def wat(calls: list[Call]) -> str:
    """The guest that makes these calls and tells each answer."""
    used = sorted({name for name, _ in calls})
    lines = []
    for name in used:
        module, params, results = FUNCTIONS[name]
        given = " ".join(_TYPES[letter] for letter in params)
        taken = " ".join(_TYPES[letter] for letter in results)
        lines.append(
            f'(import "{module}" "{name}" (func ${name} (param {given}) (result {taken})))'
        )
    body = []
    for number, (name, arguments) in enumerate(calls):
        _, params, results = FUNCTIONS[name]
        values = [_argument(p, a, number) for p, a in zip(params, arguments, strict=True)]
        call = f"(call ${name} {' '.join(values)})"
        if results == "i":
            call = f"(i64.extend_i32_u {call})"
        if results:
            call = f"(local.set {number} {call})"
        body.append(f"{call} (call $tell (local.get {number}))")
    counted = " ".join(["i64"] * len(calls))
    return f"""(module {" ".join(lines)}
      (import "fuzz" "tell" (func $tell (param i64)))
      (memory (export "memory") 1 16)
      (func (export "f") (result i32) (local {counted})
        {" ".join(body)}
        (i32.const 0)))"""


def _argument(letter: str, value: int | list[int], number: int) -> str:
    if isinstance(value, list):
        got = f"(local.get {value[0] % (number or 1)})"
        return got if letter == "I" else f"(i32.wrap_i64 {got})"
    return f"(i64.const {value & _MASK})" if letter == "I" else f"(i32.const {value & 0xFFFFFFFF})"


def run(module: bytes, data: bytes, *, apart: bool) -> tuple[list[int], str, str]:
    """What the calls answered, how it ended, and the output."""
    told: list[int] = []

    def tell(_call: HostCall, value: int) -> None:
        told.append(value)

    main = NamedModule("main", load_module(module))
    given = [*standard(with_wasi=True), HostImport("fuzz", "tell", "I", "", tell)]
    template = Template([_SPARE, main] if apart else [main], given)
    services = Services(config={"key": "value", "empty": ""})
    meter = Meter(LIMITS)
    began = time.monotonic()
    ended, output = "value", b""
    try:
        with template.instantiate(services, LIMITS, meter) as sandbox:
            output = sandbox.call("f", data, meter)
    except Error as error:
        check_error(error)
        assert error.receipt is not None
        ended = type(error).__name__
    finally:
        services.close()
        template.close()
    spent = time.monotonic() - began
    assert spent < LIMITS.deadline + SLACK, f"{spent:.1f} s"
    return told, ended, output.hex()


def check(case: dict[str, Any]) -> None:
    """Both ways of linking; the same where chance has no part."""
    module = wat(case["calls"]).encode()
    data = bytes.fromhex(case["input"])
    together, apart = run(module, data, apart=False), run(module, data, apart=True)
    if CHANCE.isdisjoint(name for name, _ in case["calls"]):
        assert together == apart, f"linked: {together}; apart: {apart}"


_EDGES: Final = st.sampled_from(
    [
        0, 1, 2, 7, 8, 64, 65, 79, 80, 81, 88, 96, 100, 4096, 65535, 65536, 65537, (1 << 20) - 1,
        (64 << 20) - 9, (64 << 20) - 8, (64 << 20) - 1, 64 << 20, (1 << 31) - 1, 1 << 31,
        (1 << 32) - 8, (1 << 32) - 1, 1 << 32, (1 << 32) + 80, (1 << 63) - 1, 1 << 63, _MASK - 7,
        _MASK - 64, _MASK,
    ]
)  # fmt: skip
_NUMBERS: Final = _EDGES | st.integers(0, 300) | st.integers(0, _MASK)
_ARGUMENTS: Final = st.one_of(
    st.integers(0, 40).map(lambda k: [k]), st.integers(0, 40).map(lambda k: [k]), _NUMBERS
)


def _call(name: str) -> st.SearchStrategy[Call]:
    _, params, _ = FUNCTIONS[name]
    return st.tuples(*[_ARGUMENTS] * len(params)).map(lambda values: [name, list(values)])


_BUSY: Final = ["alloc", "alloc", "alloc", "store_u8", "store_u64", "output_set", "free"]
_CALLS: Final = st.one_of(
    [_call(name) for name in [*_BUSY, *FUNCTIONS] if name not in {"proc_exit", "proc_raise"}]
)
_LAST: Final = st.one_of([_call(name) for name in ("proc_exit", "proc_raise", "reset", "alloc")])


def cases() -> st.SearchStrategy[dict[str, Any]]:
    """One to thirty calls."""
    return st.builds(
        lambda calls, last, data: {"calls": [*calls, last], "input": data.hex()},
        st.lists(_CALLS, max_size=30),
        _LAST,
        st.binary(max_size=40),
    )


TARGET: Final = Target("imports", cases, check, weight=5)
