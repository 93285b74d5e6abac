"""HTTP/2 without I/O: one client connection that carries one exchange at a time, over h2.

One at a time, because exchanges that share a connection wait for each other: one caller's deadline
would depend on another's server. What h2 leaves to its user is bounded here: frames are handed to
it one by one, so that whoever drives this can look at the clock in between; a header block has a
cap before it is decoded; the peer's data is acknowledged when it is read, so that what waits here
is at most a window; and an orderly GOAWAY lets the exchange under way end, which h2 does not.
"""

from __future__ import annotations

import contextlib
import logging
import re
from collections.abc import Iterator
from contextvars import ContextVar
from typing import Final

import h2.config
import h2.connection
import h2.errors
import h2.events
import h2.exceptions
import h2.settings
import httpcore
from hpack import NeverIndexedHeaderTuple

from fumehood.egress.exchange import CHUNK_CAP, RawHeaders
from fumehood.errors import TooMuch

HEAD_BYTES: Final = 32 * 1024
"""Of one header block as it is sent: decoding them takes a few milliseconds."""
HEAD_DECODED: Final = 64 * 1024
"""Of one header block decoded, and 32 for each header (RFC 9113, 6.5.2)."""
WINDOW: Final = 1024 * 1024
"""Bytes that the peer may send before we read."""
FRAME: Final = 16 * 1024
QUEUE: Final = 256 * 1024
"""Bytes of a request's body that are made ready to be sent at once."""
EXCHANGES: Final = 1000
"""Exchanges of one connection: h2 remembers each of them."""

_HEAD: Final = 9
_HEADERS, _PUSH_PROMISE, _GOAWAY, _CONTINUATION = 1, 5, 7, 9
_END_HEADERS: Final = 4
_NAME: Final = re.compile(rb"[!#$%&'*+\-.^_`|~0-9a-z]+")
_STATUS: Final = re.compile(rb"[1-9][0-9]{2}")

_ours: Final[ContextVar[bool]] = ContextVar("fumehood_egress_http2", default=False)


class _Quiet(logging.Filter):
    """Keeps hpack's debug log free of our headers: it prints each, a key too."""

    def filter(self, record: logging.LogRecord) -> bool:
        return not _ours.get()


for _name in ("hpack.hpack", "hpack.table"):
    logging.getLogger(_name).addFilter(_Quiet())

_Setting = h2.settings.SettingCodes


class Machine:
    """One connection, from its first byte.

    `begin` an exchange, then have `fill` queue its body; send `output`; hand what comes to
    `receive` and take `step`s until there is a `status`, or `take` gives something, or the
    exchange has `ended`. What the peer does wrong is raised as httpcore's errors, as h11's users
    know them; nothing is to be done then but to close the connection.
    """

    def __init__(self) -> None:
        self._http = h2.connection.H2Connection(
            h2.config.H2Configuration(client_side=True, header_encoding=None)
        )
        self._http.local_settings = h2.settings.Settings(
            client=True,
            initial_values={
                _Setting.ENABLE_PUSH: 0,
                _Setting.INITIAL_WINDOW_SIZE: WINDOW,
                _Setting.MAX_FRAME_SIZE: FRAME,
                _Setting.MAX_HEADER_LIST_SIZE: HEAD_DECODED,
            },
        )
        self._http.decoder.max_header_list_size = HEAD_DECODED
        self._http.initiate_connection()
        self._http.increment_flow_control_window(WINDOW - 65_535)
        self._buffer = bytearray()
        self._block = 0
        self._count = 0
        self._last = False
        self._stream = 0
        self._body = memoryview(b"")
        self._sent = True
        self._frames = 0
        self._data = bytearray()
        self._owed = 0  # bytes of the window, padding too
        self.status = 0
        self.headers: RawHeaders = []
        self.ended = True

    def begin(
        self, method: str, scheme: str, target: str, headers: RawHeaders, body: bytes
    ) -> None:
        """Queue a request. `headers` are those of HTTP/1.1, `host` among them."""
        self.status, self.headers, self.ended = 0, [], False
        self._frames = 0
        self._data.clear()
        self._owed = 0
        self._count += 1
        authority = next(value for name, value in headers if name == b"host")
        head = [
            (b":method", method.encode("ascii")),
            (b":authority", authority),
            (b":scheme", scheme.encode("ascii")),
            (b":path", target.encode("ascii")),
        ]
        # Never indexed: a key next to text of a guest's choice shall not be compressed.
        head += [NeverIndexedHeaderTuple(n, v) for n, v in headers if n != b"host"]
        self._body = memoryview(body)
        self._sent = not body
        with _working():
            self._stream = self._http.get_next_available_stream_id()
            self._http.send_headers(self._stream, head, end_stream=not body)

    def fill(self) -> bool:
        """Queue more of the body, as far as the peer allows; whether there was any."""
        queued = 0
        while not self._sent and not self.ended and queued < QUEUE:
            with _working():
                room = self._http.local_flow_control_window(self._stream)
                room = min(room, self._http.max_outbound_frame_size, FRAME)
                if room <= 0:
                    break
                part, self._body = self._body[:room], self._body[room:]
                self._sent = not self._body
                self._http.send_data(self._stream, bytes(part), end_stream=self._sent)
            queued += len(part)
        return queued > 0

    @property
    def stalled(self) -> bool:
        """Whether a part of the body waits for the peer."""
        return not self._sent and not self.ended

    def give_up(self) -> None:
        """The peer takes no more of the body; its answer may be there all the same."""
        self._sent = self._last = True

    def output(self) -> bytes:
        """What is to be sent now."""
        data: bytes = self._http.data_to_send()
        return data

    def receive(self, data: bytes) -> None:
        """What the peer sent, none at its end."""
        if not data:
            if not self.status:
                raise httpcore.RemoteProtocolError("Server disconnected without a response.")
            raise httpcore.ReadError("the connection ended before the reply did")
        self._buffer += data

    def step(self) -> bool:
        """Look at one frame; False where there is no whole one."""
        buffer = self._buffer
        if len(buffer) < _HEAD:
            return False
        length, kind = int.from_bytes(buffer[:3]), buffer[3]
        if length > FRAME:
            raise httpcore.RemoteProtocolError(f"a frame of {length} bytes")
        if len(buffer) < _HEAD + length:
            return False
        frame = bytes(buffer[: _HEAD + length])
        del buffer[: _HEAD + length]
        self._frames += 1
        if self._frames > CHUNK_CAP:
            raise TooMuch(
                f"the reply comes in more than {CHUNK_CAP} pieces", limit="response_bytes"
            )
        if kind in (_HEADERS, _PUSH_PROMISE, _CONTINUATION):
            self._block += length
            if self._block > HEAD_BYTES:
                raise httpcore.RemoteProtocolError(f"headers of more than {HEAD_BYTES} bytes")
            if frame[4] & _END_HEADERS:
                self._block = 0
        if kind != _GOAWAY or not self._goes_away(frame):
            self._handle(frame)
        return True

    def take(self) -> bytes:
        """What came of the body since; the peer may send as much again."""
        data = bytes(self._data)
        self._data.clear()
        owed, self._owed = self._owed, 0
        if owed:
            with _working():
                self._http.acknowledge_received_data(owed, self._stream)
        return data

    def reuse(self) -> bool:
        """Whether the connection can carry another exchange."""
        if not (self.ended and self._sent and not self._last) or self._count >= EXCHANGES:
            return False
        try:
            while self.step():
                pass
        except (httpcore.RemoteProtocolError, TooMuch):
            return False
        room = self._http.remote_settings.max_concurrent_streams >= 1
        return room and not self._last and not (self._buffer or self._data or self._owed)

    def _goes_away(self, frame: bytes) -> bool:
        """A GOAWAY that leaves the exchange under way alone was seen to; True then."""
        self._last = True
        last = int.from_bytes(frame[_HEAD : _HEAD + 4]) & 0x7FFFFFFF
        code = int.from_bytes(frame[_HEAD + 4 : _HEAD + 8])
        if len(frame) < _HEAD + 8 or any(frame[5:_HEAD]):
            return False
        if self.ended or (last >= self._stream and not code):
            return True
        if last < self._stream and not self.status:
            # The request was not looked at, so it may be sent again: as after a connection's end.
            raise httpcore.ReadError(f"the server goes away ({_code(code)})")
        raise httpcore.RemoteProtocolError(f"the server goes away ({_code(code)})")

    def _handle(self, frame: bytes) -> None:
        with _working():
            events = self._http.receive_data(frame)
        for event in events:
            if isinstance(event, h2.events.StreamReset):
                self._reset(event)
            elif isinstance(event, h2.events.ResponseReceived):
                self._head(event.headers or [])
            elif isinstance(event, h2.events.DataReceived):
                self._data += event.data or b""
                self._owed += event.flow_controlled_length or 0
            elif isinstance(event, h2.events.StreamEnded):
                self.ended = True

    def _head(self, headers: object) -> None:
        assert isinstance(headers, list)
        for name, value in headers:
            if name == b":status":
                if not _STATUS.fullmatch(value):
                    raise httpcore.RemoteProtocolError("a status that is no number")
                self.status = int(value)
            elif not _NAME.fullmatch(name):
                raise httpcore.RemoteProtocolError("a header name that is none")
            else:
                self.headers.append((bytes(name), bytes(value)))

    def _reset(self, event: h2.events.StreamReset) -> None:
        self._last = True
        if self.ended:  # the reply is whole: the server wants no more of the request
            return
        code = event.error_code
        if code == h2.errors.ErrorCodes.REFUSED_STREAM and not self.status:
            raise httpcore.ReadError("the server refused the stream")  # it was not looked at
        raise httpcore.RemoteProtocolError(f"the server reset the stream ({_code(code)})")


def _code(code: int) -> str:
    """The name of an error code."""
    try:
        return h2.errors.ErrorCodes(code).name
    except ValueError:
        return str(code)


@contextlib.contextmanager
def _working() -> Iterator[None]:
    """Around h2: its errors become httpcore's, and nothing is logged."""
    token = _ours.set(True)
    try:
        yield
    except h2.exceptions.ProtocolError as problem:
        text = str(problem) or type(problem).__name__
        raise httpcore.RemoteProtocolError(f"HTTP/2: {text}") from None
    finally:
        _ours.reset(token)
