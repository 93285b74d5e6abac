"""The plugin for `--target core` in fumehood, and in another Extism host."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from fumehood import Provider, ProviderError
from fumehood.abi.tools import Tool
from fumehood.plugin import CompiledPlugin
from fumehood.testing.stub import Reply, StubServer

pytestmark = pytest.mark.xdist_group("pdk_python")

QUESTION = {"role": "User", "content": [{"type": "text", "text": "hi"}]}
OTHER_HOST = """
import json, sys
import extism
with extism.Plugin({"wasm": [{"path": sys.argv[1]}]}, wasi=True) as plugin:
    asked = json.dumps({"cfg": {"base_url": "http://h/v1", "model": "m"}, "messages": [%r]})
    request = json.loads(bytes(plugin.call("chat_request", asked)))["req"]
    try:
        plugin.call("chat_request", "{}")
        error = None
    except extism.Error as problem:
        error = str(problem)
    name = bytes(plugin.call("name", b"null")).decode()
    print(json.dumps({"name": name, "uri": request["head"]["uri"], "error": error}))
"""


@pytest.fixture(scope="module")
def stub() -> Iterator[StubServer]:
    with StubServer() as server:
        yield server


@pytest.fixture(scope="module")
def provider(built: Callable[[str], Path], stub: StubServer) -> Iterator[Provider]:
    with Provider.open(built("openai"), config={"base_url": stub.url, "model": "stub-1"}) as opened:
        yield opened


def test_a_chat(provider: Provider) -> None:
    answer = provider.chat("Grüße 👋")
    assert answer.text is not None
    assert answer.text.endswith("You said: Grüße 👋")
    assert answer.finish_reason == "Stop"
    assert answer.usage is not None
    assert answer.usage.input_tokens > 0
    assert answer.receipt.fresh


def test_what_it_can_do_is_what_its_class_can_do(provider: Provider) -> None:
    assert provider.name == "openai"
    assert provider.capabilities == {"chat", "chat_stream", "embed", "complete", "list_models"}
    assert provider.config_schema["properties"]["base_url"]["format"] == "uri"


def test_a_stream(provider: Provider) -> None:
    with provider.chat_stream("word by word") as stream:
        texts = [chunk.text for chunk in stream if chunk.kind == "text"]
    assert len(texts) > 3
    assert "".join(texts).endswith("You said: word by word")
    assert stream.response.finish_reason == "Stop"
    assert stream.response.usage is not None


def test_a_tool_is_called(provider: Provider) -> None:
    tool = Tool("look", "looks", {"type": "object", "properties": {"at": {"type": "string"}}})
    answer = provider.chat("look!", tools=[tool])
    assert answer.finish_reason == "ToolCalls"
    assert answer.tool_calls
    assert answer.tool_calls[0].name == "look"
    assert "at" in answer.tool_calls[0].parsed


def test_embeddings_completion_and_models(provider: Provider) -> None:
    vectors = provider.embed(["a", "b"]).vectors
    assert len(vectors) == 2
    assert vectors[0] != vectors[1]
    assert provider.complete("once").text
    assert "stub-1" in provider.list_models().names


def test_a_refusal_is_the_apis(provider: Provider, stub: StubServer) -> None:
    body = {"error": {"message": "slow down", "code": "rate_limit_exceeded", "type": "requests"}}
    stub.behave(
        Reply(
            429,
            (("content-type", "application/json"), ("retry-after", "7")),
            json.dumps(body).encode(),
        )
    )
    with pytest.raises(ProviderError) as caught:
        provider.chat("hi")
    assert caught.value.kind == "rate_limited"
    assert caught.value.retry_after == 7
    assert caught.value.retryable


def test_googles_provider(built: Callable[[str], Path], stub: StubServer) -> None:
    config = {"base_url": f"{stub.root}v1beta", "model": "gem"}
    answer = {"candidates": [{"content": {"parts": [{"text": "hällo"}]}, "finishReason": "STOP"}]}
    pieces = b"".join(
        b"data: "
        + json.dumps({"candidates": [{"content": {"parts": [{"text": text}]}}]}).encode()
        + b"\r\n\r\n"
        for text in ("hä", "llo")
    )
    json_type = (("content-type", "application/json"),)
    stub.behave(
        Reply(200, json_type, json.dumps(answer).encode()),
        Reply(200, (("content-type", "text/event-stream"),), pieces),
        Reply(200, json_type, b'{"embeddings": [{"values": [0.5, -1]}]}'),
        Reply(200, json_type, b'{"models": [{"name": "models/gem"}]}'),
    )
    with Provider.open(built("google"), config=config) as opened:
        assert opened.chat("hi").text == "hällo"
        with opened.chat_stream("hi") as stream:
            assert [chunk.text for chunk in stream if chunk.kind == "text"] == ["hä", "llo"]
        assert opened.embed(["a"]).vectors == [[0.5, -1.0]]
        assert opened.list_models().names == ["gem"]
    assert stub.requests[-4].path.endswith("/models/gem:generateContent")


def test_another_extism_host_runs_it(built: Callable[[str], Path]) -> None:
    done = subprocess.run(
        [sys.executable, "-c", OTHER_HOST % QUESTION, str(built("openai"))],
        capture_output=True, text=True, check=False, timeout=110,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert told["name"] == "openai"
    assert told["uri"] == "http://h/v1/chat/completions"
    assert json.loads(told["error"])["payload"]["type"] == "json_error"


def test_querymt_would_load_it(built: Callable[[str], Path]) -> None:
    """By its exports and imports: QueryMT links Extism's kernel, WASI and its own six functions."""
    with CompiledPlugin.load(built("openai")) as compiled:
        needed = {
            "name", "init_logging", "config_schema", "from_config", "chat_request",
            "chat_stream_request", "parse_chat_response", "list_models_request",
            "parse_list_models_response", "api_key_name", "base_url",
        }  # fmt: skip
        assert needed <= {name for name in compiled.exports if compiled.has(name)}
        assert {item.module for item in compiled.imports} == {
            "wasi_snapshot_preview1",
            "extism:host/env",
        }
        assert "_initialize" not in compiled.exports


def test_speech_goes_through_the_hosts_http(built: Callable[[str], Path], stub: StubServer) -> None:
    config = {"base_url": stub.url}
    with CompiledPlugin.load(built("speaking")) as compiled:
        imports = {(item.module, item.name) for item in compiled.imports}
        assert ("extism:host/user", "qmt_http_request") in imports
    stub.behave(
        Reply(200, (("content-type", "application/json"),), '{"text": "hällo"}'.encode()),
        Reply(200, (("content-type", "audio/wav"),), b"RIFF\xff\x00"),
        Reply(503, (), b"busy"),
    )
    with Provider.open(built("speaking"), config=config) as opened:
        assert opened.transcribe(b"\x00\xffsound").text == "hällo"
        assert stub.requests[-1].body == b"\x00\xffsound"
        spoken = opened.speech("hi", voice="alloy", speed=1.5)
        assert (spoken.audio, spoken.mime_type) == (b"RIFF\xff\x00", "audio/wav")
        assert stub.requests[-1].json == {"text": "hi", "voice": "alloy", "speed": 1.5}
        with pytest.raises(ProviderError, match="busy") as caught:
            opened.speech("hi", voice="alloy")
        assert caught.value.kind == "http_status"
        with pytest.raises(ProviderError, match="choose a voice"):
            opened.speech("hi")
