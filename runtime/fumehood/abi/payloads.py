"""Errors as guests report them (provider-abi.md §5.1 to §5.3), and as callers see them.

A guest's error block holds `{"payload":{"type":…}}` (today), `{"kind","data"}` (generation B) or
plain text. `decode_failure` tells them apart, `to_error` makes the exception.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from fumehood.abi import jsonwire
from fumehood.abi.fields import (
    Object,
    as_object,
    as_text,
    field,
    get_int,
    get_object,
    get_text,
    opt_int,
    opt_text,
    without_none,
)
from fumehood.errors import (
    Cancelled,
    Error,
    PluginError,
    ProtocolError,
    ProviderError,
    TransportError,
    clip,
)

U16_MAX: Final = (1 << 16) - 1

PROVIDER_KINDS: Final = (
    "server_overloaded",
    "rate_limited",
    "quota_exceeded",
    "context_window_exceeded",
    "authentication",
    "invalid_request",
    "unsupported_operation",
    "unknown_transient",
    "unknown_permanent",
)

# What each kind of transport failure is called in TransportError.kind.
_TRANSPORT: Final = {
    "connection_refused": "connect",
    "connection_reset": "reset",
    "connection_closed": "reset",
    "timeout": "timeout",
    "dns": "dns",
    "tls": "tls",
    "other": "protocol",
}
TRANSPORT_KINDS: Final = tuple(_TRANSPORT)

# Payloads that are their type and a message.
_PLAIN: Final = frozenset(
    {
        "generic_error",
        "auth_error",
        "tool_config_error",
        "plugin_error",
        "invalid_request",
        "http_error",
        "remote_stream_disconnected",
        "remote_stream_reconnected",
        "not_implemented",
        "json_error",
        "invalid_url",
    }
)

TYPES: Final = _PLAIN | {
    "provider_error",
    "response_format_error",
    "rate_limited",
    "http_status",
    "transport",
    "cancelled",
    "io_error",
}

_RETRYABLE_TYPES: Final = frozenset({"plugin_error", "rate_limited", "http_error", "transport"})
_RETRYABLE_KINDS: Final = frozenset({"server_overloaded", "rate_limited", "unknown_transient"})

# Generation B's kinds (§5.3); RateLimited and Cancelled have shapes of their own.
_GEN_B: Final = {
    "Generic": "plugin_error",
    "Provider": "provider_error",
    "Auth": "auth_error",
    "InvalidRequest": "invalid_request",
    "Http": "http_error",
    "NotImplemented": "not_implemented",
}

GEN_B_CODES: Final = {
    "plugin_error": 0,
    "provider_error": 1,
    "auth_error": 2,
    "invalid_request": 3,
    "rate_limited": 4,
    "http_error": 5,
    "not_implemented": 6,
    "cancelled": 7,
}
"""Payload type to the code that generation B gives it (`error_code` of §3.9, return codes)."""


@dataclass(frozen=True, slots=True)
class Payload:
    """One ErrorPayload. `type` is one of TYPES; the other fields as the table of §5.2 has them."""

    type: str
    message: str = ""
    kind: str | None = None
    code: str | None = None
    error_type: str | None = None
    request_id: str | None = None
    retry_after_secs: int | None = None
    status_code: int | None = None
    raw_response: str | None = None

    @property
    def retryable(self) -> bool:
        """The column of §5.2. `plugin_error` is, though much that it reports is not (hazard 4)."""
        if self.type == "provider_error":
            return self.kind in _RETRYABLE_KINDS
        if self.type == "http_status":
            status = self.status_code or 0
            return status == 429 or 500 <= status <= 599
        return self.type in _RETRYABLE_TYPES

    @property
    def rate_limited(self) -> bool:
        """True for all three forms of a rate limit (§5.2)."""
        return (
            self.type == "rate_limited"
            or (self.type == "provider_error" and self.kind == "rate_limited")
            or (self.type == "http_status" and self.status_code == 429)
        )

    def to_dict(self) -> Object:
        """The payload as JSON has it: what stands under `payload`."""
        out: Object = {"type": self.type}
        if self.type == "cancelled":
            return out
        if self.type == "transport":
            return {**out, "kind": self.kind, "message": self.message}
        if self.type == "http_status":
            return {
                **out,
                "status_code": self.status_code,
                "message": self.message,
                "retry_after_secs": self.retry_after_secs,
            }
        out["message"] = self.message
        if self.type == "response_format_error":
            out["raw_response"] = self.raw_response
        elif self.type == "rate_limited":
            out["retry_after_secs"] = self.retry_after_secs
        elif self.type == "provider_error":
            names = ("kind", "code", "error_type", "request_id", "retry_after_secs")
            out.update(without_none({name: getattr(self, name) for name in names}))
        return out


def encode_payload(payload: Payload) -> bytes:
    """`{"payload":…}`: a guest's error block, the output of `classify_chat_error`."""
    return jsonwire.encode({"payload": payload.to_dict()})


def decode_payload(
    data: bytes | bytearray | memoryview, what: str = "the error of the plugin"
) -> Payload:
    """`{"payload":…}` as a whole document. Raises ProtocolError, also for an unknown type."""
    return payload_of(get_object(as_object(jsonwire.decode(data, what), what), "payload", what))


def payload_of(obj: Object, what: str = "payload") -> Payload:
    """A decoded payload object (§5.2). Raises ProtocolError for what makes it undecodable."""
    kind = get_text(obj, "type", what)
    if kind == "cancelled":
        return Payload("cancelled")
    if kind not in TYPES:
        raise ProtocolError(f"{what}.type is not known: {kind[:40]!r}")
    message = get_text(obj, "message", what)
    match kind:
        case "provider_error":
            provider_kind = opt_text(obj, "kind", what)
            if provider_kind is not None and provider_kind not in PROVIDER_KINDS:
                provider_kind = "unknown_permanent"
            return Payload(
                kind,
                message,
                provider_kind,
                opt_text(obj, "code", what),
                opt_text(obj, "error_type", what),
                opt_text(obj, "request_id", what),
                opt_int(obj, "retry_after_secs", what),
            )
        case "response_format_error":
            return Payload(kind, message, raw_response=get_text(obj, "raw_response", what))
        case "rate_limited":
            return Payload(kind, message, retry_after_secs=opt_int(obj, "retry_after_secs", what))
        case "http_status":
            return Payload(
                kind,
                message,
                status_code=get_int(obj, "status_code", what, 0, U16_MAX),
                retry_after_secs=opt_int(obj, "retry_after_secs", what),
            )
        case "transport":
            transport = get_text(obj, "kind", what)
            if transport not in _TRANSPORT:
                raise ProtocolError(f"{what}.kind is not known: {transport[:40]!r}")
            return Payload(kind, message, transport)
        case "io_error":
            return Payload("transport", message, "other")
    return Payload(kind, message)


def gen_b_payload_of(obj: Object, what: str = "the error") -> Payload:
    """A decoded `{"kind","data"}` of generation B (§5.3). Raises ProtocolError."""
    kind = get_text(obj, "kind", what)
    if kind == "Cancelled":
        return Payload("cancelled")
    data = field(obj, "data", what)
    if kind == "RateLimited":
        limits = as_object(data, f"{what}.data")
        seconds = opt_int(limits, "retry_after_secs", what)
        return Payload("rate_limited", get_text(limits, "message", what), retry_after_secs=seconds)
    if kind not in _GEN_B:
        raise ProtocolError(f"{what}.kind is not known: {kind[:40]!r}")
    return Payload(_GEN_B[kind], as_text(data, f"{what}.data"))


def encode_gen_b(payload: Payload) -> tuple[int, bytes]:
    """(rc, JSON) as generation B's guests write a payload; one without a B kind is `Generic`."""
    if payload.type == "cancelled":
        return GEN_B_CODES["cancelled"], jsonwire.encode({"kind": "Cancelled"})
    if payload.type == "rate_limited":
        data: Any = {"message": payload.message, "retry_after_secs": payload.retry_after_secs}
        return GEN_B_CODES["rate_limited"], jsonwire.encode({"kind": "RateLimited", "data": data})
    kind_of = {kind: name for name, kind in _GEN_B.items()}
    kind = payload.type if payload.type in kind_of else "plugin_error"
    return GEN_B_CODES[kind], jsonwire.encode({"kind": kind_of[kind], "data": payload.message})


def decode_failure(text: str, rc: int) -> Payload | None:
    """What a guest's error text says, or None where it is plain text (§5.1).

    Tried in order: `{"payload"}`, then `{"kind","data"}`, each under any return code, as the
    beginning of the text, since a backtrace may follow (hazard 3). Never raises.
    """
    del rc  # generations B and C both use 1: the shape decides (hazard 13)
    try:
        obj = as_object(jsonwire.decode_prefix(text, "the error"), "the error")
        if "payload" in obj:
            return payload_of(get_object(obj, "payload", "the error"))
        return gen_b_payload_of(obj)
    except ProtocolError:
        return None


def to_error(payload: Payload, *, status: int | None = None) -> Error:
    """The exception for a payload. `status` is that of the HTTP reply, where there was one.

    transport → TransportError; cancelled → Cancelled; plugin_error → PluginError; every other →
    ProviderError, `kind` the provider's kind where it has one, else the payload's type.
    """
    message = clip(payload.message) or payload.type.replace("_", " ")
    match payload.type:
        case "transport":
            return TransportError(message, kind=_TRANSPORT.get(payload.kind or "", "protocol"))
        case "io_error":
            return TransportError(message, kind="protocol")
        case "cancelled":
            return Cancelled(message)
        case "plugin_error":
            return PluginError(message)
    kind = payload.kind if payload.type == "provider_error" else None
    seconds = payload.retry_after_secs
    return ProviderError(
        message,
        kind=kind or payload.type,
        status=payload.status_code if status is None else status,
        retryable=payload.retryable,
        retry_after=None if seconds is None else float(seconds),
        request_id=payload.request_id,
        raw=payload.to_dict(),
    )
