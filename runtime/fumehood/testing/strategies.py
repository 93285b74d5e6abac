"""Hypothesis strategies for everything that crosses the boundary (extra: `fumehood[testing]`).

Values that the ABI allows: what they generate encodes, and decodes to an equal value. For the
other side, `hostile_documents`, `hostile_packed` and `mutated` make bytes that a guest might send
to break a host.
"""

from __future__ import annotations

import json
import string
from typing import Any, Final

from hypothesis import strategies as st

from fumehood.abi import msgwire
from fumehood.abi.blocks import (
    PDF,
    Audio,
    Block,
    Image,
    ImageURL,
    ResourceLink,
    Text,
    Thinking,
    ToolResult,
    ToolUse,
)
from fumehood.abi.calls import CompletionRequest
from fumehood.abi.http import VERSIONS, HTTPRequest, HTTPResponse
from fumehood.abi.messages import CacheHint, Message
from fumehood.abi.outputs import LogRecord, StreamOpen
from fumehood.abi.payloads import PROVIDER_KINDS, TRANSPORT_KINDS, TYPES, Payload
from fumehood.abi.replies import FINISH_REASONS, ChatReply, StreamChunk, Usage
from fumehood.abi.speech import (
    ClonedVoice,
    DesignedVoice,
    PresetVoice,
    SpeechReply,
    SpeechRequest,
    TranscribeRequest,
    Voice,
)
from fumehood.abi.tools import Tool, ToolCall

Strategy = st.SearchStrategy

_TOKEN_CHARS: Final = string.ascii_letters + string.digits + "!#$%&'*+-.^_`|~"
_VISIBLE: Final = "".join(map(chr, range(0x20, 0x7F))) + "\t"
_PATH_CHARS: Final = string.ascii_letters + string.digits + "!$%&'()*+,-./:;=@_~|{}\""
_QUERY_CHARS: Final = string.ascii_letters + string.digits + "!$%&'()*+,-./:;=@_~|{}?[]\\^`"

U32: Final = st.integers(0, (1 << 32) - 1)
SECONDS: Final = st.integers(0, 1 << 40)


def texts(max_size: int = 40) -> Strategy[str]:
    """Any Unicode text; no lone surrogates, since JSON documents cannot carry them."""
    return st.text(st.characters(exclude_categories=["Cs"]), max_size=max_size)


def json_values(max_leaves: int = 12) -> Strategy[Any]:
    """Any JSON value that survives a round trip: finite floats, integers of 64 bits."""
    leaves = (
        st.none()
        | st.booleans()
        | st.integers(-(1 << 63), (1 << 64) - 1)
        | st.floats(allow_nan=False, allow_infinity=False)
        | texts()
    )
    return st.recursive(
        leaves,
        lambda inner: st.lists(inner, max_size=4) | st.dictionaries(texts(12), inner, max_size=4),
        max_leaves=max_leaves,
    )


def json_objects() -> Strategy[dict[str, Any]]:
    """A JSON object, such as a config or a tool's arguments."""
    return st.dictionaries(texts(12), json_values(6), max_size=4)


# Messages


def flat_blocks() -> Strategy[Block]:
    """A content block that holds no other blocks."""
    data = st.binary(max_size=64)
    return st.one_of(
        st.builds(Text, texts()),
        st.builds(Image, data, texts(12)),
        st.builds(ImageURL, texts()),
        st.builds(PDF, data),
        st.builds(Audio, data, texts(12)),
        st.builds(Thinking, texts(), st.none() | texts(12)),
        st.builds(ToolUse, texts(12), texts(12), json_values(6)),
        st.builds(ResourceLink, texts(), *[st.none() | texts(12)] * 3),
    )


def blocks() -> Strategy[Block]:
    """Any content block; tool results hold further ones."""

    def results(inner: Strategy[Block]) -> Strategy[Block]:
        content = st.lists(inner, max_size=3).map(tuple)
        return st.builds(ToolResult, texts(12), content, st.booleans(), st.none() | texts(12))

    return st.recursive(flat_blocks(), results, max_leaves=5)


def messages() -> Strategy[Message]:
    """A message with any content, an empty one too."""
    return st.builds(
        Message,
        st.sampled_from(["User", "Assistant"]),
        st.lists(blocks(), max_size=4).map(tuple),
        st.none() | st.builds(CacheHint, st.none() | st.integers(0, (1 << 64) - 1)),
    )


def conversations() -> Strategy[list[Message]]:
    """Some messages."""
    return st.lists(messages(), max_size=4)


def tools() -> Strategy[Tool]:
    """A tool with any JSON value for its schema."""
    return st.builds(Tool, texts(12), texts(), json_values())


def tool_calls() -> Strategy[ToolCall]:
    """A tool call; its arguments are JSON more often than not."""
    arguments = json_objects().map(json.dumps) | texts()
    return st.builds(ToolCall, texts(12), texts(12), arguments)


# Replies


def usages() -> Strategy[Usage]:
    """Token counts of 32 bits."""
    return st.builds(Usage, U32, U32, U32, U32, U32)


def finish_reasons() -> Strategy[str]:
    """One of the seven."""
    return st.sampled_from(FINISH_REASONS)


def chat_replies() -> Strategy[ChatReply]:
    """A chat reply with any of its fields unset."""
    return st.builds(
        ChatReply,
        st.none() | texts(),
        st.none() | st.lists(tool_calls(), max_size=3).map(tuple),
        st.none() | texts(),
        st.none() | usages(),
        st.none() | finish_reasons(),
    )


def stream_chunks() -> Strategy[StreamChunk]:
    """A chunk of any kind, with exactly the fields of its kind."""

    def of(kind: str, **fields: Strategy[Any]) -> Strategy[StreamChunk]:
        return st.builds(StreamChunk, st.just(kind), **fields)

    return st.one_of(
        of("text", text=texts()),
        of("thinking", thinking=texts()),
        of("thinking_signature", thinking_signature=texts()),
        of("tool_use_start", index=U32, id=texts(12), name=texts(12)),
        of("tool_use_input_delta", index=U32, partial_json=texts()),
        of("tool_use_complete", index=U32, tool_call=tool_calls()),
        of("usage", usage=usages()),
        of("done", finish_reason=finish_reasons()),
    )


def vectors() -> Strategy[list[list[float]]]:
    """Embedding vectors."""
    number = st.floats(allow_nan=False, allow_infinity=False, width=32)
    return st.lists(st.lists(number, max_size=6), max_size=4)


def log_records() -> Strategy[LogRecord]:
    """A log record of any level."""
    return st.builds(LogRecord, st.integers(0, 9), texts(12), texts())


def stream_opens() -> Strategy[StreamOpen]:
    """Each of the three answers to the opening of a stream."""
    return st.one_of(
        st.builds(StreamOpen, st.just("ok"), st.integers(1, (1 << 63) - 1)),
        st.just(StreamOpen("cancelled")),
        st.builds(
            StreamOpen,
            st.just("error"),
            plugin_error=texts(),
            error_code=st.integers(-1, 7),
        ),
    )


# Requests of the smaller kinds


def completions() -> Strategy[CompletionRequest]:
    """A completion request."""
    temperature = st.floats(0, 2, allow_nan=False)
    return st.builds(
        CompletionRequest,
        texts(),
        st.none() | texts(),
        st.none() | U32,
        st.none() | temperature,
    )


def voices() -> Strategy[Voice]:
    """Each kind of voice."""
    return st.one_of(
        st.builds(PresetVoice, texts(12)),
        st.builds(ClonedVoice, st.binary(max_size=32), st.none() | texts()),
        st.builds(DesignedVoice, texts()),
    )


def speech_requests() -> Strategy[SpeechRequest]:
    """Text to be spoken."""
    option = st.none() | texts(12)
    speed = st.none() | st.floats(0.25, 4, allow_nan=False)
    return st.builds(SpeechRequest, texts(), option, st.none() | voices(), option, speed, option)


def transcribe_requests() -> Strategy[TranscribeRequest]:
    """Sound to be transcribed."""
    return st.builds(TranscribeRequest, st.binary(max_size=64), *[st.none() | texts(12)] * 4)


def speech_replies() -> Strategy[SpeechReply]:
    """Spoken text."""
    return st.builds(SpeechReply, st.binary(max_size=64), st.none() | texts(12))


# HTTP


def header_names() -> Strategy[str]:
    """A token in lower case."""
    return st.text(_TOKEN_CHARS, min_size=1, max_size=12).map(str.lower)


def header_values() -> Strategy[str]:
    """Visible ASCII and tabs."""
    return st.text(_VISIBLE, max_size=24)


def headers() -> Strategy[tuple[tuple[str, str], ...]]:
    """Headers as they decode: values of one name side by side."""
    values = st.lists(header_values(), min_size=1, max_size=3)
    return st.dictionaries(header_names(), values, max_size=4).map(
        lambda table: tuple((name, value) for name, each in table.items() for value in each)
    )


def hosts() -> Strategy[str]:
    """A DNS name or an address, perhaps with a port."""
    label = st.text(string.ascii_lowercase + string.digits, min_size=1, max_size=8)
    name = st.lists(label, min_size=1, max_size=3).map(".".join)
    host = name | st.sampled_from(["127.0.0.1", "localhost", "[::1]"])
    port = st.just("") | st.integers(1, 65535).map(lambda number: f":{number}")
    return st.tuples(host, port).map("".join)


def uris() -> Strategy[str]:
    """Absolute http and https URIs, and paths; no fragment."""
    path = st.text(_PATH_CHARS, max_size=20).map(lambda rest: f"/{rest}")
    query = st.just("") | st.text(_QUERY_CHARS, max_size=20).map(lambda rest: f"?{rest}")
    origin = st.tuples(st.sampled_from(["http://", "https://"]), hosts()).map("".join)
    return st.tuples(origin | st.just(""), path, query).map("".join)


def http_requests() -> Strategy[HTTPRequest]:
    """A request that any guest could build."""
    return st.builds(
        HTTPRequest,
        st.sampled_from(["GET", "POST", "PUT", "DELETE", "PATCH"])
        | st.text(_TOKEN_CHARS, min_size=1, max_size=8),
        uris(),
        headers(),
        st.binary(max_size=200),
        st.sampled_from(sorted(VERSIONS)),
    )


def http_responses() -> Strategy[HTTPResponse]:
    """A reply that any guest can read."""
    return st.builds(
        HTTPResponse,
        st.integers(100, 999),
        headers(),
        st.binary(max_size=200),
        st.sampled_from(sorted(VERSIONS)),
    )


# Errors


def payloads() -> Strategy[Payload]:
    """An error payload of any type, in the form it decodes to (`io_error` is transport/other)."""
    option, hint = st.none() | texts(12), st.none() | SECONDS
    special = {
        "provider_error": st.builds(
            Payload,
            st.just("provider_error"),
            texts(),
            st.none() | st.sampled_from(PROVIDER_KINDS),
            option,
            option,
            option,
            hint,
        ),
        "response_format_error": st.builds(
            Payload, st.just("response_format_error"), texts(), raw_response=texts()
        ),
        "rate_limited": st.builds(Payload, st.just("rate_limited"), texts(), retry_after_secs=hint),
        "http_status": st.builds(
            Payload,
            st.just("http_status"),
            texts(),
            status_code=st.integers(0, 65535),
            retry_after_secs=hint,
        ),
        "transport": st.builds(
            Payload, st.just("transport"), texts(), st.sampled_from(TRANSPORT_KINDS)
        ),
        "cancelled": st.just(Payload("cancelled")),
    }
    plain = sorted(TYPES - special.keys() - {"io_error"})
    return st.one_of(*special.values(), st.builds(Payload, st.sampled_from(plain), texts()))


# What a guest might send to break a host


def hostile_documents() -> Strategy[bytes]:
    """Documents that are no JSON, or that a JSON reader should refuse, or almost fine ones."""
    depth = st.integers(100, 3000)
    return st.one_of(
        st.binary(max_size=80),
        json_values().map(lambda value: json.dumps(value).encode()),
        json_values().map(lambda value: json.dumps(value, ensure_ascii=False).encode()),
        depth.map(lambda n: b"[" * n + b"]" * n),
        depth.map(lambda n: b'{"a":' * n + b"1" + b"}" * n),
        depth.map(lambda n: b"[" * n),
        st.integers(1, 5000).map(lambda n: b"9" * n),
        st.sampled_from(
            [
                b"",
                b"NaN",
                b"[Infinity]",
                b'{"a":-Infinity}',
                b'"\\ud800"',
                b'{"\\udfff":1}',
                b'"\xff"',
                b'"\xed\xa0\x80"',
                b'"\xc0\x80"',
                b"1e999",
                b"18446744073709551616",
                b'{"a":1,"a":2}',
                b"\xef\xbb\xbf{}",
                b"[1,]",
                b"01",
                b"[1] 2",
                b"null",
            ]
        ),
    )


def hostile_packed() -> Strategy[bytes]:
    """MessagePack that is none, or that a reader should refuse, or almost fine."""
    depth = st.integers(100, 3000)
    size = st.integers(0, (1 << 32) - 1).map(lambda n: n.to_bytes(4, "big"))
    heads = st.sampled_from(
        [b"\xc6", b"\xc9", b"\xdb", b"\xdd", b"\xdf", b"\x91\xdd", b"\x81\xa1a\xdf"]
    )
    return st.one_of(
        st.binary(max_size=80),
        json_values().map(msgwire.encode),
        depth.map(lambda n: b"\x91" * n + b"\xc0"),
        depth.map(lambda n: b"\x81\xa1a" * n + b"\x90"),
        st.tuples(heads, size, st.binary(max_size=20)).map(b"".join),
        st.lists(st.tuples(heads, size).map(b"".join), max_size=50).map(b"".join),
        st.sampled_from(
            [
                b"",
                b"\xc1",
                b"\xc0\xc0",
                b"\x81\x01\x02",
                b"\x81\xc0\x02",
                b"\x81\xc4\x01a\x02",
                b"\x81\x90\x02",
                b"\x82\xa1a\x01\xa1a\x02",
                b"\xa1\xff",
                b"\xa3\xed\xa0\x80",
                b"\x81\xa1\xff\x01",
                b"\xd4\x05a",
                b"\xd6\xff\x00\x00\x00\x00",
                b"\x91\xd7\xff" + bytes(8),
                b"\xc7\x0c\xff" + bytes(12),
                b"\xca\x7f\xc0\x00\x00",
                b"\x91\xcb\x7f\xf0" + bytes(6),
                b"\xcf" + b"\xff" * 8,
                b"\x91\xc4\x01a",
            ]
        ),
    )


@st.composite
def mutated(draw: st.DrawFn, documents: Strategy[bytes]) -> bytes:
    """One of `documents` with a few bytes changed, cut out or put in."""
    data = bytearray(draw(documents))
    for _ in range(draw(st.integers(1, 3))):
        at = draw(st.integers(0, len(data)))
        match draw(st.sampled_from(["set", "cut", "put", "swap"])):
            case "set" if at < len(data):
                data[at] = draw(st.integers(0, 255))
            case "cut":
                del data[at : at + draw(st.integers(1, 8))]
            case "swap":
                token = draw(st.sampled_from([b"null", b"1.0", b"-1", b"{}", b"[]", b'""', b"256"]))
                data[at : at + len(token)] = token
            case _:
                data[at:at] = draw(st.binary(min_size=1, max_size=4))
    return bytes(data)
