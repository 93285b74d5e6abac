"""Ending what was dropped, on another thread."""

from __future__ import annotations

import gc
import logging
import threading

import pytest

from fumehood.errors import Error, HostError
from fumehood.provider.aprovider import AsyncProvider
from fumehood.provider.base import Base
from fumehood.provider.reaper import Reaper, reaper
from fumehood.provider.runtime import Session
from tests.forks import in_child, needs_fork
from tests.provider.fakes import split
from tests.provider.test_async import AsyncFakeClient, provider


def test_it_works_in_order_on_its_own_thread(caplog: pytest.LogCaptureFixture) -> None:
    seen: list[object] = []
    own = Reaper()
    own.ready()
    own.ready()
    own.leave(lambda: seen.append(threading.current_thread().name))

    def fails() -> None:
        raise HostError("the disk is full")

    with caplog.at_level(logging.WARNING, "fumehood.provider"):
        own.leave(fails)
        own.leave(lambda: seen.append(2))
        assert own.wait(10)
    assert seen == ["fumehood-reaper", 2]
    assert "the disk is full" in caplog.text


def test_a_collector_may_leave_things_to_it_at_any_point() -> None:
    """The collector may run while `leave` itself runs, on the same thread."""
    seen: list[int] = []

    class Dropped:
        def __del__(self) -> None:
            reaper.leave(lambda: seen.append(1))

    reaper.ready()
    threshold = gc.get_threshold()
    gc.set_threshold(1)
    try:
        for _ in range(500):
            one, other = Dropped(), Dropped()
            one.other, other.one = other, one  # type: ignore[attr-defined]
            del one, other
            reaper.leave(lambda: None)
    finally:
        gc.set_threshold(*threshold)
    gc.collect()
    assert reaper.wait(10)
    assert len(seen) == 1000


@needs_fork
def test_a_child_has_its_own() -> None:
    seen: list[int] = []
    reaper.ready()

    def child() -> None:
        reaper.ready()
        reaper.leave(lambda: seen.append(1))
        assert reaper.wait(10)
        assert seen == [1]

    in_child(child)


@pytest.mark.parametrize("anyio_backend", ["asyncio", "trio"])
@pytest.mark.anyio
async def test_a_dropped_stream_holds_no_event_loop_up(
    anyio_backend: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What ending it costs, an audit line on a slow disk say, is not the collecting thread's."""
    ended: list[str] = []
    collected = threading.Event()
    end = Base._end

    def slow(self: Base, session: Session, error: Error | None) -> None:
        assert collected.wait(10)  # the collecting thread does not wait for this one
        ended.append(threading.current_thread().name)
        end(self, session, error)

    client = AsyncFakeClient((200, [b"a\nb\n"] * 5))
    one: AsyncProvider
    async with provider(split(), client) as one:
        stream = one.chat_stream("hello")
        await anext(stream)
        monkeypatch.setattr(AsyncProvider, "_end", slow)
        del stream
        gc.collect()
        collected.set()
        assert reaper.wait(10)
        assert ended == ["fumehood-reaper"]
        assert not one._running
