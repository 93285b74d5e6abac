"""What the strategies make encodes, and decodes to an equal value."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import partial
from typing import Any

import msgpack
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fumehood.abi import calls, http, jsonwire, msgwire, outputs, payloads, replies, speech, tools
from fumehood.abi.messages import decode_messages, encode_messages
from fumehood.abi.messages_gen_a import decode_messages_gen_a, encode_messages_gen_a
from fumehood.abi.wire import JSON, MSGPACK, Wire
from fumehood.errors import UsageError
from fumehood.testing import strategies
from tests.counts import HYPOTHESIS_EXAMPLES

Encode = Callable[[Any], bytes]
Decode = Callable[[bytes], Any]


Trip = tuple[st.SearchStrategy[Any], Encode, Decode]


def trips(wire: Wire) -> dict[str, Trip]:
    """Every document that travels on a wire: what it may say, how it is written and read."""

    def value(encode: Callable[..., Any]) -> Encode:
        return lambda each: wire.encode(encode(each))

    def value_with_bytes(encode: Callable[..., Any]) -> Encode:
        return lambda each: wire.encode(encode(each, wire=wire))

    def of(decode: Callable[[Any], Any]) -> Decode:
        return lambda data: decode(wire.decode(data, "it"))

    def with_cfg(encode: Callable[..., bytes]) -> Encode:
        return lambda request: encode({"model": "m"}, request, wire=wire)

    def second(decode: Callable[..., tuple[Any, Any]]) -> Decode:
        return lambda data: decode(data, wire=wire)[1]

    def both(encode: Callable[..., bytes], decode: Callable[..., Any]) -> tuple[Encode, Decode]:
        return partial(encode, wire=wire), partial(decode, wire=wire)

    table: dict[str, Trip] = {
        "json": (strategies.json_values(), wire.encode, of(lambda each: each)),
        "request": (
            strategies.http_requests(),
            *both(http.encode_request, http.decode_request),
        ),
        "response": (
            strategies.http_responses(),
            *both(http.encode_response, http.decode_response),
        ),
        "messages": (
            strategies.conversations(),
            value_with_bytes(encode_messages),
            of(decode_messages),
        ),
        "tools": (
            st.lists(strategies.tools(), max_size=3),
            value(tools.encode_tools),
            of(tools.decode_tools),
        ),
        "reply": (
            strategies.chat_replies(),
            *both(replies.encode_chat_response, replies.decode_chat_response),
        ),
        "chunks": (
            st.lists(strategies.stream_chunks(), max_size=4),
            *both(replies.encode_chunks, replies.decode_chunks),
        ),
        "line": (
            st.tuples(st.integers(0, (1 << 64) - 1), st.binary(max_size=40)),
            lambda pair: calls.parser_parse_input(pair[0], pair[1], wire=wire),
            partial(calls.decode_parser_parse_input, wire=wire),
        ),
        "texts": (
            st.lists(strategies.texts(), max_size=3),
            with_cfg(calls.embed_input),
            second(calls.decode_embed_input),
        ),
        "models": (
            st.none() | st.lists(strategies.texts(), max_size=3),
            *both(outputs.encode_models, outputs.decode_static_models),
        ),
        "vectors": (
            strategies.vectors(),
            *both(outputs.encode_vectors, outputs.decode_vectors),
        ),
        "completion": (
            strategies.completions(),
            with_cfg(calls.complete_input),
            second(calls.decode_complete_input),
        ),
        "transcription": (
            strategies.transcribe_requests(),
            with_cfg(speech.transcribe_input),
            second(speech.decode_transcribe_input),
        ),
        "speech": (
            strategies.speech_requests(),
            with_cfg(speech.speech_input),
            second(speech.decode_speech_input),
        ),
        "sound": (
            strategies.speech_replies(),
            *both(speech.encode_speech, speech.decode_speech),
        ),
    }
    return table if wire is MSGPACK else {**table, **_JSON_ONLY}


_JSON_ONLY: dict[str, Trip] = {
    "chunk": (strategies.stream_chunks(), replies.encode_chunk, replies.decode_chunk),
    "log": (strategies.log_records(), outputs.encode_log_record, outputs.decode_log_record),
    "open": (strategies.stream_opens(), outputs.encode_stream_open, outputs.decode_stream_open),
    "payload": (strategies.payloads(), payloads.encode_payload, payloads.decode_payload),
}
"""What host functions take and answer, and errors: JSON on both wires."""

TRIPS = trips(JSON)
PACKED = trips(MSGPACK)


def _round_trip(trip: Trip, independent: Callable[[bytes], Any]) -> None:
    strategy, encode, decode = trip

    @settings(max_examples=HYPOTHESIS_EXAMPLES, deadline=None)
    @given(strategy)
    def check(value: Any) -> None:
        data = encode(value)
        again = decode(data)
        assert again == value
        assert repr(again) == repr(value)  # 1 is not 1.0 and not True
        assert encode(again) == data
        independent(data)  # another reader takes it

    check()


@pytest.mark.parametrize("name", TRIPS)
def test_decode_undoes_encode(name: str) -> None:
    _round_trip(TRIPS[name], json.loads)


@pytest.mark.parametrize("name", PACKED)
def test_decode_undoes_encode_in_messagepack(name: str) -> None:
    _round_trip(PACKED[name], msgpack.unpackb)


@pytest.mark.parametrize("name", PACKED)
def test_both_wires_hold_the_same_document(name: str) -> None:
    """Read by others, the documents differ in nothing but bytes, which are decimals in JSON."""
    strategy, as_json, _ = TRIPS[name]

    @settings(max_examples=HYPOTHESIS_EXAMPLES, deadline=None)
    @given(strategy)
    def check(value: Any) -> None:
        packed = msgpack.unpackb(PACKED[name][1](value))
        assert _decimals(packed) == json.loads(as_json(value))

    check()


def _decimals(value: Any) -> Any:
    if isinstance(value, bytes):
        return list(value)
    if isinstance(value, dict):
        return {key: _decimals(item) for key, item in value.items()}
    return [_decimals(item) for item in value] if isinstance(value, list) else value


@settings(max_examples=HYPOTHESIS_EXAMPLES, deadline=None)
@given(strategies.json_values())
def test_other_codecs_agree(value: Any) -> None:
    data = jsonwire.encode(value)
    theirs = json.loads(data)
    assert jsonwire.decode(data, "it") == theirs
    packed = msgpack.packb(value)
    assert msgwire.encode(value) == packed  # byte by byte: both write the shortest form
    assert msgwire.decode(packed, "it") == msgpack.unpackb(packed) == value


@settings(max_examples=HYPOTHESIS_EXAMPLES, deadline=None)
@given(strategies.payloads())
def test_a_failure_is_found_whatever_follows_it(payload: payloads.Payload) -> None:
    text = payloads.encode_payload(payload).decode()
    assert payloads.decode_failure(text, 1) == payload
    assert payloads.decode_failure(text + '\n\nStack backtrace: {"', 1) == payload
    error = payloads.to_error(payload)
    assert error.message


@settings(
    max_examples=HYPOTHESIS_EXAMPLES,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
)
@given(strategies.conversations())
def test_generation_a_writes_what_it_can_read(conversation: list[Any]) -> None:
    try:
        data = jsonwire.encode(encode_messages_gen_a(conversation))
    except UsageError:
        return  # an image format that generation A has no name for
    again = decode_messages_gen_a(jsonwire.decode(data, "it"))
    assert jsonwire.encode(encode_messages_gen_a(again)) == data
