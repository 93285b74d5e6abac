"""One HTTP/2 connection of a thread's, over `http2.Machine`: the twin of `ahttp2.Connection2`."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import httpcore

from fumehood.egress.http2 import Machine
from fumehood.egress.kept import READ, Kept, Request
from fumehood.egress.wire import current


class HTTP2(Kept):
    """See `Kept`."""

    def __init__(self, stream: httpcore.NetworkStream, expiry: float) -> None:
        super().__init__(stream, expiry)
        self.version = b"HTTP/2"
        self._machine = Machine()

    def exchange(self, request: Request) -> None:
        """See `Kept`."""
        machine = self._machine
        machine.begin(
            request.method,
            request.scheme,
            request.target,
            request.headers,
            request.body,
        )
        try:
            self._flush()
            while True:
                while machine.fill():
                    self._flush()
                if not machine.stalled:
                    break
                self._advance()
        except httpcore.WriteError:
            machine.give_up()  # a server may refuse before it has read everything
        while not machine.status:
            self._advance()
        self.status, self.headers = machine.status, machine.headers

    def chunks(self) -> Iterator[bytes]:
        """See `Kept`: by frames."""
        machine = self._machine
        while True:
            data = machine.take()
            if data:
                yield data
            elif machine.ended:
                return
            else:
                self._advance()

    def reuse(self) -> bool:
        """See `Kept`."""
        return self._machine.reuse()

    def _advance(self) -> None:
        """Look at the next frame."""
        current.get().meter.remaining()
        while not self._machine.step():
            with contextlib.suppress(httpcore.WriteError):
                self._flush()
            self._machine.receive(self.wire.read(READ))

    def _flush(self) -> None:
        data = self._machine.output()
        if data:
            self.wire.write(data)
