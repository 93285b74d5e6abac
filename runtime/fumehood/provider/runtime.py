"""The seam between the sans-IO core and the rooms below: instances, HTTP, the account.

`Host` is what one opened provider stands on. `Session` drives one operation on it: one meter,
one instance, at most one open reply. An asynchronous driver would replace these two only.
"""

from __future__ import annotations

import functools
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Protocol, TypeVar

from fumehood.abi import calls, http
from fumehood.egress.policy import Grant
from fumehood.egress.secrets import Secrets
from fumehood.errors import (
    Cancelled,
    ClosedError,
    Error,
    Exit,
    PluginError,
    ProviderError,
    Trap,
    clip,
)
from fumehood.imports.log import PluginLog
from fumehood.imports.services import Services
from fumehood.imports.vars import VarStore
from fumehood.limits import Limits, Receipt
from fumehood.meter import Meter
from fumehood.provider import effects
from fumehood.provider.audit import Audit, Granted
from fumehood.provider.effects import Effect, Emit, Head, Op, Ready
from fumehood.provider.worker import Worker

_T = TypeVar("_T")

MAX_CAUSES: Final = 20
"""Exceptions behind an error whose texts are looked through."""

log = logging.getLogger("fumehood.provider")


class Instance(Protocol):
    """A plugin instance: `plugin.Instance`."""

    @property
    def alive(self) -> bool:
        """Whether it may be called again."""

    def call(self, export: str, data: bytes, meter: Meter) -> bytes:
        """Call an export; raises the guest's failures as fumehood errors."""

    def close(self) -> None:
        """Free it."""


class Compiled(Protocol):
    """A compiled plugin: `plugin.CompiledPlugin`."""

    @property
    def sha256(self) -> str:
        """Hexadecimal digest of the file."""

    def has(self, export: str) -> bool:
        """Whether a callable export is there."""

    def instance(self, services: Services, limits: Limits) -> Instance:
        """A fresh instance."""


class Stream(Protocol):
    """An open reply: `egress.client.ResponseStream`."""

    status: int
    headers: tuple[tuple[str, str], ...]

    def read(self) -> bytes:
        """The next bytes, b"" at the end."""

    def close(self) -> None:
        """Give the connection up."""


class Client(Protocol):
    """The HTTP of a provider: `egress.client.Client`."""

    def send(
        self, request: http.HTTPRequest, grant: Grant, meter: Meter, *, secrets: Secrets | None
    ) -> http.HTTPResponse:
        """One exchange."""

    def stream(
        self, request: http.HTTPRequest, grant: Grant, meter: Meter, *, secrets: Secrets | None
    ) -> Stream:
        """One exchange whose body is read piece by piece."""

    def close(self) -> None:
        """Close every connection."""


@dataclass(slots=True)
class Kept:
    """An instance with the services it was made with."""

    instance: Instance
    services: Services


@dataclass(slots=True)
class Host:
    """What the operations of one provider run on."""

    name: str
    compiled: Compiled
    client: Client
    limits: Limits
    grant: Grant = field(default_factory=Grant)
    secrets: Secrets = field(default_factory=Secrets)
    config: Mapping[str, str] = field(default_factory=dict)
    clock_step: int = 1
    _granted: tuple[Grant, Secrets, Granted] | None = field(default=None, init=False, repr=False)

    def granted(self) -> Granted:
        """What the audit says of grant and secrets; made once for them, since it takes 3 µs."""
        known = self._granted
        if known is None or known[0] is not self.grant or known[1] is not self.secrets:
            made = Granted.of(self.grant, self.secrets)
            self._granted = known = (self.grant, self.secrets, made)
        return known[2]

    def services(self) -> Services:
        """Fresh services: nothing in them outlives the instance they are made for."""
        return Services(
            name=self.name,
            config=self.config,
            vars=VarStore(self.limits.var_bytes),
            log=PluginLog(self.name),
            client=self.client,  # type: ignore[arg-type]  # imports names the class, tests have theirs
            grant=self.grant,
            secrets=self.secrets,
            clock_step=self.clock_step,
        )


class Session:
    """One operation. Not thread-safe, but for `cancel`.

    Takes an instance over where it is given one (`kept`), makes one at the first guest call
    otherwise. After the operation `release` hands a healthy instance back, `close` frees it.
    """

    def __init__(
        self, host: Host, operation: str, limits: Limits | None = None, kept: Kept | None = None
    ) -> None:
        self._host = host
        self._limits = limits or host.limits
        self.meter = Meter(
            self._limits, plugin=host.name, sha256=host.compiled.sha256, operation=operation
        )
        self._kept = kept
        self._stream: Stream | None = None
        self._worker: Worker | None = None
        self._closed = False
        self._failed = False
        self._concluded: Receipt | None = None
        self.on_item: Callable[[], None] | None = None
        """Called, on the guest's thread, when a started call has something for `poll`."""

    # -- driving --------------------------------------------------------------------------

    def run(self, op: Op[_T]) -> _T:
        """Drive an operation to its end; its errors are signed with plugin and receipt."""
        item, result = self.step(op, None)
        if item is not None:
            raise AssertionError(f"{item} in an operation that is no stream")
        return result  # type: ignore[return-value]

    def step(
        self, op: Op[_T], failure: BaseException | None
    ) -> tuple[Ready | Emit | None, _T | None]:
        """Drive `op` up to its next `Ready` or `Emit`, throwing `failure` in first.

        Answers (that effect, None), or (None, its result) at its end.
        """
        answer: Any = None
        while True:
            effect, result = self.advance(op, answer, failure)
            if effect is None or isinstance(effect, Ready | Emit):
                return effect, result
            answer = failure = None
            try:
                answer = self._perform(effect)
            except Error as error:
                failure = error
            except BaseException:
                self._failed = True
                raise

    def advance(
        self, op: Op[_T], answer: Any, failure: BaseException | None
    ) -> tuple[Effect | None, _T | None]:
        """Drive `op` through its guest calls up to its next other effect; `answer` is that of the
        last one, `failure` is thrown in instead.

        Answers (that effect, None), or (None, its result) at its end. Its errors are signed.
        """
        if self._closed:
            raise ClosedError("the operation was closed", plugin=self._host.name)
        try:
            while True:
                try:
                    effect = op.send(answer) if failure is None else op.throw(failure)
                except StopIteration as stop:
                    return None, stop.value
                answer = failure = None
                try:
                    if isinstance(effect, effects.Call):
                        answer = self.call(effect.export, effect.data)
                    elif isinstance(effect, effects.Start):
                        self._start(functools.partial(self.call, effect.export, effect.data))
                    else:
                        return effect, None
                except Error as error:
                    failure = error
        except Error as error:
            self._failed = True
            raise self.sign(error) from error.__cause__
        except BaseException:
            self._failed = True
            raise

    def poll(self) -> object:
        """What the started call yielded next; `worker.NOTHING` where nothing has come yet."""
        return self._open_worker().poll()

    def receipt(self) -> Receipt:
        """What the operation used so far."""
        return self.meter.receipt()

    def sign(self, error: Error) -> Error:
        """`error` with plugin and receipt, and without any secret in its texts or its causes'."""
        secrets = self._host.secrets
        self.meter.sign(error)
        seen: BaseException | None = error
        for _ in range(MAX_CAUSES):
            if isinstance(seen, Error):
                secrets.scrub_error(seen)
            if seen is None:
                break
            seen = seen.__cause__ or seen.__context__
        if isinstance(error, ProviderError) and secrets.given:
            error.raw = _scrubbed(error.raw, secrets)
        return error

    def conclude(self) -> Receipt:
        """The receipt of an operation that is over: nothing is counted after it."""
        self._concluded = receipt = self.meter.receipt()
        return receipt

    def record(self, audit: Audit, error: Error | None) -> None:
        """Write the operation's line. Raises HostError where it cannot be written."""
        meter = self.meter
        receipt = self._concluded or meter.receipt()
        audit.write(receipt, error, self._host.granted(), meter.denials, meter.denials_more)

    def fail(self) -> None:
        """The operation failed: its instance is not used again."""
        self._failed = True

    def cancel(self) -> None:
        """Stop the operation as soon as possible. Any thread."""
        self.meter.cancel()

    # -- the end --------------------------------------------------------------------------

    def release(self) -> Kept | None:
        """End the operation; its instance where it may be used again, else None."""
        kept, self._kept = self._kept, None
        self.close()
        if kept is None:
            return None
        if self._failed or not kept.instance.alive:
            _discard(kept)
            return None
        kept.services.close()
        kept.services.on_chunk = None
        return kept

    def close(self) -> None:
        """Close the reply, stop the guest, free the instance. Idempotent."""
        if self._closed:
            return
        self._closed = True
        self.close_io()
        kept, self._kept = self._kept, None
        if kept is not None:
            _discard(kept)

    def close_io(self) -> None:
        """Close the reply, stop the started call."""
        worker, self._worker = self._worker, None
        if worker is not None:
            worker.stop()
        stream, self._stream = self._stream, None
        if stream is not None:
            stream.close()

    # -- effects --------------------------------------------------------------------------

    def _perform(self, effect: Effect) -> Any:
        match effect:
            case effects.Read():
                return self._open_stream().read()
            case effects.Next():
                return self._open_worker().next()
            case effects.Send(request):
                return self._host.client.send(
                    request, self._host.grant, self.meter, secrets=self._host.secrets
                )
            case effects.Open(request):
                self._stream = self._host.client.stream(
                    request, self._host.grant, self.meter, secrets=self._host.secrets
                )
                return Head(self._stream.status, tuple(self._stream.headers))
            case effects.Close():
                return self.close_io()
        raise AssertionError(effect)

    def call(self, export: str, data: bytes) -> bytes:
        """Call a guest export.

        Where a host function told the guest of a failure and the guest then failed, the original
        is raised instead of the guest's words for it (provider-abi.md hazards 12, 20, 21).
        """
        kept = self._kept or self._make()
        kept.services.failure = None
        try:
            return kept.instance.call(export, data, self.meter)
        except (PluginError, Trap, Exit) as said:
            cause = self._cause(kept.services)
            if cause is None:
                raise
            cause.guest_error = clip(said.message)
            raise cause from said

    def _cause(self, services: Services) -> Error | None:
        """Why a guest failed, where it was not the guest's doing. One whose call ends in an error
        after a cancellation was cancelled (§2.2)."""
        if self.meter.cancelled:
            return Cancelled("the operation was cancelled")
        return services.failure

    def _make(self) -> Kept:
        if self._closed:  # by another thread: nobody would free what is made now
            raise ClosedError("the operation was closed", plugin=self._host.name)
        services = self._host.services()
        instance = self._host.compiled.instance(services, self._limits)
        self.meter.fresh = True
        self._kept = kept = Kept(instance, services)
        level = services.log.qmt_level()
        if level > 0 and self._host.compiled.has("init_logging"):
            instance.call(
                "init_logging", calls.init_logging_input(calls.LOG_LEVELS[level]), self.meter
            )
        return kept

    def _start(self, call: Callable[[], bytes]) -> None:
        kept = self._kept or self._make()
        self._worker = worker = Worker(call, self.meter, self.on_item)
        kept.services.on_chunk = worker.put
        worker.start()

    def _open_stream(self) -> Stream:
        if self._stream is None:
            raise AssertionError("no reply is open")
        return self._stream

    def _open_worker(self) -> Worker:
        if self._worker is None:
            raise AssertionError("no call was started")
        return self._worker


def _scrubbed(value: Any, secrets: Secrets) -> Any:
    """A decoded payload without secrets; its depth is bounded by the decoder."""
    if isinstance(value, str):
        return secrets.scrub_text(value)
    if isinstance(value, dict):
        return {key: _scrubbed(item, secrets) for key, item in value.items()}
    if isinstance(value, list):
        return [_scrubbed(item, secrets) for item in value]
    return value


def _discard(kept: Kept) -> None:
    kept.services.close()
    kept.instance.close()
