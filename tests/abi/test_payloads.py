"""Error payloads: every row of provider-abi.md §5.1, §5.2 and §5.3."""

from __future__ import annotations

import json
from typing import Any

import pytest

from fumehood import errors
from fumehood.abi import payloads
from fumehood.abi.payloads import (
    Payload,
    decode_failure,
    decode_payload,
    encode_payload,
    payload_of,
    to_error,
)
from fumehood.errors import (
    ProtocolError,
    TransportError,
)

M = {"message": "m"}

# type, other fields as written, retryable (§5.2)
ROWS: list[tuple[str, dict[str, Any], bool]] = [
    ("generic_error", M, False),
    ("provider_error", M, False),
    ("auth_error", M, False),
    ("tool_config_error", M, False),
    ("plugin_error", M, True),
    ("invalid_request", M, False),
    ("response_format_error", {**M, "raw_response": "r"}, False),
    ("rate_limited", {**M, "retry_after_secs": None}, True),
    ("rate_limited", {**M, "retry_after_secs": 5}, True),
    ("http_status", {**M, "status_code": 503, "retry_after_secs": 3}, True),
    ("http_status", {**M, "status_code": 429, "retry_after_secs": None}, True),
    ("http_status", {**M, "status_code": 500, "retry_after_secs": None}, True),
    ("http_status", {**M, "status_code": 599, "retry_after_secs": None}, True),
    ("http_status", {**M, "status_code": 600, "retry_after_secs": None}, False),
    ("http_status", {**M, "status_code": 404, "retry_after_secs": None}, False),
    ("http_error", M, True),
    ("cancelled", {}, False),
    ("remote_stream_disconnected", M, False),
    ("remote_stream_reconnected", M, False),
    ("not_implemented", M, False),
    ("json_error", M, False),
    ("invalid_url", M, False),
    *[("transport", {**M, "kind": kind}, True) for kind in payloads.TRANSPORT_KINDS],
    *[
        (
            "provider_error",
            {**M, "kind": kind},
            kind in ("server_overloaded", "rate_limited", "unknown_transient"),
        )
        for kind in payloads.PROVIDER_KINDS
    ],
]


@pytest.mark.parametrize(("kind", "rest", "retryable"), ROWS)
def test_every_type(kind: str, rest: dict[str, Any], retryable: bool) -> None:
    document = {"payload": {"type": kind, **rest}}
    payload = decode_payload(json.dumps(document).encode())
    assert payload.type == kind
    assert payload.retryable is retryable
    assert json.loads(encode_payload(payload)) == document
    assert decode_failure(json.dumps(document), 1) == payload


def test_the_tables_are_whole() -> None:
    assert {row[0] for row in ROWS} | {"io_error"} == payloads.TYPES
    assert len(payloads.TYPES) == 18
    assert payloads.TRANSPORT_KINDS == (
        "connection_refused",
        "connection_reset",
        "connection_closed",
        "timeout",
        "dns",
        "tls",
        "other",
    )
    assert len(payloads.PROVIDER_KINDS) == 9


def test_io_error_is_transport_other() -> None:
    payload = decode_payload(b'{"payload":{"type":"io_error","message":"m"}}')
    assert payload == Payload("transport", "m", "other")
    assert payload.retryable


def test_an_unknown_provider_kind_is_permanent() -> None:
    text = b'{"payload":{"type":"provider_error","message":"m","kind":"of_tomorrow"}}'
    assert decode_payload(text).kind == "unknown_permanent"


def test_optional_fields_may_be_null() -> None:
    text = (
        b'{"payload":{"type":"provider_error","message":"m","kind":null,"code":null,'
        b'"error_type":null,"request_id":null,"retry_after_secs":null,"more":1}}'
    )
    assert decode_payload(text) == Payload("provider_error", "m")


@pytest.mark.parametrize(
    "body",
    [
        None,
        "cancelled",
        {},
        {"message": "m"},
        {"type": "of_tomorrow", "message": "m"},
        {"type": "transport", "message": "m"},
        {"type": "transport", "message": "m", "kind": "carrier_pigeon"},
        {"type": "transport", "message": "m", "kind": None},
        {"type": "auth_error"},
        {"type": "auth_error", "message": None},
        {"type": "response_format_error", "message": "m"},
        {"type": "http_status", "message": "m"},
        {"type": "http_status", "message": "m", "status_code": "503"},
        {"type": "http_status", "message": "m", "status_code": -1},
        {"type": "http_status", "message": "m", "status_code": 65536},
        {"type": "rate_limited", "message": "m", "retry_after_secs": 1.5},
        {"type": "rate_limited", "message": "m", "retry_after_secs": -1},
        {"type": "rate_limited", "message": "m", "retry_after_secs": "1"},
        {"type": "provider_error", "message": "m", "code": 5},
        {"type": 1, "message": "m"},
    ],
)
def test_undecodable(body: Any) -> None:
    text = json.dumps({"payload": body})
    with pytest.raises(ProtocolError):
        decode_payload(text.encode())
    assert decode_failure(text, 1) is None


def test_the_three_forms_of_a_rate_limit_are_alike() -> None:
    for payload in (
        Payload("rate_limited"),
        Payload("provider_error", kind="rate_limited"),
        Payload("http_status", status_code=429),
    ):
        assert payload.rate_limited
        assert payload.retryable
        error = to_error(payload)
        assert isinstance(error, errors.ProviderError)
        assert error.rate_limited
        assert error.retryable
    assert not Payload("http_status", status_code=503).rate_limited


# §5.3

GEN_B: list[tuple[int, str, Payload]] = [
    (0, '{"kind":"Generic","data":"m"}', Payload("plugin_error", "m")),
    (1, '{"kind":"Provider","data":"m"}', Payload("provider_error", "m")),
    (2, '{"kind":"Auth","data":"m"}', Payload("auth_error", "m")),
    (3, '{"kind":"InvalidRequest","data":"m"}', Payload("invalid_request", "m")),
    (
        4,
        '{"kind":"RateLimited","data":{"message":"m","retry_after_secs":5}}',
        Payload("rate_limited", "m", retry_after_secs=5),
    ),
    (5, '{"kind":"Http","data":"m"}', Payload("http_error", "m")),
    (6, '{"kind":"NotImplemented","data":"m"}', Payload("not_implemented", "m")),
    (7, '{"kind":"Cancelled"}', Payload("cancelled")),
]


@pytest.mark.parametrize(("rc", "text", "payload"), GEN_B)
def test_generation_b(rc: int, text: str, payload: Payload) -> None:
    for code in (rc, 1, -1):
        assert decode_failure(text, code) == payload
    assert decode_failure(text + "\n\nStack backtrace:\n   0: {", rc) == payload
    code, written = payloads.encode_gen_b(payload)
    assert (code, json.loads(written)) == (rc, json.loads(text))


def test_generation_b_without_a_hint() -> None:
    text = '{"kind":"RateLimited","data":{"message":"m","retry_after_secs":null}}'
    assert decode_failure(text, 4) == Payload("rate_limited", "m")


def test_payloads_unknown_to_generation_b_are_generic() -> None:
    code, written = payloads.encode_gen_b(Payload("http_status", "m", status_code=500))
    assert (code, json.loads(written)) == (0, {"kind": "Generic", "data": "m"})


# §5.1


@pytest.mark.parametrize(
    "text",
    [
        "",
        "Function not found: chat",
        "plain { text",
        "{",
        "{}",
        "[]",
        "null",
        '"m"',
        '{"kind":"Generic"}',
        '{"kind":"Generic","data":{}}',
        '{"kind":"Unheard","data":"m"}',
        '{"kind":"RateLimited","data":"m"}',
        '{"data":"m"}',
        '{"payload":',
        '{"payload":{"type":"auth_error","message":"\ud800"}}',
        "{" * 5000,
        "\0",
    ],
)
def test_raw_text_is_none(text: str) -> None:
    assert decode_failure(text, 1) is None


def test_a_payload_comes_before_a_kind() -> None:
    text = '{"kind":"Auth","data":"a","payload":{"type":"cancelled"}}'
    assert decode_failure(text, 2) == Payload("cancelled")


def test_trailing_text_does_not_spoil_a_payload() -> None:
    text = '{"payload":{"type":"auth_error","message":"a } b"}}\n\nStack backtrace:\n 0: <unknown>'
    assert decode_failure(text, 1) == Payload("auth_error", "a } b")


# To exceptions


@pytest.mark.parametrize(
    ("kind", "wanted"),
    [
        ("connection_refused", "connect"),
        ("connection_reset", "reset"),
        ("connection_closed", "reset"),
        ("timeout", "timeout"),
        ("dns", "dns"),
        ("tls", "tls"),
        ("other", "protocol"),
    ],
)
def test_transport_errors(kind: str, wanted: str) -> None:
    error = to_error(Payload("transport", "m", kind))
    assert isinstance(error, errors.TransportError)
    assert (error.kind, error.message) == (wanted, "m")


def test_the_other_classes() -> None:
    assert isinstance(to_error(Payload("cancelled")), errors.Cancelled)
    plugin = to_error(Payload("plugin_error", "m"))
    assert isinstance(plugin, errors.PluginError)
    assert plugin.message == "m"
    io = to_error(Payload("io_error", "m"))
    assert isinstance(io, errors.TransportError)
    assert io.kind == "protocol"


@pytest.mark.parametrize(
    "kind",
    sorted(payloads.TYPES - {"transport", "io_error", "cancelled", "plugin_error"}),
)
def test_everything_else_is_a_provider_error(kind: str) -> None:
    payload = Payload(kind, "m", status_code=503 if kind == "http_status" else None)
    error = to_error(payload)
    assert isinstance(error, errors.ProviderError)
    assert error.kind == kind
    assert error.retryable is payload.retryable
    assert error.raw == payload.to_dict()
    assert error.status == payload.status_code


def test_all_that_a_provider_error_can_carry() -> None:
    payload = Payload("provider_error", "m", "quota_exceeded", "c", "t", "req", 12)
    error = to_error(payload, status=402)
    assert isinstance(error, errors.ProviderError)
    assert (error.kind, error.status, error.retryable) == ("quota_exceeded", 402, False)
    assert (error.retry_after, error.request_id) == (12.0, "req")
    assert error.raw == {
        "type": "provider_error",
        "message": "m",
        "kind": "quota_exceeded",
        "code": "c",
        "error_type": "t",
        "request_id": "req",
        "retry_after_secs": 12,
    }


def test_messages_are_never_empty_and_never_endless() -> None:
    assert to_error(Payload("not_implemented")).message == "not implemented"
    assert len(to_error(Payload("auth_error", "x" * 100_000)).message) < 20_000


def test_a_transport_failure_without_a_kind() -> None:
    error = to_error(Payload("transport", "m"))
    assert isinstance(error, TransportError)
    assert error.kind == "protocol"


def test_a_status_may_be_nought() -> None:
    assert payload_of({"type": "http_status", "message": "", "status_code": 0}).status_code == 0


def test_what_an_error_takes_from_its_payload() -> None:
    assert to_error(Payload("io_error", "m")).message == "m"
    odd = to_error(Payload("rate_limited", "m", kind="overloaded"))
    assert isinstance(odd, errors.ProviderError)
    assert odd.kind == "rate_limited"
