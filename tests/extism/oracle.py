"""The `extism` package in a process of its own: requests and answers are lines of JSON.

A request is {"wasm", "config", "runs": [[export, input], …]}, bytes in base64; the answer is one
{"output"} or {"error"} a run, all on one plugin. A request may end the process: `Oracle.ask` then
raises `Died`, and the next request gets a new process.
"""

from __future__ import annotations

import base64
import json
import subprocess
import sys
from typing import Any


class Died(Exception):
    """The process ended while it worked on the request."""


class Oracle:
    """The other end of the pipe. `close()` ends the process."""

    def __init__(self) -> None:
        self._child: subprocess.Popen[str] | None = None

    def ask(self, request: dict[str, Any]) -> list[dict[str, str]]:
        """The answers to one request."""
        if self._child is None:
            self._child = subprocess.Popen(
                [sys.executable, __file__],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                text=True,
            )
        child = self._child
        assert child.stdin is not None
        assert child.stdout is not None
        try:
            child.stdin.write(json.dumps(request) + "\n")
            child.stdin.flush()
            line = child.stdout.readline()
        except BrokenPipeError:
            line = ""
        if not line:
            self.close()
            raise Died
        answers: list[dict[str, str]] = json.loads(line)
        return answers

    def close(self) -> None:
        """End the process, if there is one."""
        if self._child is None:
            return
        child, self._child = self._child, None
        for pipe in (child.stdin, child.stdout):
            assert pipe is not None
            try:
                pipe.close()
            except BrokenPipeError:
                continue
        child.kill()
        child.wait()


def run(package: Any, compiled: dict[bytes, Any], request: dict[str, Any]) -> list[dict[str, str]]:
    """Answer one request with `package`, which is `extism` or `fumehood.extism`."""
    wasm = base64.b64decode(request["wasm"])
    if wasm not in compiled:
        compiled[wasm] = package.CompiledPlugin(wasm, wasi=True, functions=[])
    answers = []
    with package.Plugin(compiled[wasm], config=request["config"]) as plugin:
        for export, data in request["runs"]:
            try:
                output = plugin.call(export, base64.b64decode(data))
                answers.append({"output": base64.b64encode(output).decode()})
            except package.Error as problem:
                answers.append({"error": getattr(problem, "message", str(problem))})
    return answers


def main() -> None:
    import extism

    extism.CompiledPlugin = extism.extism.CompiledPlugin
    compiled: dict[bytes, Any] = {}
    for line in sys.stdin:
        print(json.dumps(run(extism, compiled, json.loads(line))), flush=True)


if __name__ == "__main__":
    main()
