"""How often tests repeat what takes long: the one place for such counts.

`make test` uses the short ones, `make test-long` (FUMEHOOD_LONG=1) the full ones.
"""

import os
from typing import Final

LONG: Final = os.environ.get("FUMEHOOD_LONG") == "1"


def count(short: int, full: int) -> int:
    """`full` in a long run, else `short`."""
    return full if LONG else short


HYPOTHESIS_EXAMPLES: Final = count(100, 5_000)
"""Examples of one property test."""

MACHINE_EXAMPLES: Final = count(30, 2_000)
"""Runs of one stateful machine."""

CREATE_CLOSE_CYCLES: Final = count(500, 10_000)
"""Create, call, close: resident memory may not grow."""

CALLS_ON_ONE_INSTANCE: Final = count(20_000, 100_000)
"""Calls of one instance: no growth."""

THREAD_ROUNDS: Final = count(50, 2_000)
"""Rounds of every thread in a test with many."""

DIFFERENTIAL_EXAMPLES: Final = count(60, 5_000)
"""Programs run by us and by the `extism` package."""

DROPPED_STREAMS: Final = count(100, 10_000)
"""Streams opened and dropped at random points: no socket may stay."""

FAILING_CALLS: Final = count(10, 10_000)
"""Failing requests of each of eight threads: every caller gets its own error."""

AUDIT_LINES: Final = count(50, 2_000)
"""Lines that each writer of a shared audit file adds."""

FAILING_GUEST_CALLS: Final = count(300, 10_000)
"""Failing calls of plugins by each of eight threads: every caller gets its own error."""

FAILING_CHATS: Final = count(25, 10_000)
"""The same with chats, each of which makes an instance of its own."""

DROPPED_CHATS: Final = count(60, 10_000)
"""Streamed chats that are dropped at random points: no socket, instance or thread may stay."""

FUZZ_SECONDS: Final = count(1, 60)
"""Seconds of each fuzz target."""
