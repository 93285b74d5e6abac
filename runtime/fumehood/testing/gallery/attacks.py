"""The type of a gallery row: one attack, the promise it goes against, and how it must end."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from importlib.resources import files
from typing import TYPE_CHECKING, Any, Final

from fumehood.limits import MIB, Limits

if TYPE_CHECKING:
    from fumehood.testing.gallery.stage import Stage

LIMITS: Final = Limits(
    deadline=0.5,
    guest_time=5.0,
    memory=64 * MIB,
    kernel_memory=16 * MIB,
    output_bytes=8 * MIB,
    host_calls=20_000,
    http_requests=4,
    idle_time=5.0,
)
"""What every attack gets unless its row says otherwise: small, so that the gallery is quick."""

HARMLESS: Final = "harmless"
"""The expectation of a row that ends well because the guest reached nothing."""

STUB: Final = "{stub}"
"""Stands in a row's input for the stub's base URL; such a row needs a stub."""

SCHEMA: Final = (
    '{"type":"object","properties":{"api_key":{"type":"string"},"base_url":{"type":"string"},'
    '"model":{"type":"string"}}}'
)
PROVIDER: Final[Mapping[str, str]] = {
    "schema": SCHEMA,
    "base_url": "",
    "variable": "",
    "prefix": "",
    "suffix": "",
    "reply": '{"text":"hello"}',
}
"""What the guest `provider` answers where a row does not say otherwise."""

_INCLUDE: Final = "  ;; @include tools.wat\n"


@dataclass(frozen=True, slots=True)
class Attack:
    """One hostile guest and its end.

    `group` is the class of threats.md, `promise` what is attacked. `expect` names the class of
    `fumehood.errors` that must be raised, or is `HARMLESS`; then `answer`, where given, is the
    output that proves that nothing was reached. `detail` maps attributes of the error (`limit`,
    `reason`, `status`, …) to their values. `limits` replaces fields of `LIMITS`. With `chat` the
    guest is opened as a provider and asked for a chat; `fill` are then the texts that stand in it.
    `environ` is in the process's environment while the row runs: bait. `replies` is how many
    requests may have been answered by the end, where that is part of the promise.

    What one guest and one call cannot show is a function `run` of a `Stage`: it raises what the
    attacked code raises, or `Breach` for a promise that it saw broken.

    Lone surrogates U+DC80 to U+DCFF in texts for the guest stand for bytes that are not UTF-8.
    """

    name: str
    group: str
    promise: str
    expect: str
    guest: str = ""
    answer: bytes | None = None
    detail: Mapping[str, Any] = field(default_factory=dict)
    input: str = ""
    config: Mapping[str, str] = field(default_factory=dict)
    limits: Mapping[str, Any] = field(default_factory=dict)
    allowed_hosts: tuple[str, ...] = ()
    dropped: bool = False
    export: str = "run"
    chat: bool = False
    fill: Mapping[str, str] = field(default_factory=dict)
    environ: Mapping[str, str] = field(default_factory=dict)
    replies: int | None = None
    run: Callable[[Stage], None] | None = None

    def source(self, stub_url: str = "", **more: str) -> str:
        """The guest's text, ready to be loaded; `stub_url` takes the place of `STUB`, `more` goes
        over `fill`."""
        text = source(self.guest or self.name)
        if self.fill or more:
            texts = {**PROVIDER, **self.fill, **more}
            for name, value in texts.items():
                data = raw(value.replace(STUB, stub_url))
                text = text.replace(f"@{name}.size@", str(len(data)))
                text = text.replace(f"@{name}@", _wat_string(data))
        return text.replace("@numbers@", "1" if self.fill.get("numbers") else "0")

    @property
    def needs_stub(self) -> bool:
        """True where the row speaks to a stub endpoint."""
        return any(
            STUB in text for text in (self.input, *self.config.values(), *self.fill.values())
        )

    @property
    def operation(self) -> Limits:
        """The limits of this row's call."""
        return LIMITS.replace(**self.limits)


def raw(text: str) -> bytes:
    """The bytes that a text of a row stands for."""
    return text.encode("utf-8", "surrogateescape")


def _wat_string(data: bytes) -> str:
    plain = range(0x20, 0x7F)
    return "".join(
        chr(byte) if byte in plain and byte not in b'"\\' else f"\\{byte:02x}" for byte in data
    )


def source(guest: str) -> str:
    """The WAT text of a guest of `guests/`, its include resolved.

    Raises ValueError for a name that is not a guest's.
    """
    if not guest.isidentifier():
        raise ValueError(f"{guest!r} is not the name of a guest")
    folder = files("fumehood.testing.gallery") / "guests"
    try:
        text = (folder / f"{guest}.wat").read_text(encoding="utf-8")
    except FileNotFoundError:
        raise ValueError(f"the gallery has no guest {guest!r}") from None
    return text.replace(_INCLUDE, (folder / "tools.wat").read_text(encoding="utf-8"))
