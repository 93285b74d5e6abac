"""Usage, finish reasons, chat replies and chunks: provider-abi.md §3.4 to §3.6."""

from __future__ import annotations

import json
from typing import Any

import pytest

from fumehood.abi.replies import (
    FINISH_REASONS,
    ChatReply,
    StreamChunk,
    Usage,
    decode_chat_response,
    decode_chunk,
    decode_chunks,
    decode_usage,
    encode_chunk,
    encode_chunks,
    finish_reason_of,
)
from fumehood.abi.tools import ToolCall
from fumehood.errors import ProtocolError, UsageError

U32 = (1 << 32) - 1

# §3.4

FIELDS = ["input_tokens", "output_tokens", "reasoning_tokens", "cache_read", "cache_write"]
ALIASES = [
    ("prompt_tokens", "input_tokens"),
    ("prompt_eval_count", "input_tokens"),
    ("promptTokenCount", "input_tokens"),
    ("completion_tokens", "output_tokens"),
    ("eval_count", "output_tokens"),
    ("candidatesTokenCount", "output_tokens"),
    ("cache_read_input_tokens", "cache_read"),
    ("cache_creation_input_tokens", "cache_write"),
]


@pytest.mark.parametrize("name", FIELDS)
def test_each_field_has_a_default_and_a_range(name: str) -> None:
    assert decode_usage({name: U32}) == Usage(**{name: U32})
    for bad in (-1, U32 + 1, 1.0, "1", True, None, [1]):
        with pytest.raises(ProtocolError, match=name):
            decode_usage({name: bad})


@pytest.mark.parametrize(("alias", "name"), ALIASES)
def test_aliases(alias: str, name: str) -> None:
    assert decode_usage({alias: 7}) == Usage(**{name: 7})
    with pytest.raises(ProtocolError, match="both"):
        decode_usage({alias: 7, name: 7})
    with pytest.raises(ProtocolError):
        decode_usage({alias: -1})


def test_two_aliases_of_one_field_are_an_error() -> None:
    with pytest.raises(ProtocolError, match="both"):
        decode_usage({"prompt_tokens": 1, "promptTokenCount": 1})


def test_usage_of_nothing() -> None:
    assert decode_usage({}) == Usage()
    assert decode_usage({"total_tokens": 5}) == Usage()
    assert decode_usage({"total_tokens": 5, "input_tokens": 3}) == Usage(3)
    assert decode_usage(None) is None
    with pytest.raises(ProtocolError):
        decode_usage([])


def test_merging_takes_the_larger() -> None:
    assert Usage(1, 9, 3, 0, 5).merge(Usage(2, 4, 3, 1, 0)) == Usage(2, 9, 3, 1, 5)


# §3.5


def reply(**fields: Any) -> ChatReply:
    return decode_chat_response(json.dumps(fields).encode())


def test_every_field_is_optional() -> None:
    assert reply() == ChatReply()
    assert reply(text=None, tool_calls=None, thinking=None, usage=None) == ChatReply()
    assert reply(tool_calls=[]).tool_calls == ()
    assert reply(unknown={"a": 1}) == ChatReply()


@pytest.mark.parametrize("reason", FINISH_REASONS)
def test_finish_reasons(reason: str) -> None:
    assert reply(finish_reason=reason).finish_reason == reason


@pytest.mark.parametrize(
    "fields",
    [
        {"text": 1},
        {"text": ["a"]},
        {"thinking": {}},
        {"tool_calls": {}},
        {"tool_calls": [None]},
        {"tool_calls": [{"id": "c"}]},
        {"usage": []},
        {"usage": {"input_tokens": -1}},
        {"finish_reason": "stop"},
        {"finish_reason": ""},
        {"finish_reason": 1},
    ],
)
def test_replies_refused(fields: dict[str, Any]) -> None:
    with pytest.raises(ProtocolError):
        reply(**fields)


@pytest.mark.parametrize("data", [b"", b"null", b"[]", b'"hi"', b"hi", b"{}{}", b'{"text":"\xff"}'])
def test_what_is_no_reply(data: bytes) -> None:
    with pytest.raises(ProtocolError):
        decode_chat_response(data)


# §3.6


def chunk(body: Any, **beside: Any) -> StreamChunk:
    return decode_chunk(json.dumps({"chunk": body, **beside}).encode())


CALL = {"id": "c", "type": "function", "function": {"name": "f", "arguments": ""}}


@pytest.mark.parametrize(
    ("body", "wanted"),
    [
        ({"text": "a"}, StreamChunk("text", text="a")),
        ({"thinking": ""}, StreamChunk("thinking", thinking="")),
        ({"thinking_signature": "s"}, StreamChunk("thinking_signature", thinking_signature="s")),
        (
            {"tool_use_start": {"index": 1, "id": "c", "name": "f"}},
            StreamChunk("tool_use_start", index=1, id="c", name="f"),
        ),
        (
            {"tool_use_input_delta": {"index": 0, "partial_json": "{"}},
            StreamChunk("tool_use_input_delta", index=0, partial_json="{"),
        ),
        (
            {"tool_use_complete": {"index": U32, "tool_call": CALL}},
            StreamChunk("tool_use_complete", index=U32, tool_call=ToolCall("c", "f", "")),
        ),
        ({"usage": {"eval_count": 3}}, StreamChunk("usage", usage=Usage(0, 3))),
        ({"done": {"finish_reason": "Stop"}}, StreamChunk("done", finish_reason="Stop")),
        ({"done": {"stop_reason": "end_turn"}}, StreamChunk("done", finish_reason="Stop")),
    ],
)
def test_chunks(body: Any, wanted: StreamChunk) -> None:
    assert chunk(body) == wanted
    assert chunk(body, usage=None) == wanted
    assert chunk(body, usage={"input_tokens": "ignored"}) == wanted
    listed = json.dumps([{"chunk": body}] * 3).encode()
    assert decode_chunks(listed) == [wanted] * 3
    assert decode_chunks(encode_chunks([wanted])) == [wanted]


@pytest.mark.parametrize(
    "body",
    [
        None,
        "text",
        {},
        {"text": "a", "thinking": "b"},
        {"text": None},
        {"text": 1},
        {"thinking": []},
        {"thinking_signature": None},
        {"unknown": {}},
        {"Text": "a"},
        {"usage": None},
        {"usage": {"input_tokens": -1}},
        {"done": None},
        {"done": {}},
        {"done": {"finish_reason": None}},
        {"done": {"finish_reason": "end_turn"}},
        {"done": {"finish_reason": None, "stop_reason": "stop"}},
        {"done": {"stop_reason": None}},
        {"done": {"stop_reason": 1}},
        {"tool_use_start": {"id": "c", "name": "f"}},
        {"tool_use_start": {"index": -1, "id": "c", "name": "f"}},
        {"tool_use_start": {"index": 1.0, "id": "c", "name": "f"}},
        {"tool_use_start": {"index": U32 + 1, "id": "c", "name": "f"}},
        {"tool_use_start": {"index": 0, "name": "f"}},
        {"tool_use_input_delta": {"index": 0}},
        {"tool_use_input_delta": {"index": 0, "partial_json": {}}},
        {"tool_use_complete": {"index": 0}},
        {"tool_use_complete": {"index": 0, "tool_call": {}}},
        {"tool_use_complete": []},
    ],
)
def test_chunks_refused(body: Any) -> None:
    with pytest.raises(ProtocolError):
        chunk(body)
    with pytest.raises(ProtocolError):
        decode_chunks(json.dumps([{"chunk": {"text": "a"}}, {"chunk": body}]).encode())


@pytest.mark.parametrize("data", [b"{}", b"[]", b"null", b'{"usage":null}', b'{"text":"a"}'])
def test_what_is_no_chunk(data: bytes) -> None:
    with pytest.raises(ProtocolError):
        decode_chunk(data)


@pytest.mark.parametrize("data", [b"{}", b"null", b'{"chunk":{"text":"a"}}', b"[1]"])
def test_what_are_no_chunks(data: bytes) -> None:
    with pytest.raises(ProtocolError):
        decode_chunks(data)


def test_no_chunks() -> None:
    assert decode_chunks(b"[]") == []
    assert encode_chunks([]) == b"[]"


GEN_B = {
    "Stop": ["end_turn", "stop", "stop_sequence", "cancelled"],
    "Length": ["max_tokens", "length"],
    "ToolCalls": ["tool_use", "tool_calls", "function_call"],
    "ContentFilter": ["content_filter", "safety"],
    "Other": ["refusal", "pause_turn"],
    "Unknown": ["", "whatever", "ToolCalls ", "finished"],
}


@pytest.mark.parametrize(
    ("word", "reason"), [(word, reason) for reason, words in GEN_B.items() for word in words]
)
def test_stop_reasons_of_generation_b(word: str, reason: str) -> None:
    for spelled in (word, word.upper(), word.title()):
        assert finish_reason_of(spelled) == reason
        assert chunk({"done": {"stop_reason": spelled}}).finish_reason == reason


def test_the_reason_of_today_wins_over_that_of_generation_b() -> None:
    body = {"done": {"stop_reason": "max_tokens", "finish_reason": "ToolCalls"}}
    assert chunk(body).finish_reason == "ToolCalls"


@pytest.mark.parametrize(
    "bad",
    [
        StreamChunk("text"),
        StreamChunk("usage"),
        StreamChunk("done"),
        StreamChunk("tool_use_start", index=0, id="c"),
        StreamChunk("tool_use_complete", index=0),
    ],
)
def test_a_chunk_without_its_fields_is_not_written(bad: StreamChunk) -> None:
    with pytest.raises(UsageError, match=bad.kind):
        encode_chunk(bad)


def test_repr_shows_what_is_set() -> None:
    assert repr(StreamChunk("text", text="a")) == "StreamChunk('text', text='a')"


def test_a_chunk_of_no_known_kind_cannot_be_sent() -> None:
    with pytest.raises(UsageError, match="no chunk is of kind 'other'"):
        encode_chunks([StreamChunk("other")])  # type: ignore[arg-type]


def test_errors_name_the_chunk() -> None:
    with pytest.raises(ProtocolError, match=r"\[1\]"):
        decode_chunks(b'[{"chunk":{"text":"a"}},{"chunk":3}]')
