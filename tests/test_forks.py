"""A child of a fork goes on with what its parent opened, whatever other threads were doing."""

from __future__ import annotations

import asyncio
import gc
import signal
import threading
import time
from typing import Any

import pytest

import fumehood.forks as forks_module
from fumehood import AsyncProvider, Limits, Plugin, Pool, Provider, forks, host_function
from fumehood.engine import load_module
from fumehood.engine.ticker import busy
from fumehood.errors import ClosedError, Error, ReentryError, Timeout
from fumehood.imports.vars import VarStore
from fumehood.plugin.compiled import CompiledPlugin
from fumehood.provider.runtime import Session
from fumehood.testing.stub import StubServer
from tests.forks import beside, in_child, needs_fork, uncollected
from tests.provider.test_wasm import KEY, plugin_of

pytestmark = needs_fork

GUEST = b"""(module
  (import "extism:host/user" "wait" (func $wait))
  (import "extism:host/env" "alloc" (func $alloc (param i64) (result i64)))
  (import "extism:host/env" "store_u64" (func $store (param i64 i64)))
  (import "extism:host/env" "output_set" (func $out (param i64 i64)))
  (global $n (mut i64) (i64.const 48))
  (func (export "count") (local $h i64)
    (global.set $n (i64.add (global.get $n) (i64.const 1)))
    (local.set $h (call $alloc (i64.const 8)))
    (call $store (local.get $h) (global.get $n))
    (call $out (local.get $h) (i64.const 1)))
  (func (export "wait") (call $wait))
  (func (export "spin") (loop (br 0))))"""


class Waiting:
    """A host function that says when it is inside, and waits to be let go."""

    def __init__(self) -> None:
        self.go = threading.Event()
        self.inside: threading.Event | None = None
        self.function = host_function("wait")(self._wait)

    def _wait(self) -> None:
        if self.inside is not None:
            self.inside.set()
            self.go.wait(60)

    def plugin(self, **options: Any) -> Plugin:
        return Plugin(GUEST, functions=[self.function], **options)


def test_a_plugin_that_another_thread_is_inside_of() -> None:
    """The instance is halfway through a call that nobody goes on with: the child gets a new one."""
    waiting = Waiting()
    with waiting.plugin(config={"k": "v"}) as plugin:
        assert plugin.call("count") == b"1"
        assert plugin.call("count") == b"2"

        def call(inside: threading.Event) -> None:
            waiting.inside = inside
            plugin.call("wait")

        with beside(call):

            def child() -> None:
                assert not busy()
                assert plugin.call("count") == b"1"
                assert plugin.call("count") == b"2"
                with pytest.raises(Timeout):
                    waiting.plugin(limits=Limits(guest_time=0.1, fuel=None)).call("spin")
                plugin.cancel()
                plugin.reset()
                assert plugin.call("count") == b"1"
                plugin.close()
                with pytest.raises(ClosedError):
                    plugin.call("count")
                gc.collect()

            try:
                in_child(child)
            finally:
                waiting.go.set()
        assert plugin.call("count") == b"3"


def test_a_plugin_that_another_thread_was_making() -> None:
    waiting = Waiting()
    wat = GUEST.replace(b'(func (export "wait")', b'(func (export "_initialize")')
    plugin = Plugin(wat, functions=[waiting.function])

    def call(inside: threading.Event) -> None:
        waiting.inside = inside
        assert plugin.call("count") == b"1"

    with beside(call):

        def child() -> None:
            waiting.inside = None
            assert plugin.call("count") == b"1"
            assert plugin.call("count") == b"2"
            plugin.close()

        try:
            in_child(child)
        finally:
            waiting.go.set()
    assert plugin.call("count") == b"2"
    plugin.close()


def test_a_fork_inside_an_own_host_function_keeps_the_call() -> None:
    """The forking thread's own call goes on in both processes."""

    @host_function("wait")
    def fork() -> None:
        if not forking:
            return

        def child() -> None:
            with pytest.raises(ReentryError):
                plugin.call("count")
            assert busy()

        in_child(child)

    forking = True
    with Plugin(GUEST, functions=[fork]) as plugin:
        plugin.call("wait")
        forking = False
        assert plugin.call("count") == b"1"


def test_ctrl_c_is_the_childs_where_the_main_thread_was_inside() -> None:
    """While a guest runs on the main thread its sandbox holds SIGINT; a child forked from another
    thread must not inherit that."""
    waiting = Waiting()
    before = signal.getsignal(signal.SIGINT)
    problems: list[BaseException] = []
    with waiting.plugin() as plugin:

        def fork() -> None:
            assert waiting.inside is not None
            waiting.inside.wait(30)

            def child() -> None:
                assert signal.getsignal(signal.SIGINT) is before
                assert plugin.call("count") == b"1"

            try:
                in_child(child)
            except BaseException as problem:
                problems.append(problem)
            finally:
                waiting.go.set()

        waiting.inside = threading.Event()
        thread = threading.Thread(target=fork)
        thread.start()
        plugin.call("wait")
        thread.join()
    if problems:
        raise problems[0]


def test_locks_that_other_threads_hold() -> None:
    """Every lock of ours that outlives a call."""
    held: list[Any] = []

    def hold(inside: threading.Event) -> None:
        for lock in list(forks_module._locks):
            if lock.acquire(timeout=10):
                held.append(lock)
        inside.set()
        go.wait(60)
        for lock in held:
            lock.release()

    go = threading.Event()
    with (
        StubServer(api_key=KEY) as stub,
        Provider.open("bundled:openai", config=config(stub)) as one,
        Plugin(GUEST, functions=[Waiting().function]) as plugin,
    ):
        plugin.call("count")
        # What another test dropped must not be collected by a thread of the stub meanwhile: it
        # would wait for a lock, and the child for the stub.
        with uncollected(), beside(hold):
            assert len(held) > 8

            def child() -> None:
                load_module(b'(module (func (export "new")))')
                assert plugin.call("count") == b"2"
                assert one.chat("hello").text
                one.close()
                with Provider.open("bundled:ollama", config={"model": "m"}) as other:
                    assert other.capabilities

            try:
                in_child(child)
            finally:
                go.set()


def test_a_store_of_vars_that_another_thread_was_in() -> None:
    vars_ = VarStore(1000)
    vars_.set("a", b"1234")
    with vars_._lock:
        vars_._used = 7  # halfway

        def child() -> None:
            vars_.forked()
            assert vars_.used == 48 + 1 + 4
            vars_.set("b", b"x")

        in_child(child)


# -- providers --------------------------------------------------------------------------------


def config(stub: StubServer, model: str = "stub-1") -> dict[str, Any]:
    return {"model": model, "base_url": stub.url, "api_key": KEY}


@pytest.mark.parametrize("reuse", [False, True])
def test_a_provider_that_other_threads_are_using(reuse: bool) -> None:
    pool = Pool(1, queued=10)
    with (
        StubServer(api_key=KEY) as stub,
        Provider.open("bundled:openai", config=config(stub), pool=pool, reuse=reuse) as one,
    ):
        assert one.chat("warm").text
        go = threading.Event()

        def stream(inside: threading.Event) -> None:
            with one.chat_stream("one two three") as chunks:
                next(chunks)
                inside.set()
                go.wait(60)

        def wait(inside: threading.Event) -> None:
            threading.Thread(target=one.chat, args=("late",), daemon=True).start()
            while not pool.waiting:
                time.sleep(0.01)
            inside.set()
            go.wait(60)

        with beside(stream), beside(wait):
            assert (pool.live, pool.waiting) == (1, 1)

            def child() -> None:
                assert (pool.live, pool.waiting) == (0, 0)
                assert not one._running
                answer = one.chat("from the child")
                assert "from the child" in (answer.text or "")
                assert pool.live == 0
                with one.chat_stream("hello") as chunks:
                    assert "".join(chunk.text or "" for chunk in chunks)
                one.close()
                with pytest.raises(ClosedError):
                    one.chat("x")

            try:
                in_child(child)
            finally:
                go.set()
        assert one.chat("still").text


@pytest.mark.parametrize("generation", ["B", "C"])
def test_a_stream_that_was_open(generation: str) -> None:
    """The forking thread's own stream ends in the child, with an error and not by waiting."""
    with (
        StubServer(api_key=KEY) as stub,
        Provider.open(plugin_of(generation), config=config(stub, "endless-sse")) as one,
    ):
        with one.chat_stream("hello") as chunks:
            next(chunks)

            def child() -> None:
                with pytest.raises(Error):
                    for _ in range(100_000):
                        next(chunks)
                chunks.close()
                assert not one._running
                assert one._pool.live == 0

            in_child(child)
            assert next(chunks)
        assert not one._running


def test_an_async_provider_that_was_opened_before() -> None:
    """A loop that runs does not survive a fork; what it opened does."""
    with StubServer(api_key=KEY) as stub:

        async def opened() -> AsyncProvider:
            one = await AsyncProvider.open("bundled:openai", config=config(stub))
            assert (await one.chat("first")).text
            return one

        one = asyncio.run(opened())

        def child() -> None:
            async def use() -> None:
                async with one:
                    answers = await asyncio.gather(*(one.chat(f"number {n}") for n in range(8)))
                    assert all("number" in (answer.text or "") for answer in answers)
                    async with one.chat_stream("one two three") as stream:
                        assert [chunk async for chunk in stream]

            asyncio.run(use())

        in_child(child)
        asyncio.run(one.close())


def test_what_is_watched_goes_when_nobody_needs_it() -> None:
    before = len(forks._owners), len(forks._locks)
    for _ in range(50):
        Pool(1)
        CompiledPlugin.load(b"(module)").close()
    gc.collect()
    assert (len(forks._owners), len(forks._locks)) <= (before[0], before[1] + 2)


def test_a_session_of_the_parents_ends_quietly() -> None:
    """The other thread's objects are in the child too; the collector may end them there."""
    with (
        StubServer(api_key=KEY) as stub,
        Provider.open("bundled:openai", config=config(stub)) as one,
    ):
        sessions: list[Session] = []
        go = threading.Event()

        def stream(inside: threading.Event) -> None:
            with one.chat_stream("one two three") as chunks:
                sessions.append(chunks._session)
                inside.set()
                go.wait(60)

        with beside(stream):

            def child() -> None:
                assert not one._running
                one._end(sessions[0], None)
                assert one._pool.live == 0

            try:
                in_child(child)
            finally:
                go.set()
