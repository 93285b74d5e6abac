"""What plugins would learn of each other, take from each other, or do through each other."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from functools import partial
from typing import Final

from fumehood import errors
from fumehood.plugin import HostFunction, Plugin, host_function
from fumehood.provider import Provider
from fumehood.testing.gallery.attacks import HARMLESS, Attack, source
from fumehood.testing.gallery.documents import wire
from fumehood.testing.gallery.stage import Stage

LEAKS: Final = "A fresh instance sees no byte of another one's, in its memory or the kernel's."
OPERATIONS: Final = "An operation of a provider sees nothing of an earlier one."
SWAPS: Final = "Every caller gets the error of its own call."
REENTRY: Final = "A sandbox is not entered again from a host function of its own."

SECRET: Final = b"canary-of-a-tenant-9e41"
CLEAN: Final = b"0" * 7
THREADS: Final = 8
ROUNDS: Final = 40


# -- leaks -----------------------------------------------------------------------------------------


def _fresh(stage: Stage, *, same: bool, closed: bool) -> None:
    """Another instance of the `same` compiled plugin or of one of its own, while the first lives
    or after it was `closed`; several times, since what is freed is used again at random."""
    compiled = stage.compiled()
    for _ in range(8):
        owner = stage.guest(compiled)
        stage.require(owner.call(SECRET, "plant") == SECRET, "nothing was planted")
        if closed:
            owner.close()
        thief = stage.guest(compiled if same else stage.compiled())
        stage.require((seen := thief.call(b"", "hunt")) == CLEAN, f"it found {seen!r}")
        thief.close()
        owner.close()


def _after_death(stage: Stage) -> None:
    """What a plugin that keeps its instance sees after that one died."""
    attacker = stage.guest(renew=True)
    died = 0
    for _ in range(8):
        try:
            attacker.call(SECRET, "plant_and_die")
        except errors.Trap:
            died += 1
        stage.require((seen := attacker.call(b"", "hunt")) == CLEAN, f"it found {seen!r}")
    stage.require(died == 8, "it did not die")


def _last_output(stage: Stage) -> None:
    """Output and error text of one call are not those of the next, which gives none."""
    attacker = stage.guest()
    attacker.call(SECRET, "plant")
    stage.require(attacker.call(b"", "silent") == b"", "the last output came again")
    told: list[str] = []
    for data, export in ((SECRET, "plant_error"), (b"", "fail")):
        try:
            attacker.call(data, export)
        except errors.PluginError as error:
            told.append(str(error))
    stage.require(len(told) == 2, "a failure is gone")
    stage.require(SECRET.decode() in told[0], "nothing was planted")
    stage.require(SECRET.decode() not in told[1], "the last error text came again")


def _operations(stage: Stage) -> None:
    server = stage.stub()
    with Provider.open(
        stage.attack.source(prefix=wire(f"{server.url}models")).encode(),
        config={"base_url": server.url},
        limits=stage.limits,
    ) as provider:
        for _ in range(5):
            with stage.outcome.timed():
                answer = provider.chat("hello")
            stage.require(answer.text == "1", f"it counted {answer.text} operations")


# -- swaps -----------------------------------------------------------------------------------------


def _together(stage: Stage, work: Callable[[int], Iterator[str]]) -> None:
    """`work(thread)` in every thread at once; it yields what went wrong."""
    wrong: list[str] = []
    ready = threading.Barrier(THREADS)

    def run(number: int) -> None:
        ready.wait(30)
        wrong.extend(work(number))

    threads = [threading.Thread(target=run, args=(number,)) for number in range(THREADS)]
    with stage.outcome.timed():
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    stage.require(not wrong, "; ".join(wrong[:3]))


def _fail(plugin: Plugin, number: int, turn: int) -> str:
    """One failing call of a kind that changes with the turn; what was wrong with its error."""
    mine = f"error {turn} of thread {number}"
    kind, export, data = (
        (errors.PluginError, "run", mine.encode()),
        (errors.Trap, "trap", mine.encode()),
        (errors.Exit, "leave", bytes([number + 1])),
    )[turn % 3]
    try:
        plugin.call(export, data)
    except errors.Error as error:
        if type(error) is not kind:
            return f"{type(error).__name__} where {kind.__name__} was due"
        if isinstance(error, errors.PluginError) and error.message != mine:
            return f"{error.message!r} where {mine!r} was due"
        if isinstance(error, errors.Exit) and error.status != number + 1:
            return f"status {error.status} where {number + 1} was due"
        if error.receipt is None or error.receipt.operation != export:
            return "another call's receipt"
        return ""
    return "no error"


def _swaps(stage: Stage, *, shared: bool) -> None:
    """One plugin for all threads, or one for each, of the same compiled code."""
    compiled = stage.compiled("echo_error")
    one = Plugin(compiled, limits=stage.limits)
    stage.hold(one.close)

    def work(number: int) -> Iterator[str]:
        plugin = one if shared else Plugin(compiled, limits=stage.limits)
        for turn in range(ROUNDS):
            if problem := _fail(plugin, number, turn):
                yield problem
        if not shared:
            plugin.close()

    _together(stage, work)


# -- re-entry ------------------------------------------------------------------------------------


def _plugin(stage: Stage, guest: str, answer: Callable[[bytes], bytes]) -> Plugin:
    @host_function(name="again")
    def again(data: bytes) -> bytes:
        return answer(data)

    functions: list[HostFunction] = [again]
    plugin = Plugin(source(guest).encode(), functions=functions, limits=stage.limits)
    stage.hold(plugin.close)
    return plugin


def _reenter(stage: Stage) -> None:
    """The host function lets the refusal pass."""
    plugin = _plugin(stage, stage.attack.guest, lambda data: plugin.call("run", data))
    _call(stage, plugin)


def _call(stage: Stage, plugin: Plugin) -> None:
    with stage.outcome.timed():
        stage.outcome.output = plugin.call("run", b"hello")
    stage.outcome.receipt = plugin.last_receipt


def _refused(stage: Stage) -> None:
    """The host function catches the refusal: the first call goes on and ends well."""
    refusals: list[errors.Error] = []

    def answer(data: bytes) -> bytes:
        try:
            plugin.call("run", data)
        except errors.ReentryError as refusal:
            refusals.append(refusal)
        return data

    plugin = _plugin(stage, "calls_back", answer)
    for _ in range(3):
        _call(stage, plugin)
    stage.require(len(refusals) == 3, f"{len(refusals)} of 3 calls were refused")


def _ping_pong(stage: Stage) -> None:
    """Two plugins that call each other: the second entry into the first is refused."""
    depth = 0

    def to_second(data: bytes) -> bytes:
        nonlocal depth
        depth += 1
        stage.require(depth < 3, "the first was entered again")
        return second.call("run", data)

    first = _plugin(stage, "calls_back", to_second)
    second = _plugin(stage, "calls_back", lambda data: first.call("run", data))
    _call(stage, first)


def _close_inside(stage: Stage) -> None:
    """The host function closes the plugin whose call is under way."""

    def answer(data: bytes) -> bytes:
        plugin.close()
        return data

    plugin = _plugin(stage, "calls_back", answer)
    _call(stage, plugin)
    _call(stage, plugin)


def _row(
    name: str,
    group: str,
    promise: str,
    run: Callable[[Stage], None],
    *,
    expect: str = HARMLESS,
    guest: str,
) -> Attack:
    return Attack(name, group, promise, expect, guest, limits={"deadline": 15.0}, run=run)


TENANTS: Final = (
    _row("leak_beside", "cross-instance leaks", LEAKS, partial(_fresh, same=True, closed=False),
         guest="hoarder"),
    _row("leak_after_close", "cross-instance leaks", LEAKS,
         partial(_fresh, same=True, closed=True), guest="hoarder"),
    _row("leak_other_plugin", "cross-instance leaks", LEAKS,
         partial(_fresh, same=False, closed=True), guest="hoarder"),
    _row("leak_after_death", "cross-instance leaks", LEAKS, _after_death, guest="hoarder"),
    _row("leak_of_output", "cross-instance leaks", LEAKS, _last_output, guest="hoarder"),
    _row("leak_between_operations", "cross-instance leaks", OPERATIONS, _operations,
         guest="remembers"),
    _row("error_swap", "errors across threads", SWAPS, partial(_swaps, shared=False),
         guest="echo_error"),
    _row("error_swap_shared", "errors across threads", SWAPS, partial(_swaps, shared=True),
         guest="echo_error"),
    *(
        _row(name, "stack", REENTRY, run, expect="HostFunctionError", guest=guest)
        for name, run, guest in (
            ("reentry", _reenter, "calls_back"),
            ("reentry_at_start", _reenter, "calls_at_start"),
            ("reentry_by_another", _ping_pong, "calls_back"),
        )
    ),
    _row("reentry_caught", "stack", REENTRY, _refused, guest="calls_back"),
    _row("close_inside", "stack", REENTRY, _close_inside, expect="ClosedError", guest="calls_back"),
)  # fmt: skip
