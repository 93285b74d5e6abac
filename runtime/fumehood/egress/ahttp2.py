"""One HTTP/2 connection on an event loop: the twin of `ahttp.Connection`, over `http2.Machine`."""

from __future__ import annotations

import contextlib
import time
from typing import Final

import httpcore
from anyio.lowlevel import checkpoint

from fumehood.egress.awire import Stream, Waits
from fumehood.egress.exchange import RawHeaders
from fumehood.egress.http2 import Machine
from fumehood.egress.transport import KEEP_TIME

_READ: Final = 64 * 1024
_FRAMES: Final = 32
"""Frames between two looks at the event loop."""


class Connection2:
    """Carries one request after another. `status`, `headers`, `version` are the last reply's."""

    def __init__(self, stream: Stream) -> None:
        self.stream = stream
        self.status = 0
        self.headers: RawHeaders = []
        self.version = "HTTP/2"
        self.pieces = 0
        """Not counted here: the machine counts frames."""
        self._machine = Machine()
        self._idle_since = 0.0
        self._steps = 0

    async def request(
        self, waits: Waits, method: str, target: str, headers: RawHeaders, body: bytes
    ) -> None:
        """Send a request and read the head of the reply."""
        machine = self._machine
        machine.begin(method, waits.operation.url.scheme, target, headers, body)
        try:
            await self._flush(waits)
            while True:
                while machine.fill():
                    await self._flush(waits)
                if not machine.stalled:
                    break
                await self._advance(waits)
        except httpcore.WriteError:
            machine.give_up()  # a server may refuse before it has read everything
        while not machine.status:
            await self._advance(waits)
        self.status, self.headers = machine.status, machine.headers

    async def read(self, waits: Waits) -> bytes | None:
        """The next bytes of the body, None at its end."""
        while True:
            data = self._machine.take()
            if data or self._machine.ended:
                return data or None
            await self._advance(waits)

    def reuse(self) -> bool:
        """Make ready for another request. False where the last exchange does not allow it."""
        self._idle_since = time.monotonic()
        return self._machine.reuse()

    @property
    def expired(self) -> bool:
        """Whether it was idle for too long."""
        return time.monotonic() - self._idle_since > KEEP_TIME

    def stands(self) -> bool:
        """Whether an idle connection can carry a request: the server may have ended it."""
        return not self.expired and not self.stream.ended()

    def close(self) -> None:
        """Close the socket. Idempotent."""
        self.stream.close()

    async def _advance(self, waits: Waits) -> None:
        """Look at the next frame."""
        self._steps += 1
        if self._steps % _FRAMES == 0:
            waits.operation.meter.remaining()
            await checkpoint()
        while not self._machine.step():
            with contextlib.suppress(httpcore.WriteError):
                await self._flush(waits)
            self._machine.receive(await self.stream.read(waits, _READ))

    async def _flush(self, waits: Waits) -> None:
        data = self._machine.output()
        if data:
            await self.stream.write(waits, data, waits.operation.idle)
