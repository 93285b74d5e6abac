"""Where the rows of the gallery run that are more than one call of one guest.

A `Stage` gives a row stubs of its own, clients with its own resolver, guests with chosen services,
a folder; all of it is gone when the row ends.
"""

from __future__ import annotations

import contextlib
import os
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Self

from fumehood.egress.client import Client
from fumehood.egress.policy import Grant
from fumehood.egress.resolver import Check, Resolver
from fumehood.egress.secrets import Secrets
from fumehood.egress.url import IPAddress
from fumehood.errors import Error
from fumehood.imports import PluginLog, Services, VarStore
from fumehood.limits import Limits, Receipt
from fumehood.meter import Meter
from fumehood.plugin.compiled import CompiledPlugin
from fumehood.plugin.instance import Instance
from fumehood.testing.gallery.attacks import Attack, source
from fumehood.testing.stub import StubServer
from fumehood.testing.stub.replies import Answer


class Breach(Exception):
    """A promise was broken; the text says what was reached."""


@dataclass(slots=True)
class Outcome:
    """What a row comes to. `seconds` is the longest timed part, or all of it where none was."""

    error: Error | None = None
    output: bytes | None = None
    receipt: Receipt | None = None
    seconds: float = 0.0

    @contextlib.contextmanager
    def timed(self) -> Iterator[None]:
        """Around what the deadline holds for."""
        started = time.perf_counter()
        try:
            yield
        finally:
            self.seconds = max(self.seconds, time.perf_counter() - started)

    @contextlib.contextmanager
    def whole(self) -> Iterator[None]:
        """Around the row."""
        started = time.perf_counter()
        yield
        self.seconds = self.seconds or time.perf_counter() - started


@contextlib.contextmanager
def environment(bait: Mapping[str, str]) -> Iterator[None]:
    """Variables that stand in the process's environment for a while."""
    before = {name: os.environ.get(name) for name in bait}
    os.environ.update(bait)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


class Guest:
    """One instance of a guest of the gallery."""

    def __init__(self, instance: Instance, limits: Limits, name: str, outcome: Outcome) -> None:
        self._instance = instance
        self._limits = limits
        self._name = name
        self._outcome = outcome

    @property
    def services(self) -> Services:
        """What it may reach."""
        return self._instance.services

    def call(self, data: bytes = b"", export: str = "run") -> bytes:
        """Call it; the row's outcome gets time, output and receipt."""
        meter = Meter(self._limits, self._name, "", export)
        with self._outcome.timed():
            output = self._instance.call(export, data, meter)
        self._outcome.output, self._outcome.receipt = output, meter.receipt()
        return output

    def close(self) -> None:
        """Its end."""
        self._instance.close()


@dataclass(slots=True)
class Fixed:
    """A resolver that gives one answer after another, the last one for ever."""

    answers: Sequence[Sequence[IPAddress]]
    asked: list[str] = field(default_factory=list)

    def resolve(self, host: str, _port: int, _check: Check) -> list[IPAddress]:
        """The next answer."""
        self.asked.append(host)
        return list(self.answers[min(len(self.asked), len(self.answers)) - 1])


class Stage:
    """See the module. A context manager."""

    def __init__(self, attack: Attack, outcome: Outcome) -> None:
        self.attack = attack
        self.outcome = outcome
        self._held = contextlib.ExitStack()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._held.close()

    @property
    def limits(self) -> Limits:
        """Of each call."""
        return self.attack.operation

    @staticmethod
    def require(kept: object, broken: str) -> None:
        """Raise `Breach(broken)` unless the promise was kept."""
        if not kept:
            raise Breach(broken)

    def stub(self, *answers: Answer | str) -> StubServer:
        """A stub of the row's own; `answers` are queued (`StubServer.behave`)."""
        server = self._held.enter_context(StubServer())
        server.behave(*answers)
        return server

    def client(self, resolver: Resolver | None = None) -> Client:
        """A way out of the row's own."""
        return self._held.enter_context(Client(resolver=resolver))

    def folder(self) -> Path:
        """An empty private folder."""
        return Path(self._held.enter_context(tempfile.TemporaryDirectory(prefix="fumehood-")))

    def hold(self, close: Callable[[], object]) -> None:
        """Have `close` called at the end."""
        self._held.callback(close)

    def compiled(self, name: str = "") -> CompiledPlugin:
        """A guest of the gallery, compiled: by default the row's."""
        name = name or self.attack.guest
        return self._held.enter_context(CompiledPlugin.load(source(name).encode(), name=name))

    def guest(
        self,
        compiled: CompiledPlugin | None = None,
        *,
        client: Client | None = None,
        grant: Grant | None = None,
        secrets: Secrets | None = None,
        follow: int = 0,
        config: Mapping[str, str] | None = None,
        renew: bool = False,
        clock_step: int = 1,
    ) -> Guest:
        """An instance of it with these services."""
        compiled = compiled or self.compiled()
        services = Services(
            name=compiled.name,
            config=config or {},
            vars=VarStore(self.limits.var_bytes),
            log=PluginLog(compiled.name),
            client=client,
            grant=grant,
            secrets=secrets,
            follow=follow,
            clock_step=clock_step,
        )
        instance = self._held.enter_context(compiled.instance(services, self.limits, renew=renew))
        return Guest(instance, self.limits, compiled.name, self.outcome)
