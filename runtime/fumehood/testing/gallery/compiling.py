"""Modules that are small to send and dear to compile.

Each is loaded in a process of its own, so that what grows can be measured and what dies is not the
gallery. The compiler's limits are lowered there, as a call's limits are in the other rows.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterable
from functools import partial
from typing import Final

from fumehood.errors import LoadError
from fumehood.limits import MIB
from fumehood.testing.gallery.attacks import Attack
from fumehood.testing.gallery.stage import Breach, Stage

PROMISE: Final = "A module that is too costly to compile is refused; the host does not grow."

CPU_SECONDS: Final = 10
DATA_BYTES: Final = 192 * MIB
"""What the compiler may use in these rows; by default it is much more (engine/compiler.py)."""
SLACK: Final = 16 * MIB
COPIES: Final = 4
"""A module's own bytes may be in memory so many times: as they came, as they are sent, …"""

_I32: Final = b"\x7f"
_BLOCK: Final = b"\x02\x40"
_LOOP: Final = b"\x03\x40"
_END: Final = b"\x0b"
_ZERO: Final = b"\x41\x00"
_ADD_ONE: Final = b"\x41\x01\x6a"

_HOST: Final = """
import json, resource, sys
from fumehood.errors import LoadError
from fumehood.plugin import Plugin

good = b'(module (memory 1) (func (export "run") (result i32) (i32.const 0)))'
most = {resource.RLIMIT_CPU: int(sys.argv[1]), resource.RLIMIT_DATA: int(sys.argv[2])}
with Plugin(good) as plugin:
    plugin.call("run")
module = sys.stdin.buffer.read()
unit = 1 if sys.platform == "darwin" else 1024
for kind, value in most.items():  # the compiler's process inherits them
    resource.setrlimit(kind, (value, value))
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
refused = None
try:
    Plugin(module).close()
except LoadError as error:
    refused = error.message
grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * unit
with Plugin(good) as plugin:
    plugin.call("run")
print(json.dumps({"refused": refused, "grown": grown}))
"""


def leb(number: int) -> bytes:
    """An unsigned number as modules have it."""
    out = bytearray()
    while True:
        number, low = number >> 7, number & 0x7F
        out.append(low | 0x80 if number else low)
        if not number:
            return bytes(out)


def _vector(items: Iterable[bytes]) -> bytes:
    listed = list(items)
    return leb(len(listed)) + b"".join(listed)


def _repeated(item: bytes, times: int) -> bytes:
    return leb(times) + item * times


def _sized(content: bytes) -> bytes:
    return leb(len(content)) + content


def _module(**sections: bytes) -> bytes:
    numbers = {
        "types": 1, "imports": 2, "functions": 3, "memory": 5, "globals": 6, "exports": 7,
        "code": 10, "data": 11,
    }  # fmt: skip
    return b"\0asm\x01\0\0\0" + b"".join(
        bytes([numbers[name]]) + _sized(content) for name, content in sections.items()
    )


_RUN: Final = _vector([b"\x60\x00\x01\x7f"])
_EXPORT: Final = b"\x00\x00"


def _one(body: bytes, local_groups: Iterable[tuple[int, bytes]] = ()) -> bytes:
    """A module of one function, `run`."""
    groups = _vector(leb(number) + kind for number, kind in local_groups)
    return _module(
        types=_RUN,
        functions=_vector([b"\0"]),
        exports=_vector([_sized(b"run") + _EXPORT]),
        code=_vector([_sized(groups + body + _END)]),
    )


def _loops_with_values(count: int, depth: int) -> bytes:
    """Nested loops that change every local: each becomes a value of each loop."""
    local = range(count)
    add = b"".join(b"\x20" + leb(i) + _ADD_ONE + b"\x21" + leb(i) for i in local)
    inner = (_LOOP + add + b"\x20\x00\x0d\x00") * depth
    return _one(inner + _END * depth + _ZERO, [(count, _I32)])


def _wide(width: int, count: int) -> bytes:
    side = _repeated(_I32, width)
    return _module(types=_repeated(b"\x60" + side + side, count))


def _names(count: int) -> Iterable[bytes]:
    return (_sized(b"%d" % number) for number in range(count))


BOMBS: Final[dict[str, Callable[[], bytes]]] = {
    "locals": lambda: _one(_ZERO, [(100_000, b"\x7e")]),
    "locals_in_groups": lambda: _one(_ZERO, [(1, _I32)] * 60_000),
    "locals_overflow": lambda: _one(_ZERO, [(0xFFFFFFFF, _I32)] * 4),
    "long_function": lambda: _one(_ZERO + _ADD_ONE * 1_000_000),
    "too_long_function": lambda: _one(_ZERO + _ADD_ONE * 3_000_000),
    "deep_blocks": lambda: _one(_BLOCK * 400_000 + _END * 400_000 + _ZERO),
    "deep_loops": lambda: _one(_LOOP * 150_000 + _END * 150_000 + _ZERO),
    "loops_with_values": lambda: _loops_with_values(800, 200),
    "many_functions": lambda: _module(
        types=_RUN,
        functions=_repeated(b"\0", 150_000),
        code=_repeated(_sized(b"\0" + _ZERO + _END), 150_000),
    ),
    "many_types": lambda: _module(
        types=_vector(
            b"\x60" + _vector(bytes([0x7F - (n >> 2 * k & 3)]) for k in range(9)) + b"\0"
            for n in range(120_000)
        )
    ),
    "wide_types": lambda: _wide(1_001, 1_000),
    "many_globals": lambda: _module(globals=_repeated(b"\x7e\x01\x42\x00\x0b", 1_000_000)),
    "many_exports": lambda: _module(
        types=_RUN,
        functions=_vector([b"\0"]),
        exports=_vector(name + _EXPORT for name in _names(100_000)),
        code=_vector([_sized(b"\0" + _ZERO + _END)]),
    ),
    "many_imports": lambda: _module(
        types=_vector([b"\x60\x00\x00"]),
        imports=_vector(b"\x01a" + name + _EXPORT for name in _names(100_000)),
    ),
    "section_of_4_gib": lambda: b"\0asm\x01\0\0\0\x0a\xff\xff\xff\xff\x0f" + b"x" * 20_000,
    "count_of_4_gib": lambda: _module(types=b"\xff\xff\xff\xff\x0f" + b"x" * 20_000),
    "many_sections": lambda: b"\0asm\x01\0\0\0" + b"\x00\x01\x00" * 200_000,
}
"""Modules by what there is too much of."""


def load_in_process(module: bytes) -> tuple[str | None, int]:
    """Load `module` in a process of its own: why it was refused (None: it was not), and by how
    many bytes that process grew. Raises RuntimeError where it did not survive."""
    command = [sys.executable, "-c", _HOST, str(CPU_SECONDS), str(DATA_BYTES)]
    environ = {**os.environ, "FUMEHOOD_CACHE_DIR": "off", "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run(  # noqa: S603 - our own interpreter and text, no shell
        command, input=module, capture_output=True, env=environ, check=False
    )
    if done.returncode:
        raise RuntimeError(done.stderr.decode("utf-8", "replace")[-500:] or str(done.returncode))
    said = json.loads(done.stdout)
    return said["refused"], said["grown"]


def _load(stage: Stage, bomb: str) -> None:
    module = BOMBS[bomb]()
    with stage.outcome.timed():
        try:
            refused, grown = load_in_process(module)
        except RuntimeError as death:
            raise Breach(f"the host died: {death}") from death
    allowed = COPIES * len(module) + SLACK
    stage.require(grown <= allowed, f"the host grew by {grown / MIB:.0f} MiB")
    if refused is not None:
        raise LoadError(refused)


COMPILING: Final = tuple(
    Attack(
        f"compile_{name}",
        "compile",
        PROMISE,
        "LoadError",
        limits={"deadline": 20.0},
        run=partial(_load, bomb=name),
    )
    for name in BOMBS
)
