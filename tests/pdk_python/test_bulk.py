"""Payloads by copying, from the guest's side: what the descriptor says, and that inputs and answers
are the same by either way."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgpack
import pytest
from fumehood_pdk._build.wasmfile import I32, Module

from fumehood import Limits
from fumehood.plugin import CompiledPlugin, Plugin
from tests.pdk_python.conftest import SOURCES
from tests.pdk_python.driver import MAGIC, Driver, compiled
from tests.vectors.packed import packed
from tests.vectors.sides import in_process

pytestmark = pytest.mark.xdist_group("pdk_python")

CONFIG = {"base_url": "http://h/v1", "model": "m"}
SIZES = [0, 1, 3000, 4095, 4096, 4097, 65_535, 65_536, 1 << 20]


def chat(text: str, **more: Any) -> bytes:
    content = [{"type": "text", "text": text}]
    return json.dumps(
        {"cfg": CONFIG, "messages": [{"role": "User", "content": content}], **more}
    ).encode()


@pytest.fixture(scope="module")
def instance(built: Callable[[str], Path]) -> Callable[[], Driver]:
    engine, module = compiled(built("openai"))
    return lambda: Driver(engine, module)


def test_the_module_exports_both_names(built: Callable[[str], Path]) -> None:
    module = Module(built("openai").read_bytes())
    exports = {item.name: item for item in module.exports}
    assert exports["fumehood_reserve"].kind == 0
    for name in ("fumehood_bulk", "fumehood_msgpack"):
        assert exports[name].kind == 3
        found = module.globals[exports[name].index]  # imports are functions only
        assert (found.type, found.mutable, found.init[:1]) == (I32, False, b"\x41")


def test_a_fresh_instance_has_a_clean_descriptor(instance: Callable[[], Driver]) -> None:
    guest = instance()
    assert guest.at % 4 == 0
    assert guest.words == (MAGIC, 0, 0, 0, 0, 0, 0, 0)


def test_a_host_that_knows_nothing_of_it(instance: Callable[[], Driver]) -> None:
    guest = instance()
    answer = guest.call("chat_request", chat("x" * 10_000))
    assert answer.code == 0
    assert answer.output is not None
    assert len(answer.output) > 10_000
    assert guest.words == (MAGIC, 0, 0, 0, 0, 0, 0, 0)


def test_an_input_in_the_buffer(instance: Callable[[], Driver]) -> None:
    guest, asked = instance(), chat("hällo" * 2000)
    by_kernel = guest.call("chat_request", asked)
    for _ in range(3):
        guest.hand_over(asked)
        assert guest.words[2:5] == (len(asked), guest.words[3], len(asked))
        assert guest.call("chat_request", b"not this") == by_kernel
        assert guest.words == (MAGIC, 0, 0, 0, 0, 0, 0, 0)
    assert guest.call("chat_request", asked) == by_kernel


def test_less_than_was_reserved(instance: Callable[[], Driver]) -> None:
    guest, asked = instance(), chat("short")
    at = guest.reserve(100_000)
    assert guest.words[2:4] == (100_000, at)
    guest.write(at, asked + b"what was there before")
    guest.set(4, len(asked))
    assert guest.call("chat_request") == guest.call("chat_request", asked)


def test_reserving_again_and_what_there_is_no_room_for(instance: Callable[[], Driver]) -> None:
    guest = instance()
    for size in (1, 5000, 100):
        assert guest.reserve(size) == guest.words[3] > 0
        assert guest.words[2] == size
    assert guest.reserve(0) == guest.words[3] > 0
    for size in (0x7FFFFFFF, 0x80000000, 0xFFFFFFFF, 0x7FFFFFC0):
        assert guest.reserve(size) == 0
        assert guest.words[2:4] == (0, 0)
    assert guest.call("name").output == b"openai"


def test_more_input_than_there_is_room_for(instance: Callable[[], Driver]) -> None:
    guest = instance()
    guest.set(4, 10)  # nothing is reserved
    answers = [guest.call("chat_request")]
    guest.reserve(9)
    guest.set(4, 10)
    answers.append(guest.call("chat_request"))
    for answer in answers:
        assert (answer.code, answer.output) == (1, None)
        assert answer.error is not None
        assert json.loads(answer.error)["payload"]["type"] == "plugin_error"
    assert guest.words == (MAGIC, 0, 0, 0, 0, 0, 0, 0)
    assert guest.call("chat_request", chat("still here")).code == 0


def test_an_output_in_memory(instance: Callable[[], Driver]) -> None:
    guest, asked = instance(), chat("wörld" * 2000)
    by_kernel = guest.call("chat_request", asked).output
    guest.set(1, 1)
    guest.hand_over(asked)
    assert guest.call("chat_request").output is None
    assert guest.outside() == by_kernel
    assert guest.call("name").output is None
    assert guest.outside() == b"openai"
    guest.reserve(1 << 20)  # the host has its copy
    assert guest.outside() is None


def test_errors_and_nothing_take_the_kernels_way(instance: Callable[[], Driver]) -> None:
    guest = instance()
    guest.set(1, 1)
    assert guest.call("chat_request", chat("before")).output is None
    guest.hand_over(b"{}")
    failed = guest.call("chat_request")
    assert (failed.code, failed.output, guest.outside()) == (1, None, None)
    assert failed.error is not None
    assert json.loads(failed.error)["payload"]["type"] == "json_error"
    nothing = guest.call("init_logging", b"3")
    assert (nothing.code, nothing.output, guest.outside()) == (0, b"", None)


def test_messagepack_in_the_buffer_and_back(instance: Callable[[], Driver]) -> None:
    guest, data = instance(), bytes(range(256)) * 100
    guest.set(1, 1)
    image = {"type": "image", "mime_type": "image/png", "data": data}
    asked = {"cfg": CONFIG, "messages": [{"role": "User", "content": [image]}]}
    guest.hand_over(msgpack.packb(asked))
    assert guest.call("chat_request").code == 0
    answer = guest.outside()
    assert answer is not None
    body = msgpack.unpackb(answer)["req"]["body"]
    assert type(body) is bytes
    assert "data:image/png;base64,AAECAwQF" in json.dumps(json.loads(body))


@pytest.mark.parametrize("wire", ["json", "msgpack"])
def test_any_size_comes_out_as_in_this_process(built: Callable[[str], Path], wire: str) -> None:
    here = in_process(SOURCES["openai"])
    limits = Limits(fuel=None, guest_time=60, deadline=100)
    with CompiledPlugin.load(built("openai")) as plugin, Plugin(plugin, limits=limits) as guest:

        def call(export: str, data: bytes) -> tuple[bool, bytes]:
            return True, guest.call(export, data)

        there = packed(call) if wire == "msgpack" else call
        for size in [*SIZES, *reversed(SIZES)]:
            whole = chat("")
            asked = chat("x" * max(0, size - len(whole)))
            assert there("chat_request", asked) == here("chat_request", asked)
            body = json.dumps({"choices": [{"message": {"content": "y" * size}}]}).encode()
            head = {"status": 200, "headers": {}, "version": "HTTP/1.1"}
            reply = {"resp": {"head": head, "body": list(body)}}
            replied = json.dumps({"cfg": CONFIG, "resp": reply}).encode()
            assert there("parse_chat_response", replied) == here("parse_chat_response", replied)
