"""What the strategies make encodes, and decodes to an equal value."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import msgpack
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fumehood.abi import calls, http, jsonwire, outputs, payloads, replies, speech, tools
from fumehood.abi.messages import decode_messages, encode_messages
from fumehood.abi.messages_gen_a import decode_messages_gen_a, encode_messages_gen_a
from fumehood.errors import UsageError
from fumehood.testing import strategies
from tests.counts import HYPOTHESIS_EXAMPLES

Encode = Callable[[Any], bytes]
Decode = Callable[[bytes], Any]


def _value(encode: Callable[[Any], Any]) -> Encode:
    return lambda value: jsonwire.encode(encode(value))


def _of(decode: Callable[[Any], Any]) -> Decode:
    return lambda data: decode(jsonwire.decode(data, "it"))


def _cfg(encode: Callable[..., bytes]) -> Encode:
    return lambda request: encode({"model": "m"}, request)


def _second(decode: Callable[[bytes], tuple[Any, Any]]) -> Decode:
    return lambda data: decode(data)[1]


TRIPS: dict[str, tuple[st.SearchStrategy[Any], Encode, Decode]] = {
    "json": (
        strategies.json_values(),
        jsonwire.encode,
        lambda data: jsonwire.decode(data, "it"),
    ),
    "request": (strategies.http_requests(), http.encode_request, http.decode_request),
    "response": (strategies.http_responses(), http.encode_response, http.decode_response),
    "messages": (strategies.conversations(), _value(encode_messages), _of(decode_messages)),
    "tools": (
        st.lists(strategies.tools(), max_size=3),
        _value(tools.encode_tools),
        _of(tools.decode_tools),
    ),
    "reply": (
        strategies.chat_replies(),
        replies.encode_chat_response,
        replies.decode_chat_response,
    ),
    "chunk": (strategies.stream_chunks(), replies.encode_chunk, replies.decode_chunk),
    "chunks": (
        st.lists(strategies.stream_chunks(), max_size=4),
        replies.encode_chunks,
        replies.decode_chunks,
    ),
    "vectors": (strategies.vectors(), outputs.encode_vectors, outputs.decode_vectors),
    "log": (strategies.log_records(), outputs.encode_log_record, outputs.decode_log_record),
    "open": (strategies.stream_opens(), outputs.encode_stream_open, outputs.decode_stream_open),
    "completion": (
        strategies.completions(),
        _cfg(calls.complete_input),
        _second(calls.decode_complete_input),
    ),
    "transcription": (
        strategies.transcribe_requests(),
        _cfg(speech.transcribe_input),
        _second(speech.decode_transcribe_input),
    ),
    "speech": (
        strategies.speech_requests(),
        _cfg(speech.speech_input),
        _second(speech.decode_speech_input),
    ),
    "sound": (strategies.speech_replies(), speech.encode_speech, speech.decode_speech),
    "payload": (strategies.payloads(), payloads.encode_payload, payloads.decode_payload),
}


@pytest.mark.parametrize("name", TRIPS)
def test_decode_undoes_encode(name: str) -> None:
    strategy, encode, decode = TRIPS[name]

    @settings(max_examples=HYPOTHESIS_EXAMPLES, deadline=None)
    @given(strategy)
    def check(value: Any) -> None:
        data = encode(value)
        again = decode(data)
        assert again == value
        assert repr(again) == repr(value)  # 1 is not 1.0 and not True
        assert encode(again) == data
        json.loads(data)  # an independent reader takes it

    check()


@settings(max_examples=HYPOTHESIS_EXAMPLES, deadline=None)
@given(strategies.json_values())
def test_other_codecs_agree(value: Any) -> None:
    data = jsonwire.encode(value)
    theirs = json.loads(data)
    assert jsonwire.decode(data, "it") == theirs
    assert msgpack.unpackb(msgpack.packb(theirs), strict_map_key=False) == theirs


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
