"""Kernel operations one at a time, within one call: the guest asks a host function what to do.

A call resets the kernel, so a sequence of operations must happen inside one. `run` enters the guest
once; the guest calls `next` until it answers 255, and each answer is one operation.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from fumehood.engine import HostImport
from tests.engine.support import OPERATIONS, SHAPES, Guest, env

Do = Callable[..., int]


def _wat(merged: bool) -> str:
    branches = []
    for code, name in enumerate(OPERATIONS):
        params, result = SHAPES[name]
        arguments = {
            "": "",
            "I": "(call $arg (i32.const 0))",
            "II": "(call $arg (i32.const 0)) (call $arg (i32.const 1))",
            "Ii": "(call $arg (i32.const 0)) (i32.wrap_i64 (call $arg (i32.const 1)))",
        }[params]
        call = f"(call ${name} {arguments})"
        wrapped = {
            "": f"{call} (call $done (i64.const 0))",
            "i": f"(call $done (i64.extend_i32_u {call}))",
            "I": f"(call $done {call})",
        }[result]
        branches.append(f"(if (i32.eq (local.get $op) (i32.const {code})) (then {wrapped}))")
    # only a guest with a memory of its own is linked with the kernel
    memory = '(memory (export "memory") 1)' if merged else ""
    return f"""(module
      {env(*OPERATIONS)}
      (import "test" "next" (func $next (result i32)))
      (import "test" "arg" (func $arg (param i32) (result i64)))
      (import "test" "done" (func $done (param i64)))
      {memory}
      (func (export "run") (result i32) (local $op i32)
        (loop $again
          (local.set $op (call $next))
          (if (i32.ne (local.get $op) (i32.const 255)) (then
            {" ".join(branches)}
            (br $again))))
        (i32.const 0)))"""


class KernelBox:
    """Runs a script against the real kernel: `script(do)`, `do("alloc", 8)` gives the result."""

    def __init__(self, *, merged: bool = False, **limits: Any) -> None:
        self._limits = limits
        self._merged = merged

    def run(self, script: Callable[[Do], None], data: bytes = b"") -> bytes:
        """The call's output after `script` has run its operations; raises what the call does."""
        import queue
        import threading

        requests: queue.Queue[tuple[int, tuple[int, ...]] | None] = queue.Queue()
        answers: queue.Queue[int | None] = queue.Queue()
        current: list[tuple[int, tuple[int, ...]]] = []
        problems: list[BaseException] = []

        def director() -> None:
            def do(name: str, *arguments: int) -> int:
                requests.put((OPERATIONS.index(name), arguments))
                answer = answers.get(timeout=30)
                assert answer is not None, "the guest stopped"
                return answer

            try:
                script(do)
            except BaseException as problem:
                problems.append(problem)
            finally:
                requests.put(None)

        def step(_call: Any) -> int:
            item = requests.get(timeout=30)
            if item is None:
                return 255
            current[:] = [item]
            return item[0]

        def argument(_call: Any, index: int) -> int:
            return current[0][1][index]

        def done(_call: Any, value: int) -> None:
            answers.put(value)

        imports = [
            HostImport("test", "next", "", "i", step),
            HostImport("test", "arg", "i", "I", argument),
            HostImport("test", "done", "I", "", done),
        ]
        thread = threading.Thread(target=director)
        with Guest(_wat(self._merged), imports, **self._limits) as guest:
            assert (guest.template.main.merged is not None) is self._merged
            thread.start()
            try:
                result = guest.call("run", data)
            finally:
                answers.put(None)
                thread.join(30)
        if problems:
            raise problems[0]
        return result
