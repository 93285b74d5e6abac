"""Whatever the host can say, it says to the same effect: in JSON to the class in this process, in
MessagePack and through the buffer to the plugin made of it."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fumehood import PluginError
from fumehood.abi import calls, http, outputs, replies
from fumehood.abi.blocks import Image, Text
from fumehood.abi.http import HTTPResponse
from fumehood.abi.messages import Message
from fumehood.abi.wire import JSON, MSGPACK, Wire
from fumehood.plugin import CompiledPlugin, Plugin
from fumehood.testing import strategies
from tests.pdk_python.conftest import SOURCES
from tests.vectors.sides import in_process

pytestmark = pytest.mark.xdist_group("pdk_python")

CONFIG = {"base_url": "http://h/v1", "model": "m"}
FEW = settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))

Ask = Callable[[str, bytes], bytes]
Sides = tuple[Ask, Ask]
"""The class here; the plugin in its sandbox. Both raise PluginError."""


@pytest.fixture(scope="module")
def sides(built: Callable[[str], Path]) -> Iterator[Sides]:
    here = in_process(SOURCES["openai"])

    def ask(export: str, data: bytes) -> bytes:
        ok, answer = here(export, data)
        if not ok:
            raise PluginError(answer.decode())
        return answer

    with CompiledPlugin.load(built("openai")) as compiled, Plugin(compiled) as guest:
        yield ask, guest.call


def agree(
    sides: Sides, export: str, said: Callable[[Wire], bytes], read: Callable[[bytes, Wire], Any]
) -> None:
    """`said` to both, each on its wire; what they answer, or what they refuse it with, is equal."""
    told = []
    for ask, wire in zip(sides, (JSON, MSGPACK), strict=True):
        try:
            told.append(read(ask(export, said(wire)), wire))
        except PluginError as error:
            told.append(json.loads(error.message)["payload"])
    assert told[0] == told[1]


@FEW
@given(strategies.conversations(), st.none() | st.lists(strategies.tools(), max_size=3))
def test_chats(sides: Sides, messages: Any, tools: Any) -> None:
    agree(
        sides,
        "chat_request",
        lambda wire: calls.chat_input(CONFIG, messages, tools, wire=wire),
        lambda answer, wire: http.decode_request(answer, wire=wire),
    )


@FEW
@given(strategies.http_responses())
def test_replies_of_any_kind(sides: Sides, reply: HTTPResponse) -> None:
    def said(wire: Wire) -> bytes:
        return calls.resp_input(CONFIG, reply, wire)

    agree(
        sides,
        "parse_chat_response",
        said,
        lambda answer, wire: replies.decode_chat_response(answer, wire=wire),
    )
    agree(sides, "classify_chat_error", said, lambda answer, _wire: json.loads(answer))
    agree(
        sides,
        "parse_list_models_response",
        lambda wire: calls.resp_input(None, reply, wire),
        lambda answer, wire: outputs.decode_models(answer, wire=wire),
    )


@FEW
@given(strategies.chat_replies(), st.sampled_from([0, 5000, 1 << 20]))
def test_replies_that_are_good(sides: Sides, answer: Any, more: int) -> None:
    message = {"role": "assistant", "content": (answer.text or "") + "x" * more}
    body = json.dumps({"choices": [{"message": message, "finish_reason": "stop"}]}).encode()
    agree(
        sides,
        "parse_chat_response",
        lambda wire: calls.resp_input(CONFIG, HTTPResponse(200, (), body), wire),
        lambda told, wire: replies.decode_chat_response(told, wire=wire),
    )


@FEW
@given(st.lists(st.binary(max_size=200) | strategies.texts().map(str.encode), max_size=5))
def test_lines_of_a_stream(sides: Sides, lines: list[bytes]) -> None:
    parsers = [
        outputs.decode_id(
            ask("chat_stream_parser_start", calls.config_input(CONFIG, wire)), "the id", wire
        )
        for ask, wire in zip(sides, (JSON, MSGPACK), strict=True)
    ]
    numbers = {JSON: parsers[0], MSGPACK: parsers[1]}
    for line in lines:
        agree(
            sides,
            "chat_stream_parser_parse",
            lambda wire, line=line: calls.parser_parse_input(numbers[wire], line, wire),
            lambda answer, wire: replies.decode_chunks(answer, wire=wire),
        )
    for ask, number in zip(sides, parsers, strict=True):
        ask("chat_stream_parser_close", b"%d" % number)


@pytest.mark.parametrize(("size", "share"), [(0, 0.9), (65_536, 0.15)], ids=["short", "image"])
def test_messagepack_is_less_work_for_the_guest(
    built: Callable[[str], Path], size: int, share: float
) -> None:
    blocks: list[Any] = [Text("How tall is the Matterhorn?")]
    if size:
        blocks.append(Image(bytes(size), "image/png"))
    reply = HTTPResponse(200, (), b'{"choices": [{"message": {"content": "4478 m"}}]}')
    fuel = {}
    for wire in (JSON, MSGPACK):
        with Plugin(built("openai")) as guest:
            for _ in range(2):  # the first call seeds randomness
                asked = calls.chat_input(CONFIG, [Message("User", tuple(blocks))], None, wire=wire)
                guest.call("chat_request", asked)
                used = guest.last_receipt.fuel if guest.last_receipt else None
                guest.call("parse_chat_response", calls.resp_input(CONFIG, reply, wire))
                assert used is not None
                assert guest.last_receipt is not None
                fuel[wire.name] = used + (guest.last_receipt.fuel or 0)
    print(f"instructions of the guest for {size} bytes of image: {fuel}")
    assert fuel["msgpack"] < share * fuel["json"]
