"""`AsyncProvider` with real plugins against the stub endpoint, on asyncio and trio."""

from __future__ import annotations

import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import anyio
import pytest

from fumehood import AsyncProvider, Limits, Registry
from fumehood.errors import Cancelled, LoadError, ProviderError, Timeout, TransportError
from fumehood.provider import bundled
from fumehood.testing.stub import StubServer
from tests.counts import count
from tests.provider.test_wasm import GENERATIONS, KEY, STREAMING, plugin_of

pytestmark = pytest.mark.anyio

USERS = count(64, 256)


@pytest.fixture(params=["asyncio", "trio"])
def anyio_backend(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def stub() -> Iterator[StubServer]:
    with StubServer(api_key=KEY) as server:
        yield server


def config(stub: StubServer, model: str = "stub-1") -> dict[str, Any]:
    return {"model": model, "base_url": stub.url, "api_key": KEY}


async def ended(stub: StubServer) -> bool:
    """Whether the stub sees that no connection is open any more."""
    with anyio.move_on_after(10):
        while stub._live:
            await anyio.sleep(0.01)
        return True
    return False


@pytest.mark.parametrize("generation", GENERATIONS)
async def test_chat(generation: str, stub: StubServer) -> None:
    async with AsyncProvider.open(plugin_of(generation), config=config(stub)) as one:
        answer = await one.chat("hello", system="be kind")
        assert answer.text is not None
        assert "hello" in answer.text
        receipt = answer.receipt
        assert (receipt.operation, receipt.fresh, len(receipt.http)) == ("chat", True, 1)
        assert receipt.fuel > 0
        assert receipt.http[0].status == 200
    assert await ended(stub)


@pytest.mark.parametrize("generation", STREAMING)
async def test_streamed_chat(generation: str, stub: StubServer) -> None:
    one = await AsyncProvider.open(plugin_of(generation), config=config(stub))
    async with one, one.chat_stream("one two three") as stream:
        pieces = [chunk.text async for chunk in stream if chunk.text]
        assert len(pieces) > 3
        assert stream.response.text == "".join(pieces)
        assert "one two three" in stream.response.text
        assert stream.response.finish_reason == "Stop"
        assert stream.receipt.http[0].status == 200
    assert await ended(stub)


@pytest.mark.parametrize("generation", STREAMING)
async def test_dropped_and_cancelled_streams_leave_nothing(
    generation: str, stub: StubServer
) -> None:
    endless = config(stub, "endless-sse")
    async with AsyncProvider.open(plugin_of(generation), config=endless) as one:
        for number in range(5):
            stream = one.chat_stream("hi")
            async with stream:
                for _ in range(number):
                    await anext(stream)
        with anyio.move_on_after(0.2) as scope:
            async for _ in one.chat_stream("hi"):
                pass
        assert scope.cancelled_caught
        assert not one._running
        assert one._pool.live == 0
    assert not [t for t in threading.enumerate() if t.name == "fumehood-stream"]
    assert await ended(stub)


@pytest.mark.parametrize("generation", ["A", "C"])
async def test_a_cancelled_chat_closes_its_socket(generation: str, stub: StubServer) -> None:
    async with AsyncProvider.open(plugin_of(generation), config=config(stub, "drip")) as one:
        began = time.monotonic()
        with anyio.move_on_after(0.3) as scope:
            await one.chat("hello")
        assert scope.cancelled_caught
        assert time.monotonic() - began < 5
        assert not one._running
    assert await ended(stub)


async def test_refusals_are_the_same(stub: StubServer) -> None:
    wrong = {**config(stub), "api_key": "sk-wrong-0123456789abcdefghi"}
    async with AsyncProvider.open("bundled:openai", config=wrong) as one:
        with pytest.raises(ProviderError) as caught:
            await one.chat("hello")
        assert caught.value.status == 401
        assert "sk-wrong" not in str(caught.value)
    refused = {**config(stub), "base_url": "http://127.0.0.1:9/v1/"}
    async with AsyncProvider.open("bundled:openai", config=refused) as one:
        with pytest.raises(TransportError) as lost:
            await one.chat("hello")
        assert lost.value.kind == "connect"


async def test_opening_fails_as_it_does_elsewhere(tmp_path: Path) -> None:
    with pytest.raises(LoadError, match="no such file"):
        await AsyncProvider.open(tmp_path / "none.wasm")


# -- many at once -----------------------------------------------------------------------------


@pytest.fixture
def own_process() -> Iterator[str]:
    """The URL of a stub in a process of its own."""
    command = [sys.executable, "-m", "fumehood.testing.stub", "--api-key", KEY]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        yield process.stdout.readline().strip()
        process.terminate()


async def test_many_chats_and_streams_at_once(own_process: str) -> None:
    settings = {"model": "stub-1", "base_url": own_process, "api_key": KEY}
    answers: list[str] = []
    async with AsyncProvider.open("bundled:openai", config=settings) as one:

        async def chat(number: int) -> None:
            answer = await one.chat(f"number {number}")
            assert f"number {number}" in (answer.text or "")
            answers.append(answer.text or "")

        async def stream(number: int) -> None:
            async with one.chat_stream(f"number {number}") as stream:
                text = "".join([chunk.text or "" async for chunk in stream])
            assert f"number {number}" in text
            answers.append(text)

        async with anyio.create_task_group() as group:
            for number in range(USERS):
                group.start_soon(chat, number)
                if number % 8 == 0:
                    group.start_soon(stream, number)
        assert len(answers) == USERS + (USERS + 7) // 8
        assert (one._pool.live, one._pool.waiting) == (0, 0)


# -- a guest that turns bad ---------------------------------------------------------------------


def looper(url: str, quick: int) -> bytes:
    """A plugin whose `chat_request` answers `quick` times, then loops."""
    body = list(b'{"model":"m","messages":[{"role":"user","content":"x"}]}')
    texts = {
        "config_schema": '{"type":"object","properties":{"model":{"type":"string"}}}',
        "chat_request": str(
            {"req": {"head": {"method": "POST", "uri": f"{url}chat/completions", "headers": {},
                              "version": "HTTP/1.1"},
                     "body": body}}
        ).replace("'", '"'),
        "parse_chat_response": '{"text":"fine"}',
        "chat_stream_request": "{}",
        "list_models_request": "{}",
        "parse_list_models_response": "[]",
    }  # fmt: skip
    data, functions, at = [], [], 1024
    for name, text in texts.items():
        loops = f"""
          (global.set $calls (i32.add (global.get $calls) (i32.const 1)))
          (if (i32.gt_u (global.get $calls) (i32.const {quick})) (then (loop $l (br $l))))"""
        escaped = text.replace('"', "\\22")
        data.append(f'(data (i32.const {at}) "{escaped}")')
        functions.append(f"""(func (export "{name}") (result i32)
          {loops if name == "chat_request" else ""}
          (call $say (i32.const {at}) (i32.const {len(text)})) (i32.const 0))""")
        at += len(text)
    return f"""(module
      (import "extism:host/env" "alloc" (func $alloc (param i64) (result i64)))
      (import "extism:host/env" "store_u8" (func $store (param i64 i32)))
      (import "extism:host/env" "output_set" (func $output (param i64 i64)))
      (memory 1) (global $calls (mut i32) (i32.const 0)) {" ".join(data)}
      (func $say (param $at i32) (param $size i32) (local $out i64) (local $i i32)
        (local.set $out (call $alloc (i64.extend_i32_u (local.get $size))))
        (loop $l
          (call $store (i64.add (local.get $out) (i64.extend_i32_u (local.get $i)))
            (i32.load8_u (i32.add (local.get $at) (local.get $i))))
          (local.set $i (i32.add (local.get $i) (i32.const 1)))
          (br_if $l (i32.lt_u (local.get $i) (local.get $size))))
        (call $output (local.get $out) (i64.extend_i32_u (local.get $size))))
      {" ".join(functions)})""".encode()


async def test_a_guest_that_loops_after_1000_quick_calls(stub: StubServer) -> None:
    quick = 1000
    stub.api_key = None
    gaps: list[float] = []
    async with AsyncProvider.open(
        looper(stub.url, quick),
        config={"model": "m", "allowed_hosts": [f"{stub.host}:{stub.port}"]},
        limits=Limits(guest_time=1.0, fuel=None),
        reuse=True,
    ) as one:
        for _ in range(quick):
            assert (await one.chat("x")).text == "fine"

        async def beat() -> None:
            while True:
                before = time.monotonic()
                await anyio.sleep(0.001)
                gaps.append(time.monotonic() - before - 0.001)

        async with anyio.create_task_group() as group:
            group.start_soon(beat)
            with pytest.raises(Timeout) as caught:
                await one.chat("x")
            group.cancel_scope.cancel()
        assert caught.value.limit == "guest_time"
        # The loop went on all the time: 1 s of looping would be one gap of a second. How short the
        # gaps are is for bench/ to say, on a machine that has nothing else to do.
        assert len(gaps) > 50
        assert max(gaps) < 0.5


async def test_cancelling_stops_a_looping_guest(stub: StubServer) -> None:
    async with AsyncProvider.open(
        looper(stub.url, 0),
        config={"model": "m", "allowed_hosts": [f"{stub.host}:{stub.port}"]},
        limits=Limits(guest_time=60, fuel=None),
    ) as one:
        began = time.monotonic()
        with anyio.move_on_after(0.1) as scope:
            await one.chat("x")
        assert scope.cancelled_caught
        assert time.monotonic() - began < 5

        async def run() -> None:
            with pytest.raises(Cancelled):
                await one.chat("x")

        async with anyio.create_task_group() as group:
            group.start_soon(run)
            await anyio.sleep(0.1)
            await one.close()


# -- a file that is replaced ---------------------------------------------------------------------


def replace(path: Path, content: bytes) -> None:
    """As an operator does it: written beside, then moved into place."""
    path.with_suffix(".new").write_bytes(content)
    path.with_suffix(".new").replace(path)


async def test_a_replaced_plugin_is_loaded_and_streams_go_on(
    tmp_path: Path, stub: StubServer, caplog: pytest.LogCaptureFixture
) -> None:
    stub.api_key = None
    old = bundled.read("openai").content
    (tmp_path / "p.wasm").write_bytes(old)
    (tmp_path / "plugins.toml").write_text(
        f'[[providers]]\nname = "p"\npath = "p.wasm"\n'
        f'[providers.config]\nmodel = "m"\nbase_url = "{stub.url}"\napi_key = "{KEY}"\n'
        f'allowed_hosts = ["{stub.host}:{stub.port}"]\n'
    )
    with Registry(tmp_path / "plugins.toml") as registry:
        async with registry.aopen("p") as one:
            before = one.sha256
            async with one.chat_stream("one two three") as stream:
                first = await anext(stream)
                replace(tmp_path / "p.wasm", looper(stub.url, 9))
                assert (await one.chat("x")).text == "fine"
                assert one.sha256 != before
                assert len(one._versions._old) == 1
                rest = [chunk.text or "" async for chunk in stream]
                assert "one two three" in (first.text or "") + "".join(rest)
            assert not one._versions._old
            assert stream.receipt.sha256 == before
            replace(tmp_path / "p.wasm", b"half of a fi")
            assert (await one.chat("x")).text == "fine"
            assert "the changed plugin is not used" in caplog.text
            (tmp_path / "p.wasm").unlink()
            assert (await one.chat("x")).text == "fine"
            shutil.copy(plugin_of("C"), tmp_path / "p.wasm")
            answer = await one.chat("hello")
            assert "hello" in (answer.text or "")
        with registry.open("p") as sync:
            replace(tmp_path / "p.wasm", looper(stub.url, 9))
            assert sync.chat("x").text == "fine"
