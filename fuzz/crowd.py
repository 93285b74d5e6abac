"""Many operations at once: providers of event loops and of threads in one small pool, step by step.

A case is the list of steps, as in `life`. The providers differ in what makes an operation last:
nothing, a network that never answers, a guest that never returns. Whatever is cancelled, dropped,
closed or replaced meanwhile, results and documented errors come of it, the siblings answer right,
and in the end nothing is left.
"""

from __future__ import annotations

import concurrent.futures
import contextlib
import gc
import tempfile
import threading
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, Final

import anyio
from anyio.from_thread import start_blocking_portal
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, rule

from fumehood import AsyncProvider, Limits, Pool, Provider
from fumehood.engine.ticker import owners
from fumehood.errors import Cancelled, ClosedError, Error, TooMuch
from fumehood.provider.opening import Spec
from fumehood.provider.reaper import reaper
from fumehood.provider.versions import open_versions
from fuzz.puppet import Network
from fuzz.statue import REPLY, AsyncNetwork, statue
from fuzz.target import Target, check_error

KINDS: Final = ("fine", "silent", "looping")
"""Of slots: what their operations last for."""
PLACES: Final = 3
QUEUED: Final = 2
PATIENCE: Final = 20.0
"""Seconds in which anything must have come to its end."""
LIMITS: Final = Limits(deadline=60, guest_time=60, fuel=None)
Step = list[Any]


_Chat = tuple[str, list[str], anyio.CancelScope, "concurrent.futures.Future[Any]"]


async def _within(scope: anyio.CancelScope, chat: Callable[[str], Awaitable[Any]]) -> Any:
    """The answer; None where `scope` was cancelled, and everything has come to its end."""
    with scope:
        return await chat("hello")


class Crowd:
    """Three slots for providers, an event loop, and a sibling that nobody disturbs."""

    def __init__(self, backend: str) -> None:
        gc.collect()
        assert reaper.wait(PATIENCE)
        self._before = {owner.context_address for owner in owners()}
        self._ends = contextlib.ExitStack()
        folder = self._ends.enter_context(tempfile.TemporaryDirectory(prefix="fuzz-crowd-"))
        self._file = Path(folder) / "plugin.wasm"
        self.most = 0
        self.says = self.loaded = ""
        """What the file's plugin answers, and what the one answers that was loaded last."""
        self._usable = True
        self.waiting: list[_Chat] = []
        """Chats under way: their slots, what they may answer, what cancels them."""
        self.do_replace("first")
        self._portal = self._ends.enter_context(start_blocking_portal(backend))
        self.pool = Pool(PLACES, queued=QUEUED)
        self.networks = {kind: AsyncNetwork(silent=kind == "silent") for kind in KINDS}
        self.providers: dict[str, AsyncProvider] = {}
        self.streams: list[tuple[str, Any]] = []
        self.sibling = self._provider(AsyncProvider, self._spec("fine"), self.networks["fine"])
        for kind in KINDS:
            self.do_open(kind)
        self.threaded: Provider = Provider(
            open_versions(self._spec("fine"), Network(REPLY)), None, pool=self.pool
        )

    @staticmethod
    def _provider(kind: Any, spec: Spec, network: AsyncNetwork, **more: Any) -> Any:
        return kind(open_versions(spec, Network(REPLY), **more), network, pool=Pool(8))

    def _spec(self, kind: str) -> Spec:
        plugin = statue("sibling", loops=kind == "looping")
        return Spec(plugin=plugin, name=kind, config={"model": "m", **ALLOWED}, limits=LIMITS)

    def step(self, step: Step) -> None:
        """One step: its name, then its arguments."""
        name, *arguments = step
        getattr(self, f"do_{name}")(*arguments)
        self._settle()
        assert 0 <= self.pool.live <= PLACES
        assert 0 <= self.pool.waiting <= QUEUED

    def _call(self, work: Callable[..., Any], *arguments: Any) -> Any:
        return self._portal.start_task_soon(work, *arguments).result(PATIENCE)

    # -- providers --------------------------------------------------------------------------------

    def do_open(self, kind: str) -> None:
        """A provider for a slot; that of the first is loaded again when its file changes."""
        if kind in self.providers:
            return
        spec, watch = self._spec(kind), kind == "fine"
        if watch:
            if not self._usable:
                return
            self.loaded = self.says
            spec = Spec(plugin=self._file, name=kind, config=spec.config, limits=LIMITS)
        self.providers[kind] = AsyncProvider(
            open_versions(spec, Network(REPLY), watch=watch), self.networks[kind], pool=self.pool
        )

    def do_close(self, kind: str) -> None:
        """What runs there is cancelled."""
        one = self.providers.pop(kind, None)
        if one is None:
            return
        self._call(one.close)
        self._call(one.close)
        for chat in [chat for chat in self.waiting if chat[0] == kind]:
            self.waiting.remove(chat)
            self._ended(chat[-1])
        kind_, text = self._outcome(self._portal.start_task_soon(one.chat, "x"))
        assert kind_ == "error", f"a closed provider says {text!r}"
        assert isinstance(text, ClosedError)
        assert not [s for s in one._running.values() if s.place is not None] or self.streams

    def do_replace(self, what: str) -> None:
        """The file of the first slot's plugin changes: to another plugin, to anything, away."""
        if what == "away":
            self._file.unlink(missing_ok=True)
            self._usable = False
            return
        self._usable = what != "garbage"
        content = b"half of a fi" if what == "garbage" else statue(what)
        fresh = self._file.with_suffix(".new")
        fresh.write_bytes(content)
        fresh.replace(self._file)
        self.says = what
        for kind, answers, *_ in self.waiting:
            if kind == "fine" and self._usable:
                answers.append(what)  # it may not have looked at the file yet

    # -- operations -------------------------------------------------------------------------------

    def do_chat(self, kind: str) -> None:
        """Ends at once, or lasts until something ends it."""
        one = self.providers.get(kind)
        if one is not None:
            self.most = max(self.most, self._under_way() + 1)
            scope = self._portal.call(anyio.CancelScope)
            future = self._portal.start_task_soon(_within, scope, one.chat)
            answers = [self._text_now() if kind == "fine" else ""]
            self.waiting.append((kind, answers, scope, future))
            if kind == "fine":  # the next step may be another file
                self._wait(lambda: future.done() or self.pool.live >= PLACES)

    def _under_way(self) -> int:
        """Operations that have a place in the pool, wait for one, or will soon."""
        chats = sum(not future.done() for *_, future in self.waiting)
        return chats + sum(kind == "fine" for kind, _ in self.streams)

    def _held(self) -> int:
        """Those that end only when they are ended."""
        lasting = sum(kind != "fine" for kind, *_ in self.waiting)
        return lasting + sum(kind == "fine" for kind, _ in self.streams)

    @staticmethod
    def _wait(done: Callable[[], bool]) -> None:
        end = time.monotonic() + PATIENCE
        while not done():
            assert time.monotonic() < end, "it does not come to its end"
            time.sleep(0.0005)

    def _text_now(self) -> str:
        """What an operation of the first slot answers that begins now."""
        if self._usable:
            self.loaded = self.says
        return self.loaded

    def do_cancel(self, which: int) -> None:
        """The task of an operation is cancelled; it ends soon."""
        if self.waiting:
            kind, _, scope, future = self.waiting.pop(which % len(self.waiting))
            self._portal.call(scope.cancel)
            found, what = self._outcome(future)
            if found == "error":
                assert isinstance(what, TooMuch), f"{what!r}"
                assert self.most > PLACES + QUEUED, "refused, though there was room"
            else:
                assert what is None or kind == "fine", "it went on to its end"

    def do_sibling(self) -> None:
        """Whatever the others do, this one answers."""
        assert self._call(self.sibling.chat, "x").text == "sibling"

    def do_thread(self) -> None:
        """A provider without a loop, in the same pool."""
        if self._under_way() < PLACES:
            assert self.threaded.chat("x").text == "sibling"

    def _settle(self) -> None:
        """Operations that nothing holds up come to their end."""
        for chat in list(self.waiting):
            kind, answers, _, future = chat
            if not future.done() and (kind != "fine" or self._held() >= PLACES):
                continue
            self.waiting.remove(chat)
            found, what = self._outcome(future)
            if found == "value":
                assert what.text in answers, f"{what.text!r} is not one of {answers}"
            else:
                assert isinstance(what, TooMuch), f"{what!r}"
                assert self.most > PLACES + QUEUED, "refused, though there was room"

    @staticmethod
    def _outcome(future: concurrent.futures.Future[Any]) -> tuple[str, Any]:
        try:
            return "value", future.result(PATIENCE)
        except Error as error:
            check_error(error)
            return "error", error

    def _ended(self, future: concurrent.futures.Future[Any]) -> None:
        found, what = self._outcome(future)
        ends = Cancelled | ClosedError | TooMuch
        assert found == "value" or isinstance(what, ends), f"{what!r}"

    # -- streams ----------------------------------------------------------------------------------

    def do_stream(self, kind: str) -> None:
        """One of the first slot's, or of the sibling's."""
        one = self.providers.get("fine") if kind == "fine" else self.sibling
        busy = self._under_way() if kind == "fine" else len(self.sibling._running)
        free = busy < PLACES
        if one is None or not free:
            return
        stream = one.chat_stream("hello")
        self._call(stream.__aenter__)
        if kind == "fine":
            self._text_now()
        self.streams.append((kind, stream))

    def do_next(self, which: int) -> None:
        """The next chunk, where its provider is still open."""
        if not self.streams:
            return
        _, stream = self.streams[which % len(self.streams)]
        try:
            self._call(stream.__anext__)
        except (StopAsyncIteration, RuntimeError):  # a coroutine may not raise the first
            assert stream.response.text is not None
            self.streams.remove(self.streams[which % len(self.streams)])
        except Error as error:
            check_error(error)
            assert isinstance(error, Cancelled | ClosedError), f"{error!r}"
            self.streams.remove(self.streams[which % len(self.streams)])

    def do_drop(self, which: int, close: bool) -> None:
        """Closed, or left to the collector."""
        if not self.streams:
            return
        _, stream = self.streams.pop(which % len(self.streams))
        if close:
            self._call(stream.close)
        del stream
        gc.collect()
        assert reaper.wait(PATIENCE)

    # -- the end ----------------------------------------------------------------------------------

    def finish(self) -> None:
        """Nothing is left: no place, no open reply, no operation, no instance, no thread."""
        try:
            while self.waiting:
                self.do_cancel(-1)  # who waits for a place first
            for _, stream in self.streams:
                self._call(stream.close)
            self.streams.clear()
            opened = [*self.providers.values(), self.sibling]
            for one in opened:
                self._call(one.close)
            self.threaded.close()
            assert (self.pool.live, self.pool.waiting) == (0, 0), "places are held"
            for one in (*opened, self.threaded):
                assert not one._running, "operations are still known"
                assert not one._versions._old, "versions are still there"
            assert not any(network.open for network in self.networks.values()), "replies are open"
        finally:
            self._ends.close()
        self.providers.clear()
        gc.collect()
        assert reaper.wait(PATIENCE)
        left = [s for s in owners() if s.context_address not in self._before and not s.closed]
        assert not left, f"{len(left)} instances are left"
        assert not [t for t in threading.enumerate() if t.name == "fumehood-stream"]


ALLOWED: Final = {"allowed_hosts": ["api.example.com"], "base_url": "https://api.example.com/v1/"}


def check(case: list[Step]) -> None:
    """Live it again."""
    crowd = Crowd(case[0][1])
    try:
        for step in case[1:]:
            crowd.step(step)
    finally:
        crowd.finish()


_KINDS: Final = st.sampled_from(KINDS)
_WHICH: Final = st.integers(0, 7)


class CrowdMachine(RuleBasedStateMachine):
    """Draws the steps. `note` and `failed` are told the steps so far, before and after."""

    note: Callable[[list[Step]], bool] = staticmethod(lambda _steps: True)
    failed: Callable[[list[Step]], None] = staticmethod(lambda _steps: None)

    def __init__(self) -> None:
        super().__init__()
        self.steps: list[Step] = []
        self.crowd: Crowd | None = None

    def _do(self, *step: Any) -> None:
        if not self.steps:
            self.steps.append(["on", "trio" if step[0] == "open" else "asyncio"])
        self.steps.append(list(step))
        if not self.note(self.steps):
            return
        try:
            self.crowd = self.crowd or Crowd(self.steps[0][1])
            self.crowd.step(list(step))
        except BaseException:
            self.failed(self.steps)
            raise

    @rule(kind=_KINDS)
    def open(self, kind: str) -> None:
        self._do("open", kind)

    @rule(kind=_KINDS, chance=st.integers(0, 3))
    def close(self, kind: str, chance: int) -> None:
        if not chance:
            self._do("close", kind)

    @rule(kind=_KINDS)
    def chat(self, kind: str) -> None:
        self._do("chat", kind)

    @rule(kind=st.sampled_from(["silent", "looping"]))
    def fill(self, kind: str) -> None:
        for _ in range(PLACES + 1):
            self._do("chat", kind)

    @rule(which=st.just(-1) | _WHICH)
    def cancel(self, which: int) -> None:
        self._do("cancel", which)

    @rule(name=st.sampled_from(["sibling", "thread"]))
    def other(self, name: str) -> None:
        self._do(name)

    @rule(what=st.sampled_from(["first", "second", "garbage", "away"]))
    def replace(self, what: str) -> None:
        self._do("replace", what)
        self._do("chat", "fine")

    @rule(kind=st.sampled_from(["fine", "sibling"]))
    def stream(self, kind: str) -> None:
        self._do("stream", kind)

    @rule(which=_WHICH)
    def next_chunk(self, which: int) -> None:
        self._do("next", which)

    @rule(which=_WHICH, close=st.booleans())
    def drop(self, which: int, close: bool) -> None:
        self._do("drop", which, close)

    def teardown(self) -> None:
        """The end is checked as well."""
        if self.crowd is None:
            return
        try:
            self.crowd.finish()
        except BaseException:
            self.failed(self.steps)
            raise


TARGET: Final = Target("crowd", st.nothing, check, machine=CrowdMachine, weight=3)
