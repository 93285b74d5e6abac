"""Places for instances, and the threads that run guests for event loops."""

from __future__ import annotations

import threading
import time

import anyio
import pytest

from fumehood.errors import Cancelled, Timeout, TooMuch, UsageError
from fumehood.limits import Limits
from fumehood.meter import Meter
from fumehood.provider.pool import Place, Pool
from fumehood.provider.workers import LONG, Workers


@pytest.fixture(params=["asyncio", "trio"])
def anyio_backend(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def meter(deadline: float = 20) -> Meter:
    return Meter(Limits(deadline=deadline))


# -- places -------------------------------------------------------------------------------------


def test_places_are_counted() -> None:
    pool = Pool(instances=2)
    first, second = pool.take("a", meter()), pool.take("b", meter())
    assert pool.live == 2
    first.release()
    first.release()
    assert pool.live == 1
    second.release()
    assert pool.live == 0


@pytest.mark.parametrize(("instances", "queued"), [(0, 1), (1, -1)])
def test_a_pool_makes_sense(instances: int, queued: int) -> None:
    with pytest.raises(UsageError):
        Pool(instances, queued)


def waiting(
    pool: Pool, plugin: str, got: list[str], places: list[Place], deadline: float = 60.0
) -> threading.Thread:
    """A thread that waits for a place."""
    before = pool.waiting

    def run() -> None:
        places.append(pool.take(plugin, Meter(Limits(deadline=deadline))))
        got.append(plugin)

    thread = threading.Thread(target=run)
    thread.start()
    while pool.waiting == before:
        time.sleep(0.001)
    return thread


@pytest.mark.parametrize("deadline", [1e9, 1e12, 1e300])
def test_a_deadline_beyond_what_the_system_can_wait(deadline: float) -> None:
    pool = Pool(instances=1)
    held = pool.take("a", meter())
    got: list[str] = []
    thread = waiting(pool, "b", got, [], deadline)
    held.release()
    thread.join(30)
    assert got == ["b"]


def test_a_free_place_goes_to_the_plugin_that_has_fewest() -> None:
    pool = Pool(instances=3)
    held = [pool.take("greedy", meter()) for _ in range(3)]
    got: list[str] = []
    places: list[Place] = []
    threads = [waiting(pool, name, got, places) for name in ("greedy", "greedy", "b", "c", "b")]
    for number, place in enumerate(held):
        place.release()
        while len(got) <= number:
            time.sleep(0.001)
    assert got == ["b", "c", "greedy"]  # greedy held two, then one, then none
    for number in range(2):
        places[number].release()
        while len(got) <= 3 + number:
            time.sleep(0.001)
    assert got[3:] == ["b", "greedy"]
    for place in places:
        place.release()
    for thread in threads:
        thread.join()
    assert (pool.live, pool.waiting) == (0, 0)


def test_waiting_ends_with_the_deadline_and_with_cancel() -> None:
    pool = Pool(instances=1, queued=1)
    place = pool.take("a", meter())
    with pytest.raises(Timeout, match="one of 1 instances"):
        pool.take("a", meter(0.05))
    account = meter()
    timer = threading.Timer(0.05, account.cancel)
    timer.start()
    with pytest.raises(Cancelled):
        pool.take("a", account)
    timer.join()
    assert pool.waiting == 0
    place.release()


def test_a_full_queue_is_an_error() -> None:
    pool = Pool(instances=1, queued=0)
    place = pool.take("a", meter())
    with pytest.raises(TooMuch) as caught:
        pool.take("a", meter())
    assert caught.value.limit == "instances"
    place.release()


@pytest.mark.anyio
async def test_a_place_given_while_leaving_goes_back() -> None:
    pool = Pool(instances=1)
    place = pool.take("a", meter())
    async with anyio.create_task_group() as group:
        group.start_soon(pool.atake, "a", meter())
        while not pool.waiting:
            await anyio.sleep(0)
        place.release()  # the waiter has it, and is cancelled before it knows
        group.cancel_scope.cancel()
    assert (pool.live, pool.waiting) == (0, 0)


# -- threads --------------------------------------------------------------------------------------


@pytest.mark.anyio
async def test_results_and_failures_come_back() -> None:
    workers = Workers("test", threads=2, lanes=2)
    assert await workers.call("a", lambda: 1 + 1, meter()) == 2
    with pytest.raises(ZeroDivisionError):
        await workers.call("a", lambda: 1 / 0, meter())
    assert await workers.call("a", threading.get_ident, meter()) != threading.get_ident()


@pytest.mark.anyio
async def test_lanes_bound_what_runs_at_once_and_long_jobs_do_not_count() -> None:
    workers = Workers("test", threads=8, lanes=1)
    go = threading.Event()
    async with anyio.create_task_group() as group:
        group.start_soon(workers.call, "slow", lambda: go.wait(10), meter())
        began = time.monotonic()
        for _ in range(20):
            await workers.call("quick", lambda: None, meter())
        assert time.monotonic() - began < 5
        go.set()
    assert LONG < 1


@pytest.mark.anyio
async def test_no_plugin_gets_all_threads() -> None:
    workers = Workers("test", threads=4, lanes=4)
    go = threading.Event()
    running: list[int] = []

    def hold() -> None:
        running.append(1)
        go.wait(10)

    async with anyio.create_task_group() as group:
        for _ in range(10):
            group.start_soon(workers.call, "greedy", hold, meter())
        while len(running) < 3:
            await anyio.sleep(0.001)
        assert await workers.call("other", lambda: "served", meter()) == "served"
        assert len(running) == 3
        go.set()
    assert len(running) == 10


@pytest.mark.anyio
async def test_plugins_take_turns() -> None:
    workers = Workers("test", threads=1, lanes=1)
    go = threading.Event()
    order: list[str] = []
    async with anyio.create_task_group() as group:
        group.start_soon(workers.call, "first", lambda: go.wait(10), meter())
        await anyio.sleep(0.05)
        for name in ("a", "a", "a", "b", "c"):
            group.start_soon(workers.call, name, lambda name=name: order.append(name), meter())
            await anyio.sleep(0.01)
        go.set()
    assert order == ["a", "b", "c", "a", "a"]


@pytest.mark.anyio
async def test_a_cancelled_job_that_has_not_begun_never_does() -> None:
    workers = Workers("test", threads=1, lanes=1)
    go = threading.Event()
    ran: list[int] = []
    async with anyio.create_task_group() as group:
        group.start_soon(workers.call, "a", lambda: go.wait(10), meter())
        await anyio.sleep(0.02)
        with anyio.move_on_after(0.02) as scope:
            await workers.call("a", lambda: ran.append(1), meter())
        assert scope.cancelled_caught
        go.set()
    assert await workers.call("a", lambda: "after", meter()) == "after"
    assert ran == []


@pytest.mark.anyio
async def test_a_cancelled_job_that_runs_is_told_and_waited_for() -> None:
    workers = Workers("test", threads=1, lanes=1)
    account = meter()
    ended: list[bool] = []

    def run() -> None:
        while not account.cancelled:
            time.sleep(0.001)
        ended.append(True)

    with anyio.move_on_after(0.05) as scope:
        await workers.call("a", run, account)
    assert scope.cancelled_caught
    assert ended == [True]


@pytest.mark.anyio
async def test_many_jobs_from_many_tasks() -> None:
    workers = Workers("test", threads=4, lanes=2)
    done: list[int] = []

    async def user(number: int) -> None:
        for _ in range(20):
            done.append(await workers.call(f"p{number % 5}", lambda: number, meter()))

    async with anyio.create_task_group() as group:
        for number in range(50):
            group.start_soon(user, number)
    assert len(done) == 1000
    assert not workers._queues
    with anyio.fail_after(10):  # a job says that it is done before its thread has noted it
        while workers._running:
            await anyio.sleep(0.001)


def test_idle_threads_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fumehood.provider.workers.IDLE", 0.05)
    workers = Workers("fumehood-test-idle", threads=2, lanes=2)

    async def main() -> None:
        await workers.call("a", lambda: None, meter())

    anyio.run(main)
    until = time.monotonic() + 10
    while workers._count and time.monotonic() < until:
        time.sleep(0.01)
    assert workers._count == 0
    anyio.run(main)
