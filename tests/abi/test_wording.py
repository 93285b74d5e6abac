"""What a document that is wrong in one place is told: which place, and what is wrong there.

The messages are read by people who write plugins, so they are pinned: `wording.json` holds, for
every example of provider-abi.md and every value in it, what comes of putting another value there.
After a deliberate change, `python -m tests.abi.test_wording` records them anew; read the diff.
"""

from __future__ import annotations

import copy
import datetime
import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import pytest

from fumehood.abi import (
    calls,
    http,
    jsonwire,
    messages,
    msgwire,
    options,
    outputs,
    payloads,
    replies,
    speech,
    tools,
)
from fumehood.abi.blocks import ToolUse
from fumehood.abi.messages import Message, Tool
from fumehood.abi.messages_gen_a import decode_messages_gen_a, encode_messages_gen_a
from fumehood.abi.wire import MSGPACK
from fumehood.errors import Error
from tests.abi.test_examples import EXAMPLES, Trip, trip, trip_value

RECORD: Final = Path(__file__).with_name("wording.json")
CHANGES: Final[dict[str, Any]] = {
    "null": None,
    "fraction": -1.5,
    "text": "Sphinx of black quartz, judge my vow: no field has a text like this one",
    "table": {"odd": None},
}

MORE: Final[list[tuple[str, Trip, str]]] = [
    (
        "tool choice",
        trip_value(options.decode_tool_choice, options.encode_tool_choice),
        '{"type":"function","function":{"name":"f"}}',
    ),
    (
        "tool choice, word",
        trip_value(options.decode_tool_choice, options.encode_tool_choice),
        '"auto"',
    ),
    (
        "output format",
        trip_value(options.decode_output_format, options.encode_output_format),
        '{"name":"n","description":"d","schema":{"type":"object"},"strict":true}',
    ),
    (
        "reasoning effort",
        trip_value(options.decode_reasoning_effort, lambda effort: effort),
        '"high"',
    ),
    (
        "chat input",
        trip(calls.decode_chat_input, lambda three: calls.chat_input(*three)),
        '{"cfg":{"model":"m"},"messages":[{"role":"User","content":[{"type":"text","text":"hi"}]}],'
        '"tools":[{"type":"function","function":{"name":"f","description":"d","parameters":{}}}]}',
    ),
    (
        "parser call",
        trip(calls.decode_parser_parse_input, lambda both: calls.parser_parse_input(*both)),
        '{"parser_id":7,"chunk":[1,2]}',
    ),
    (
        "end of a stream, generation B",
        trip(replies.decode_chunk, replies.encode_chunk),
        '{"chunk":{"done":{"stop_reason":"stop"}},"usage":null}',
    ),
    ("models", trip(outputs.decode_models, outputs.encode_models), '["a"]'),
    ("static models", trip(outputs.decode_static_models, outputs.encode_models), '["a"]'),
    (
        "request of the Extism ABI",
        trip(http.decode_extism_request, lambda three: jsonwire.encode([*three])),
        '{"url":"https://x/","method":"GET","headers":{"a":"b"}}',
    ),
    *(
        (
            f"payload, {text.partition(',')[0]}",
            trip(payloads.decode_payload, payloads.encode_payload),
            f'{{"payload":{{"message":"m","type":{text}}}}}',
        )
        for text in (
            '"transport","kind":"dns"',
            '"http_status","status_code":503,"retry_after_secs":1',
            '"rate_limited","retry_after_secs":1',
            '"response_format_error","raw_response":"r"',
            '"io_error"',
            '"auth_error"',
            '"odd"',
        )
    ),
]
ALL: Final = [*EXAMPLES, *MORE]


def nested() -> list[Any]:
    """A list inside itself."""
    inside: list[Any] = []
    inside.append(inside)
    return inside


NAN: Final = float("nan")
REPLY: Final = http.HTTPResponse(200, (), b"")
REQUEST: Final = http.HTTPRequest("GET", "https://h/", (), b"")
# decoders of bare values, and those that name their document themselves
BARE: Final[dict[str, Callable[[bytes], object]]] = {
    "raw": lambda data: outputs.decode_raw(data, "it"),
    "optional raw": lambda data: outputs.decode_optional_raw(data, "it"),
    "schema": outputs.decode_schema,
    "flag": lambda data: outputs.decode_flag(data, "it"),
    "id": lambda data: outputs.decode_id(data, "it"),
    "chunks": replies.decode_chunks,
    "tools": lambda data: tools.decode_tools(jsonwire.decode(data, "it")),
    "usage": lambda data: replies.decode_usage(jsonwire.decode(data, "it")),
    "messages of generation A": lambda data: decode_messages_gen_a(jsonwire.decode(data, "it")),
}
ODD: Final = [
    b"", b"{", b"\xff", b"7", b"null", b"[]", b"[3]", b'"x"', b"{}", b"9223372036854775808",
    b'{"input_tokens":1,"prompt_tokens":2}', b'[{"type":"odd","function":{}}]',
]  # fmt: skip
# callers' mistakes: what is tried, and who is to be told what
MISTAKES: Final[dict[str, Callable[[], object]]] = {
    "image without a type": lambda: messages.image(b"x"),
    "image by URL with a type": lambda: messages.image("https://x", "image/png"),
    "image of a number": lambda: messages.image(5),  # type: ignore[arg-type]
    "content of bytes": lambda: messages.user(b"x"),  # type: ignore[arg-type]
    "content of a table": lambda: messages.user({"type": "text"}),  # type: ignore[arg-type]
    "content of nothing": lambda: Message("User", None),  # type: ignore[arg-type]
    "content of bytes alone": lambda: Message("User", b"x"),  # type: ignore[arg-type]
    "role": lambda: Message("system", ()),  # type: ignore[arg-type]
    "no message": lambda: messages.as_messages([]),
    "messages of None": lambda: messages.as_messages(None),  # type: ignore[arg-type]
    "messages of bytes": lambda: messages.as_messages(b"hi"),  # type: ignore[arg-type]
    "message of a table": lambda: messages.as_messages([{"role": "user"}]),  # type: ignore[list-item]
    "block": lambda: messages.encode_block(3),  # type: ignore[arg-type]
    "voice": lambda: speech.encode_voice("x"),  # type: ignore[arg-type]
    "tools of text": lambda: tools.encode_tools("f"),  # type: ignore[arg-type]
    "tools of tables": lambda: tools.encode_tools([{"name": "f"}]),  # type: ignore[list-item]
    "tool parameters": lambda: tools.encode_tools([Tool("f", "", {"a": NAN})]),
    "arguments": lambda: messages.encode_block(ToolUse("c", "f", {"a": [NAN]})),
    "arguments, generation A": lambda: encode_messages_gen_a(
        [messages.assistant(ToolUse("c", "f", {"a": NAN}))]
    ),
    "two kinds in a message of generation A": lambda: encode_messages_gen_a(
        [messages.user(messages.image("https://x"), messages.image(b"x", "audio/odd"))]
    ),
    "cfg": lambda: calls.embed_input({"a": NAN}, ["x"]),
    "cfg, bytes": lambda: calls.embed_input({"a": b"x"}, ["x"]),
    "cfg, key": lambda: calls.embed_input({"a": {1: 2}}, ["x"]),
    "cfg, integer": lambda: calls.embed_input({"a": 2**64}, ["x"]),
    "cfg, surrogate": lambda: calls.embed_input({"a": "\ud800"}, ["x"]),
    "cfg, date": lambda: calls.embed_input(
        {"a": datetime.datetime(2026, 1, 2, tzinfo=datetime.UTC)}, ["x"]
    ),
    "cfg, surrogate in MessagePack": lambda: calls.embed_input({"a": "\ud800"}, ["x"], MSGPACK),
    "temperature": lambda: calls.complete_input({}, calls.CompletionRequest("p", None, None, NAN)),
    "schema": lambda: options.encode_output_format(options.OutputFormat("n", None, {"a": NAN})),
    "vector": lambda: outputs.encode_vectors([[NAN]]),
    "transcription": lambda: speech.transcribe_input({"a": NAN}, speech.TranscribeRequest(b"")),
    "speech": lambda: speech.speech_input({"a": NAN}, speech.SpeechRequest("t")),
    "speed": lambda: speech.speech_input({}, speech.SpeechRequest("t", speed=NAN)),
    "method": lambda: http.encode_request(replace(REQUEST, method="G T")),
    "uri": lambda: http.encode_request(replace(REQUEST, uri="https://h/ x")),
    "header": lambda: http.encode_request(replace(REQUEST, headers=(("a b", "x"),))),
    "header value": lambda: http.encode_request(replace(REQUEST, headers=(("a", "\n"),))),
    **{
        f"uri {uri[:40]!a}": (lambda uri=uri: http.encode_request(replace(REQUEST, uri=uri)))
        for uri in (
            "",
            "x" * 70_000,
            "h/x",
            "https://",
            "https://[::1",
            "https://]1[/",
            "https://h h/",
            "https://[[::1]]/",
            "https://u@/",
            "https://h:1:2/",
            "https://h%41/",
        )
    },
    "nested": lambda: jsonwire.encode(nested()),
    "nested in MessagePack": lambda: msgwire.encode(nested()),
    "version": lambda: http.encode_request(replace(REQUEST, version="HTTP/9")),
    "status": lambda: http.encode_response(replace(REPLY, status=99)),
    "chunk": lambda: replies.encode_chunk(replies.StreamChunk("odd")),  # type: ignore[arg-type]
    "chunk without text": lambda: replies.encode_chunk(replies.StreamChunk("text")),
}


def places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The path of every value in a document, the document itself first."""
    yield path
    if isinstance(value, dict):
        for key, item in value.items():
            yield from places(item, (*path, key))
    elif isinstance(value, list):
        for index, item in enumerate(value[:2]):
            yield from places(item, (*path, index))


def changed(document: Any, path: tuple[Any, ...], value: Any, *, drop: bool = False) -> bytes:
    """The document with another value at `path`, or with none."""
    if not path:
        return json.dumps(value).encode()
    whole = copy.deepcopy(document)
    inner = whole
    for step in path[:-1]:
        inner = inner[step]
    if drop:
        del inner[path[-1]]
    else:
        inner[path[-1]] = value
    return json.dumps(whole).encode()


def outcome(go: Trip, data: bytes) -> str | None:
    """The error's class and message; None where the document is taken."""
    try:
        go(data)
    except Error as error:
        return f"{type(error).__name__}: {error.message}"
    return None


def wording(go: Trip, text: str) -> dict[str, dict[str, str]]:
    """What each change is told, by place; changes that are taken are left out."""
    document = json.loads(text)
    said: dict[str, dict[str, str]] = {}
    broken = {"cut": outcome(go, text.encode()[:-1]), "no UTF-8": outcome(go, b"\xff")}
    said["(no JSON)"] = {name: message for name, message in broken.items() if message is not None}
    for path in places(document):
        seen = {name: outcome(go, changed(document, path, new)) for name, new in CHANGES.items()}
        if path and isinstance(path[-1], str):
            seen["missing"] = outcome(go, changed(document, path, None, drop=True))
        here = {name: message for name, message in seen.items() if message is not None}
        if here:
            said["/".join(map(str, path))] = here
    return said


def told(mistake: Callable[[], object]) -> list[str | None]:
    """Class, message and hint of the error; nothing where there is none."""
    try:
        mistake()
    except Error as error:
        return [type(error).__name__, error.message, error.hint]
    return []


def bare(decode: Callable[[bytes], object]) -> dict[str, list[str | None]]:
    """What each odd document is told."""
    return {
        odd.decode("latin-1"): told(lambda odd=odd: decode(odd))  # type: ignore[misc]
        for odd in ODD
    }


@pytest.mark.parametrize("name", BARE)
def test_bare_values(name: str) -> None:
    assert bare(BARE[name]) == json.loads(RECORD.read_text())["bare"][name]


@pytest.mark.parametrize("name", MISTAKES)
def test_mistakes(name: str) -> None:
    assert told(MISTAKES[name]) == json.loads(RECORD.read_text())["mistakes"][name]


def test_every_mistake_is_one() -> None:
    assert all(json.loads(RECORD.read_text())["mistakes"].values())


@pytest.mark.parametrize(("name", "go", "text"), ALL, ids=[case[0] for case in ALL])
def test_wording(name: str, go: Trip, text: str) -> None:
    assert wording(go, text) == json.loads(RECORD.read_text())[name]


if __name__ == "__main__":
    record: dict[str, Any] = {name: wording(go, text) for name, go, text in ALL}
    record["bare"] = {name: bare(decode) for name, decode in BARE.items()}
    record["mistakes"] = {name: told(mistake) for name, mistake in MISTAKES.items()}
    RECORD.write_text(json.dumps(record, indent=1, ensure_ascii=False) + "\n")
