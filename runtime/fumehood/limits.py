"""What one operation may use (`Limits`) and what it did use (`Receipt`)."""

from __future__ import annotations

import dataclasses
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any, Final

from fumehood import arguments
from fumehood.errors import ConfigError, UsageError

KIB: Final = 1024
MIB: Final = 1024 * KIB

_SECONDS: Final = {"ms": 0.001, "s": 1.0, "m": 60.0, "min": 60.0, "h": 3600.0}
_BYTES: Final = {
    "": 1,
    "B": 1,
    "kB": 1000,
    "KB": 1000,
    "MB": 1000**2,
    "GB": 1000**3,
    "KiB": KIB,
    "MiB": MIB,
    "GiB": 1024 * MIB,
}
_NUMBERS: Final = (int, float)  # by class: a bool is no number here
_QUANTITY: Final = re.compile(r"\s*([0-9][0-9_]*(?:\.[0-9]+)?)\s*([A-Za-z]*)\s*")


@dataclass(frozen=True, slots=True)
class Limits:
    """Finite limits of one operation. Only `fuel` may be None (off).

    A provider operation (build, request, parse) is one operation and so is one `Plugin.call`.
    Seconds, bytes and counts, as named.
    """

    fuel: int | None = 10_000_000_000
    guest_time: float = 10.0
    deadline: float = 120.0
    memory: int = 128 * MIB
    kernel_memory: int = 64 * MIB
    table_elements: int = 100_000
    input_bytes: int = 64 * MIB
    output_bytes: int = 64 * MIB
    log_bytes: int = 64 * KIB
    log_lines: int = 1_000
    var_bytes: int = 1 * MIB
    http_requests: int = 16
    request_bytes: int = 32 * MIB
    response_bytes: int = 50 * MIB
    connect_time: float = 10.0
    idle_time: float = 60.0
    host_calls: int = 1_000_000

    def __post_init__(self) -> None:
        for name, kind in KINDS.items():
            value = getattr(self, name)
            if name == "fuel" and value is None:
                continue
            if value.__class__ not in _NUMBERS:
                raise UsageError(f"limit {name} must be a number, not {type(value).__name__}")
            try:
                finite = math.isfinite(value)
            except OverflowError as problem:  # an int of hundreds of digits
                raise UsageError(f"limit {name} is too large") from problem
            if not finite or value < 0:
                raise UsageError(f"limit {name} must be finite and not negative, not {value}")
            if kind != "seconds":
                if value != int(value) or value >= 1 << 63:
                    raise UsageError(f"limit {name} must be a whole number below 2**63")
                if value.__class__ is not int:
                    object.__setattr__(self, name, int(value))

    def clamp(self, ceiling: Limits) -> Limits:
        """The smaller of both, field by field."""
        arguments.instance(ceiling, Limits, "the ceiling")
        merged: dict[str, Any] = {}
        for name in KINDS:
            mine, top = getattr(self, name), getattr(ceiling, name)
            merged[name] = top if mine is None else mine if top is None else min(mine, top)
        return Limits(**merged)

    def replace(self, **changes: Any) -> Limits:
        """A copy with some fields changed."""
        unknown = sorted(set(changes) - set(KINDS))
        if unknown:
            raise UsageError(f"no limit is called {unknown[0]!r}", hint=f"one of {sorted(KINDS)}")
        return dataclasses.replace(self, **changes)


KINDS: Final[dict[str, str]] = {
    f.name: "seconds"
    if f.name in {"guest_time", "deadline", "connect_time", "idle_time"}
    else "bytes"
    if f.name.endswith("_bytes") or f.name in {"memory", "kernel_memory"}
    else "count"
    for f in fields(Limits)
}
"""Field name to unit: seconds, bytes or count."""


DEFAULT_LIMITS: Final = Limits()
"""What applies where nobody says anything; shared, since checking a set of limits costs 20 µs."""


def quantity(value: object, kind: str) -> float | int:
    """A number, or text such as `"30s"` or `"64MiB"`, in the unit of `kind`.

    Raises ValueError with a message that says what is accepted.
    """
    if isinstance(value, bool):
        raise ValueError("a number is needed, not a boolean")
    if isinstance(value, int | float):
        return value
    if not isinstance(value, str):
        raise ValueError(f"a number is needed, not {type(value).__name__}")
    match = _QUANTITY.fullmatch(value)
    if match is None:
        raise ValueError(f"{value!r} is not a quantity")
    number, unit = float(match[1].replace("_", "")), match[2]
    if kind == "seconds":
        if unit == "":
            return number
        if unit not in _SECONDS:
            raise ValueError(f"{unit!r} is not a unit of time; use one of {', '.join(_SECONDS)}")
        return number * _SECONDS[unit]
    if kind == "bytes":
        if unit not in _BYTES:
            known = ", ".join(u for u in _BYTES if u)
            raise ValueError(f"{unit!r} is not a unit of size; use one of {known}")
        return int(number * _BYTES[unit])
    if unit:
        raise ValueError(f"a plain count is needed, not {value!r}")
    return int(number)


def parse_limits(table: Mapping[str, object], where: str, base: Limits) -> Limits:
    """`base` with the fields of a `limits` table of a file.

    Raises ConfigError listing every problem with its key path below `where`.
    """
    changes: dict[str, Any] = {}
    problems: list[tuple[str, str]] = []
    for key, value in table.items():
        path = f"{where}.{key}"
        if key not in KINDS:
            problems.append((path, f"no limit is called {key!r}"))
            continue
        if key == "fuel" and value in (None, "off"):
            changes[key] = None
            continue
        try:
            changes[key] = quantity(value, KINDS[key])
            Limits(**{key: changes[key]})
        except (ValueError, OverflowError) as problem:
            problems.append((path, str(problem)))
        except UsageError as problem:
            problems.append((path, problem.message))
    if problems:
        raise ConfigError("limits cannot be used", problems=problems)
    return base.replace(**changes)


@dataclass(frozen=True, slots=True)
class Exchange:
    """One HTTP exchange of an operation; no path, no query, no header."""

    method: str
    host: str
    port: int
    status: int | None
    sent: int
    received: int
    wall: float


@dataclass(frozen=True, slots=True)
class Receipt:
    """What one operation used: seconds, bytes, counts. No prompt, no key, no path."""

    plugin: str
    sha256: str
    operation: str
    fuel: int
    wall: float
    guest_time: float
    memory_peak: int
    host_calls: int
    log_dropped: int
    fresh: bool
    http: list[Exchange] = field(default_factory=list)

    def to_dict(self) -> dict[str, Any]:
        """A JSON-ready copy."""
        return dataclasses.asdict(self)
