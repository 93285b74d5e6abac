"""The streamed answer to a chat, as callers see it."""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable, Iterator
from types import TracebackType

from fumehood.abi.replies import StreamChunk
from fumehood.errors import Cancelled, ClosedError, Error, UsageError
from fumehood.limits import Receipt
from fumehood.provider.assemble import Assembler
from fumehood.provider.effects import Dropped, Emit, Op
from fumehood.provider.results import ChatResponse
from fumehood.provider.runtime import Session

log = logging.getLogger("fumehood.provider")


class ChatStream:
    """Chunks of one answer, in order; each is given once.

        with provider.chat_stream("hi") as stream:
            for chunk in stream:
                print(chunk.text or "", end="")
        print(stream.response.usage, stream.receipt.fuel)

    It pins one instance and one connection until its end, `close()` or its collection. Belongs to
    one thread at a time. `response` and `receipt` are there after the end.
    """

    def __init__(
        self, session: Session, op: Op[None], done: Callable[[Session, Error | None], None]
    ) -> None:
        """Drives `op` until the stream stands; raises what fails before. `done` is called once,
        at the end, with the session and what ended it."""
        self._session = session
        self._op = op
        self._done: Callable[[Session, Error | None], None] | None = done
        self._assembler = Assembler(session.meter.limits.output_bytes)
        self._response: ChatResponse | None = None
        self._receipt: Receipt | None = None
        self._advance(None)

    def __iter__(self) -> Iterator[StreamChunk]:
        return self

    def __next__(self) -> StreamChunk:
        if self._done is None:
            raise StopIteration
        chunk = self._advance(None)
        if chunk is None:
            raise StopIteration
        return chunk

    def __enter__(self) -> ChatStream:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def __del__(self) -> None:
        if getattr(self, "_done", None) is not None and not sys.is_finalizing():
            self.close()

    @property
    def response(self) -> ChatResponse:
        """The whole answer. Raises UsageError before the end, ClosedError where the stream was
        closed or failed before it."""
        if self._response is None:
            if self._done is not None:
                raise UsageError("the stream has not ended yet", hint="iterate over it first")
            raise ClosedError("the stream was closed before its end")
        return self._response

    @property
    def receipt(self) -> Receipt:
        """What the operation used: so far, or altogether after the end."""
        return self._receipt or self._session.receipt()

    def close(self) -> None:
        """End the stream: close the connection, let the plugin drop its parser. Idempotent."""
        if self._done is None:
            return
        try:
            item, _ = self._session.step(self._op, Dropped())
            while item is not None:  # chunks on the way out are nobody's
                item, _ = self._session.step(self._op, None)
        except Dropped:
            pass  # it had not begun
        except Error as error:
            log.debug("%s: closing a stream: %s", self._session.meter.plugin, error)
        self._end(None)

    def _advance(self, failure: BaseException | None) -> StreamChunk | None:
        """The next chunk; None at the end, and where the stream now stands."""
        try:
            item, _ = self._session.step(self._op, failure)
            if isinstance(item, Emit):
                self._assembler.add(item.chunk)
                return item.chunk
            if item is None:
                self._receipt = self._session.receipt()
                self._response = ChatResponse.of(
                    self._assembler.reply(), self._receipt, self._assembler.signature
                )
                self._end(None)
        except Error as error:
            self._end(self._session.sign(error))
            raise
        except BaseException:
            self._end(Cancelled("the stream was interrupted"))
            raise
        return None

    def _end(self, error: Error | None) -> None:
        done, self._done = self._done, None
        if done is not None:
            self._op.close()
            if error is not None:
                self._session.fail()
            self._receipt = self._receipt or self._session.receipt()
            done(self._session, error)
