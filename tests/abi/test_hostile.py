"""Whatever the bytes: a decoder answers a value or raises one of fumehood's errors."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fumehood.abi import calls, http, jsonwire, outputs, payloads, replies, speech, status
from fumehood.abi.bytearrays import decode_bytes
from fumehood.abi.messages import decode_messages
from fumehood.abi.messages_gen_a import decode_messages_gen_a
from fumehood.abi.tools import ToolCall, decode_tools
from fumehood.abi.wire import MSGPACK
from fumehood.errors import Error, ProtocolError
from fumehood.testing import strategies
from tests.counts import HYPOTHESIS_EXAMPLES

DECODERS: list[Callable[[bytes], Any]] = [
    lambda data: jsonwire.decode(data, "it"),
    lambda data: jsonwire.decode_prefix(data.decode("utf-8", "replace")),
    lambda data: decode_bytes(data, "it"),
    http.decode_request,
    http.decode_response,
    http.decode_extism_request,
    lambda data: decode_messages(jsonwire.decode(data, "it")),
    lambda data: decode_messages_gen_a(jsonwire.decode(data, "it")),
    lambda data: decode_tools(jsonwire.decode(data, "it")),
    replies.decode_chat_response,
    replies.decode_chunk,
    replies.decode_chunks,
    outputs.decode_models,
    outputs.decode_static_models,
    outputs.decode_vectors,
    outputs.decode_text,
    outputs.decode_schema,
    lambda data: outputs.decode_raw(data, "it"),
    lambda data: outputs.decode_optional_raw(data, "it"),
    lambda data: outputs.decode_flag(data, "it"),
    lambda data: outputs.decode_id(data, "it"),
    outputs.decode_stream_open,
    outputs.decode_log_record,
    speech.decode_speech,
    speech.decode_speech_input,
    speech.decode_transcribe_input,
    calls.decode_chat_input,
    calls.decode_complete_input,
    calls.decode_embed_input,
    calls.decode_parser_parse_input,
    payloads.decode_payload,
]

PACKED: list[Callable[[bytes], Any]] = [
    lambda data: MSGPACK.decode(data, "it"),
    lambda data: decode_messages(MSGPACK.decode(data, "it")),
    lambda data: decode_messages_gen_a(MSGPACK.decode(data, "it")),
    lambda data: decode_tools(MSGPACK.decode(data, "it")),
    *(
        partial(decode, wire=MSGPACK)
        for decode in (
            http.decode_request,
            http.decode_response,
            replies.decode_chat_response,
            replies.decode_chunks,
            outputs.decode_models,
            outputs.decode_static_models,
            outputs.decode_vectors,
            outputs.decode_text,
            partial(outputs.decode_flag, what="it"),
            partial(outputs.decode_id, what="it"),
            speech.decode_speech,
            speech.decode_speech_input,
            speech.decode_transcribe_input,
            calls.decode_chat_input,
            calls.decode_complete_input,
            calls.decode_embed_input,
            calls.decode_parser_parse_input,
        )
    ),
]

NEVER: list[Callable[[bytes], Any]] = [
    lambda data: payloads.decode_failure(data.decode("utf-8", "surrogateescape"), 1),
    lambda data: ToolCall("c", "f", data.decode("utf-8", "surrogateescape")).parsed,
    lambda data: status.retry_hint((), data),
    lambda data: status.classify(500, (), data, False).message,
]


def valid_documents() -> st.SearchStrategy[bytes]:
    """One of every kind of document."""
    cfg: dict[str, Any] = {"model": "m"}
    return st.one_of(
        strategies.http_requests().map(http.encode_request),
        strategies.http_responses().map(http.encode_response),
        strategies.conversations().map(lambda value: calls.chat_input(cfg, value)),
        strategies.chat_replies().map(replies.encode_chat_response),
        st.lists(strategies.stream_chunks(), max_size=3).map(replies.encode_chunks),
        strategies.stream_chunks().map(replies.encode_chunk),
        strategies.payloads().map(payloads.encode_payload),
        strategies.vectors().map(outputs.encode_vectors),
        strategies.log_records().map(outputs.encode_log_record),
        strategies.stream_opens().map(outputs.encode_stream_open),
        strategies.completions().map(lambda value: calls.complete_input(cfg, value)),
        strategies.speech_requests().map(lambda value: speech.speech_input(cfg, value)),
        strategies.speech_replies().map(speech.encode_speech),
        st.binary(max_size=20).map(lambda line: calls.parser_parse_input(1, line)),
    )


def packed_documents() -> st.SearchStrategy[bytes]:
    """The same in MessagePack, of what travels in it."""
    cfg: dict[str, Any] = {"model": "m"}
    return st.one_of(
        strategies.http_requests().map(lambda value: http.encode_request(value, wire=MSGPACK)),
        strategies.http_responses().map(lambda value: http.encode_response(value, wire=MSGPACK)),
        strategies.conversations().map(lambda value: calls.chat_input(cfg, value, wire=MSGPACK)),
        strategies.chat_replies().map(
            lambda value: replies.encode_chat_response(value, wire=MSGPACK)
        ),
        st.lists(strategies.stream_chunks(), max_size=3).map(
            lambda value: replies.encode_chunks(value, wire=MSGPACK)
        ),
        strategies.vectors().map(lambda value: outputs.encode_vectors(value, wire=MSGPACK)),
        strategies.completions().map(lambda value: calls.complete_input(cfg, value, wire=MSGPACK)),
        strategies.speech_requests().map(
            lambda value: speech.speech_input(cfg, value, wire=MSGPACK)
        ),
        strategies.speech_replies().map(lambda value: speech.encode_speech(value, wire=MSGPACK)),
        st.binary(max_size=20).map(lambda line: calls.parser_parse_input(1, line, wire=MSGPACK)),
    )


def refusal(decode: Callable[[bytes], Any], data: bytes) -> str | None:
    try:
        decode(data)
    except ProtocolError as problem:
        return problem.message
    return None


def feed(data: bytes) -> None:
    for decode in DECODERS:
        message = refusal(decode, data)
        assert message is None or 0 < len(message) < 1000
    for decode in PACKED:
        message = refusal(decode, data)
        assert message is None or 0 < len(message) < 1000
    for never in NEVER:
        never(data)


relaxed = settings(
    max_examples=HYPOTHESIS_EXAMPLES,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)


@relaxed
@given(strategies.hostile_documents())
def test_hostile_documents(data: bytes) -> None:
    feed(data)


@relaxed
@given(strategies.hostile_packed() | strategies.mutated(packed_documents()))
def test_hostile_messagepack(data: bytes) -> None:
    feed(data)


@relaxed
@given(strategies.mutated(valid_documents()))
def test_documents_that_are_almost_right(data: bytes) -> None:
    feed(data)


@relaxed
@given(strategies.json_values(20))
def test_documents_of_the_wrong_shape(value: Any) -> None:
    feed(jsonwire.encode(value))
    feed(MSGPACK.encode(value))
    for inside in ("payload", "req", "resp", "chunk", "text"):
        feed(jsonwire.encode({inside: value}))
        feed(MSGPACK.encode({inside: value}))


@relaxed
@given(
    st.lists(st.tuples(strategies.header_names(), st.text(max_size=30)), max_size=4),
    st.text(max_size=40),
    strategies.hostile_documents(),
    st.integers(100, 999),
    st.booleans(),
)
def test_statuses_of_hostile_replies(
    headers: list[tuple[str, str]], value: str, body: bytes, code: int, chat: bool
) -> None:
    for name in ("retry-after", "retry-after-ms", "x-ratelimit-reset-requests"):
        payload = status.classify(code, [(name, value), *headers], body, chat)
        assert payload.retry_after_secs is None or payload.retry_after_secs >= 0
        assert isinstance(payloads.to_error(payload, status=code), Error)


@relaxed
@given(st.text("0123456789, :GMTWedJanFri+-./", max_size=40))
def test_dates_that_are_none(text: str) -> None:
    hint = status.retry_hint([("retry-after", text)], now=0.0)
    assert hint is None or hint >= 0


@pytest.mark.parametrize("decode", [*DECODERS, *PACKED])
def test_nothing_at_all(decode: Callable[[bytes], Any]) -> None:
    assert refusal(decode, b"") != ""
