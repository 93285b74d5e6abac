"""A stub endpoint as lean as Python allows: `python -m bench.stub` prints its port and serves.

Every POST gets the same chat completion; nothing of it is looked at but where it ends. It says in
its answer that it is a stub. `fumehood.testing.stub` knows many more manners and is too slow to
measure clients against.
"""

from __future__ import annotations

import asyncio
import json
import re
from typing import Final

TEXT: Final = "This is the stub endpoint of the benchmark, no model is behind it."
_REPLY: Final = json.dumps(
    {
        "id": "chatcmpl-stub",
        "object": "chat.completion",
        "created": 1_760_000_000,
        "model": "stub-1",
        "choices": [
            {
                "index": 0,
                "message": {"role": "assistant", "content": TEXT},
                "finish_reason": "stop",
            }
        ],
        "usage": {"prompt_tokens": 9, "completion_tokens": 14, "total_tokens": 23},
    }
).encode()
_ANSWER: Final = (
    b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n" % len(_REPLY)
    + _REPLY
)
_LENGTH: Final = re.compile(rb"\r\ncontent-length:[ \t]*([0-9]{1,9})\r\n", re.IGNORECASE)


class Connection(asyncio.Protocol):
    """One client's: requests one after another, pipelined or in pieces."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._pending = b""

    def data_received(self, data: bytes) -> None:
        pending = self._pending + data if self._pending else data
        while (end := pending.find(b"\r\n\r\n")) >= 0:
            length = _LENGTH.search(pending, 0, end + 2)
            whole = end + 4 + (int(length[1]) if length else 0)
            if len(pending) < whole:
                break
            pending = pending[whole:]
            self._transport.write(_ANSWER)
        self._pending = pending


async def serve() -> None:
    """Serve on loopback until the process ends."""
    loop = asyncio.get_running_loop()
    server = await loop.create_server(Connection, "127.0.0.1", 0, backlog=1024)
    print(server.sockets[0].getsockname()[1], flush=True)
    async with server:
        await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(serve())
