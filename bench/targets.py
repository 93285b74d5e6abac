"""What the project set itself, and what was measured: computed from the rows, never written."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, TypedDict

from bench.report import NONE, Row, seconds

Rows = Mapping[str, Row]
OURS: Final = "fumehood"
_PEER: Final = "extism"


@dataclass(frozen=True, slots=True)
class Outcome:
    """What was measured, and whether that is enough. Nothing measured: neither."""

    measured: str
    met: bool | None


class Line(TypedDict):
    """One line of the table, judged."""

    what: str
    at_least: str
    measured: str
    met: bool | None


@dataclass(frozen=True, slots=True)
class Target:
    """One line of the table. `judge` looks at the rows; it raises KeyError where one is missing."""

    what: str
    at_least: str
    judge: Callable[[Rows], Outcome]


def _median(rows: Rows, key: str, side: str = OURS) -> float:
    found = rows[key].median(side)
    if found is None:
        raise KeyError(key)
    return found


def _faster(rows: Rows, key: str, least: float, peer: str, ours: str = OURS) -> Outcome:
    ratio = _median(rows, key, peer) / _median(rows, key, ours)
    return Outcome(f"{ratio:.2f}×", ratio >= least)


def _within(rows: Rows, key: str, most: float, side: str = OURS) -> Outcome:
    value = _median(rows, key, side)
    return Outcome(seconds(value), value <= most)


def _all(*outcomes: Outcome) -> Outcome:
    met = None if None in (each.met for each in outcomes) else all(each.met for each in outcomes)
    return Outcome(" / ".join(each.measured for each in outcomes), met)


def _native(rows: Rows, key: str) -> Outcome:
    """Below 1.5 times the same source natively plus 30 µs."""
    ours, native = _median(rows, key), _median(rows, key, "native Rust")
    bound = 1.5 * native + 30e-6
    return Outcome(f"{seconds(ours)} (bound {seconds(bound)})", ours < bound)


def _load(rows: Rows) -> Outcome:
    first, theirs = _median(rows, "load.large.first"), _median(rows, "load.large.first", _PEER)
    return Outcome(f"{seconds(first)}, extism {seconds(theirs)}", first <= 9e-3 and first < theirs)


def _crowd(rows: Rows) -> Outcome:
    more = rows["full.async.256"].more
    ours, sdk = more[OURS], more.get("openai SDK")
    failures, spread = ours["failures"], ours["p99_s"] / ours["p50_s"]
    told = f"{failures:.0f} failures, p99 {spread:.2f}× p50"
    met: bool | None = failures == 0 and spread < 5
    if sdk is None:
        return Outcome(f"{told}, the SDK {NONE}", None if met else False)
    throughput = ours["chats_per_s"] / sdk["chats_per_s"]
    return Outcome(f"{told}, {throughput:.2f}×", met and throughput >= 1.5)


def _memory(rows: Rows) -> Outcome:
    outcomes = []
    for key in ("memory.small", "memory.bundled"):
        value = rows[key].more[OURS]["resident_bytes"]
        outcomes.append(Outcome(f"{value / 1024:.0f} KiB", value < 256 * 1024))
    return _all(*outcomes)


def _bulk(rows: Rows, key: str) -> Outcome:
    outcome = _faster(rows, key, 12, _PEER)
    floor = _median(rows, key, _PEER) / _median(rows, key, "two copies")
    return Outcome(f"{outcome.measured} (the copies alone {floor:.1f}×)", outcome.met)


def _hardening(rows: Rows) -> Outcome:
    bare, more = _median(rows, "hardening", "bare"), rows["hardening"].more
    costs = [more[side]["cost_s"] / bare for side in ("without the audit", "everything on")]
    return _all(*(Outcome(f"{cost:.1%}", cost < 0.1) for cost in costs))


_THEIRS: Final = "QueryMT's plugin on fumehood"
TARGETS: Final = (
    Target("small call against extism", "7×", lambda r: _faster(r, "call.small", 7, _PEER)),
    Target(
        "echo 1 KiB / 1 MiB of the same extism-pdk guest",
        "6× / 1.6×",
        lambda r: _all(_faster(r, "echo.1 KiB", 6, _PEER), _faster(r, "echo.1 MiB", 1.6, _PEER)),
    ),
    Target(
        "echo 1 MiB / 16 MiB, our guest through the bulk path, against extism with its own PDK",
        "12×",
        lambda r: _all(_bulk(r, "bulk.1 MiB"), _bulk(r, "bulk.16 MiB")),
    ),
    Target(
        "fresh instance + call against extism: as shipped / pooled",
        "3× / 4.5×",
        lambda r: _all(_faster(r, "fresh", 3, _PEER), _pooled(r)),
    ),
    Target("load of a 1.7 MB plugin from the cache, first", "≤ 9 ms and below extism's", _load),
    Target(
        "the same, again in the same process",
        "≤ 1 ms",
        lambda r: _within(r, "load.large.again", 1e-3),
    ),
    Target(
        "guest → Python host function",
        "≤ 1.5 µs, 8× wasmtime-py",
        lambda r: _all(_within(r, "host", 1.5e-6), _faster(r, "host", 8, "wasmtime-py")),
    ),
    Target(
        "chat build + parse, QueryMT's plugin: kept / fresh",
        "≤ 80 µs / ≤ 200 µs",
        lambda r: _all(
            _within(r, "chat.openai.short.kept", 80e-6, _THEIRS),
            _within(r, "chat.openai.short.fresh", 200e-6, _THEIRS),
        ),
    ),
    Target(
        "the same, bundled openai: kept / fresh",
        "≤ 60 µs / ≤ 180 µs",
        lambda r: _all(
            _within(r, "chat.openai.short.kept", 60e-6),
            _within(r, "chat.openai.short.fresh", 180e-6),
        ),
    ),
    Target(
        "the same against its source run natively, kept",
        "< 1.5× + 30 µs",
        lambda r: _native(r, "chat.openai.short.kept"),
    ),
    Target(
        "one line of a stream: QueryMT's plugin / bundled openai",
        "≤ 22 µs / ≤ 15 µs",
        lambda r: _all(_within(r, "line", 22e-6, _THEIRS), _within(r, "line", 15e-6)),
    ),
    Target(
        "full chat on the stub, sync, against the openai SDK",
        "1.5×",
        lambda r: _faster(r, "full.sync.1", 1.5, "openai SDK"),
    ),
    Target(
        "256 async chats: failures, p99, throughput against the openai SDK",
        "0, < 5× p50, 1.5×",
        _crowd,
    ),
    Target("idle instance: small guest / bundled openai", "< 256 KiB", _memory),
    Target(
        "what the hardening costs a provider call: as shipped / with an audit", "< 10 %", _hardening
    ),
)


def _pooled(rows: Rows) -> Outcome:
    if "fresh.pooled" not in rows or not rows["fresh.pooled"].sides:
        return Outcome(NONE, None)
    return _faster(rows, "fresh.pooled", 4.5, _PEER)


def outcomes(rows: Sequence[Row]) -> list[Line]:
    """The table for the results file; a target whose rows were not measured says so."""
    found = {each.key: each for each in rows}
    table: list[Line] = []
    for target in TARGETS:
        try:
            outcome = target.judge(found)
        except KeyError:
            outcome = Outcome("not measured", None)
        table.append(
            {
                "what": target.what,
                "at_least": target.at_least,
                "measured": outcome.measured,
                "met": outcome.met,
            }
        )
    return table


def word(met: bool | None) -> str:
    """Yes, no, or neither."""
    return NONE if met is None else "yes" if met else "**no**"


def section(table: Sequence[Line]) -> list[str]:
    """The table for the page."""
    return [
        "| what | at least | measured | met |",
        "|---|---|---|---|",
        *(
            f"| {line['what']} | {line['at_least']} | {line['measured']} | {word(line['met'])} |"
            for line in table
        ),
    ]
