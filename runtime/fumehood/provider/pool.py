"""How many plugin instances may live at once, and who gets the next one.

An operation takes a place before its instance is made and gives it back when the instance is
freed; a stream keeps its place as long as it lasts. Where no place is free, operations wait: those
of one plugin in the order they came; a place that gets free goes to the waiting plugin that has
the fewest, in turn where several have as few. So a plugin with a thousand requests under way does
not keep another one out.
"""

from __future__ import annotations

import threading
from collections import Counter, OrderedDict, deque
from collections.abc import Callable
from typing import Final

from fumehood import arguments, forks
from fumehood.errors import Timeout, TooMuch, UsageError
from fumehood.meter import Meter

INSTANCES: Final = 1024
"""Live instances, unless said otherwise. Idle ones take some 100 KiB each."""

QUEUED: Final = 4096
"""Operations that wait, unless said otherwise."""


class Place:
    """One live instance's. `release` it."""

    __slots__ = ("_pool", "_taken", "plugin")

    def __init__(self, pool: Pool, plugin: str) -> None:
        self._pool = pool
        self._taken = True
        self.plugin = plugin

    def release(self) -> None:
        """Give it back. Any thread; idempotent."""
        self._pool._release(self)

    def __del__(self) -> None:
        """For one that was lost on its way: Ctrl-C may come between any two lines."""
        if getattr(self, "_taken", False):
            self._pool._release(self)

    def forked(self, *, keep: bool) -> None:
        """This is the child of a fork: hold it on (`keep`), or forget it."""
        pool = self._pool
        pool.forked()
        self._taken = self._taken and keep
        if self._taken:
            pool._live += 1
            pool._held[self.plugin] += 1


class _Waiter:
    __slots__ = ("place", "plugin", "wake")

    def __init__(self, plugin: str, wake: Callable[[], None]) -> None:
        self.plugin = plugin
        self.wake = wake
        self.place: Place | None = None


class Pool:
    """Bounds live instances; shared by any number of providers, threads and event loops."""

    def __init__(self, instances: int = INSTANCES, queued: int = QUEUED) -> None:
        """At most `instances` live at once and `queued` operations wait; one more raises
        TooMuch (`instances`)."""
        arguments.whole(instances, "instances")
        arguments.whole(queued, "queued")
        if instances < 1 or queued < 0:
            raise UsageError("a pool has at least one instance and no negative queue")
        forks.watch(self)
        self.instances = instances
        self.queued = queued
        self._lock = forks.rlock()  # a collected stream may give its place back while we hold it
        self._held: Counter[str] = Counter()
        self._live = 0
        self._waiting: OrderedDict[str, deque[_Waiter]] = OrderedDict()
        self._queue = 0
        self._forks = forks.count

    @property
    def live(self) -> int:
        """Places that are taken."""
        return self._live

    @property
    def waiting(self) -> int:
        """Operations that wait for one."""
        return self._queue

    def take(self, plugin: str, meter: Meter) -> Place:
        """A place for an operation of `plugin`; blocks until there is one.

        Raises TooMuch where too many wait already, Timeout and Cancelled as `meter` says.
        """
        place = self._free(plugin)
        if place is not None:
            return place
        woken = threading.Event()
        waiter = self._enqueue(plugin, woken.set)
        remove = meter.on_cancel(woken.set)
        try:
            while waiter.place is None:
                woken.wait(self._left(meter))
                woken.clear()
        except BaseException:
            self._leave(waiter)
            raise
        finally:
            remove()
        return waiter.place

    async def atake(self, plugin: str, meter: Meter) -> Place:
        """`take` on an event loop."""
        place = self._free(plugin)
        if place is not None:
            return place
        import anyio  # not needed by who uses no event loop: 30 ms
        from anyio.lowlevel import current_token

        from fumehood.egress.awire import soon

        token, woken = current_token(), anyio.Event()
        waiter = self._enqueue(plugin, lambda: soon(token, woken.set))
        try:
            while waiter.place is None:
                with anyio.move_on_after(self._left(meter)):
                    await woken.wait()
        except BaseException:
            self._leave(waiter)
            raise
        return waiter.place

    def forked(self) -> None:
        """This is the child of a fork: nobody waits, and places are free that are not kept by
        `Place.forked`. Idempotent in one process."""
        if self._forks != forks.count:
            self._forks = forks.count
            self._live = self._queue = 0
            self._held.clear()
            self._waiting.clear()

    def _left(self, meter: Meter) -> float:
        try:
            return meter.remaining()
        except Timeout as timeout:
            timeout.message += f" while waiting for one of {self.instances} instances"
            raise

    def _free(self, plugin: str) -> Place | None:
        with self._lock:
            if self._live >= self.instances:  # and otherwise nobody waits
                return None
            return self._give(plugin)

    def _give(self, plugin: str) -> Place:
        self._live += 1
        self._held[plugin] += 1
        return Place(self, plugin)

    def _enqueue(self, plugin: str, wake: Callable[[], None]) -> _Waiter:
        waiter = _Waiter(plugin, wake)
        with self._lock:
            if self._live < self.instances:
                waiter.place = self._give(plugin)
            elif self._queue >= self.queued:
                raise TooMuch(
                    f"{self._live} plugin instances are live and {self._queue} operations wait",
                    limit="instances",
                    hint="send fewer requests at once, or give a larger Pool",
                )
            else:
                self._waiting.setdefault(plugin, deque()).append(waiter)
                self._queue += 1
        return waiter

    def _leave(self, waiter: _Waiter) -> None:
        """It waits no longer; what it was given meanwhile goes back."""
        with self._lock:
            if waiter.place is not None:
                waiter.place.release()
                return
            line = self._waiting[waiter.plugin]
            line.remove(waiter)
            self._queue -= 1
            if not line:
                del self._waiting[waiter.plugin]

    def _release(self, place: Place) -> None:
        with self._lock:
            if not place._taken:
                return
            place._taken = False
            self._live -= 1
            self._held[place.plugin] -= 1
            if not self._held[place.plugin]:
                del self._held[place.plugin]
            if not self._waiting:
                return
            plugin = min(self._waiting, key=lambda name: self._held[name])
            line = self._waiting[plugin]
            waiter = line.popleft()
            self._queue -= 1
            self._waiting.move_to_end(plugin)
            if not line:
                del self._waiting[plugin]
            waiter.place = self._give(plugin)
        waiter.wake()


shared: Final = Pool()
"""The pool of providers that were given none."""
