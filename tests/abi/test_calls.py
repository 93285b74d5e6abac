"""The input of every export, provider-abi.md §1.1 and §1.2."""

from __future__ import annotations

import json
from typing import Any

import msgpack
import pytest

from fumehood.abi import calls
from fumehood.abi.calls import CompletionRequest
from fumehood.abi.http import HTTPResponse
from fumehood.abi.messages import Tool, image, user
from fumehood.abi.wire import MSGPACK
from fumehood.errors import ProtocolError, UsageError

CFG: dict[str, Any] = {"model": "m", "system": ["s"]}
RESP = {"head": {"status": 200, "headers": {}, "version": "HTTP/1.1"}, "body": [104, 105]}


def shapes(cfg: calls.Config) -> list[tuple[bytes, Any]]:
    reply = HTTPResponse(200, (), b"hi")
    tool = {"name": "f", "description": "d", "parameters": True}
    return [
        (calls.config_input(cfg), CFG),
        (calls.cfg_input(cfg), {"cfg": CFG}),
        (
            calls.chat_input(cfg, [user("hi")], [Tool("f", "d", True)]),
            {
                "cfg": CFG,
                "messages": [{"role": "User", "content": [{"type": "text", "text": "hi"}]}],
                "tools": [{"type": "function", "function": tool}],
            },
        ),
        (calls.chat_input(cfg, []), {"cfg": CFG, "messages": [], "tools": None}),
        (calls.resp_input(cfg, reply), {"cfg": CFG, "resp": {"resp": RESP}}),
        (calls.resp_input(None, reply), {"resp": {"resp": RESP}}),
        (calls.embed_input(cfg, ("a", "b")), {"cfg": CFG, "inputs": ["a", "b"]}),
        (
            calls.complete_input(cfg, CompletionRequest("p")),
            {
                "cfg": CFG,
                "req": {"prompt": "p", "suffix": None, "max_tokens": None, "temperature": None},
            },
        ),
    ]


@pytest.mark.parametrize("encoded_once", [False, True])
def test_shapes(encoded_once: bool) -> None:
    for written, wanted in shapes(calls.encode_config(CFG) if encoded_once else CFG):
        assert json.loads(written) == wanted


@pytest.mark.parametrize("encoded_once", [False, True])
def test_shapes_in_messagepack(encoded_once: bool) -> None:
    """All of a document is in one wire: its config, the bytes of its messages, its reply."""
    cfg = calls.encode_config(CFG, MSGPACK) if encoded_once else CFG
    reply = HTTPResponse(200, (), b"hi")
    written = calls.resp_input(cfg, reply, MSGPACK)
    assert msgpack.unpackb(written) == {"cfg": CFG, "resp": {"resp": {**RESP, "body": b"hi"}}}
    message = user(image(b"\x00\xff", "image/png"))
    for gen_a in (False, True):
        written = calls.chat_input(cfg, [message], gen_a=gen_a, wire=MSGPACK)
        document = msgpack.unpackb(written)
        assert document["cfg"] == CFG
        assert b"\xc4\x02\x00\xff" in written
    assert calls.decode_chat_input(
        calls.chat_input(cfg, [message], wire=MSGPACK), wire=MSGPACK
    ) == (CFG, [message], None)


def test_inputs_without_a_config() -> None:
    assert calls.NULL == b"null"
    assert json.loads(calls.parser_parse_input(7, b"a\r\n")) == {
        "parser_id": 7,
        "chunk": [97, 13, 10],
    }
    assert calls.decode_parser_parse_input(calls.parser_parse_input(7, b"a\n")) == (7, b"a\n")
    assert calls.id_input(7) == b"7"
    assert [calls.init_logging_input(level) for level in calls.LOG_LEVELS] == [
        b"0", b"1", b"2", b"3", b"4", b"5"
    ]  # fmt: skip


@pytest.mark.parametrize("bad", [float("nan"), 1 << 64, b"x", {1: 1}, "\ud800", object()])
def test_configs_that_have_no_json_form(bad: Any) -> None:
    for make in (calls.config_input, calls.cfg_input, calls.encode_config):
        with pytest.raises(UsageError):
            make({"a": [bad]})
    with pytest.raises(UsageError):
        calls.chat_input({"a": bad}, [])
    with pytest.raises(UsageError):
        calls.embed_input({"a": bad}, [])


def test_temperature_must_be_a_number() -> None:
    with pytest.raises(UsageError, match="temperature"):
        calls.complete_input({}, CompletionRequest("p", temperature=float("nan")))


def test_a_completion_needs_its_prompt_only() -> None:
    data = b'{"cfg":{},"req":{"prompt":"p"}}'
    assert calls.decode_complete_input(data) == ({}, CompletionRequest("p"))
    for bad in (
        b"{}",
        b'{"cfg":{},"req":{}}',
        b'{"req":{"prompt":"p"}}',
        b'{"cfg":{},"req":{"prompt":"p","max_tokens":-1}}',
        b'{"cfg":{},"req":{"prompt":"p","temperature":"1"}}',
    ):
        with pytest.raises(ProtocolError):
            calls.decode_complete_input(bad)


def test_decoding_refuses_what_is_missing() -> None:
    for bad in (b"{}", b"[]", b'{"cfg":{}}', b'{"cfg":{},"messages":{}}', b'{"messages":[]}'):
        with pytest.raises(ProtocolError):
            calls.decode_chat_input(bad)
    for bad in (b"{}", b'{"cfg":{},"inputs":[1]}', b'{"inputs":[]}'):
        with pytest.raises(ProtocolError):
            calls.decode_embed_input(bad)
    for bad in (b"{}", b'{"parser_id":1}', b'{"parser_id":1,"chunk":"a"}', b'{"chunk":[]}'):
        with pytest.raises(ProtocolError):
            calls.decode_parser_parse_input(bad)


def test_counts_have_their_range() -> None:
    text = '{"cfg":{},"req":{"prompt":"p","max_tokens":%d}}'
    assert calls.decode_complete_input((text % (2**32 - 1)).encode())[1].max_tokens == 2**32 - 1
    for wrong in (2**32, -1):
        with pytest.raises(ProtocolError, match="max_tokens"):
            calls.decode_complete_input((text % wrong).encode())


def test_numbers_may_be_whole_and_nought() -> None:
    data = b'{"cfg":{},"req":{"prompt":"p","max_tokens":0,"temperature":1}}'
    request = calls.decode_complete_input(data)[1]
    assert (request.max_tokens, request.temperature) == (0, 1)
