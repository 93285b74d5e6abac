"""`AsyncProvider` over fakes: what it is asked, where it runs, how it ends."""

from __future__ import annotations

import gc
import threading
from collections.abc import Callable
from typing import Any

import anyio
import pytest

from fumehood.errors import (
    Cancelled,
    ClosedError,
    ConfigError,
    Error,
    PluginError,
    ProviderError,
    Timeout,
    TooMuch,
    TransportError,
    UsageError,
)
from fumehood.limits import Limits
from fumehood.meter import Meter
from fumehood.provider.aprovider import AsyncProvider
from fumehood.provider.opening import Spec, open_plugin, traits_of
from fumehood.provider.pool import Pool
from fumehood.provider.reaper import reaper
from tests.provider.fakes import FakeClient, FakePlugin, FakeStream, direct, fail, split

pytestmark = pytest.mark.anyio


@pytest.fixture(params=["asyncio", "trio"])
def anyio_backend(request: pytest.FixtureRequest) -> str:
    return str(request.param)


class AsyncFakeStream:
    """`FakeStream`, awaitable."""

    def __init__(self, stream: FakeStream) -> None:
        self.inner = stream
        self.status = stream.status
        self.headers = stream.headers

    async def read(self) -> bytes:
        await anyio.sleep(0)
        piece = self.inner.read()
        if piece == b"HANG":
            await anyio.sleep_forever()
        return piece

    def close(self) -> None:
        self.inner.close()


class AsyncFakeClient:
    """`FakeClient`, awaitable; notes the threads it is used on."""

    def __init__(self, *replies: Any) -> None:
        self.inner = FakeClient(*replies)
        self.streams: list[AsyncFakeStream] = []

    async def send(self, *arguments: Any, **options: Any) -> Any:
        await anyio.sleep(0)
        if self.inner.replies and self.inner.replies[0] == "HANG":
            await anyio.sleep_forever()
        return self.inner.send(*arguments, **options)

    async def stream(self, *arguments: Any, **options: Any) -> AsyncFakeStream:
        await anyio.sleep(0)
        self.streams.append(AsyncFakeStream(self.inner.stream(*arguments, **options)))
        return self.streams[-1]

    def close(self) -> None:
        self.inner.close()


def provider(
    plugin: FakePlugin, client: AsyncFakeClient | None = None, **options: Any
) -> AsyncProvider:
    spec = Spec(plugin=b"", config={"model": "m"}, limits=options.pop("limits", Limits()))
    opened = open_plugin(
        spec,
        plugin,
        traits_of(plugin),  # type: ignore[arg-type]
        FakeClient(),
        name="fake",
        ours=False,
    )
    plugin.calls.clear()
    plugin.instances.clear()
    return AsyncProvider(opened, client or AsyncFakeClient(), **options)


def over(one: AsyncProvider, plugin: FakePlugin) -> bool:
    """Nothing of any operation is left."""
    return (
        not one._running
        and not one._active
        and all(instance.closed for instance in plugin.instances)
    )


# -- operations -----------------------------------------------------------------------------


async def test_chat_in_one_instance() -> None:
    plugin = split()
    async with provider(plugin, AsyncFakeClient((200, b"hi there"))) as one:
        answer = await one.chat("hello")
        assert answer.text == "hi there"
        assert (answer.receipt.operation, answer.receipt.fresh) == ("chat", True)
        assert plugin.names()[-2:] == ["chat_request", "parse_chat_response"]
        assert len(plugin.instances) == 1
        assert over(one, plugin)


async def test_every_operation() -> None:
    plugin = split()
    client = AsyncFakeClient((200, [[1.0], [2.0]]), (200, b"{}"), (200, ["m1", "m2"]))
    async with provider(plugin, client) as one:
        assert (await one.embed(["a", "b"])).vectors == [[1.0], [2.0]]
        assert (await one.complete("once")).text == "done"
        assert (await one.list_models()).names == ["m1", "m2"]
        with pytest.raises(PluginError, match="not supported"):
            await one.transcribe(b"abc")
        with pytest.raises(PluginError, match="not supported"):
            await one.speech("abc")
        assert over(one, plugin)


async def test_the_guest_never_runs_on_the_loop() -> None:
    threads: set[int] = set()

    def note(function: Callable[[Any, Any], Any]) -> Callable[[Any, Any], Any]:
        def noted(data: Any, instance: Any) -> Any:
            threads.add(threading.get_ident())
            return function(data, instance)

        return noted

    made = split()
    made.functions = {name: note(function) for name, function in made.functions.items()}
    async with provider(made, AsyncFakeClient((200, b"x"), (200, [b"a\nb\n", b"c\n"]))) as one:
        threads.clear()
        await one.chat("hello")
        async for _ in one.chat_stream("hello"):
            pass
        assert threads
        assert threading.get_ident() not in threads


async def test_overrides_and_their_errors() -> None:
    plugin = split()
    async with provider(plugin, AsyncFakeClient((200, b"x"))) as one:
        await one.chat("hello", temperature=0.5)
        assert plugin.input("chat_request")["cfg"]["temperature"] == 0.5
        with pytest.raises(ConfigError, match="unknown key"):
            await one.chat("hello", temprature=1)
        with pytest.raises(UsageError):
            await one.chat([1])  # type: ignore[list-item]
        assert over(one, plugin)


async def test_a_refusal_and_a_lost_connection() -> None:
    plugin = split(classify_chat_error=fail("?"))
    lost = TransportError("gone", kind="reset")
    async with provider(plugin, AsyncFakeClient((429, b"slow down"), lost)) as one:
        with pytest.raises(ProviderError) as refused:
            await one.chat("hello")
        assert refused.value.rate_limited
        assert refused.value.receipt is not None
        with pytest.raises(TransportError) as caught:
            await one.chat("hello")
        assert caught.value.plugin == "fake"
        assert over(one, plugin)


async def test_reuse_keeps_the_instance() -> None:
    plugin = split()
    client = AsyncFakeClient((200, b"1"), (200, b"2"))
    async with provider(plugin, client, reuse=True) as one:
        await one.chat("a")
        await one.chat("b")
        assert len(plugin.instances) == 1
        assert not plugin.instances[0].closed
    assert plugin.instances[0].closed


async def test_direct_plugins() -> None:
    plugin = direct()
    async with provider(plugin) as one:
        assert (await one.chat("echo")).text == "echo"
        async with one.chat_stream("hi") as stream:
            assert [chunk.text async for chunk in stream][:2] == ["a", "b"]
        assert stream.response.text == "ab"
        assert over(one, plugin)


# -- streams ----------------------------------------------------------------------------------


async def test_a_stream() -> None:
    plugin = split()
    client = AsyncFakeClient((200, [b"on", b"e\ntwo\n", b"three"]))
    async with provider(plugin, client) as one:
        stream = one.chat_stream("hello")
        with pytest.raises(UsageError, match="not begun"):
            _ = stream.receipt
        async with stream:
            with pytest.raises(UsageError, match="not ended"):
                _ = stream.response
            assert [chunk.text async for chunk in stream] == ["one", "two", "three", None]
            assert stream.response.text == "onetwothree"
            assert stream.response.finish_reason == "Stop"
        assert stream.receipt.operation == "chat_stream"
        assert [chunk async for chunk in stream] == []
        assert plugin.names()[-1] == "chat_stream_parser_close"
        assert over(one, plugin)


async def test_lines_of_one_read_come_in_one_hop(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fumehood.provider.asession.SPAN", 10)
    plugin = split()
    client = AsyncFakeClient((200, [b"".join(b"%d\n" % i for i in range(50))]))
    async with provider(plugin, client) as one:
        async with one.chat_stream("hello") as stream:
            first = await anext(stream)
            assert first.text == "0"
            assert len(stream._chunks) == 49  # the others wait, nothing more is read
            assert client.streams[0].inner.reads == 1
            rest = [chunk.text async for chunk in stream]
            assert rest[:49] == [str(i) for i in range(1, 50)]


async def test_nothing_is_read_before_it_is_asked_for() -> None:
    plugin = split()
    client = AsyncFakeClient((200, [b"a\n"] * 100))
    async with provider(plugin, client) as one, one.chat_stream("hello") as stream:
        assert client.streams[0].inner.reads == 0
        await anext(stream)
        assert client.streams[0].inner.reads == 1


async def test_what_came_before_a_failure_is_given_first() -> None:
    plugin = split()
    client = AsyncFakeClient((200, [b"a\nb\nboom\n"]))
    async with provider(plugin, client) as one, one.chat_stream("hello") as stream:
        assert (await anext(stream)).text == "a"
        assert (await anext(stream)).text == "b"
        with pytest.raises(Error, match="bad line"):
            await anext(stream)
        with pytest.raises(StopAsyncIteration):
            await anext(stream)
        with pytest.raises(ClosedError):
            _ = stream.response
        assert over(one, plugin)
    assert client.streams[0].inner.closed


async def test_what_fails_before_the_stream_stands() -> None:
    plugin = split()
    async with provider(plugin, AsyncFakeClient((401, b"no"), (200, []))) as one:
        with pytest.raises(ProviderError):
            async with one.chat_stream("hello"):
                raise AssertionError("it does not stand")
        plugin.functions["chat_stream_request"] = fail("cannot")
        with pytest.raises(PluginError, match="cannot"):
            async for _ in one.chat_stream("hello"):
                raise AssertionError("it does not stand")
        assert over(one, plugin)


async def test_a_stream_that_is_closed_early_lets_the_parser_go() -> None:
    plugin = split()
    client = AsyncFakeClient((200, [b"a\nb\n"] * 5))
    async with provider(plugin, client) as one:
        async with one.chat_stream("hello") as stream:
            await anext(stream)
        assert client.streams[0].inner.closed
        assert plugin.names()[-1] == "chat_stream_parser_close"
        with pytest.raises(ClosedError):
            _ = stream.response
        await stream.close()
        assert over(one, plugin)


async def test_a_dropped_stream_frees_everything() -> None:
    plugin = split()
    client = AsyncFakeClient((200, [b"a\nb\n"] * 5), (200, [b"a\nb\n"] * 5))
    async with provider(plugin, client) as one:
        async for _ in one.chat_stream("hello"):
            break
        stream = one.chat_stream("hello")
        await anext(stream)
        del stream
        gc.collect()
        assert reaper.wait(10)
        assert [stream.inner.closed for stream in client.streams] == [True, True]
        assert over(one, plugin)
        assert one._pool.live == 0


async def test_a_stream_belongs_to_one_task() -> None:
    client = AsyncFakeClient((200, [b"a\n", b"HANG"]))
    async with provider(split(), client) as one, one.chat_stream("hello") as stream:
        await anext(stream)
        async with anyio.create_task_group() as group:
            group.start_soon(anext, stream)
            await anyio.sleep(0.05)
            with pytest.raises(UsageError, match="another task"):
                await anext(stream)
            group.cancel_scope.cancel()


async def test_an_answer_that_outgrows_the_limit() -> None:
    plugin = split()
    client = AsyncFakeClient((200, [b"aaaa\n"] * 100))
    async with provider(plugin, client, limits=Limits(output_bytes=100)) as one:
        with pytest.raises(TooMuch):
            async with one.chat_stream("hello") as stream:
                async for _ in stream:
                    pass
        assert over(one, plugin)


# -- cancellation and time ----------------------------------------------------------------------


async def test_a_cancelled_chat_frees_everything() -> None:
    plugin = split()
    async with provider(plugin, AsyncFakeClient("HANG")) as one:
        with anyio.move_on_after(0.05) as scope:
            await one.chat("hello")
        assert scope.cancelled_caught
        assert over(one, plugin)
        assert one._pool.live == 0


async def test_a_cancelled_read_ends_the_stream() -> None:
    plugin = split()
    client = AsyncFakeClient((200, [b"a\n", b"HANG"]))
    async with provider(plugin, client) as one:
        stream = one.chat_stream("hello")
        async with stream:
            await anext(stream)
            with anyio.move_on_after(0.05):
                await anext(stream)
            assert client.streams[0].inner.closed
            with pytest.raises(Cancelled):
                await anext(stream)
        assert over(one, plugin)


async def test_cancellation_reaches_a_guest_that_runs() -> None:
    entered, gone = threading.Event(), threading.Event()
    meters: list[Meter] = []

    def loop(_data: Any, _instance: Any) -> Any:
        entered.set()
        while not (meters and meters[0].cancelled):
            gone.wait(0.001)
        gone.set()
        raise Cancelled("stopped")

    plugin = split(chat_request=loop)
    async with provider(plugin) as one:
        async with anyio.create_task_group() as group:
            group.start_soon(one.chat, "hello")
            while not one._running:
                await anyio.sleep(0.001)
            meters.append(next(iter(one._running)).meter)
            while not entered.is_set():
                await anyio.sleep(0.001)
            group.cancel_scope.cancel()
        assert gone.is_set()
        assert over(one, plugin)


async def test_the_deadline_holds_while_waiting() -> None:
    plugin = split()
    async with provider(plugin, AsyncFakeClient("HANG"), limits=Limits(deadline=0.1)) as one:
        with pytest.raises(Timeout) as caught:
            await one.chat("hello")
        assert caught.value.receipt is not None
        assert over(one, plugin)


async def test_closing_cancels_what_runs() -> None:
    plugin = split()
    one = provider(plugin, AsyncFakeClient("HANG", "HANG"))
    failures: list[Error] = []

    async def run() -> None:
        try:
            await one.chat("hello")
        except Cancelled as error:
            failures.append(error)

    async with anyio.create_task_group() as group:
        group.start_soon(run)
        group.start_soon(run)
        await anyio.sleep(0.05)
        await one.close()
        await one.close()
    assert len(failures) == 2
    assert over(one, plugin)
    with pytest.raises(ClosedError):
        await one.chat("hello")
    with pytest.raises(ClosedError):
        await one.chat_stream("hello").__aenter__()


# -- places -------------------------------------------------------------------------------------


async def test_places_are_waited_for_and_given_back() -> None:
    pool = Pool(instances=2, queued=10)
    plugin = split()
    client = AsyncFakeClient(*[(200, b"x")] * 10)
    most = 0
    async with provider(plugin, client, pool=pool) as one:

        async def run() -> None:
            nonlocal most
            await one.chat("hello")
            most = max(most, pool.live)

        async with anyio.create_task_group() as group:
            for _ in range(10):
                group.start_soon(run)
    assert len(plugin.instances) == 10
    assert most <= 2
    assert (pool.live, pool.waiting) == (0, 0)


async def test_a_full_queue_is_an_error_and_waiting_has_a_deadline() -> None:
    pool = Pool(instances=1, queued=1)
    client = AsyncFakeClient((200, [b"a\n"] * 3))
    async with provider(split(), client, pool=pool, limits=Limits(deadline=0.3)) as one:
        async with one.chat_stream("hello"):
            failures: list[Error] = []

            async def run() -> None:
                try:
                    await one.chat("hello")
                except Error as error:
                    failures.append(error)

            async with anyio.create_task_group() as group:
                group.start_soon(run)
                group.start_soon(run)
            full = [error for error in failures if isinstance(error, TooMuch)]
            late = [error for error in failures if isinstance(error, Timeout)]
            assert len(full) == len(late) == 1
            assert full[0].limit == "instances"
            assert full[0].hint
            assert "waiting for one of 1 instances" in late[0].message
    assert (pool.live, pool.waiting) == (0, 0)


async def test_waiting_can_be_cancelled() -> None:
    pool = Pool(instances=1)
    client = AsyncFakeClient((200, [b"a\n"] * 3), (200, b"x"))
    async with provider(split(), client, pool=pool) as one:
        async with one.chat_stream("hello"):
            with anyio.move_on_after(0.05) as scope:
                await one.chat("hello")
            assert scope.cancelled_caught
            assert pool.waiting == 0
        await one.chat("hello")
    assert pool.live == 0
