"""The asynchronous client behind the synchronous one's face, so that one test tries both."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from types import TracebackType
from typing import Any

from anyio.from_thread import BlockingPortal, start_blocking_portal

from fumehood.abi.http import HTTPResponse
from fumehood.egress.aclient import AsyncClient, AsyncResponseStream


class PortalStream:
    """`AsyncResponseStream`, blocking."""

    def __init__(self, portal: BlockingPortal, stream: AsyncResponseStream) -> None:
        self._portal = portal
        self._stream = stream
        self.status = stream.status
        self.headers = stream.headers
        self.version = stream.version

    def read(self) -> bytes:
        return self._portal.call(self._stream.read)

    def lines(self) -> Iterator[bytes]:
        lines = self._stream.lines()

        async def following() -> bytes | None:
            return await anext(lines, None)

        try:
            while (line := self._portal.call(following)) is not None:
                yield line
        finally:
            self._portal.call(lines.aclose)

    def close(self) -> None:
        self._portal.call(self._stream.close)

    def __enter__(self) -> PortalStream:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class PortalClient:
    """`AsyncClient`, blocking, on an event loop in a thread of its own."""

    def __init__(self, backend: str, **options: Any) -> None:
        self._client = AsyncClient(**options)
        self._context = start_blocking_portal(backend)
        self._portal = self._context.__enter__()

    def send(self, *arguments: Any, **options: Any) -> HTTPResponse:
        return self._portal.call(functools.partial(self._client.send, *arguments, **options))

    def stream(self, *arguments: Any, **options: Any) -> PortalStream:
        call = functools.partial(self._client.stream, *arguments, **options)
        return PortalStream(self._portal, self._portal.call(call))

    def close(self) -> None:
        self._portal.call(self._client.close)

    def __enter__(self) -> PortalClient:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()
        self._context.__exit__(None, None, None)
