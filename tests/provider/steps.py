"""How long the steps of an event loop take: `python -m tests.provider.steps` prints a table.

A step is one run of a task's code between two looks of the loop at the world. Its processor time
is that of the loop's thread alone, so that neither other programs nor the guests' threads count; a
gap is what a task that sleeps for half a millisecond sees beyond that, by the clock: it contains
the other threads' turns with the interpreter (`sys.getswitchinterval`, 5 ms) and whatever else the
machine does. The collector is off meanwhile: when it runs is the program's affair.
"""

from __future__ import annotations

import asyncio.events
import gc
import os
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from typing import Any

import anyio
import pytest
import trio

from fumehood import AsyncProvider, Limits, image, user
from tests.provider.test_async_wasm import looper

PICTURE = [user("look", image(bytes(range(256)) * 4096, "image/png"))]
LONG = "x" * (4 << 20)
QUICK = 1000
"""Calls after which the looping guest loops."""


@dataclass
class Steps:
    """What was seen: seconds."""

    steps: list[tuple[float, str]] = field(default_factory=list)
    gaps: list[float] = field(default_factory=list)

    over: bool = False
    """The step that takes all this down again is no part of it."""

    def took(self, seconds: float, what: str) -> None:
        if not self.over:
            self.steps.append((seconds, what))

    @property
    def longest(self) -> tuple[float, str]:
        """The longest step's processor time, and what ran."""
        return max(self.steps, default=(0.0, ""))

    def clear(self) -> None:
        self.steps.clear()
        self.gaps.clear()


class _Instrument(trio.abc.Instrument):
    def __init__(self, seen: Steps) -> None:
        self._seen = seen
        self._began = 0.0

    def before_task_step(self, task: Any) -> None:
        self._began = time.thread_time()

    def after_task_step(self, task: Any) -> None:
        self._seen.took(time.thread_time() - self._began, task.name)


@contextmanager
def _asyncio_steps(seen: Steps) -> Iterator[None]:
    run = asyncio.events.Handle._run

    def measured(self: Any) -> None:
        began = time.thread_time()
        try:
            run(self)
        finally:
            seen.took(time.thread_time() - began, repr(self._callback))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(asyncio.events.Handle, "_run", measured)
        yield


@asynccontextmanager
async def measured(backend: str) -> AsyncIterator[Steps]:
    """The steps and gaps of this event loop during the block."""
    seen = Steps()

    async def beat() -> None:
        while True:
            before = time.perf_counter()
            await anyio.sleep(0.0005)
            seen.gaps.append(time.perf_counter() - before - 0.0005)

    gc.collect()
    gc.freeze()
    gc.disable()
    instrument = _Instrument(seen)
    if backend == "trio":
        trio.lowlevel.add_instrument(instrument)
    try:
        with _asyncio_steps(seen):
            async with anyio.create_task_group() as group:
                group.start_soon(beat)
                await anyio.sleep(0.01)
                seen.clear()
                yield seen
                seen.over = True
                group.cancel_scope.cancel()
    finally:
        gc.enable()
        gc.unfreeze()
        if backend == "trio":
            trio.lowlevel.remove_instrument(instrument)


Scenario = Callable[[str], Awaitable[None]]


async def _bundled(url: str, **more: Any) -> AsyncProvider:
    config = {"model": "stub-1", "base_url": url, "api_key": "sk-steps-0123456789abcdef"}
    return await AsyncProvider.open("bundled:openai", config={**config, **more})


async def opening(url: str) -> None:
    """From the file to ready, compiled or from the cache."""
    await (await _bundled(url)).close()


async def chats(url: str) -> None:
    """One after another, then many at once."""
    async with await _bundled(url) as one:
        for _ in range(20):
            assert (await one.chat("hello")).text
        async with anyio.create_task_group() as group:
            for number in range(32):
                group.start_soon(one.chat, f"number {number}")


async def picture(url: str) -> None:
    """A chat with 1 MiB of it."""
    async with await _bundled(url) as one:
        for _ in range(3):
            assert (await one.chat(PICTURE)).text


async def long_text(url: str) -> None:
    """4 MiB there, and back again."""
    async with await _bundled(url) as one:
        answer = await one.chat(LONG)
        assert len(answer.text or "") > 4 << 20


async def streaming(url: str) -> None:
    """Thousands of chunks, and a stream that is dropped."""
    async with await _bundled(url) as one:
        async with one.chat_stream("word " * 3000) as stream:
            assert len([chunk async for chunk in stream]) > 1000
        dropped = one.chat_stream("word " * 3000)
        await anext(dropped)
        del dropped
        await anyio.sleep(0.05)


async def vectors(url: str) -> None:
    """A large reply of numbers."""
    async with await _bundled(url) as one:
        assert len((await one.embed(["x"] * 1000)).vectors) == 1000


async def looping(url: str) -> None:
    """A guest that loops after `QUICK` quick calls, for half a second."""
    config = {"model": "m", "allowed_hosts": [url.split("/")[2]]}
    async with await AsyncProvider.open(
        looper(url, QUICK), config=config, limits=Limits(guest_time=0.5, fuel=None), reuse=True
    ) as one:
        for _ in range(QUICK):
            assert (await one.chat("x")).text == "fine"
        with pytest.raises(Exception, match="the guest ran for more than"):
            await one.chat("x")


SCENARIOS: dict[str, Scenario] = {
    scenario.__name__: scenario
    for scenario in (opening, chats, picture, long_text, streaming, vectors, looping)
}


LONGEST = 0.005
"""Seconds of processor time that a step may take."""


ATTEMPTS = 4
"""Times of which one must do: a machine that takes its processor away in the midst of a step does
so now and then, code that takes long every time."""


def main(names: list[str]) -> int:
    """Print the table of the scenarios called `names`, or of all; 1 where a step takes too long."""
    command = [sys.executable, "-m", "fumehood.testing.stub"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as stub:
        assert stub.stdout is not None
        try:
            return _table(names or list(SCENARIOS), stub.stdout.readline().strip())
        finally:
            stub.terminate()


def _table(names: list[str], url: str) -> int:
    print(f"switch interval {sys.getswitchinterval() * 1000:g} ms, {os.cpu_count()} cores")
    late = 0
    for backend in ("asyncio", "trio"):
        for name in names:

            async def run(name: str = name, backend: str = backend) -> Steps:
                async with measured(backend) as seen:
                    await SCENARIOS[name](url)
                return seen

            for _ in range(ATTEMPTS):
                seen = anyio.run(run, backend=backend)
                spent, what = seen.longest
                if spent <= LONGEST:
                    break
            else:
                late += 1
            print(
                f"{backend:8} {name:10} longest step {spent * 1000:6.2f} ms of processor time"
                f"{' in ' + what if spent > LONGEST else ''}; longest gap "
                f"{max(seen.gaps, default=0.0) * 1000:6.1f} ms, "
                f"{sum(gap > LONGEST for gap in seen.gaps)} of {len(seen.gaps)} above 5 ms",
                flush=True,
            )
    return 1 if late else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
