"""Threads that do the guests' work for event loops.

Guest code never runs on an event loop's own thread: a call that took 50 µs a thousand times may
loop the next time, and only another thread can stop it there. Few calls run at once, since between
their guests' instructions they all want the interpreter; a call that takes long does not count
after a moment, so that a looping plugin keeps nobody waiting. Jobs of one plugin run in the order
they came, plugins in turn, and no plugin gets all threads.
"""

from __future__ import annotations

import os
import threading
import time
from collections import Counter, OrderedDict, deque
from collections.abc import Callable
from typing import Any, Final, Generic, TypeVar

import anyio
from anyio.lowlevel import EventLoopToken, current_token

from fumehood.egress.awire import soon
from fumehood.meter import Meter

_T = TypeVar("_T")

LONG: Final = 0.01
"""Seconds after which a job no longer counts among those that run."""

IDLE: Final = 10.0
"""Seconds that a thread waits for work before it ends."""


class _Mail:
    """Jobs that are done, on their way to one event loop: however many there are, it is woken
    once."""

    def __init__(self, token: EventLoopToken) -> None:
        self.token = token
        self._done: deque[anyio.Event] = deque()
        self._sent = False

    def post(self, done: anyio.Event) -> None:
        """Have `done` set on the loop. Any thread."""
        self._done.append(done)
        if not self._sent:
            self._sent = True
            soon(self.token, self._deliver)

    def _deliver(self) -> None:
        self._sent = False  # before the first is taken: one that is added now sends again
        while self._done:
            self._done.popleft().set()


class _Here(threading.local):
    mail: _Mail | None = None


_here: Final = _Here()


def _mail() -> _Mail:
    """That of the loop that runs on this thread."""
    token = current_token()
    found = _here.mail
    if found is None or found.token != token:
        found = _here.mail = _Mail(token)
    return found


class _Job(Generic[_T]):
    """A call under way from an event loop to a thread and back."""

    __slots__ = ("_call", "_failure", "_mail", "_result", "done", "key")

    def __init__(self, key: str, call: Callable[[], _T]) -> None:
        self.key = key
        self.done = anyio.Event()
        self._call = call
        self._mail = _mail()
        self._result: _T | None = None
        self._failure: BaseException | None = None

    def run(self) -> None:
        try:
            self._result = self._call()
        except BaseException as failure:  # noqa: BLE001 - raised again where the caller waits
            self._failure = failure
        self._mail.post(self.done)

    def outcome(self) -> _T:
        failure, self._failure = self._failure, None
        if failure is not None:
            try:
                raise failure
            finally:
                del failure  # its traceback holds this frame
        return self._result  # type: ignore[return-value]  # set where nothing was raised


class Workers:
    """At most `threads` threads, of which one plugin may hold three quarters; `lanes` jobs run at
    once, long ones not counted. Threads start when they are needed and end when they are not."""

    def __init__(self, name: str, threads: int, lanes: int) -> None:
        self._name = name
        self._threads = threads
        self._lanes = lanes
        self._share = max(1, threads * 3 // 4)
        self.forget()

    def forget(self) -> None:
        """Start anew: in the child of a fork, whose threads are gone."""
        self._turn = threading.Condition()
        self._queues: OrderedDict[str, deque[_Job[Any]]] = OrderedDict()
        self._running: dict[_Job[Any], float] = {}
        self._held: Counter[str] = Counter()
        self._count = 0
        self._idle = 0
        self._coming = False
        self._watched = False

    async def call(self, key: str, call: Callable[[], _T], meter: Meter) -> _T:
        """`call()` on a thread, for the plugin `key`.

        Where the task is cancelled, a call that has not begun never does; one that has is
        cancelled through `meter` and waited for.
        """
        job = _Job(key, call)
        self._submit(job)
        try:
            await job.done.wait()
        except BaseException:
            if not self._withdrawn(job):
                meter.cancel()
                with anyio.CancelScope(shield=True):
                    await job.done.wait()
            raise
        return job.outcome()

    def _submit(self, job: _Job[Any]) -> None:
        with self._turn:
            self._queues.setdefault(job.key, deque()).append(job)
            self._summon()

    def _summon(self) -> None:
        """See to it that a thread looks at the queues, if one is of use there: there is room for
        a job, or nobody looks after those that wait until a running one has taken long. One that
        comes summons the next."""
        if self._coming or (self._watched and not self._room()):
            return
        if self._idle:
            self._coming = True
            self._turn.notify()
        elif self._count < self._threads:
            self._coming = True
            self._count += 1
            threading.Thread(target=self._work, name=self._name, daemon=True).start()

    def _withdrawn(self, job: _Job[Any]) -> bool:
        """Take a job back that has not begun."""
        with self._turn:
            queue = self._queues.get(job.key)
            if queue is None or job not in queue:
                return False
            queue.remove(job)
            if not queue:
                del self._queues[job.key]
            return True

    def _room(self) -> bool:
        if len(self._running) < self._lanes:
            return True
        since = time.monotonic() - LONG
        return sum(began > since for began in self._running.values()) < self._lanes

    def _next(self) -> _Job[Any] | None:
        if not self._queues or not self._room():
            return None
        for key, queue in self._queues.items():
            if self._held[key] < self._share:
                job = queue.popleft()
                if queue:
                    self._queues.move_to_end(key)
                else:
                    del self._queues[key]
                return job
        return None

    def _work(self) -> None:
        done: _Job[Any] | None = None
        while True:
            with self._turn:
                if done is not None:
                    self._finished(done)
                job = self._wait()
                if job is None:
                    self._count -= 1
                    return
                self._running[job] = time.monotonic()
                self._held[job.key] += 1
                if self._queues:
                    self._summon()
            job.run()
            done = job
            del job

    def _finished(self, job: _Job[Any]) -> None:
        del self._running[job]
        self._held[job.key] -= 1
        if not self._held[job.key]:
            del self._held[job.key]

    def _wait(self) -> _Job[Any] | None:
        """The next job; None where none came for long."""
        until = time.monotonic() + IDLE
        while True:
            self._coming = False
            job = self._next()
            if job is not None:
                return job
            watching = bool(self._queues) and not self._watched
            if not watching and time.monotonic() > until:
                return None
            self._idle += 1
            self._watched = self._watched or watching
            self._turn.wait(LONG if watching else IDLE)
            self._idle -= 1
            if watching:
                self._watched = False


_cores: Final = os.cpu_count() or 1
computing: Final = Workers("fumehood-guest", threads=32, lanes=max(2, _cores))
"""For calls that only compute."""
blocking: Final = Workers("fumehood-direct", threads=256, lanes=256)
"""For plugins that do their own HTTP: a call lasts as long as the model takes."""


def _forked() -> None:
    computing.forget()
    blocking.forget()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forked)
