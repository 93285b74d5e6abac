"""A key and an environment variable that nobody but their one place may see.

`KEY` is what tests give a provider as its key, `VALUE` stands in the environment of the whole run
(`VARIABLE`). While tests run, `Watch` looks for both, plain and in base64, wherever bytes leave the
host: into a guest and out of it, in the guest's memory when its sandbox ends, on the wire (but for
the key in the one header), in log records, audit lines, receipts, and the errors that tests
expect. A test in which one turns up fails. Tests that hand a key over on purpose use another one.
"""

from __future__ import annotations

import contextlib
import functools
import logging
import os
import re
import traceback
from collections.abc import Callable, Iterator
from typing import Any, Final

import pytest

from fumehood.egress import awire, wire
from fumehood.egress.scrub import base64_cores
from fumehood.engine import hostcall, native
from fumehood.engine.sandbox import Sandbox
from fumehood.errors import Error
from fumehood.meter import Meter
from fumehood.plugin.instance import Instance
from fumehood.provider import chain
from fumehood.testing.gallery import providers as gallery

KEY: Final = "sk-canary-0123456789abcdefghij"
VARIABLE: Final = "CANARY_OF_THE_ENVIRONMENT"
VALUE: Final = "canary-of-the-environment-4d9f21c8"

_PLAIN: Final = tuple(secret.encode() for secret in (KEY, VALUE, gallery.CANARY, gallery.BAIT))
_NEEDLES: Final = tuple(
    dict.fromkeys(form for secret in _PLAIN for form in (secret, *base64_cores(secret)))
)
_IN_ALL: Final = b"canary-"
MEMORY_CAP: Final = 4 * 1024 * 1024
"""Bytes of one memory that are looked at, from its start: bombs fill more, against the clock."""
_ALL: Final = re.compile(b"|".join(re.escape(needle) for needle in _NEEDLES))
_PLACE: Final = re.compile(
    rb"(?mi)^(?:authorization: bearer |x-api-key: |api-key: |x-goog-api-key: )(?:%s)\r$"
    % b"|".join(re.escape(secret.encode()) for secret in (KEY, gallery.CANARY))
)
"""The header that the key is for."""


class Watch:
    """Looks, and remembers what it found; `checked` counts the looks by place."""

    def __init__(self) -> None:
        self.hits: list[str] = []
        self.checked: dict[str, int] = {}

    def look(self, place: str, content: object) -> None:
        """Search bytes, or the text of anything else."""
        self.checked[place] = self.checked.get(place, 0) + 1
        if isinstance(content, bytes | bytearray | memoryview):
            found = _ALL.search(content)
        else:
            found = _ALL.search(str(content).encode("utf-8", "surrogatepass"))
        if found is not None:
            self.hits.append(f"{found[0].decode()} in {place}")

    def memory(self, place: str, content: bytes) -> None:
        """Search much: the plain forms only, at the speed of `bytes.find`."""
        self.checked[place] = self.checked.get(place, 0) + 1
        if _IN_ALL in content:  # one pass: this runs while attacks are timed
            self.hits += [f"{text.decode()} in {place}" for text in _PLAIN if text in content]

    def sent(self, place: str, content: bytes | memoryview) -> None:
        """Bytes for the wire: the key may stand in its header."""
        self.look(place, _PLACE.sub(b"", bytes(content)))

    def error(self, place: str, error: BaseException) -> None:
        """Everything that an error shows, and its causes."""
        self.look(place, "".join(traceback.format_exception(error)))
        seen: BaseException | None = error
        for _ in range(20):
            if seen is None:
                break
            if isinstance(seen, Error):
                more = [seen.message, seen.hint, seen.guest_error, getattr(seen, "raw", None)]
                self.look(place, f"{seen!r} {seen.args} {more} {seen.receipt}")
            seen = seen.__cause__ or seen.__context__

    @contextlib.contextmanager
    def expected(self) -> Iterator[list[str]]:
        """What is found inside is meant: it is given to the test, and forgotten."""
        before = len(self.hits)
        found: list[str] = []
        try:
            yield found
        finally:
            found += self.hits[before:]
            del self.hits[before:]


def memories(sandbox: Any) -> Iterator[bytes]:
    """The linear memories of a sandbox, and the kernel's as far as it holds blocks."""
    for memory in sandbox._memories:
        size = min(native.memory_size(sandbox.context, memory), MEMORY_CAP)
        view = native.view(native._memory_address(sandbox.context, memory), size)
        try:
            yield bytes(view)
        finally:
            view.release()
    if sandbox.blocks is not None:
        yield bytes(sandbox.blocks.data[: min(sandbox.blocks.reach(), MEMORY_CAP)])


def install(watch: Watch) -> Callable[[], None]:
    """Put the watch at every place; returns what takes it away again."""
    undo: list[Callable[[], None]] = []

    def wrap(owner: Any, name: str, make: Callable[[Any], Any]) -> None:
        original = getattr(owner, name)
        setattr(owner, name, functools.wraps(original)(make(original)))
        undo.append(lambda: setattr(owner, name, original))

    def call(original: Any) -> Any:
        def watched(self: Any, export: str, data: Any, *rest: Any, **named: Any) -> Any:
            watch.look("a guest's input", data)
            output = original(self, export, data, *rest, **named)
            watch.look("a guest's output", output)
            return output

        return watched

    def write(original: Any) -> Any:
        def watched(self: Any, data: Any) -> Any:
            watch.look("what a host function gives", data)
            return original(self, data)

        return watched

    def release(original: Any) -> Any:
        def watched(self: Any) -> Any:
            for memory in memories(self):
                watch.memory("a guest's memory", memory)
            return original(self)

        return watched

    def send(original: Any) -> Any:
        def watched(self: Any, buffer: Any, *rest: Any, **named: Any) -> Any:
            watch.sent("the wire", buffer)
            return original(self, buffer, *rest, **named)

        return watched

    def asend(original: Any) -> Any:
        async def watched(self: Any, waits: Any, data: Any, *rest: Any, **named: Any) -> Any:
            watch.sent("the wire", data)
            return await original(self, waits, data, *rest, **named)

        return watched

    def result(place: str) -> Callable[[Any], Any]:
        def make(original: Any) -> Any:
            def watched(*arguments: Any, **named: Any) -> Any:
                answer = original(*arguments, **named)
                watch.look(place, answer)
                return answer

            return watched

        return make

    def handle(original: Any) -> Any:
        def watched(self: logging.Logger, record: logging.LogRecord) -> Any:
            if record.name.startswith("fumehood"):
                watch.look("a log record", f"{record.getMessage()} {record.__dict__}")
            return original(self, record)

        return watched

    def expected(original: Any) -> Any:
        def watched(self: Any, kind: Any, error: Any, trace: Any) -> Any:
            if error is not None:
                watch.error("an error", error)
            return original(self, kind, error, trace)

        return watched

    wrap(Instance, "call", call)
    wrap(hostcall.HostCall, "write", write)
    wrap(Sandbox, "release", release)
    wrap(wire.SocketStream, "write_within", send)
    wrap(wire.TLSStream, "write_within", send)
    wrap(awire.Socket, "write", asend)
    wrap(awire.TLS, "write", asend)
    wrap(chain, "seal", result("an audit line"))
    wrap(Meter, "receipt", result("a receipt"))
    wrap(logging.Logger, "handle", handle)
    wrap(pytest.RaisesExc, "__exit__", expected)
    os.environ[VARIABLE] = VALUE

    def remove() -> None:
        for step in reversed(undo):
            step()
        os.environ.pop(VARIABLE, None)

    return remove
