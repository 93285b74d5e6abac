"""What a component may call: `fumehood:plugin/host` of `pdk-python/wit/plugin.wit`, all of it.

Log, clock and random, nothing that waits. There is no WASI beside it: its pollables could not be
shadowed here, so a component could sleep past every deadline (design decision 11).
"""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING, Final

from fumehood.imports.log import QMT_LEVELS, TRACE

if TYPE_CHECKING:
    from fumehood.engine.component import WitFunction
    from fumehood.engine.component_sandbox import ComponentCall
    from fumehood.imports.services import Services

RANDOM_FUEL: Final = 1_000


def log(call: ComponentCall, level: int, message: bytes) -> None:
    """One line for the plugin's log: 1 error, 2 warning, 3 information, 4 debugging, else trace."""
    services: Services = call.services
    services.write_log(call.meter, QMT_LEVELS.get(level, TRACE), message)


def now(call: ComponentCall) -> int:
    """Nanoseconds since 1970, as coarse as `Services.clock_step`."""
    step = call.services.clock_step
    return int(time.time_ns() // step * step)


def monotonic(call: ComponentCall) -> int:
    """Nanoseconds of a clock that only goes forward, as coarse as `Services.clock_step`."""
    step = call.services.clock_step
    return int(time.monotonic_ns() // step * step)


def random(_call: ComponentCall) -> int:
    """64 bits of the system's randomness."""
    return int.from_bytes(os.urandom(8), "little")


def functions() -> list[WitFunction]:
    """All of the interface."""
    from fumehood.engine.component import WitFunction

    return [
        WitFunction("log", ("u8", "string"), None, log),
        WitFunction("now", (), "u64", now),
        WitFunction("monotonic", (), "u64", monotonic),
        WitFunction("random", (), "u64", random, charge=RANDOM_FUEL),
    ]
