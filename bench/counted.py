"""The child of bench/instructions.py: runs each row N and 2N times, under callgrind.

    python -m bench.counted prepare      compiles the guests into the cache, natively
    python -m bench.counted              measures; callgrind writes one file a row and count

Callgrind counts only between a request of `_Callgrind` and the next, so that the interpreter's
start and all loading run fast and are not counted. What depends on luck is off: the hash seed is
fixed by the parent, the collector is off, the ticker does not tick, and guests are compiled for
the plain x86-64 of every processor.
"""

from __future__ import annotations

import ctypes
import gc
import mmap
import sys
from pathlib import Path
from typing import Any, Final

from bench.run import HOME
from bench.sides.side import Job, Side
from bench.worker import find

ECHO: Final = str(Path(__file__).resolve().parent / "guests" / "echo.wat")
FOLDER: Final = str(HOME / "instructions" / "chats")
_CALL: Final = ("calls:Fumehood", {"guest": ECHO})
_CHAT: Final = (
    "chats:Fumehood",
    {"plugin": "bundled:openai", "provider": "openai", "folder": FOLDER},
)
_SHORT: Final = {"case": "short"}

ROWS: Final[dict[str, tuple[tuple[str, dict[str, Any]], dict[str, Any], int, int]]] = {
    "small call": (_CALL, {"work": "call", "size": 11}, 200, 1),
    "echo 1 KiB": (_CALL, {"work": "call", "size": 1024}, 100, 1),
    "fresh instance + call": (_CALL, {"work": "fresh", "size": 11}, 50, 1),
    "chat, bundled openai, kept": (_CHAT, {"work": "kept", **_SHORT}, 30, 1),
    "chat, bundled openai, fresh": (_CHAT, {"work": "fresh", **_SHORT}, 20, 1),
    "one line of a stream": (_CHAT, {"work": "line"}, 100, 1),
    "host function": (("hostcalls:Fumehood", {}), {"work": "run"}, 2, 1000),
}
"""The side and its arguments, the request, N, and how many operations one job holds."""

_WARM: Final = 10


class _Callgrind:
    """Client requests (callgrind.h): to valgrind a special sequence of rotations, to a processor
    nothing."""

    _CODE: Final = bytes.fromhex(
        "4889f8"  # mov rax, rdi: the request
        "31d2"  # xor edx, edx: the answer where nobody listens
        "48c1c70348c1c70d48c1c73d48c1c733"  # rol rdi, 3, 13, 61, 51: nothing, in all
        "4887db"  # xchg rbx, rbx
        "4889d0c3"  # mov rax, rdx; ret
    )
    _BASE: Final = (ord("C") << 24) | (ord("T") << 16)

    def __init__(self) -> None:
        access = mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC
        self._memory = mmap.mmap(-1, mmap.PAGESIZE, prot=access)
        self._memory.write(self._CODE)
        self._start = ctypes.c_char.from_buffer(self._memory)
        kind = ctypes.CFUNCTYPE(ctypes.c_size_t, ctypes.c_void_p)
        self._request = kind(ctypes.addressof(self._start))

    def _ask(self, number: int, argument: int = 0) -> None:
        arguments = (ctypes.c_size_t * 6)(self._BASE + number, argument)
        self._request(ctypes.addressof(arguments))

    def zero(self) -> None:
        """Forget what was counted."""
        self._ask(1)

    def dump(self, name: str) -> None:
        """Write what was counted to a file, under this name."""
        text = ctypes.create_string_buffer(name.encode())
        self._ask(3, ctypes.addressof(text))

    def start(self) -> None:
        """Begin to count."""
        self._ask(4)

    def stop(self) -> None:
        """Count no more."""
        self._ask(5)


def _plain_x86() -> None:
    """Compile for every x86-64, in this process: valgrind knows fewer instructions than the
    processor, and a count should not depend on either."""
    from fumehood.engine import compiler, machine, module, native, ticker

    configuration = machine.configuration

    def baseline(**how: Any) -> Any:
        config = configuration(**how)
        plain = b"x86_64-unknown-linux-gnu"
        failure = native.bindings.wasmtime_config_target_set(config.ptr(), plain)
        assert not failure, "this wasmtime cannot compile for x86-64"
        return config

    def in_place(wasm: bytes, target: Path, kind: str = "module") -> None:
        target.write_bytes(compiler._translator(kind).translate(wasm))

    vars(machine)["configuration"] = baseline
    vars(module)["compile_in_child"] = in_place
    vars(ticker)["TICK"] = 3600.0


def _sides() -> dict[str, Side]:
    made: dict[str, Side] = {}
    for (kind, arguments), _request, _count, _per in ROWS.values():
        if kind not in made:
            made[kind] = find(kind)(**arguments)
            made[kind].imported()
    return made


def _run(job: Job, times: int) -> None:
    for _ in range(times):
        job()


def main() -> None:
    """See the module."""
    _plain_x86()
    sides = _sides()
    if sys.argv[1:] == ["prepare"]:
        sides["chats:Fumehood"].job("record")()
    jobs = {name: sides[side[0]].job(**request) for name, (side, request, _, _) in ROWS.items()}
    for job in jobs.values():
        _run(job, _WARM if sys.argv[1:] else 2)
    if sys.argv[1:]:
        return
    gc.collect()
    gc.disable()
    callgrind = _Callgrind()
    callgrind.start()
    for name, job in jobs.items():
        count = ROWS[name][2]
        _run(job, 2)
        for times in (count, 2 * count):
            callgrind.zero()
            _run(job, times)
            callgrind.dump(f"{times} {name}")
    callgrind.stop()


if __name__ == "__main__":
    main()
