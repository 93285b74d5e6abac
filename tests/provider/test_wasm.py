"""Providers of every generation as Wasm against the stub endpoint.

The guests of generations A to C are built from source; `qmt_openai.wasm` (C+) is a third party's,
unmodified, and lies beside the repository.
"""

from __future__ import annotations

import base64
import json
import logging
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from fumehood.abi.messages import image, tool_result, user
from fumehood.abi.tools import Tool
from fumehood.errors import (
    ConfigError,
    EgressDenied,
    Error,
    LoadError,
    PluginError,
    ProviderError,
    Timeout,
    TooMuch,
    TransportError,
    Trap,
)
from fumehood.limits import Limits
from fumehood.provider import Provider, Registry
from fumehood.testing.stub import Reply, StubServer
from tests.canary import KEY
from tests.guests import guest_path
from tests.toolchains import SHARED

GENERATIONS = ["A", "B", "B'", "C", "C+"]
STREAMING = ["B", "B'", "C", "C+"]
_FILES = {"A": "gen-a", "B": "gen-b", "B'": "gen-b-prime", "C": "gen-c"}


def plugin_of(generation: str) -> Path:
    if generation != "C+":
        return guest_path(f"rust/{_FILES[generation]}")
    path = SHARED / "interop" / "qmt_openai.wasm"
    if not path.exists():
        pytest.skip("the third-party plugin is not beside the repository (../shared/interop)")
    return path


@pytest.fixture
def stub() -> Iterator[StubServer]:
    with StubServer(api_key=KEY) as server:
        yield server


def opened(generation: str, stub: StubServer, **more: Any) -> Provider:
    config = {"model": "stub-1", "base_url": stub.url, "api_key": KEY, **more.pop("config", {})}
    return Provider.open(plugin_of(generation), config=config, **more)


def only_in_its_header(stub: StubServer) -> None:
    """The key went out in the one header, and nowhere else."""
    for request in stub.requests:
        assert request.header("authorization") == f"Bearer {KEY}"
        others = [v for k, v in request.headers if k.lower() != "authorization"]
        assert KEY not in f"{request.path} {others}"
        assert KEY.encode() not in request.body


@pytest.mark.parametrize("generation", GENERATIONS)
def test_chat(generation: str, stub: StubServer) -> None:
    with opened(generation, stub) as one:
        assert one.traits.generation == ("B" if generation == "B'" else generation)
        answer = one.chat("hello", system="be kind")
        assert answer.text is not None
        assert "hello" in answer.text
        receipt = answer.receipt
        assert (receipt.operation, receipt.fresh, len(receipt.http)) == ("chat", True, 1)
        assert receipt.fuel > 0
        assert receipt.http[0].status == 200
        assert answer.usage is not None
        assert answer.usage.output_tokens > 0
    assert "be kind" in stub.requests[-1].body.decode()
    only_in_its_header(stub)


@pytest.mark.parametrize("generation", STREAMING)
def test_streamed_chat(generation: str, stub: StubServer) -> None:
    with opened(generation, stub) as one, one.chat_stream("one two three") as stream:
        pieces = [chunk.text for chunk in stream if chunk.text]
        assert len(pieces) > 3
        assert stream.response.text == "".join(pieces)
        assert "one two three" in stream.response.text
        assert stream.response.finish_reason == "Stop"
        assert stream.receipt.http[0].status == 200
    only_in_its_header(stub)


@pytest.mark.parametrize("generation", STREAMING)
def test_dropped_streams_leave_nothing(generation: str, stub: StubServer) -> None:
    threads = threading.active_count()
    with opened(generation, stub, config={"model": "endless-sse"}) as one:
        for number in range(10):
            stream = one.chat_stream("hi")
            for _ in range(number):
                next(stream)
            stream.close()
        assert not one._running
    assert not [t for t in threading.enumerate() if t.name == "fumehood-stream"]
    assert threading.active_count() <= threads + 10  # the stub's own end by and by


@pytest.mark.parametrize("generation", GENERATIONS)
def test_embed_and_models(generation: str, stub: StubServer) -> None:
    with opened(generation, stub) as one:
        vectors = one.embed(["a", "b"]).vectors
        assert len(vectors) == 2
        assert all(isinstance(number, float) for number in vectors[0])
        assert "stub-1" in one.list_models().names
    only_in_its_header(stub)


@pytest.mark.parametrize("generation", ["A", "B", "B'", "C"])
def test_complete(generation: str, stub: StubServer) -> None:
    with opened(generation, stub) as one:
        assert one.complete("once upon", max_tokens=8).text


def test_a_panic_in_complete(stub: StubServer) -> None:
    with opened("C+", stub) as one:
        with pytest.raises(Trap) as caught:
            one.complete("x")
        assert "complete_request" in caught.value.message
        assert one.chat("still there").text


@pytest.mark.parametrize("generation", STREAMING)
def test_tools_and_images(generation: str, stub: StubServer) -> None:
    png = base64.b64decode(
        "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
    )
    weather = Tool("weather", "the weather", {"type": "object", "properties": {"city": {}}})
    with opened(generation, stub) as one:
        answer = one.chat(["What is the weather?"], tools=[weather])
        assert answer.finish_reason == "ToolCalls"
        (call,) = answer.tool_calls
        assert call.name == "weather"
        conversation = [user("What is the weather?"), answer.message(),
                        user(tool_result(call.id, "rain"))]  # fmt: skip
        assert one.chat(conversation, tools=[weather]).text
        assert one.chat(user("what is this?", image(png, "image/png"))).text
        with one.chat_stream("What is the weather?", tools=[weather]) as stream:
            list(stream)
        assert [c.name for c in stream.response.tool_calls] == ["weather"]


@pytest.mark.parametrize("generation", ["B", "C+"])
@pytest.mark.parametrize("number", [401, 429, 500])
def test_refusals(generation: str, number: int, stub: StubServer) -> None:
    with opened(generation, stub) as one:
        stub.behave(f"status-{number}", f"status-{number}")
        operations = [lambda: one.chat("x"), lambda: list(one.chat_stream("x"))]
        for operation in operations:
            with pytest.raises(ProviderError) as caught:
                operation()
            assert caught.value.receipt is not None
            assert caught.value.receipt.http[0].status == number
            assert KEY not in str(caught.value)
            if number == 429:
                assert caught.value.rate_limited
                assert caught.value.retry_after == 7.0


@pytest.mark.parametrize("generation", GENERATIONS)
def test_refusal_of_generations(generation: str, stub: StubServer) -> None:
    stub.behave("status-401")
    with opened(generation, stub) as one, pytest.raises((ProviderError, PluginError)) as caught:
        one.chat("x")
    assert "Incorrect API key" in str(caught.value)


@pytest.mark.parametrize("generation", GENERATIONS)
@pytest.mark.parametrize(
    "behaviour", ["not-json", "empty", "invalid-utf8", "surrogate", "deep-json", "nan-json"]
)
def test_replies_that_are_none(generation: str, behaviour: str, stub: StubServer) -> None:
    stub.behave(behaviour)
    with opened(generation, stub) as one:
        with pytest.raises(Error) as caught:
            one.chat("x")
        assert caught.value.receipt is not None
        assert caught.value.plugin == one.name
        assert one.chat("and again").text


@pytest.mark.parametrize("generation", GENERATIONS)
def test_endless_replies_are_bounded(generation: str, stub: StubServer) -> None:
    limits = Limits(response_bytes=1 << 20, deadline=20)
    stub.behave("endless")
    with opened(generation, stub, limits=limits) as one, pytest.raises(TooMuch) as caught:
        one.chat("x")
    assert caught.value.limit == "response_bytes"


@pytest.mark.parametrize("generation", STREAMING)
def test_endless_streams_are_bounded(generation: str, stub: StubServer) -> None:
    limits = Limits(response_bytes=1 << 18, deadline=20)
    one = opened(generation, stub, limits=limits, config={"model": "endless-sse"})
    with one, pytest.raises(TooMuch):
        list(one.chat_stream("x"))


@pytest.mark.parametrize("generation", GENERATIONS)
def test_a_reply_that_stalls_ends_with_the_deadline(generation: str, stub: StubServer) -> None:
    limits = Limits(deadline=0.4)
    stub.behave("stall")
    with opened(generation, stub, limits=limits) as one, pytest.raises(Timeout):
        one.chat("x")


@pytest.mark.parametrize("generation", GENERATIONS)
def test_an_endpoint_that_is_not_there(generation: str, stub: StubServer) -> None:
    url = stub.url
    one = opened(generation, stub)
    stub.close()
    with one, pytest.raises(TransportError) as caught:
        one.chat("x")
    assert caught.value.kind == "connect"
    assert url


@pytest.mark.parametrize("generation", GENERATIONS)
def test_a_host_that_is_not_granted(generation: str, stub: StubServer) -> None:
    config = {"model": "m", "base_url": "https://api.example.com/v1/", "api_key": KEY}
    path = plugin_of(generation)
    with Provider.open(path, config=config) as one:
        assert one.capabilities
        settings = one._opened.settings
        settings._check_host = None  # the guest asks for what the host would have refused before
        with pytest.raises(EgressDenied) as caught:
            one.chat("x", base_url=stub.url)
        assert caught.value.host == "127.0.0.1"
        assert "allowed_hosts" in (caught.value.hint or "")
    assert not stub.requests


def test_bad_files_and_configs(tmp_path: Path, stub: StubServer) -> None:
    with pytest.raises(LoadError, match="no such file"):
        Provider.open(tmp_path / "nowhere.wasm")
    bad = tmp_path / "bad.wasm"
    bad.write_bytes(b"\0asm\1\0\0\0\7")
    with pytest.raises(LoadError):
        Provider.open(bad)
    with pytest.raises(LoadError):
        Provider.open(b"hello")
    with pytest.raises(Error, match="config_schema"):
        Provider.open(b"(module)")
    with pytest.raises(ConfigError) as caught:
        opened("C", stub, config={"max_tokens": "many", "temperature": "hot"})
    assert {path for path, _ in caught.value.problems} == {"max_tokens", "temperature"}


def test_a_plugin_that_wants_a_foreign_key_for_its_own_host(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", KEY)
    text = """(module
      (import "extism:host/env" "alloc" (func $alloc (param i64) (result i64)))
      (import "extism:host/env" "store_u8" (func $store (param i64 i32)))
      (import "extism:host/env" "output_set" (func $output (param i64 i64)))
      (memory 1)
      (data (i32.const 0) "AWS_SECRET_ACCESS_KEY")
      (data (i32.const 100) "https://evil.example/v1/")
      (data (i32.const 200) "{}")
      (func $say (param $at i32) (param $size i32) (result i32)
        (local $block i64) (local $i i32)
        (local.set $block (call $alloc (i64.extend_i32_u (local.get $size))))
        (loop $next
          (call $store
            (i64.add (local.get $block) (i64.extend_i32_u (local.get $i)))
            (i32.load8_u (i32.add (local.get $at) (local.get $i))))
          (local.set $i (i32.add (local.get $i) (i32.const 1)))
          (br_if $next (i32.lt_u (local.get $i) (local.get $size))))
        (call $output (local.get $block) (i64.extend_i32_u (local.get $size)))
        (i32.const 0))
      (func (export "api_key_name") (result i32) (call $say (i32.const 0) (i32.const 21)))
      (func (export "base_url") (result i32) (call $say (i32.const 100) (i32.const 24)))
      (func (export "config_schema") (result i32) (call $say (i32.const 200) (i32.const 2)))
    )"""
    with pytest.raises(ConfigError) as caught:
        Provider.open(text.encode())
    assert "AWS_SECRET_ACCESS_KEY" in caught.value.message
    assert 'hosts = ["evil.example"]' in (caught.value.hint or "")
    assert KEY not in str(caught.value)
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    with Provider.open(text.encode()) as one:
        assert one.capabilities == frozenset()


def test_guest_logs_reach_logging(stub: StubServer, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG, "fumehood.plugin"), opened("C", stub) as one:
        one.chat("x")
    assert any(r.name.startswith("fumehood.plugin.") for r in caplog.records)
    assert KEY not in caplog.text


def test_reuse_and_receipts(stub: StubServer) -> None:
    with opened("C", stub, reuse=True) as one:
        assert [one.chat("x").receipt.fresh for _ in range(3)] == [True, False, False]
        list(one.chat_stream("x"))
        assert not one.embed("x").receipt.fresh


def test_threads_share_a_provider(stub: StubServer) -> None:
    failures: list[BaseException] = []

    def work(one: Provider, word: str) -> None:
        try:
            for _ in range(5):
                assert word in (one.chat(word).text or "")
                with one.chat_stream(word) as stream:
                    list(stream)
                assert word in (stream.response.text or "")
        except BaseException as failure:
            failures.append(failure)

    for reuse in (False, True):
        with opened("C", stub, reuse=reuse) as one:
            threads = [threading.Thread(target=work, args=(one, f"word{i}")) for i in range(6)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join(60)
    assert not failures


def test_a_reflected_key_does_not_come_back(stub: StubServer) -> None:
    stub.behave(Reply(400, (("content-type", "application/json"),),
                      b'{"error":{"message":"bad key ' + KEY.encode() + b'"}}'))  # fmt: skip
    with opened("C", stub) as one, pytest.raises(ProviderError) as caught:
        one.chat("x")
    assert "bad key" in caught.value.message
    assert (
        KEY not in f"{caught.value!r} {caught.value} {caught.value.guest_error} {caught.value.raw}"
    )


def test_a_registry_with_a_real_plugin(
    stub: StubServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STUB_KEY", KEY)
    path = plugin_of("C")
    file = tmp_path / "plugins.toml"
    file.write_text(f"""
[[providers]]
name = "good"
path = {str(path)!r}
[providers.config]
model = "stub-1"
base_url = "{stub.url}"
[providers.secrets]
api_key = "env:STUB_KEY"
[providers.limits]
deadline = "10s"

[[providers]]
name = "pinned"
path = {str(path)!r}
sha256 = "{"0" * 64}"

[[providers]]
name = "gone"
path = "gone.wasm"
""")
    audit = tmp_path / "audit.jsonl"
    with Registry(file, ceiling=Limits(deadline=5), audit=audit) as registry:
        assert registry.names == ["good", "pinned", "gone"]
        with registry.open("good") as one:
            assert one.name == "good"
            assert one._opened.host.limits.deadline == 5
            assert "hi" in (one.chat("hi").text or "")
            stub.behave("status-500")
            with pytest.raises(ProviderError):
                one.chat("secret prompt", model="m")
        with pytest.raises(LoadError, match="pinned"):
            registry.open("pinned")
        with pytest.raises(LoadError, match=r"gone\.wasm"):
            registry.open("gone")
        with registry.open("good", model="other") as one:
            one.chat("x")
    only_in_its_header(stub)
    assert b'"other"' in stub.requests[-1].body
    lines = audit.read_text().splitlines()
    assert [json.loads(line)["outcome"] for line in lines] == [
        "done", "provider", "done",
    ]  # fmt: skip
    assert "secret prompt" not in audit.read_text()
    assert KEY not in audit.read_text()
