"""Chats in numbers: errors stay with their callers, dropped streams leave nothing."""

from __future__ import annotations

import gc
import random
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from fumehood.engine import Sandbox
from fumehood.errors import Error, PluginError
from fumehood.provider import Provider
from fumehood.testing.stub import StubServer
from tests.counts import DROPPED_CHATS, FAILING_CHATS, LONG
from tests.provider.wat import FAILING, YIELDING

THREADS = 8
pytestmark = pytest.mark.timeout(3000 if LONG else 120)


def test_failing_chats_of_many_threads() -> None:
    wrong: list[str] = []

    def work(provider: Provider, number: int) -> None:
        for turn in range(FAILING_CHATS):
            mark = f"thread {number} chat {turn}."
            try:
                provider.chat(mark)
            except PluginError as error:
                receipt = error.receipt
                if mark not in error.message or receipt is None or not receipt.fresh:
                    wrong.append(f"{mark} got {error.message}")
            except Error as error:
                wrong.append(f"{mark} got {error!r}")
            else:
                wrong.append(f"{mark} got an answer")

    config = {"model": "m", "base_url": "https://api.example.com/"}
    with Provider.open(FAILING.encode(), config=config) as provider:
        threads = [threading.Thread(target=work, args=(provider, n)) for n in range(THREADS)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert wrong == []
        assert not provider._running


# -- dropped streams -------------------------------------------------------------------------------


def sandboxes() -> int:
    """Living instances in this process."""
    gc.collect()
    return sum(isinstance(thing, Sandbox) and not thing.dead for thing in gc.get_objects())


def descriptors() -> int:
    folder = Path("/proc/self/fd")
    return len(list(folder.iterdir())) if folder.exists() else 0


def wait_until(done: Callable[[], bool]) -> bool:
    """The other side closes its sockets in its own threads."""
    end = time.monotonic() + 20
    while not done():
        if time.monotonic() > end:
            return False
        time.sleep(0.01)
    return True


def drop(provider: Provider, rng: random.Random) -> None:
    """Open a stream, read up to a random point, end it in a random way."""
    stream = provider.chat_stream("hi")
    for _ in range(rng.randrange(6)):
        next(stream)
    match rng.randrange(4):
        case 0:
            stream.close()
        case 1:
            del stream
        case 2:
            with pytest.raises(ZeroDivisionError), stream:
                raise ZeroDivisionError
        case 3:
            threading.Thread(target=stream._session.cancel).start()
            with pytest.raises(Error, match="cancelled"):
                while True:
                    next(stream)


def test_dropped_streams_of_the_hosts_requests() -> None:
    rng = random.Random(6)
    with StubServer() as stub:
        config = {"model": "endless-sse", "base_url": stub.url, "api_key": "sk-0123456789"}
        before = sandboxes()
        with Provider.open("bundled:openai", config=config) as provider:
            drop(provider, rng)
            start = descriptors()
            for _ in range(DROPPED_CHATS):
                drop(provider, rng)
            assert sandboxes() == before
            assert not provider._running
            assert wait_until(lambda: descriptors() <= start)
    assert not [t for t in threading.enumerate() if t.name == "fumehood-stream"]


def test_dropped_streams_of_calls_that_yield() -> None:
    rng = random.Random(7)
    before, threads = sandboxes(), threading.active_count()
    with Provider.open(YIELDING.encode(), config={"model": "m"}) as provider:
        for _ in range(DROPPED_CHATS):
            drop(provider, rng)
        assert sandboxes() == before
        assert not provider._running
    assert not [t for t in threading.enumerate() if t.name == "fumehood-stream"]
    assert wait_until(lambda: threading.active_count() <= threads)
