from __future__ import annotations

import json
from typing import Any

import pytest

from fumehood.abi import calls, jsonwire
from fumehood.abi.blocks import (
    PDF,
    Audio,
    Image,
    ImageURL,
    Text,
    Thinking,
    ToolResult,
    ToolUse,
    encode_block,
)
from fumehood.abi.messages import (
    CacheHint,
    Message,
    Tool,
    ToolCall,
    as_messages,
    assistant,
    decode_messages,
    encode_messages,
    encode_tools,
    image,
    tool_result,
    user,
)
from fumehood.abi.replies import ChatReply, assistant_message
from fumehood.abi.tools import decode_call, decode_tools
from fumehood.errors import ProtocolError, UsageError

TEXT = {"type": "text", "text": "hi"}


def decoded(*content: Any) -> list[Message]:
    return decode_messages([{"role": "User", "content": list(content)}])


def test_helpers_build_what_one_would_think() -> None:
    message = user("hi", image(b"\x89P", "image/png"))
    assert message == Message("User", (Text("hi"), Image(b"\x89P", "image/png")))
    assert message.text == "hi"
    assert image("https://x/y.png") == ImageURL("https://x/y.png")
    assert image(bytearray(b"a"), "image/gif") == Image(b"a", "image/gif")
    assert assistant("a", Thinking("b"), "c").text == "ac"
    assert tool_result("c1", "42") == ToolResult("c1", (Text("42"),))
    assert tool_result("c1", ["a", PDF(b"%")], is_error=True, name="f") == ToolResult(
        "c1", (Text("a"), PDF(b"%")), True, "f"
    )


def test_reprs_do_not_print_megabytes() -> None:
    message = user(Image(b"x" * 5000, "image/png"), PDF(b"y" * 9), Audio(b"", "audio/wav"))
    assert repr(message).count("bytes>") == 3
    assert len(repr(message)) < 200


@pytest.mark.parametrize(
    "make",
    [
        lambda: image(b"x"),
        lambda: image("https://x", "image/png"),
        lambda: image(5),  # type: ignore[arg-type]
        lambda: user(b"x"),  # type: ignore[arg-type]
        lambda: user({"type": "text"}),  # type: ignore[arg-type]
        lambda: Message("system", (Text("x"),)),  # type: ignore[arg-type]
        lambda: Message("user", (Text("x"),)),  # type: ignore[arg-type]
        lambda: Message("User", None),  # type: ignore[arg-type]
        lambda: Message("User", b"x"),  # type: ignore[arg-type]
        lambda: tool_result("c", [1]),  # type: ignore[list-item]
        lambda: as_messages([]),
        lambda: as_messages(None),  # type: ignore[arg-type]
        lambda: as_messages(b"hi"),  # type: ignore[arg-type]
        lambda: as_messages({"role": "user"}),  # type: ignore[arg-type]
        lambda: as_messages([{"role": "user"}]),  # type: ignore[list-item]
        lambda: encode_tools("f"),  # type: ignore[arg-type]
        lambda: encode_tools(Tool("f")),  # type: ignore[arg-type]
        lambda: encode_tools([{"name": "f"}]),  # type: ignore[list-item]
        lambda: encode_tools([Tool("f", "", {"a": float("nan")})]),
    ],
)
def test_mistakes_are_usage_errors_with_a_word_of_help(make: Any) -> None:
    with pytest.raises(UsageError) as caught:
        make()
    assert caught.value.message


def test_as_messages() -> None:
    question, answer = user("q"), assistant("a")
    assert as_messages("q") == [question]
    assert as_messages(question) == [question]
    assert as_messages([question, answer, "q"]) == [question, answer, question]
    assert as_messages(m for m in (question,)) == [question]  # type: ignore[arg-type]
    one, two = tool_result("1", "x"), tool_result("2", "y")
    assert as_messages([question, one, two, answer, one]) == [
        question,
        user(one, two),
        answer,
        user(one),
    ]


def test_content_may_be_a_list_or_one_block_and_becomes_a_tuple() -> None:
    assert Message("User", ["a", Text("b")]).content == (Text("a"), Text("b"))  # type: ignore[arg-type]
    assert Message("User", Text("b")).content == (Text("b"),)  # type: ignore[arg-type]
    assert Message("User", "a").content == (Text("a"),)  # type: ignore[arg-type]


def test_what_is_unset_is_left_out() -> None:
    assert encode_messages([user(Thinking("t"))]) == [
        {"role": "User", "content": [{"type": "thinking", "text": "t"}]}
    ]
    hint = encode_messages([user("x", cache=CacheHint())])[0]["cache"]
    assert hint == {"ephemeral": {}}


@pytest.mark.parametrize("nothing", [{}, {"name": None}])
def test_opt_is_absent_or_null(nothing: dict[str, Any]) -> None:
    block = {"type": "tool_result", "id": "c", "is_error": False, "content": [], **nothing}
    assert decoded(block)[0].content == (ToolResult("c", ()),)
    assert decode_messages([{"role": "User", "content": [], "cache": None}])[0].cache is None


@pytest.mark.parametrize(
    "block",
    [
        None,
        "hi",
        {},
        {"text": "hi"},
        {"type": "video"},
        {"type": "Text", "text": "hi"},
        {"type": None},
        {"type": "text"},
        {"type": "text", "text": None},
        {"type": "text", "text": 1},
        {"type": "image", "data": [1]},
        {"type": "image", "mime_type": "m"},
        {"type": "image", "mime_type": "m", "data": "aGk="},
        {"type": "image", "mime_type": "m", "data": [256]},
        {"type": "image_url"},
        {"type": "pdf", "data": None},
        {"type": "audio", "data": [1]},
        {"type": "thinking"},
        {"type": "thinking", "text": "t", "signature": 1},
        {"type": "tool_use", "id": "c", "name": "f"},
        {"type": "tool_use", "id": 1, "name": "f", "arguments": {}},
        {"type": "tool_result", "id": "c", "content": []},
        {"type": "tool_result", "id": "c", "is_error": False},
        {"type": "tool_result", "id": "c", "is_error": 0, "content": []},
        {"type": "tool_result", "id": "c", "is_error": False, "content": "x"},
        {"type": "tool_result", "id": "c", "is_error": False, "content": [{"type": "x"}]},
        {"type": "resource_link"},
        {"type": "resource_link", "uri": "u", "name": 1},
    ],
)
def test_blocks_refused(block: Any) -> None:
    with pytest.raises(ProtocolError, match=r"messages\[0\]\.content\[0\]"):
        decoded(block)


@pytest.mark.parametrize(
    "message",
    [
        None,
        {},
        {"role": "User"},
        {"content": []},
        {"role": "user", "content": []},
        {"role": "System", "content": []},
        {"role": "User", "content": "hi"},
        {"role": "User", "content": None},
        {"role": "User", "content": [], "cache": "ephemeral"},
        {"role": "User", "content": [], "cache": {}},
        {"role": "User", "content": [], "cache": {"ephemeral": None}},
        {"role": "User", "content": [], "cache": {"ephemeral": {"ttl_seconds": -1}}},
        {"role": "User", "content": [], "cache": {"ephemeral": {"ttl_seconds": 1.5}}},
        {"role": "User", "content": [], "cache": {"ephemeral": {}, "x": 1}},
    ],
)
def test_messages_refused(message: Any) -> None:
    with pytest.raises(ProtocolError):
        decode_messages([message])


def test_unknown_keys_are_ignored() -> None:
    assert decoded({**TEXT, "x": [1]})[0].content == (Text("hi"),)


@pytest.mark.parametrize(
    "tool",
    [
        None,
        {},
        {"type": "function"},
        {"type": "function", "function": {"name": "f", "description": "d"}},
        {"type": "function", "function": {"name": "f", "parameters": {}}},
        {"type": "function", "function": {"description": "d", "parameters": {}}},
        {"function": {"name": "f", "description": "d", "parameters": {}}},
        {"type": "function", "function": {"name": 1, "description": "d", "parameters": {}}},
    ],
)
def test_tools_have_mandatory_keys(tool: Any) -> None:
    with pytest.raises(ProtocolError):
        decode_tools([tool])


def test_the_type_of_a_tool_is_kept() -> None:
    tool = {"type": "odd", "function": {"name": "f", "description": "d", "parameters": {}}}
    assert decode_tools([tool]) == [Tool("f", "d", {}, "odd")]


def test_the_default_tool_takes_no_arguments() -> None:
    encoded = encode_tools([Tool("f", "d")])
    assert encoded is not None
    assert encoded[0]["function"]["parameters"] == {"type": "object", "properties": {}}
    assert encode_tools(None) is None
    assert encode_tools([]) == []


@pytest.mark.parametrize(
    ("arguments", "parsed"),
    [
        ('{"q":1}', {"q": 1}),
        ("[1]", [1]),
        ("", {}),
        ("{", {}),
        ("NaN", {}),
        ("\ud800", {}),
        ("[" * 500, {}),
    ],
)
def test_parsed_arguments(arguments: str, parsed: Any) -> None:
    assert ToolCall("c", "f", arguments).parsed == parsed


@pytest.mark.parametrize(
    "call",
    [
        {},
        {"id": "c", "type": "function"},
        {"id": "c", "function": {"name": "f", "arguments": "{}"}},
        {"type": "function", "function": {"name": "f", "arguments": "{}"}},
        {"id": "c", "type": "function", "function": {"name": "f", "arguments": {}}},
        {"id": "c", "type": "function", "function": {"name": "f"}},
        {"id": "c", "type": "function", "function": {"arguments": "{}"}},
    ],
)
def test_calls_refused(call: Any) -> None:
    with pytest.raises(ProtocolError):
        decode_call(call, "call")


def test_a_reply_becomes_the_message_that_carries_on() -> None:
    calls_made = (ToolCall("c1", "f", '{"q":1}'), ToolCall("c2", "g", "broken"))
    reply = ChatReply("hi", calls_made, "hm")
    assert assistant_message(reply, signature="s") == Message(
        "Assistant",
        (
            Thinking("hm", "s"),
            Text("hi"),
            ToolUse("c1", "f", {"q": 1}),
            ToolUse("c2", "g", {}),
        ),
    )
    assert assistant_message(ChatReply()).content == ()


def test_arguments_that_are_no_json_are_the_callers_mistake() -> None:
    for arguments in (b"x", float("nan"), {1: 2}, 1 << 70):
        with pytest.raises(UsageError, match="tool 'f'"):
            encode_messages([assistant(ToolUse("c", "f", arguments))])


def test_the_chat_input_holds_images_as_arrays() -> None:
    data = calls.chat_input({"model": "m"}, [user("hi", image(b"\x00\xff", "image/png"))], [])
    assert json.loads(data) == {
        "cfg": {"model": "m"},
        "messages": [
            {
                "role": "User",
                "content": [TEXT, {"type": "image", "mime_type": "image/png", "data": [0, 255]}],
            }
        ],
        "tools": [],
    }
    assert jsonwire.decode(data, "it")["tools"] == []


def test_what_is_no_block_cannot_be_sent() -> None:
    for wrong in (None, b"bytes", {"type": "text", "text": "x"}):
        with pytest.raises(UsageError, match="not"):
            encode_block(wrong)  # type: ignore[arg-type]


def test_a_cache_hint_stays_with_its_message() -> None:
    hint = CacheHint(300)
    assert assistant("a", cache=hint) == Message("Assistant", (Text("a"),), hint)
    assert user("a", cache=hint) == Message("User", (Text("a"),), hint)
    assert assistant("a").cache is None
