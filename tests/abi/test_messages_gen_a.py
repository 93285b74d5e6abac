"""The message shape of generation A, provider-abi.md §3.11."""

from __future__ import annotations

import json
from typing import Any

import pytest

from fumehood.abi import calls, jsonwire
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
from fumehood.abi.messages import Message, assistant, tool_result, user
from fumehood.abi.messages_gen_a import decode_messages_gen_a, encode_messages_gen_a
from fumehood.errors import ProtocolError, UsageError


def written(*messages: Message) -> Any:
    return json.loads(jsonwire.encode(encode_messages_gen_a(messages)))


def kinds(*blocks: Block) -> list[tuple[Any, str]]:
    return [(each["message_type"], each["content"]) for each in written(user(*blocks))]


def call(id_: str, name: str, arguments: str) -> dict[str, Any]:
    return {"id": id_, "type": "function", "function": {"name": name, "arguments": arguments}}


def test_text_blocks_join() -> None:
    assert kinds(Text("a"), Text("b")) == [("Text", "ab")]
    assert kinds() == [("Text", "")]


@pytest.mark.parametrize(
    ("mime_type", "name"),
    [
        ("image/jpeg", "JPEG"),
        ("image/jpg", "JPEG"),
        ("IMAGE/PNG", "PNG"),
        ("image/gif", "GIF"),
        ("image/webp", "WEBP"),
    ],
)
def test_images(mime_type: str, name: str) -> None:
    assert kinds(Text("a"), Image(b"\x89", mime_type)) == [({"Image": [name, [137]]}, "a")]


def test_other_images_cannot_be_named() -> None:
    with pytest.raises(UsageError, match="image/tiff"):
        kinds(Image(b"", "image/tiff"))


def test_one_kind_a_message() -> None:
    assert kinds(PDF(b"%"), Text("a"), ImageURL("u"), Text("b")) == [
        ({"Pdf": [37]}, "ab"),
        ({"ImageURL": "u"}, ""),
    ]


def test_tool_uses_stay_together_and_carry_the_text() -> None:
    message = assistant("t", ToolUse("1", "f", {"q": 1}), ToolUse("2", "g", None))
    assert written(message) == [
        {
            "role": "Assistant",
            "message_type": {"ToolUse": [call("1", "f", '{"q":1}'), call("2", "g", "null")]},
            "content": "t",
        }
    ]


def test_the_result_text_stands_in_the_arguments() -> None:
    results = user(tool_result("1", ["4", "2"], name="f"), tool_result("2", "no", True), "and?")
    assert written(results) == [
        {
            "role": "User",
            "message_type": {"ToolResult": [call("1", "f", "42"), call("2", "", "no")]},
            "content": "",
        },
        {"role": "User", "message_type": "Text", "content": "and?"},
    ]


def test_thinking_audio_and_links_are_dropped() -> None:
    blocks = (Thinking("t"), Audio(b"x", "audio/wav"), ResourceLink("u"))
    assert kinds(*blocks, Text("a")) == [("Text", "a")]
    assert kinds(*blocks) == [("Text", "")]


def test_the_chat_input_of_generation_a() -> None:
    data = json.loads(calls.chat_input({}, [user("hi")], None, gen_a=True))
    assert data == {
        "cfg": {},
        "messages": [{"role": "User", "message_type": "Text", "content": "hi"}],
        "tools": None,
    }


def test_decoding() -> None:
    value = [
        {"role": "User", "message_type": {"Image": ["GIF", [1]]}, "content": "a"},
        {
            "role": "User",
            "message_type": {"ToolResult": [call("1", "f", "42"), call("2", "", "x")]},
            "content": "",
        },
        {"role": "Assistant", "message_type": {"ToolUse": [call("1", "f", "{}")]}, "content": ""},
    ]
    assert decode_messages_gen_a(value) == [
        user("a", Image(b"\x01", "image/gif")),
        user(ToolResult("1", (Text("42"),), name="f"), ToolResult("2", (Text("x"),))),
        assistant(ToolUse("1", "f", {})),
    ]


@pytest.mark.parametrize(
    "message",
    [
        {},
        {"role": "User", "content": ""},
        {"role": "User", "message_type": "Text"},
        {"role": "user", "message_type": "Text", "content": ""},
        {"role": "User", "message_type": "text", "content": ""},
        {"role": "User", "message_type": None, "content": ""},
        {"role": "User", "message_type": {}, "content": ""},
        {"role": "User", "message_type": {"Text": 1, "Pdf": []}, "content": ""},
        {"role": "User", "message_type": {"Video": []}, "content": ""},
        {"role": "User", "message_type": {"Image": ["TIFF", []]}, "content": ""},
        {"role": "User", "message_type": {"Image": ["PNG"]}, "content": ""},
        {"role": "User", "message_type": {"Image": [1, []]}, "content": ""},
        {"role": "User", "message_type": {"Pdf": [256]}, "content": ""},
        {"role": "User", "message_type": {"ImageURL": []}, "content": ""},
        {"role": "User", "message_type": {"ToolUse": [{}]}, "content": ""},
        {"role": "User", "message_type": {"ToolResult": {}}, "content": ""},
        {"role": "User", "message_type": "Text", "content": None},
    ],
)
def test_refused(message: Any) -> None:
    with pytest.raises(ProtocolError):
        decode_messages_gen_a([message])
