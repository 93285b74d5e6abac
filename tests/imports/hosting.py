"""Call one host function of imports/ through the real kernel, with blocks for its arguments."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from fumehood.abi.http import HTTPRequest, HTTPResponse
from fumehood.engine import HostCall, HostImport
from fumehood.imports import Services
from fumehood.meter import Meter
from tests.engine.support import Guest

WAT = '(module (import "t" "go" (func $go)) (func (export "run") (call $go)))'


def within(
    script: Callable[[HostCall], None], services: Services, meter: Meter | None = None
) -> Meter:
    """Run `script` inside a call, where blocks live; the call's meter."""
    with Guest(WAT, [HostImport("t", "go", "", "", script)], services=services) as guest:
        guest.call("run", meter=meter)
        return guest.meter


def functions(imports: Sequence[HostImport]) -> dict[str, Callable[..., Any]]:
    """By name, as the engine calls them."""
    return {i.name: i.function for i in imports}


class FakeStream:
    """A reply whose body comes in the given parts."""

    def __init__(self, status: int, parts: Sequence[bytes]) -> None:
        self.status = status
        self.headers: tuple[tuple[str, str], ...] = (("retry-after", "7"),)
        self._parts = list(parts)
        self.closed = 0

    def read(self) -> bytes:
        return self._parts.pop(0) if self._parts else b""

    def close(self) -> None:
        self.closed += 1


class FakeClient:
    """Answers with what it was given, or raises it; remembers what was asked."""

    def __init__(self, *answers: HTTPResponse | FakeStream | Exception) -> None:
        self._answers = list(answers)
        self.asked: list[HTTPRequest] = []
        self.options: list[dict[str, Any]] = []

    def send(self, request: HTTPRequest, _grant: object, _meter: Meter, **options: Any) -> Any:
        self.asked.append(request)
        self.options.append(options)
        answer = self._answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    stream = send

    def close(self) -> None:
        """Nothing is open."""
