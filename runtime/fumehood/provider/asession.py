"""The driver of an operation on an event loop: guest calls on threads, HTTP on the loop.

The same generators as `runtime.Session` drives, and that session's guest half. The generator too
runs on the threads (it encodes, decodes and checks), from one read of the network to the next in
one go: a hop costs some 50 µs, whatever it carries.
"""

from __future__ import annotations

import contextlib
import functools
import time
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, Final, Generic, Protocol, TypeVar

import anyio
from anyio.lowlevel import current_token

from fumehood.abi import http
from fumehood.abi.replies import StreamChunk
from fumehood.egress.awire import soon
from fumehood.egress.policy import Grant
from fumehood.egress.secrets import Secrets
from fumehood.errors import Cancelled, Error
from fumehood.meter import Meter
from fumehood.provider import effects
from fumehood.provider.effects import Dropped, Effect, Head, Op
from fumehood.provider.reaper import reaper
from fumehood.provider.runtime import Host, Session
from fumehood.provider.worker import NOTHING
from fumehood.provider.workers import Workers

_T = TypeVar("_T")

BATCH: Final = 256
"""Chunks that one hop brings at most."""
SPAN: Final = 0.002
"""Seconds that the first of them waits for the others."""
GRACE: Final = 0.1
"""Seconds beyond the deadline in which whoever sees it first may say what was going on."""
POLITE: Final = 1.0
"""Seconds in which a plugin may end a stream that is closed early."""


class Stream(Protocol):
    """An open reply: `egress.aclient.AsyncResponseStream`."""

    status: int
    headers: tuple[tuple[str, str], ...]

    async def read(self) -> bytes:
        """The next bytes, b"" at the end."""

    def close(self) -> None:
        """Give the connection up."""


class Client(Protocol):
    """The HTTP of a provider: `egress.aclient.AsyncClient`."""

    async def send(
        self, request: http.HTTPRequest, grant: Grant, meter: Meter, *, secrets: Secrets | None
    ) -> http.HTTPResponse:
        """One exchange."""

    async def stream(
        self, request: http.HTTPRequest, grant: Grant, meter: Meter, *, secrets: Secrets | None
    ) -> Stream:
        """One exchange whose body is read piece by piece."""

    def close(self) -> None:
        """Close every connection."""


@dataclass(slots=True)
class Turn(Generic[_T]):
    """How far a hop came: what is for the consumer, what the loop must do next (`effect`), or how
    the operation ended."""

    chunks: list[StreamChunk] = field(default_factory=list)
    stands: bool = False
    effect: Effect | None = None
    ended: bool = False
    result: _T | None = None
    error: Error | None = None


class AsyncSession:
    """One operation on the event loop it was made on.

    `admit` is awaited first, and waits for a place. `finish` is called once, on a thread, with
    what ended the operation: it frees the instance.
    A cancelled task stops the guest, closes the socket and waits for both.
    """

    def __init__(
        self,
        session: Session,
        host: Host,
        client: Client,
        workers: Workers,
        *,
        admit: Callable[[], Awaitable[None]],
        finish: Callable[[Error | None], None],
    ) -> None:
        self.session = session
        self._host = host
        self._client = client
        self._workers = workers
        self._admit: Callable[[], Awaitable[None]] | None = admit
        self._finish = [finish]
        """Taken out by who calls it: threads may come to the end at the same time."""
        self._stream: Stream | None = None
        self._pending: Effect | None = None
        self._scope: anyio.CancelScope | None = None
        self._arrived = anyio.Event()
        token = current_token()
        reaper.ready()
        session.on_item = lambda: soon(token, self._tell)

    async def run(self, op: Op[_T]) -> _T:
        """Drive an operation to its end; its errors are signed with plugin and receipt."""
        turn = await self.step(op)
        if turn.error is not None:
            raise turn.error from turn.error.__cause__
        assert turn.ended
        return turn.result  # type: ignore[return-value]

    async def step(self, op: Op[_T], failure: BaseException | None = None) -> Turn[_T]:
        """Drive `op` until there are chunks, the stream stands, or it ended or failed; then it is
        finished. `failure` is thrown in first. Where the task is cancelled, the operation is."""
        meter = self.session.meter
        answer: Any = None
        try:
            with self._bounded():
                admit, self._admit = self._admit, None
                if admit is not None:
                    await admit()
                effect, self._pending = self._pending, None
                turn: Turn[_T] = Turn(effect=effect if failure is None else None)
                while True:
                    if turn.effect is not None:
                        try:
                            answer = await self._perform(turn.effect)
                        except Error as error:
                            failure = error
                    self._arrived = anyio.Event()
                    turn = await self._workers.call(
                        self._host.name, functools.partial(self._turn, op, answer, failure), meter
                    )
                    answer = failure = None
                    if turn.effect is None or turn.chunks or turn.stands:
                        self._pending = turn.effect
                        break
        except Error as error:  # the scope's: the deadline, or `cancel`
            self.session.fail()
            turn = Turn(error=self.session.sign(error))
        except BaseException:
            self.session.fail()
            await self.finish(Cancelled("the operation was interrupted"))
            raise
        if turn.ended or turn.error is not None:
            await self.finish(turn.error)
        return turn

    async def drop(self, op: Op[None]) -> None:
        """End a stream before its end: let the plugin drop its parser, then finish."""
        if self._finished:
            return
        with anyio.move_on_after(POLITE, shield=True):
            with contextlib.suppress(Dropped):  # it had not begun
                turn = await self.step(op, Dropped())
                while not self._finished and not turn.ended:
                    turn = await self.step(op)  # chunks on the way out are nobody's
        self.session.fail()
        await self.finish(None)

    @property
    def _finished(self) -> bool:
        return not self._finish

    def cancel(self) -> None:
        """Stop the operation as soon as possible. On the event loop."""
        self.session.cancel()
        if self._scope is not None:
            self._scope.cancel()

    async def finish(self, error: Error | None) -> None:
        """Close the reply, free the instance. Cannot be cancelled; idempotent.

        `asyncio.Task.cancel` knows no shields: where it comes again while this waits, nobody waits
        any more, and what there is to do is done all the same.
        """
        if self._finished:
            return
        self._close_stream()
        end = functools.partial(self._end, error)
        try:
            with anyio.CancelScope(shield=True):
                await self._workers.call(self._host.name, end, self.session.meter)
        except BaseException:
            reaper.leave(end)
            raise

    def abandon(self) -> None:
        """`finish` without an event loop, for what is collected unfinished: on a thread, soon."""
        self._close_stream()
        if not self._finished:
            reaper.leave(functools.partial(self._end, None))

    # -- on the loop ----------------------------------------------------------------------

    @contextlib.contextmanager
    def _bounded(self) -> Iterator[None]:
        """Ends with `cancel` and with the deadline, should nothing below have noticed it."""
        left = self.session.meter.remaining() + GRACE
        with anyio.move_on_after(left) as self._scope:
            yield
        if self._scope.cancelled_caught:
            self.session.meter.remaining()
            raise Cancelled("the operation was cancelled")

    async def _perform(self, effect: Effect) -> Any:
        host, meter = self._host, self.session.meter
        match effect:
            case effects.Read():
                assert self._stream is not None
                data = await self._stream.read()
                if not data:
                    self._stream = None  # it closed itself
                return data
            case effects.Send(request):
                return await self._client.send(request, host.grant, meter, secrets=host.secrets)
            case effects.Open(request):
                self._stream = await self._client.stream(
                    request, host.grant, meter, secrets=host.secrets
                )
                return Head(self._stream.status, tuple(self._stream.headers))
            case effects.Next():
                await self._arrived.wait()
                return effect  # the thread fetches it
            case effects.Close():
                return self._close_stream()
        raise AssertionError(effect)

    def _tell(self) -> None:
        self._arrived.set()

    def _close_stream(self) -> None:
        stream, self._stream = self._stream, None
        if stream is not None:
            stream.close()

    # -- on a thread ----------------------------------------------------------------------

    def _turn(self, op: Op[_T], answer: Any, failure: BaseException | None) -> Turn[_T]:
        """Drive `op` as far as it goes without the loop."""
        turn: Turn[_T] = Turn()
        until = time.monotonic() + SPAN
        effect: Effect | None = answer if isinstance(answer, effects.Next) else None
        try:
            while True:
                if isinstance(effect, effects.Next):
                    try:
                        item = self.session.poll()
                    except Error as error:
                        answer, failure = None, error
                    else:
                        if item is NOTHING:
                            turn.effect = effect
                            break
                        answer = item
                effect, turn.result = self.session.advance(op, answer, failure)
                answer = failure = None
                match effect:
                    case None:
                        turn.ended = True
                        break
                    case effects.Emit(chunk):
                        turn.chunks.append(chunk)
                        if len(turn.chunks) >= BATCH or time.monotonic() > until:
                            break
                    case effects.Ready():
                        turn.stands = True
                    case effects.Close() if self._stream is None:
                        self.session.close_io()
                    case effects.Next():
                        pass
                    case _:
                        turn.effect = effect
                        break
        except Error as error:
            turn.error = error
        if (turn.ended or turn.error is not None) and self._stream is None:
            self._end(turn.error)
        return turn

    def _end(self, error: Error | None) -> None:
        try:
            finish = self._finish.pop()
        except IndexError:
            return
        finish(error)
