"""Runs one row of the gallery through the public `Plugin` and judges its end."""

from __future__ import annotations

import time
from dataclasses import dataclass

from fumehood import errors
from fumehood.limits import Receipt
from fumehood.plugin import Plugin
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
    data = attack.input.replace(STUB, stub_url or "").encode()
    error: errors.Error | None = None
    output: bytes | None = None
    receipt: Receipt | None = None
    started = time.perf_counter()
    ended: float | None = None
    try:
        with Plugin(
            attack.source.encode(),
            config=dict(attack.config),
            allowed_hosts=attack.allowed_hosts,
            limits=attack.operation,
        ) as plugin:
            started = time.perf_counter()
            try:
                output = plugin.call(attack.export, data)
            finally:
                ended = time.perf_counter()
            receipt = plugin.last_receipt
    except errors.Error as raised:
        error, receipt = raised, raised.receipt
    ended = time.perf_counter() if ended is None else ended
    return Containment(
        attack, ended - started, error, output, receipt, _judge(attack, error, output, receipt)
    )


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
