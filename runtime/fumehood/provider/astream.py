"""The streamed answer to a chat on an event loop."""

from __future__ import annotations

import sys
from collections import deque
from collections.abc import Awaitable, Callable
from types import TracebackType

from fumehood.abi.replies import StreamChunk
from fumehood.errors import Cancelled, ClosedError, Error, UsageError
from fumehood.limits import Receipt
from fumehood.provider.asession import AsyncSession, Turn
from fumehood.provider.assemble import Assembler
from fumehood.provider.effects import Op
from fumehood.provider.results import ChatResponse

Begin = Callable[[], Awaitable[tuple[AsyncSession, Op[None]]]]


class AsyncChatStream:
    """Chunks of one answer, in order; each is given once.

        async with provider.chat_stream("hi") as stream:
            async for chunk in stream:
                print(chunk.text or "", end="")
        print(stream.response.usage, stream.receipt.fuel)

    It begins with `async with`, or with the first chunk that is asked for, and pins one instance
    and one connection until its end, `close()` or its collection. Nothing is read from the network
    before it is asked for. Belongs to one task at a time; a read whose task is cancelled ends the
    stream. `response` and `receipt` are there after the end.
    """

    def __init__(self, begin: Begin) -> None:
        """`begin` gives the session and the operation; errors that it raises are the caller's."""
        self._begin: Begin | None = begin
        self._session: AsyncSession | None = None
        self._op: Op[None] | None = None  # while it goes on
        self._assembler = Assembler(0)
        self._chunks: deque[StreamChunk] = deque()
        self._error: Error | None = None
        self._whole = False
        self._busy = False
        self._receipt: Receipt | None = None

    async def __aenter__(self) -> AsyncChatStream:
        """Begin. Raises what fails before the stream stands."""
        await self._open()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.close()

    def __aiter__(self) -> AsyncChatStream:
        return self

    async def __anext__(self) -> StreamChunk:
        await self._open()
        while not self._chunks:
            error, self._error = self._error, None
            if error is not None:
                raise error from error.__cause__
            if self._op is None:
                raise StopAsyncIteration
            await self._step()
        chunk = self._chunks.popleft()
        try:
            self._assembler.add(chunk)
        except Error as error:
            self._chunks.clear()
            self._whole = False
            if self._session is not None:
                self._session.session.sign(error)
                self._over()
                await self._session.finish(error)
            raise
        return chunk

    def __del__(self) -> None:
        if getattr(self, "_op", None) is not None and not sys.is_finalizing():
            session = self._session
            self._over()
            if session is not None:
                session.abandon()

    @property
    def response(self) -> ChatResponse:
        """The whole answer. Raises UsageError before the end, ClosedError where the stream was
        closed or failed before it."""
        if self._whole and not self._chunks:
            return ChatResponse.of(self._assembler.reply(), self.receipt, self._assembler.signature)
        if self._begin is not None or self._op is not None or self._chunks:
            raise UsageError("the stream has not ended yet", hint="iterate over it first")
        raise ClosedError("the stream was closed before its end")

    @property
    def receipt(self) -> Receipt:
        """What the operation used: so far, or altogether after the end. Raises UsageError before
        the stream has begun."""
        if self._session is None:
            raise UsageError("the stream has not begun", hint="iterate over it first")
        return self._receipt or self._session.session.receipt()

    async def close(self) -> None:
        """End the stream: close the connection, let the plugin drop its parser. Idempotent."""
        self._begin = None
        self._whole = self._whole and not self._chunks
        self._chunks.clear()
        op, self._op = self._op, None
        if op is not None and self._session is not None:
            await self._session.drop(op)
            self._receipt = self._session.session.receipt()
            op.close()

    aclose = close
    """For `contextlib.aclosing`."""

    async def _open(self) -> None:
        begin, self._begin = self._begin, None
        if begin is None:
            return
        self._session, self._op = await begin()
        self._assembler = Assembler(self._session.session.meter.limits.output_bytes)
        stands = await self._step()
        error = self._error
        if error is not None and not stands:
            self._error = None
            raise error from error.__cause__

    async def _step(self) -> bool:
        """Fetch what comes next; whether it said that the stream stands."""
        session, op = self._session, self._op
        assert session is not None
        assert op is not None
        if self._busy:
            raise UsageError("another task reads this stream")
        self._busy = True
        try:
            turn: Turn[None] = await session.step(op)
        except BaseException:
            self._error = Cancelled("the stream was interrupted")
            self._over()
            raise
        finally:
            self._busy = False
        self._chunks.extend(turn.chunks)
        self._whole = turn.ended
        self._error = turn.error
        if turn.ended or turn.error is not None:
            self._over()
        return turn.stands

    def _over(self) -> None:
        op, self._op = self._op, None
        if op is not None:
            op.close()
        if self._session is not None and self._receipt is None:
            self._receipt = self._session.session.receipt()
