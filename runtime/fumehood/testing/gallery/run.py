"""Runs one row of the gallery through the public `Plugin` or `Provider` and judges its end."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from fumehood import errors
from fumehood.limits import Receipt
from fumehood.plugin import Plugin
from fumehood.provider import Provider
from fumehood.testing.gallery.attacks import HARMLESS, STUB, Attack, raw
from fumehood.testing.gallery.stage import Breach, Outcome, Stage, environment

GRACE: Final = 0.05
"""Seconds after its deadline by which an attack must have ended (threats.md)."""

TRIES: Final = 8


@dataclass(frozen=True, slots=True)
class Containment:
    """How an attack ended. `seconds` is wall time from the call (loading and compiling are not in
    it) to the end, the longest where there are several; `why` is empty where the end is the
    expected one."""

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
    def late(self) -> float:
        """Seconds after its deadline at which it ended; negative where it was in time."""
        return self.seconds - self.attack.operation.deadline

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
    outcome = Outcome()
    breach = ""
    with environment(attack.environ), outcome.whole():
        try:
            if attack.run is not None:
                with Stage(attack, outcome) as stage:
                    attack.run(stage)
            elif attack.chat:
                _chat(attack, url, config, outcome)
            else:
                _call(attack, url, config, outcome)
        except errors.Error as raised:
            outcome.error, outcome.receipt = raised, raised.receipt
        except Breach as broken:
            breach = str(broken)
    why = breach or _judge(attack, outcome.error, outcome.output, outcome.receipt)
    return Containment(attack, outcome.seconds, outcome.error, outcome.output, outcome.receipt, why)


def contain_in_time(attack: Attack, stub_url: str | None = None, tries: int = TRIES) -> Containment:
    """Run `attack` until it ends as promised and in time, at most `tries` times; the last end.

    A busy machine may be late with anything; a broken deadline is late every time. Another end
    than promised is never tried again.
    """
    for _ in range(tries):
        end = contain(attack, stub_url)
        if not end.contained or end.late <= GRACE:
            break
    return end


def _call(attack: Attack, url: str, config: dict[str, str], outcome: Outcome) -> None:
    with Plugin(
        attack.source(url).encode(),
        config=config,
        allowed_hosts=attack.allowed_hosts,
        limits=attack.operation,
    ) as plugin:
        with outcome.timed():
            outcome.output = plugin.call(attack.export, raw(attack.input.replace(STUB, url)))
        outcome.receipt = plugin.last_receipt


def _chat(attack: Attack, url: str, config: dict[str, str], outcome: Outcome) -> None:
    with outcome.timed():  # opening asks the guest: that is part of it
        provider = Provider.open(
            attack.source(url).encode(),
            config=config,
            allowed_hosts=attack.allowed_hosts,
            limits=attack.operation,
        )
    with provider:
        with outcome.timed():
            answer = provider.chat("hello")
        outcome.output, outcome.receipt = (answer.text or "").encode(), answer.receipt


def _judge(
    attack: Attack, error: errors.Error | None, output: bytes | None, receipt: Receipt | None
) -> str:
    if attack.replies is not None:
        answered = [e for e in receipt.http if e.status is not None] if receipt else []
        if len(answered) != attack.replies:
            return f"{len(answered)} requests were answered, not {attack.replies}"
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
