"""Cancellation that comes again and again, signals, and consumers that are slow."""

from __future__ import annotations

import asyncio
import gc
import os
import resource
import signal
import sys
import threading
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import anyio
import pytest

from fumehood import AsyncProvider, Limits, Pool, Provider
from fumehood.meter import Meter
from fumehood.provider.reaper import reaper
from fumehood.provider.runtime import Session
from fumehood.testing.stub import StubServer
from tests.provider.test_async_wasm import looper

KEY = "sk-storms-0123456789abcdef"
BACKENDS = ["asyncio", "trio"]


@pytest.fixture
def stub() -> Iterator[StubServer]:
    with StubServer() as server:
        yield server


def config(stub: StubServer, model: str = "stub-1") -> dict[str, Any]:
    return {"model": model, "base_url": stub.url, "api_key": KEY}


def spinning(stub: StubServer, pool: Pool) -> Any:
    """A provider whose guest loops at once."""
    return AsyncProvider.open(
        looper(stub.url, 0),
        config={"model": "m", "allowed_hosts": [f"{stub.host}:{stub.port}"]},
        limits=Limits(guest_time=60, fuel=None),
        pool=pool,
    )


# -- cancelled again and again --------------------------------------------------------------------


async def _storm(one: AsyncProvider, make: Callable[[], Awaitable[object]], gap: float) -> None:
    """Tasks that are cancelled at every step of their way, their clearing up included: asyncio's
    own `cancel` knows no shields."""

    async def work() -> None:
        await make()

    for number in range(20):
        task = asyncio.create_task(work())
        await asyncio.sleep(0.001 * (number % 7))
        while not task.done():
            task.cancel()
            await asyncio.sleep(gap)
        await asyncio.gather(task, return_exceptions=True)
    with anyio.fail_after(20):
        while one._running or one._active or one._pool.live:
            await asyncio.sleep(0.01)
    assert one._pool.waiting == 0


@pytest.mark.parametrize("gap", [0.0, 0.002])
def test_a_storm_of_cancellations_leaves_nothing(stub: StubServer, gap: float) -> None:
    async def main() -> None:
        async with spinning(stub, Pool(40)) as one:
            await _storm(one, lambda: one.chat("x"), gap)
        settings = config(stub)
        async with AsyncProvider.open("bundled:openai", config=settings, pool=Pool(40)) as two:
            await _storm(two, lambda: two.chat("x"), gap)

            async def stream() -> None:
                async with two.chat_stream("one two three four") as chunks:
                    async for _ in chunks:
                        pass

            await _storm(two, stream, gap)
        with anyio.fail_after(10):
            while stub._live:
                await asyncio.sleep(0.01)

    asyncio.run(main())


# -- Ctrl-C ---------------------------------------------------------------------------------------


def _interrupted(work: Callable[[], object]) -> None:
    """Ctrl-C reaches `work` and goes through it as itself."""
    timer = threading.Timer(0.4, os.kill, (os.getpid(), signal.SIGINT))
    timer.start()
    try:
        with pytest.raises(KeyboardInterrupt):
            work()
    finally:
        timer.join()


@pytest.mark.skipif(sys.platform == "win32", reason="signals are others there")
@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("how", ["network", "stream", "guest"])
def test_ctrl_c_in_an_event_loop(stub: StubServer, backend: str, how: str) -> None:
    pool = Pool(4)
    left: list[AsyncProvider] = []

    async def main() -> None:
        model = "endless-sse" if how == "stream" else "drip"
        opening = (
            spinning(stub, pool)
            if how == "guest"
            else AsyncProvider.open("bundled:openai", config=config(stub, model), pool=pool)
        )
        async with opening as one:
            left.append(one)
            if how == "stream":
                async for _ in one.chat_stream("x"):
                    pass
            await one.chat("x")

    _interrupted(lambda: anyio.run(main, backend=backend))
    assert not left[0]._running
    assert (pool.live, pool.waiting) == (0, 0)


@pytest.mark.skipif(sys.platform == "win32", reason="signals are others there")
def test_ctrl_c_in_threads(stub: StubServer) -> None:
    """During an exchange, in a stream, and while waiting for a place."""
    pool = Pool(1)
    with Provider.open("bundled:openai", config=config(stub, "drip"), pool=pool) as one:
        _interrupted(lambda: one.chat("x"))
        assert (pool.live, len(one._running)) == (0, 0)
    with Provider.open("bundled:openai", config=config(stub, "endless-sse"), pool=pool) as two:
        stream = two.chat_stream("x")
        _interrupted(lambda: list(stream))
        assert (pool.live, len(two._running)) == (0, 0)
        with two.chat_stream("x"):
            _interrupted(lambda: two.chat("y"))
            assert (pool.live, pool.waiting, len(two._running)) == (1, 0, 1)


def test_ctrl_c_while_an_operation_is_cleared_up(
    stub: StubServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another thread goes on with it; a place that was lost on its way comes back by itself."""
    pool = Pool(1)
    close = Session.close
    hits: Iterator[bool] = iter([])

    def interrupted(self: Session) -> None:
        if next(hits, False):
            raise KeyboardInterrupt
        close(self)

    monkeypatch.setattr(Session, "close", interrupted)
    with Provider.open("bundled:openai", config=config(stub), pool=pool) as one:
        hits = iter([True])
        with pytest.raises(KeyboardInterrupt):
            one.chat("x")
        assert reaper.wait(10)
        assert (pool.live, len(one._running)) == (0, 0)
        assert one.chat("y").text
    pool.take("lost", Meter(Limits()))
    gc.collect()
    assert pool.live == 0


# -- slow consumers -------------------------------------------------------------------------------


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_slow_consumer_holds_little(stub: StubServer, backend: str) -> None:
    """An endless stream whose reader takes its time: what has come and is not read stays small."""

    async def main() -> None:
        async with (
            await AsyncProvider.open("bundled:openai", config=config(stub, "endless-sse")) as one,
            one.chat_stream("x") as stream,
        ):
            for _ in range(200):
                await anext(stream)
            before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
            most = 0
            for _ in range(20):
                await anyio.sleep(0.05)
                await anext(stream)
                most = max(most, len(stream._chunks))
            grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
            assert grown < 8 << 10, f"{grown} KiB"
            assert most < 2000, f"{most} chunks wait"

    anyio.run(main, backend=backend)
