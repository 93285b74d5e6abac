"""HTTP/2 servers on loopback: a well-behaved one over h2, and raw frames for those that are not."""

from __future__ import annotations

import ssl
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import h2.config
import h2.connection
import h2.events
import h2.exceptions
from hpack import Encoder
from hyperframe.frame import (
    ContinuationFrame,
    DataFrame,
    Frame,
    GoAwayFrame,
    HeadersFrame,
    RstStreamFrame,
)

from tests.egress.servers import Handler, Peer, Seen


def speaking(context: ssl.SSLContext, *protocols: str) -> ssl.SSLContext:
    """`context`, offering these protocols (HTTP/2 where none is named)."""
    context.set_alpn_protocols(list(protocols or ("h2",)))
    return context


@dataclass
class Conversation:
    """The server's side of one connection."""

    peer: Peer
    settings: dict[int, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.http = h2.connection.H2Connection(
            h2.config.H2Configuration(client_side=False, header_encoding="latin-1")
        )
        self.http.initiate_connection()
        self.http.update_settings(self.settings)  # they hold once the client saw them
        self.flush()
        self._encoder = Encoder()
        self._bodies: dict[int, bytes] = {}
        self._heads: dict[int, list[tuple[str, str]]] = {}

    def flush(self) -> None:
        self.peer.send(self.http.data_to_send())

    def requests(self, *, bodies: bool = True) -> Iterator[int]:
        """The streams of whole requests (of heads, without `bodies`) until the client closes."""
        while data := self.peer.sock.recv(65536):
            try:
                events = self.http.receive_data(data)
            except h2.exceptions.ProtocolError as problem:
                raise OSError("the client was told to go") from problem
            for event in events:
                if isinstance(event, h2.events.RequestReceived):
                    assert event.stream_id is not None
                    assert event.headers is not None
                    self._heads[event.stream_id] = [(str(n), str(v)) for n, v in event.headers]
                    self._bodies[event.stream_id] = b""
                    if not bodies:
                        yield event.stream_id
                elif isinstance(event, h2.events.DataReceived):
                    assert event.stream_id is not None
                    self._bodies[event.stream_id] += event.data or b""
                    self.http.acknowledge_received_data(
                        event.flow_controlled_length or 0, event.stream_id
                    )
                elif isinstance(event, h2.events.StreamEnded):
                    assert event.stream_id is not None
                    self._record(event.stream_id)
                    if bodies:
                        yield event.stream_id
            self.flush()

    def _record(self, stream: int) -> None:
        head = self._heads[stream]
        pseudo = dict(head[:4])
        line = f"{pseudo[':method']} {pseudo[':path']} {pseudo[':authority']}"
        peer = self.peer
        seen = Seen(line, head[4:], self._bodies[stream], peer.number, peer.server.sni)
        peer.server.seen.append(seen)

    def body(self, stream: int) -> bytes:
        return self._bodies[stream]

    def reply(self, stream: int, body: bytes, headers: dict[str, str] | None = None) -> None:
        """A whole reply, as the client's windows allow."""
        head = [(":status", "200"), *(headers or {}).items()]
        self.http.send_headers(stream, head)
        self.flush()
        view = memoryview(body)
        while view:
            room = min(self.http.local_flow_control_window(stream), 16384)
            if room:
                self.http.send_data(stream, bytes(view[:room]))
                view = view[room:]
                self.flush()
            else:
                data = self.peer.sock.recv(65536)
                if not data:
                    raise OSError("the client closed")
                self.http.receive_data(data)
        self.http.end_stream(stream)
        self.flush()

    def block(self, *headers: tuple[str, str]) -> bytes:
        """A header block, as hpack has it: nothing is checked."""
        return self._encoder.encode(headers)

    def head(self, stream: int, *headers: tuple[str, str], end: bool = False) -> None:
        """A head without checks; status 200 unless it is among `headers`."""
        block = self.block(*(headers or ((":status", "200"),)))
        flags = ["END_HEADERS"] + (["END_STREAM"] if end else [])
        self.send(HeadersFrame(stream, block, flags=flags))

    def send_block(self, stream: int, block: bytes) -> None:
        self.send(HeadersFrame(stream, block, flags=["END_HEADERS"]))

    def data(self, stream: int, data: bytes, *, end: bool = False) -> None:
        self.send(DataFrame(stream, data, flags=["END_STREAM"] if end else []))

    def reset(self, stream: int, code: int) -> None:
        self.send(RstStreamFrame(stream, error_code=code))

    def goaway(self, last: int, code: int = 0) -> None:
        self.send(GoAwayFrame(0, last_stream_id=last, error_code=code))

    def headers_without_end(self, stream: int, block: bytes) -> None:
        self.send(HeadersFrame(stream, block, flags=[]))

    def continuation(self, stream: int, block: bytes) -> None:
        self.send(ContinuationFrame(stream, block, flags=[]))

    def send(self, frame: Frame) -> None:
        self.peer.send(frame.serialize())


def conversing(
    act: Callable[[Conversation, int], None],
    *,
    bodies: bool = True,
    settings: dict[int, int] | None = None,
) -> Handler:
    """A server that does `act` for each request."""

    def handle(peer: Peer) -> None:
        talk = Conversation(peer, settings or {})
        for stream in talk.requests(bodies=bodies):
            act(talk, stream)

    return handle
