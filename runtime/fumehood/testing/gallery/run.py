"""Runs one row of the gallery through the public `Plugin` or `Provider` and judges its end."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

from fumehood import errors
from fumehood.limits import Receipt
from fumehood.plugin import Plugin
from fumehood.provider import Provider
from fumehood.testing.gallery.attacks import HARMLESS, STUB, Attack


@dataclass(frozen=True, slots=True)
class Containment:
    """How an attack ended. `seconds` is wall time from the call (loading and compiling are not in
    it) to the end; `why` is empty where the end is the expected one."""

    attack: Attack
    seconds: float
    error: errors.Error | None
    output: bytes | None
    receipt: Receipt | None
    why: str

    @property
    def contained(self) -> bool:
        """True where the attack ended as its row says."""
        return not self.why

    @property
    def ending(self) -> str:
        """The end in a few words of ours; no guest text."""
        if self.error is None:
            return "ran to its end, reached nothing" if self.contained else "ran to its end"
        parts = [type(self.error).__name__]
        for name in ("limit", "reason"):
            value = getattr(self.error, name, None)
            if value:
                parts.append(str(value))
        return ": ".join(parts)


def contain(attack: Attack, stub_url: str | None = None) -> Containment:
    """Run `attack` once in a plugin of its own.

    `stub_url` is the base URL of a running stub; rows that need one raise ValueError without it.
    What is not a `fumehood.Error` is not caught: it would be a broken promise.
    """
    if attack.needs_stub and stub_url is None:
        raise ValueError(f"{attack.name} needs a stub")
    url = stub_url or ""
    config = {key: value.replace(STUB, url) for key, value in attack.config.items()}
    outcome = _Outcome()
    started = time.perf_counter()
    try:
        with _environment(attack.environ):
            (_chat if attack.chat else _call)(attack, url, config, outcome)
    except errors.Error as raised:
        outcome.error, outcome.receipt = raised, raised.receipt
    ended = outcome.ended or time.perf_counter()
    why = _judge(attack, outcome.error, outcome.output, outcome.receipt)
    return Containment(
        attack,
        ended - (outcome.started or started),
        outcome.error,
        outcome.output,
        outcome.receipt,
        why,
    )


@contextmanager
def _environment(bait: Mapping[str, str]) -> Iterator[None]:
    before = {name: os.environ.get(name) for name in bait}
    os.environ.update(bait)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


@dataclass(slots=True)
class _Outcome:
    started: float = 0.0
    ended: float = 0.0
    error: errors.Error | None = None
    output: bytes | None = None
    receipt: Receipt | None = None


def _call(attack: Attack, url: str, config: dict[str, str], outcome: _Outcome) -> None:
    with Plugin(
        attack.source(url).encode(),
        config=config,
        allowed_hosts=attack.allowed_hosts,
        limits=attack.operation,
    ) as plugin:
        outcome.started = time.perf_counter()
        try:
            outcome.output = plugin.call(attack.export, attack.input.replace(STUB, url).encode())
        finally:
            outcome.ended = time.perf_counter()
        outcome.receipt = plugin.last_receipt


def _chat(attack: Attack, url: str, config: dict[str, str], outcome: _Outcome) -> None:
    outcome.started = time.perf_counter()  # opening asks the guest: that is part of it
    with Provider.open(
        attack.source(url).encode(),
        config=config,
        allowed_hosts=attack.allowed_hosts,
        limits=attack.operation,
    ) as provider:
        try:
            answer = provider.chat("hello")
        finally:
            outcome.ended = time.perf_counter()
        outcome.output, outcome.receipt = (answer.text or "").encode(), answer.receipt


def _judge(
    attack: Attack, error: errors.Error | None, output: bytes | None, receipt: Receipt | None
) -> str:
    if attack.expect == HARMLESS:
        if error is not None:
            return f"{type(error).__name__} where it should have run to its end"
        if attack.answer is not None and output != attack.answer:
            return f"it answered {output!r:.80}, not {attack.answer!r:.80}"
        if attack.dropped and (receipt is None or receipt.log_dropped == 0):
            return "no log line was dropped"
        return ""
    if error is None:
        return f"it ran to its end where {attack.expect} was due"
    if not isinstance(error, getattr(errors, attack.expect)):
        return f"{type(error).__name__}, not {attack.expect}"
    for name, value in attack.detail.items():
        seen = getattr(error, name, None)
        if seen != value:
            return f"its {name} is {seen!r}, not {value!r}"
    return ""
