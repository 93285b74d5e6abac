"""MessagePack towards plugins that export `fumehood_msgpack`, JSON towards all others."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

import msgpack
import pytest

from fumehood.abi.messages import image, user
from fumehood.abi.speech import SpeechRequest, TranscribeRequest
from fumehood.abi.wire import JSON, MSGPACK
from fumehood.engine import ExportInfo
from fumehood.errors import ProtocolError, ProviderError
from fumehood.plugin.compiled import CompiledPlugin
from fumehood.plugin.instance import Instance
from fumehood.provider import Provider, bundled
from fumehood.provider.opening import traits_of
from fumehood.testing.stub import StubServer
from tests.canary import KEY
from tests.provider.fakes import (
    FakeClient,
    FakeInstance,
    FakePlugin,
    direct,
    fail,
    provider,
    split,
)
from tests.provider.wat import SPLIT_EXPORTS, module, schema
from tests.toolchains import need_interop_plugin

PNG = b"\x89PNG\x00\xff" * 50


def is_packed(data: bytes) -> bool:
    return data[:1] >= b"\x80"


class Packed(FakePlugin):
    """Reads and answers in MessagePack what is an object, as a guest of our PDKs does."""

    def __init__(self, plugin: FakePlugin, answer: Callable[[Any], bytes] = msgpack.packb) -> None:
        super().__init__([(item.module, item.name) for item in plugin.imports], **plugin.functions)
        self.answer = answer
        self.wires: list[tuple[str, bool]] = []

    @property
    def exports(self) -> dict[str, Any]:
        return {**super().exports, "fumehood_msgpack": ExportInfo("fumehood_msgpack", "global")}

    def instance(self, services: Any, limits: Any) -> FakeInstance:
        self.instances.append(_PackedInstance(self, services))
        return self.instances[-1]


class _PackedInstance(FakeInstance):
    def call(self, export: str, data: bytes, meter: Any) -> bytes:
        assert isinstance(self.plugin, Packed)
        packed = is_packed(data)
        self.plugin.wires.append((export, packed))
        if not packed:
            assert not isinstance(json.loads(data), dict)
            return super().call(export, data, meter)
        document = msgpack.unpackb(data)
        answer = super().call(export, json.dumps(document, default=list).encode(), meter)
        if not answer or export in ("classify_chat_error", "chat_stream"):
            return answer
        value = json.loads(answer)
        if isinstance(value, dict) and "req" in value:
            value["req"]["body"] = bytes(value["req"]["body"])
        return self.plugin.answer(value)


def test_a_global_says_so_and_a_function_does_not() -> None:
    says = {"config_schema": schema("model")}
    mark = '(global (export "fumehood_msgpack") i32 (i32.const 0))'
    function = '(func (export "fumehood_msgpack") (result i32) (i32.const 0))'
    for more, wire in ((mark, MSGPACK), (function, JSON), ("", JSON)):
        with CompiledPlugin.load(module(says, more).encode()) as compiled:
            traits = traits_of(compiled)
            assert traits.wire is wire
            assert ("fumehood_msgpack" in traits.exports) == (more == function)
            for generation in ("A", "B", "C"):
                assert traits_of(compiled, generation).wire is wire
    with CompiledPlugin.load(module(says, mark, split=False).encode()) as compiled:
        assert traits_of(compiled).wire is MSGPACK


def test_every_operation_of_a_split_plugin() -> None:
    plugin = Packed(
        split(
            list_models_static=lambda *_: None,
            complete_request=split().functions["embed_request"],
            parse_complete_response=lambda data, _: {
                "text": bytes(data["resp"]["resp"]["body"]).decode()
            },
            transcribe=lambda data, _: {"text": data["audio_base64"]},
            speech=lambda data, _: {"audio_base64": data["text"]},
            parse_embed_response=lambda *_: [[0.5, 1]],
        )
    )
    client = FakeClient((200, b"hello"), (200, b'["a"]'), (200, b"x"), (200, b"done"))
    one = provider(plugin, client)
    assert plugin.wires == [
        ("name", False), ("config_schema", False), ("base_url", False), ("from_config", True),
    ]  # fmt: skip
    plugin.wires.clear()
    assert one.chat(user("hi", image(PNG, "image/png"))).text == "hello"
    assert bytes(plugin.input("chat_request")["messages"][0]["content"][1]["data"]) == PNG
    assert one.list_models().names == ["a"]
    assert one.embed(["x"]).vectors == [[0.5, 1.0]]
    assert one.complete("x").text == "done"
    assert one.transcribe(TranscribeRequest(b"RIFF").audio).text == "UklGRg=="
    assert one.speech(SpeechRequest("UklGRg==").text).audio == b"RIFF"
    assert plugin.wires
    assert all(packed for _, packed in plugin.wires)


def test_a_stream() -> None:
    plugin = Packed(split())
    lines = b"a\n\nb\r\n"
    one = provider(plugin, FakeClient((200, [lines])))
    plugin.wires.clear()
    with one.chat_stream("hi") as stream:
        chunks = [chunk.text or chunk.finish_reason for chunk in stream]
    assert chunks == ["a", "b", "Stop"]
    assert dict(plugin.wires) == {
        "chat_stream_request": True,
        "chat_stream_parser_start": True,
        "chat_stream_parser_parse": True,
        "chat_stream_parser_finish": False,
        "chat_stream_parser_close": False,
    }


def test_a_plugin_that_does_its_own_http() -> None:
    plugin = Packed(direct(chat=lambda *_: {"text": "hello"}, list_models=lambda *_: ["a"]))
    one = provider(plugin)
    plugin.wires.clear()
    assert one.chat("hi").text == "hello"
    assert one.list_models().names == ["a"]
    assert dict(plugin.wires) == {"init_logging": False, "chat": True, "list_models": True}


@pytest.mark.parametrize("said", ["failure", "output"])
def test_errors_are_json(said: str) -> None:
    error = {"payload": {"type": "rate_limited", "message": "slow", "retry_after_secs": 3}}
    if said == "failure":
        plugin, status = Packed(split(parse_chat_response=fail(error))), 200
    else:
        plugin, status = Packed(split(classify_chat_error=lambda *_: error)), 429
    with pytest.raises(ProviderError) as caught:
        provider(plugin, FakeClient((status, b"{}"))).chat("hi")
    assert caught.value.kind == "rate_limited"
    assert caught.value.retry_after == 3


@pytest.mark.parametrize("export", ["chat_request", "parse_chat_response"])
def test_whoever_is_asked_in_messagepack_answers_in_it(export: str) -> None:
    plugin = Packed(split())
    plugin.answer = lambda value: (
        json.dumps(value, default=list).encode() if plugin.names()[-1] == export
        else msgpack.packb(value)
    )  # fmt: skip
    with pytest.raises(ProtocolError, match="not valid MessagePack"):
        provider(plugin, FakeClient((200, b"hello"))).chat("hi")


def test_a_wasm_guest_that_answers_json_to_messagepack() -> None:
    request = (
        '{"req":{"head":{"method":"GET","uri":"https://h/","headers":{},"version":"HTTP/1.1"},'
        '"body":[]}}'
    )
    says = {"config_schema": schema("model"), **dict.fromkeys(SPLIT_EXPORTS, request)}
    mark = '(global (export "fumehood_msgpack") i32 (i32.const 0))'
    with (
        Provider.open(module(says, mark).encode(), config={"model": "m"}) as one,
        pytest.raises(ProtocolError, match="request of the plugin is not valid MessagePack"),
    ):
        one.chat("hi")


@pytest.fixture
def inputs(monkeypatch: pytest.MonkeyPatch) -> dict[str, bytes]:
    """What guests get from here on, by export."""
    seen: dict[str, bytes] = {}
    call = Instance.call

    def spy(self: Instance, export: str, data: bytes, *more: Any) -> bytes:
        seen[export] = bytes(data)
        return call(self, export, data, *more)

    monkeypatch.setattr(Instance, "call", spy)
    return seen


@pytest.fixture
def stub() -> Iterator[StubServer]:
    with StubServer(api_key=KEY) as server:
        yield server


def _used(plugin: Any, stub: StubServer) -> None:
    config = {"model": "stub-1", "base_url": stub.url, "api_key": KEY}
    with Provider.open(plugin, config=config) as one:
        one.chat(user("hi", image(PNG, "image/png")))
        with one.chat_stream("hi") as stream:
            assert "".join(chunk.text or "" for chunk in stream)
        one.list_models()


@pytest.mark.parametrize("name", ["openai", "anthropic", "ollama"])
def test_our_plugins_get_messagepack(name: str, inputs: dict[str, bytes], stub: StubServer) -> None:
    with CompiledPlugin.load(bundled.read(name).content) as compiled:
        assert traits_of(compiled).wire is MSGPACK
    if name != "openai":
        return  # the stub speaks OpenAI's language
    _used(f"bundled:{name}", stub)
    for export in ("chat_request", "parse_chat_response", "chat_stream_parser_parse"):
        assert is_packed(inputs[export]), export
    assert inputs["chat_stream_parser_finish"] == b"1"
    line = msgpack.unpackb(inputs["chat_stream_parser_parse"])
    assert isinstance(line["chunk"], bytes)


@pytest.mark.shared
def test_an_unmodified_querymt_plugin_gets_json(inputs: dict[str, bytes], stub: StubServer) -> None:
    _used(need_interop_plugin(), stub)
    for export in ("chat_request", "parse_chat_response", "chat_stream_parser_parse"):
        assert json.loads(inputs[export])
    assert not any(map(is_packed, inputs.values()))
