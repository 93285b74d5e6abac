"""Every example of provider-abi.md marked ✔ decodes and encodes to an equal JSON value again,
with the same keys omitted or null."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from fumehood.abi import calls, http, jsonwire, outputs, payloads, replies, speech
from fumehood.abi.blocks import decode_block, encode_block
from fumehood.abi.messages import decode_messages, encode_messages
from fumehood.abi.messages_gen_a import decode_messages_gen_a, encode_messages_gen_a
from fumehood.abi.tools import decode_call, decode_tools, encode_call, encode_tools

Trip = Callable[[bytes], bytes]


def trip_value(decode: Callable[[Any, str], Any], encode: Callable[[Any], Any]) -> Trip:
    return lambda data: jsonwire.encode(encode(decode(jsonwire.decode(data, "it"), "it")))


def trip(decode: Callable[[bytes], Any], encode: Callable[[Any], bytes]) -> Trip:
    return lambda data: encode(decode(data))


REQUEST = trip(http.decode_request, http.encode_request)
RESPONSE = trip(http.decode_response, http.encode_response)
BLOCK = trip_value(decode_block, encode_block)
MESSAGES = trip_value(decode_messages, encode_messages)
GEN_A = trip_value(decode_messages_gen_a, encode_messages_gen_a)
TOOLS = trip_value(decode_tools, encode_tools)
CALL = trip_value(decode_call, encode_call)
USAGE = trip_value(replies.decode_usage, replies.encode_usage)
REPLY = trip(replies.decode_chat_response, replies.encode_chat_response)
CHUNK = trip(replies.decode_chunk, replies.encode_chunk)
COMPLETE = trip(calls.decode_complete_input, lambda both: calls.complete_input(*both))
EMBED = trip(calls.decode_embed_input, lambda both: calls.embed_input(*both))
TEXT = trip(outputs.decode_text, outputs.encode_text)
VECTORS = trip(outputs.decode_vectors, outputs.encode_vectors)
TRANSCRIBE = trip(speech.decode_transcribe_input, lambda both: speech.transcribe_input(*both))
SPEECH = trip(speech.decode_speech_input, lambda both: speech.speech_input(*both))
SPEECH_REPLY = trip(speech.decode_speech, speech.encode_speech)
OPEN = trip(outputs.decode_stream_open, outputs.encode_stream_open)
LOG = trip(outputs.decode_log_record, outputs.encode_log_record)
PAYLOAD = trip(payloads.decode_payload, payloads.encode_payload)

USAGE_TEXT = (
    '{"input_tokens":10,"output_tokens":5,"reasoning_tokens":0,"cache_read":0,"cache_write":0}'
)
CALL_TEXT = r'{"id":"c1","type":"function","function":{"name":"f","arguments":"{\"q\":1}"}}'

EXAMPLES: list[tuple[str, Trip, str]] = [
    (
        "3.1 request",
        REQUEST,
        '{"req":{"head":{"method":"POST","uri":"https://api.example.com/v1/chat?x=1",'
        '"headers":{"content-type":"application/json","x-a":["1","2"]},"version":"HTTP/1.1"},'
        '"body":[123,125]}}',
    ),
    (
        "3.1 reply",
        RESPONSE,
        '{"resp":{"head":{"status":200,"headers":{"content-type":"text/plain",'
        '"set-cookie":["a=1","b=2"]},"version":"HTTP/1.1"},"body":[111,107]}}',
    ),
    ("3.2 text", BLOCK, '{"type":"text","text":"hi"}'),
    ("3.2 image", BLOCK, '{"type":"image","mime_type":"image/png","data":[137,80]}'),
    ("3.2 image by URL", BLOCK, '{"type":"image_url","url":"https://x/y.png"}'),
    ("3.2 pdf", BLOCK, '{"type":"pdf","data":[37]}'),
    ("3.2 audio", BLOCK, '{"type":"audio","mime_type":"audio/wav","data":[82]}'),
    ("3.2 thinking", BLOCK, '{"type":"thinking","text":"t"}'),
    ("3.2 thinking, signed", BLOCK, '{"type":"thinking","text":"t","signature":"s"}'),
    ("3.2 tool use", BLOCK, '{"type":"tool_use","id":"c1","name":"f","arguments":{"q":1}}'),
    ("3.2 tool use, null", BLOCK, '{"type":"tool_use","id":"c1","name":"f","arguments":null}'),
    (
        "3.2 tool result",
        BLOCK,
        '{"type":"tool_result","id":"c1","is_error":false,"content":[{"type":"text","text":"hi"}]}',
    ),
    (
        "3.2 tool result, named",
        BLOCK,
        '{"type":"tool_result","id":"c1","is_error":true,"content":[],"name":"f"}',
    ),
    ("3.2 resource link", BLOCK, '{"type":"resource_link","uri":"file:///a"}'),
    (
        "3.2 resource link, all",
        BLOCK,
        '{"type":"resource_link","uri":"file:///a","name":"n","description":"d","mime_type":"m"}',
    ),
    (
        "3.2 message",
        MESSAGES,
        '[{"role":"User","content":[{"type":"text","text":"hi"}]},'
        '{"role":"Assistant","content":[]}]',
    ),
    (
        "3.2 cache hint",
        MESSAGES,
        '[{"role":"User","content":[],"cache":{"ephemeral":{"ttl_seconds":300}}}]',
    ),
    (
        "3.2 cache hint, bare",
        MESSAGES,
        '[{"role":"User","content":[],"cache":{"ephemeral":{}}}]',
    ),
    (
        "3.3 tool",
        TOOLS,
        '[{"type":"function","function":{"name":"f","description":"d",'
        '"parameters":{"type":"object","properties":{}}}}]',
    ),
    ("3.3 no tools", TOOLS, "null"),
    ("3.3 call", CALL, CALL_TEXT),
    ("3.4 usage", USAGE, USAGE_TEXT),
    (
        "3.5 reply",
        REPLY,
        f'{{"text":"hi","tool_calls":[{CALL_TEXT}],"thinking":null,"usage":{USAGE_TEXT},'
        '"finish_reason":"ToolCalls"}',
    ),
    (
        "3.5 reply, unset",
        REPLY,
        '{"text":null,"tool_calls":null,"thinking":null,"usage":null,"finish_reason":null}',
    ),
    ("3.6 text", CHUNK, '{"chunk":{"text":"a"},"usage":null}'),
    ("3.6 thinking", CHUNK, '{"chunk":{"thinking":"b"},"usage":null}'),
    ("3.6 signature", CHUNK, '{"chunk":{"thinking_signature":"s"},"usage":null}'),
    (
        "3.6 start",
        CHUNK,
        '{"chunk":{"tool_use_start":{"index":0,"id":"c1","name":"f"}},"usage":null}',
    ),
    (
        "3.6 delta",
        CHUNK,
        r'{"chunk":{"tool_use_input_delta":{"index":0,"partial_json":"{\"q\":"}},"usage":null}',
    ),
    (
        "3.6 complete",
        CHUNK,
        f'{{"chunk":{{"tool_use_complete":{{"index":0,"tool_call":{CALL_TEXT}}}}},"usage":null}}',
    ),
    ("3.6 usage", CHUNK, f'{{"chunk":{{"usage":{USAGE_TEXT}}},"usage":{USAGE_TEXT}}}'),
    ("3.6 done", CHUNK, '{"chunk":{"done":{"finish_reason":"ToolCalls"}},"usage":null}'),
    (
        "3.7 completion",
        COMPLETE,
        '{"cfg":{"model":"m"},"req":{"prompt":"p","suffix":null,"max_tokens":5,"temperature":0.7}}',
    ),
    ("3.7 completion reply", TEXT, '{"text":"t"}'),
    ("3.7 embedding", EMBED, '{"cfg":{},"inputs":["a","b"]}'),
    ("3.7 vectors", VECTORS, "[[0.1,-1.0,1e-8],[]]"),
    (
        "3.8 transcription",
        TRANSCRIBE,
        '{"cfg":{},"audio_base64":"UklG","filename":"a.wav"}',
    ),
    (
        "3.8 transcription, all",
        TRANSCRIBE,
        '{"cfg":{"a":1},"audio_base64":"UklG","filename":"a.wav","mime_type":"audio/wav",'
        '"model":"m","language":"de"}',
    ),
    (
        "3.8 speech, preset",
        SPEECH,
        '{"cfg":{},"text":"hi","voice_config":{"type":"preset","name":"alloy"},"format":"mp3",'
        '"speed":1.25}',
    ),
    (
        "3.8 speech, cloned",
        SPEECH,
        '{"cfg":{},"text":"hi","voice_config":{"type":"clone",'
        '"reference_audio_base64":"UklG","reference_text":"r"}}',
    ),
    (
        "3.8 speech, designed",
        SPEECH,
        '{"cfg":{},"text":"hi","model":"m","language":"de",'
        '"voice_config":{"type":"design","description":"warm"}}',
    ),
    ("3.8 sound", SPEECH_REPLY, '{"audio_base64":"AA=="}'),
    ("3.8 sound, typed", SPEECH_REPLY, '{"audio_base64":"AA==","mime_type":"audio/mpeg"}'),
    ("3.9 ok", OPEN, '{"status":"ok","stream_id":1}'),
    ("3.9 cancelled", OPEN, '{"status":"cancelled"}'),
    (
        "3.9 error",
        OPEN,
        r'{"status":"error","plugin_error":"{\"payload\":{\"type\":\"cancelled\"}}",'
        '"error_code":1}',
    ),
    ("3.10 log record", LOG, '{"level":3,"target":"qmt_openai::api","message":"m"}'),
    ("3.11 text", GEN_A, '[{"role":"User","message_type":"Text","content":"text"}]'),
    (
        "3.11 image",
        GEN_A,
        '[{"role":"User","message_type":{"Image":["PNG",[137]]},"content":"text"}]',
    ),
    ("3.11 pdf", GEN_A, '[{"role":"User","message_type":{"Pdf":[37]},"content":"text"}]'),
    (
        "3.11 image by URL",
        GEN_A,
        '[{"role":"User","message_type":{"ImageURL":"https://x"},"content":"text"}]',
    ),
    (
        "3.11 tool use",
        GEN_A,
        f'[{{"role":"Assistant","message_type":{{"ToolUse":[{CALL_TEXT}]}},"content":"text"}}]',
    ),
    (
        "3.11 tool result",
        GEN_A,
        f'[{{"role":"User","message_type":{{"ToolResult":[{CALL_TEXT}]}},"content":""}}]',
    ),
    (
        "5.2 full example",
        PAYLOAD,
        '{"payload":{"type":"provider_error","message":"m","kind":"rate_limited",'
        '"code":"rate_limit_exceeded","error_type":"requests","request_id":"req",'
        '"retry_after_secs":12}}',
    ),
]


def same(left: Any, right: Any) -> bool:
    """Equal JSON values; unlike Python's ==, true is not 1 and 1 is not 1.0."""
    return json.dumps(left, sort_keys=True) == json.dumps(right, sort_keys=True)


@pytest.mark.parametrize(("name", "go", "text"), EXAMPLES, ids=[case[0] for case in EXAMPLES])
def test_round_trip(name: str, go: Trip, text: str) -> None:
    assert same(json.loads(go(text.encode())), json.loads(text))


def test_key_order_is_free() -> None:
    shuffled = b'{"name":"f","arguments":{"q":1},"id":"c1","type":"tool_use"}'
    straight = b'{"type":"tool_use","id":"c1","name":"f","arguments":{"q":1}}'
    assert BLOCK(shuffled) == BLOCK(straight)


def test_parameters_keep_their_key_order() -> None:
    text = (
        b'[{"type":"function","function":{"name":"f","description":"d",'
        b'"parameters":{"z":1,"a":{"y":2,"b":3}}}}]'
    )
    assert TOOLS(text) == text


@pytest.mark.parametrize("text", ["{}", '{"text":"hi","usage":null}'])
def test_a_reply_with_keys_left_out_is_the_one_with_nulls(text: str) -> None:
    written = json.loads(REPLY(text.encode()))
    assert {key: value for key, value in written.items() if value is not None} == {
        key: value for key, value in json.loads(text).items() if value is not None
    }


def test_generation_a_replies_decode() -> None:
    reply = replies.decode_chat_response(
        b'{"text":"hi","tool_calls":null,"thinking":null,'
        b'"usage":{"input_tokens":1,"output_tokens":2}}'
    )
    assert reply.usage == replies.Usage(1, 2)
    assert reply.finish_reason is None
