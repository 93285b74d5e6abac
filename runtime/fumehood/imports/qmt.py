"""The six host functions of `extism:host/user` that QueryMT plugins know (provider-abi.md §2.1).

All are defined for every plugin. They report HTTP trouble to the guest as QueryMT does, as replies
and results it can parse; what really happened is kept in `Services.failure`, because guests wrap it
in words of their own. The operation's own limits and its cancellation always stop the guest.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from fumehood.abi.http import HTTPRequest, HTTPResponse, decode_request, encode_response
from fumehood.abi.outputs import (
    StreamOpen,
    decode_id,
    decode_log_record,
    encode_stream_open,
)
from fumehood.abi.payloads import GEN_B_CODES, Payload, encode_payload, to_error
from fumehood.abi.status import classify
from fumehood.engine import HostCall, HostImport
from fumehood.errors import EgressDenied, Error, ProtocolError, TransportError
from fumehood.imports.log import QMT_LEVELS, TRACE
from fumehood.imports.services import Services

if TYPE_CHECKING:
    from fumehood.egress.client import ResponseStream

NAMESPACE: Final = "extism:host/user"

_PAYLOAD_KINDS: Final = {
    "timeout": "timeout",
    "connect": "connection_refused",
    "dns": "dns",
    "tls": "tls",
    "reset": "connection_reset",
    "protocol": "other",
}
_ERROR_BODY_CAP: Final = 1 << 20
_SUCCESS: Final = range(200, 300)


def _plain(status: int, text: str) -> bytes:
    return encode_response(HTTPResponse(status, (), text.encode("utf-8", "replace")))


def _open(call: HostCall, request: HTTPRequest) -> ResponseStream:
    services: Services = call.services
    if services.opener is not call.meter:
        services.close()  # a kept instance that never closes its streams holds no more than these
        services.opener = call.meter
    if services.client is None or services.grant is None:
        raise EgressDenied("this plugin has no network", reason="host", hint="grant a host")
    return services.client.stream(request, services.grant, call.meter, secrets=services.secrets)


def qmt_http_request(call: HostCall, request: int) -> int:
    """One exchange. A denied host is a reply of 403, a transport failure one of 500."""
    services: Services = call.services
    wanted = decode_request(call.read(request, "request"))
    if services.client is None or services.grant is None:
        services.failure = EgressDenied(
            "this plugin has no network", reason="host", hint="grant a host"
        )
        return call.write(_plain(403, "no host is in the allowlist"))
    try:
        reply = services.client.send(wanted, services.grant, call.meter, secrets=services.secrets)
    except EgressDenied as denied:
        services.failure = denied
        return call.write(_plain(403, f"Host '{denied.host or ''}' not in allowlist"))
    except TransportError as failed:
        services.failure = failed
        return call.write(_plain(500, failed.message))
    services.failure = None  # what came of it is what counts now
    return call.write(encode_response(reply))


def qmt_http_stream_open(call: HostCall, request: int) -> int:
    """Open a reply; `ok` with its id, or `error` with the classified failure (§3.9)."""
    services: Services = call.services
    wanted = decode_request(call.read(request, "request"))
    try:
        stream = _open(call, wanted)
    except (EgressDenied, TransportError) as failed:
        return _refused(call, failed)
    if stream.status not in _SUCCESS:
        try:
            body = _bounded_body(stream)
        finally:
            stream.close()
        payload = classify(stream.status, stream.headers, body, chat=False)
        # Generation B wraps this text in its own or takes it for another kind (hazard 12).
        services.failure = to_error(payload, status=stream.status)
        return call.write(_error(payload))
    services.failure = None
    services.last_stream += 1
    services.streams[services.last_stream] = stream
    return call.write(encode_stream_open(StreamOpen("ok", services.last_stream)))


def _bounded_body(stream: ResponseStream) -> bytes:
    parts: list[bytes] = []
    size = 0
    while size < _ERROR_BODY_CAP and (part := stream.read()):
        parts.append(part)
        size += len(part)
    return b"".join(parts)


def _refused(call: HostCall, failed: Error) -> int:
    services: Services = call.services
    services.failure = failed
    if isinstance(failed, TransportError):
        kind = _PAYLOAD_KINDS.get(failed.kind, "other")
        return call.write(_error(Payload("transport", message=failed.message, kind=kind)))
    return call.write(_error(Payload("auth_error", message=failed.message)))


def _error(payload: Payload) -> bytes:
    return encode_stream_open(
        StreamOpen(
            "error",
            plugin_error=encode_payload(payload).decode(),
            error_code=GEN_B_CODES.get(payload.type, 1),
        )
    )


def _stream_id(call: HostCall, handle: int) -> int:
    return decode_id(call.read(handle, "stream id"), "a stream id")


def qmt_http_stream_next(call: HostCall, stream: int) -> int:
    """The next bytes of the body; 0 at its end, also when asked again."""
    services: Services = call.services
    number = _stream_id(call, stream)
    if number == 0 or number in services.finished_streams:
        return 0
    source = services.streams.get(number)
    if source is None:
        raise ProtocolError(f"no stream has the id {number}")
    data = source.read()
    if not data:  # an empty block would mean the end: only the end gives none
        services.finished_streams.add(number)
        services.streams.pop(number, source).close()
        return 0
    return call.write(data)


def qmt_http_stream_close(call: HostCall, stream: int) -> None:
    """Close a stream; unknown ids and 0 are ignored."""
    services: Services = call.services
    number = _stream_id(call, stream)
    services.finished_streams.discard(number)
    source = services.streams.pop(number, None)
    if source is not None:
        source.close()


def qmt_yield_chunk(call: HostCall, chunk: int) -> None:
    """Hand one chunk to whoever consumes the stream; without a listener the operation ends."""
    services: Services = call.services
    data = call.read(chunk, "chunk")
    if services.on_chunk is not None and not services.on_chunk(data):
        services.on_chunk = None
        call.meter.cancel()


def qmt_log(call: HostCall, record: int) -> None:
    """Log under the plugin's name, the guest's target in brackets."""
    services: Services = call.services
    line = decode_log_record(call.read(record, "log record"))
    level = QMT_LEVELS.get(line.level, TRACE)
    services.write_log(
        call.meter, level, line.message.encode("utf-8", "replace"), target=line.target
    )


def imports() -> list[HostImport]:
    """The six of them."""
    return [
        HostImport(NAMESPACE, "qmt_http_request", "I", "I", qmt_http_request, timed=True),
        HostImport(NAMESPACE, "qmt_http_stream_open", "I", "I", qmt_http_stream_open, timed=True),
        HostImport(NAMESPACE, "qmt_http_stream_next", "I", "I", qmt_http_stream_next, timed=True),
        HostImport(NAMESPACE, "qmt_http_stream_close", "I", "", qmt_http_stream_close),
        HostImport(NAMESPACE, "qmt_yield_chunk", "I", "", qmt_yield_chunk, timed=True),
        HostImport(NAMESPACE, "qmt_log", "I", "", qmt_log),
    ]
