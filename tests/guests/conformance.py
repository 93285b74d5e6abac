"""expected.json: what every export of every guest does, as cases that any host can be held to.

A case names a guest (or `modules`, name to guest), what the plugin is given (`config`,
`allowed_hosts`, `folder`, `limits`) and calls of one plugin in order. A call has one expectation:

    output, output_base64, output_repeat [text, times], output_contains [text, …], json,
    or raises {class, message (contained), rc, status, limit, reason, cause}

and beside it, where wanted, `logs` [[level, text], …] and `chunks` (what `qmt_yield_chunk` got).
`"*"` in a JSON value stands for anything. `{web}` is the address of tests/guests/web.py.

The `extism` package runs the same cases (peer.py). `peer` on a call is its result where the two
differ; `compared: false` leaves a call, or a case, to us alone: the specification's "Ours" column.
"""

from __future__ import annotations

import base64
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

EXPECTED = Path(__file__).resolve().parent / "expected.json"


@dataclass(frozen=True)
class Call:
    """One call of a case, its input and expectation with the web server's address filled in."""

    export: str
    data: bytes
    expect: dict[str, Any]
    peer: dict[str, Any] | None
    compared: bool


@dataclass(frozen=True)
class Case:
    """One case; `calls(web)` gives its calls."""

    name: str
    guests: dict[str, str]
    compared: bool = True
    config: dict[str, str] = field(default_factory=dict)
    allowed_hosts: tuple[str, ...] = ()
    limits: dict[str, Any] = field(default_factory=dict)
    folder: dict[str, Any] | None = None
    qmt: bool = False
    raises: dict[str, Any] | None = None
    raw_calls: tuple[dict[str, Any], ...] = ()

    def calls(self, web: str) -> list[Call]:
        return [one_call(_filled(call, web)) for call in self.raw_calls]


def _filled(value: Any, web: str) -> Any:
    if isinstance(value, str):
        return value.replace("{web}", web)
    if isinstance(value, list):
        return [_filled(item, web) for item in value]
    if isinstance(value, dict):
        return {key: _filled(item, web) for key, item in value.items()}
    return value


def one_call(raw: dict[str, Any]) -> Call:
    data = raw.get("input", "").encode()
    if "input_base64" in raw:
        data = base64.b64decode(raw["input_base64"])
    if "input_repeat" in raw:
        text, times = raw["input_repeat"]
        data = text.encode() * times
    expect = {key: value for key, value in raw.items() if not key.startswith("input")}
    peer, compared = expect.pop("peer", None), expect.pop("compared", True)
    return Call(expect.pop("export"), data, expect, peer, compared)


def load() -> list[Case]:
    """All cases of expected.json."""
    cases = []
    for raw in json.loads(EXPECTED.read_text("utf-8"))["cases"]:
        modules = raw.pop("modules", None) or {"main": raw.pop("guest")}
        calls = tuple(raw.pop("calls"))
        hosts = tuple(raw.pop("allowed_hosts", ()))
        cases.append(Case(guests=modules, allowed_hosts=hosts, raw_calls=calls, **raw))
    return cases


def matches(seen: Any, wanted: Any) -> bool:
    """Whether a JSON value is the expected one; "*" stands for anything."""
    if wanted == "*":
        return True
    if isinstance(wanted, dict):
        return (
            isinstance(seen, dict)
            and seen.keys() == wanted.keys()
            and all(matches(seen[key], value) for key, value in wanted.items())
        )
    if isinstance(wanted, list):
        return (
            isinstance(seen, list) and len(seen) == len(wanted) and all(map(matches, seen, wanted))
        )
    return bool(seen == wanted)


def output_complaint(output: bytes, expect: dict[str, Any]) -> str | None:
    """What is wrong with an output, or None."""
    shown = output if len(output) < 500 else output[:500] + b"..."
    if "raises" in expect:
        return f"returned {shown!r} instead of raising {expect['raises']}"
    if "json" in expect and not matches(json.loads(output), expect["json"]):
        return f"returned {shown!r}, not {expect['json']!r}"
    if "output_contains" in expect:
        absent = [text for text in expect["output_contains"] if text.encode() not in output]
        return f"returned {shown!r}, without {absent!r}" if absent else None
    wanted = expect.get("output")
    if wanted is not None and output != wanted.encode():
        return f"returned {shown!r}, not {wanted!r}"
    if "output_base64" in expect and output != base64.b64decode(expect["output_base64"]):
        return f"returned {shown!r}, not {expect['output_base64']} (base64)"
    if "output_repeat" in expect:
        text, times = expect["output_repeat"]
        if output != text.encode() * times:
            return f"returned {len(output)} bytes {shown!r}, not {times} times {text!r}"
    return None
