"""A guest call that runs beside its consumer: generation B's streams (provider-abi.md §1.2).

The guest yields chunks from inside the call. They pass through a small bounded queue, so that a
slow consumer slows the guest, and a consumer that is gone stops it.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from typing import Final

from fumehood import forks
from fumehood.errors import ClosedError
from fumehood.limits import MIB
from fumehood.meter import Meter

NOTHING: Final = object()
"""What `poll` gives where nothing has come yet."""
QUEUED: Final = 32
"""Chunks that wait for the consumer."""
QUEUED_BYTES: Final = 4 * MIB
"""Bytes that wait; one chunk may always."""


class Worker:
    """Runs `call` on a thread of its own: `put` is the guest's side, `next` the consumer's, or
    `poll` for one that does not block: it is told by `arrived` when there is something again."""

    def __init__(
        self,
        call: Callable[[], object],
        meter: Meter,
        arrived: Callable[[], None] | None = None,
    ) -> None:
        self._call = call
        self._meter = meter
        self._arrived = arrived
        self._turn = threading.Condition(forks.rlock())
        self._items: deque[bytes] = deque()
        self._bytes = 0
        self._forks = forks.count
        self._gone = False
        self._done = False
        self._failure: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name="fumehood-stream", daemon=True)

    def start(self) -> None:
        """Begin the call."""
        self._thread.start()

    def put(self, item: bytes) -> bool:
        """Queue one chunk; waits while the queue is full. False where nobody listens any more.

        Raises Timeout where the deadline passes meanwhile.
        """
        remove = self._meter.on_cancel(self._wake)
        try:
            with self._turn:
                while not self._gone and not self._fits(item):
                    self._turn.wait(self._meter.remaining())
                if self._gone:
                    return False
                self._items.append(item)
                self._bytes += len(item)
                self._tell()
                return True
        finally:
            remove()

    def next(self) -> bytes | None:
        """The next chunk, None when the call returned; raises what the call raised."""
        with self._turn:
            self._check()
            while not self._items and not self._done:
                self._turn.wait()
            return self._take()

    def poll(self) -> object:
        """`next` that does not wait: NOTHING where nothing has come yet."""
        with self._turn:
            self._check()
            return self._take() if self._items or self._done else NOTHING

    def _check(self) -> None:
        """The child of a fork has no thread that goes on with the call."""
        if self._forks != forks.count and not self._done:
            self._done = True
            self._failure = ClosedError("the stream was left behind in the parent process")

    def _take(self) -> bytes | None:
        if self._items:
            item = self._items.popleft()
            self._bytes -= len(item)
            self._turn.notify_all()
            return item
        if self._failure is not None and not self._gone:
            failure, self._failure = self._failure, None
            raise failure
        return None

    def _tell(self) -> None:
        self._turn.notify_all()
        if self._arrived is not None and (len(self._items) == 1 or self._done):
            self._arrived()

    def stop(self) -> None:
        """Nobody listens any more: stop the guest, wait until it has stopped. Idempotent."""
        with self._turn:
            if self._gone:
                return
            self._gone = True
            self._items.clear()
            running = not self._done
            self._turn.notify_all()
        if running:
            self._meter.cancel()
        if self._thread.ident is not None and self._thread is not threading.current_thread():
            self._thread.join()

    def _fits(self, item: bytes) -> bool:
        if not self._items:
            return True
        return len(self._items) < QUEUED and self._bytes + len(item) <= QUEUED_BYTES

    def _wake(self) -> None:
        with self._turn:
            self._turn.notify_all()

    def _run(self) -> None:
        try:
            self._call()
        except BaseException as failure:  # noqa: BLE001 - raised again where the consumer waits
            self._failure = failure
        with self._turn:
            self._done = True
            self._tell()
