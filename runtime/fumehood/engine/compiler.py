"""Compiles untrusted modules in a child process.

wasmtime promises bounded *execution*, nothing about the cost of compiling, so a module from
somebody else is validated and compiled where it can be killed: under limits on CPU time, data and
wall time, in a process that holds nothing. Modules so small and plain that their cost is bounded
(`plain`) are compiled in place: a child costs about 0.2 s.

The child runs `main`: module bytes on standard input, the artefact into the file named by its
first argument, by the translator its second one names; the reason of a refusal as one line on
standard error with exit status 3.
"""

from __future__ import annotations

import contextlib
import subprocess
import sys
from pathlib import Path
from typing import Final

from fumehood.engine.machine import Translator, machine, use_threads
from fumehood.engine.merging import merging
from fumehood.engine.wasmfile import is_plain
from fumehood.errors import HostError, LoadError

CPU_SECONDS: Final = 60
WALL_SECONDS: Final = 120
DATA_BYTES: Final = 2 << 30
"""RLIMIT_DATA, not RLIMIT_AS: an engine reserves far more address space than it uses."""

_REFUSED: Final = 3
_CHILD: Final = (
    "import sys; sys.path[:] = sys.argv[3:]; "
    "from fumehood.engine.compiler import main; sys.exit(main())"
)
_MESSAGE_CAP: Final = 2000


def plain(wasm: bytes) -> bool:
    """Whether compiling in place is bounded: a few KiB, few locals, narrow types."""
    return is_plain(wasm)


def compile_in_child(wasm: bytes, target: Path, kind: str = "module") -> None:
    """Validate and compile `wasm`; the serialized artefact is written to `target`.

    `kind` is the translator's: module, component, or merged-N with a kernel of N pages.

    Raises LoadError: invalid, or more CPU, memory or time than compiling may cost. Whatever the
    module does to the compiler, this process survives it.
    """
    # -I: no PYTHON* variable and no working folder has a say; the path is what we run with
    command = [sys.executable, "-I", "-c", _CHILD, str(target), kind, *sys.path]
    try:
        done = subprocess.run(  # noqa: S603 - our own interpreter and module, no shell
            command,
            input=wasm,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            timeout=WALL_SECONDS,
            check=False,
            close_fds=True,
        )
    except subprocess.TimeoutExpired as problem:
        raise LoadError(
            f"the module was not compiled within {WALL_SECONDS} s", hint="it is too costly"
        ) from problem
    except OSError as problem:
        raise HostError(f"no compiler process can be started: {problem}") from problem
    if done.returncode == 0:
        return
    text = done.stderr.decode("utf-8", "replace").strip()
    if done.returncode == _REFUSED:
        raise LoadError(
            text[:_MESSAGE_CAP],
            hint="it may be damaged, or need a Wasm proposal that is off here",
        )
    if done.returncode < 0 or "memory" in text.lower():
        raise LoadError(
            "the module is too costly to compile: its compiler was stopped "
            f"({CPU_SECONDS} s of CPU and {DATA_BYTES >> 20} MiB are allowed)"
        )
    raise HostError(f"the compiler process failed: {text[-300:] or done.returncode}")


def _limit_resources() -> None:
    try:
        import resource
    except ImportError:  # not a POSIX system: the wall clock remains
        return
    for kind, limit in (
        (resource.RLIMIT_CPU, CPU_SECONDS),
        (resource.RLIMIT_DATA, DATA_BYTES),
        (resource.RLIMIT_CORE, 0),
    ):
        _, hard = resource.getrlimit(kind)
        value = limit if hard == resource.RLIM_INFINITY else min(limit, hard)
        with contextlib.suppress(ValueError, OSError):  # a container may forbid changes
            resource.setrlimit(kind, (value, value))


def _translator(kind: str) -> Translator:
    if kind == "component":
        from fumehood.engine.component_machine import component_machine

        return component_machine()
    if kind.startswith("merged-"):
        return merging(int(kind.removeprefix("merged-")))
    return machine()


def main() -> int:
    """The child. Returns its exit status."""
    _limit_resources()
    use_threads()
    wasm = sys.stdin.buffer.read()
    try:
        artefact = _translator(sys.argv[2]).translate(wasm)
    except LoadError as problem:
        sys.stderr.write(problem.message)
        return _REFUSED
    Path(sys.argv[1]).write_bytes(artefact)
    return 0
