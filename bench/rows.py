"""What is measured: one row of the table each."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True)
class Row:
    """One measurement, the same work on every side.

    `work` is `call` (one kept instance), `fresh` (an instance made, called once, closed) or `cold`
    (a process of its own loads the module and makes the first call; `cached` says whether the
    compiled module lay in the cache) or `import` (a process of its own imports the package).
    `size` is the payload in bytes.
    """

    name: str
    work: str
    size: int
    cached: bool = False


SMALL: Final = 11

ROWS: Final = (
    Row("small call, 11 B", "call", SMALL),
    Row("echo 1 MiB", "call", 1 << 20),
    Row("fresh instance + call", "fresh", SMALL),
    Row("cold load, uncached", "cold", SMALL),
    Row("cold load, cached", "cold", SMALL, cached=True),
    Row("import of the package", "import", 0),
)


def payload(size: int) -> bytes:
    """`size` bytes that are not all alike."""
    return (bytes(range(32, 127)) * (size // 95 + 1))[:size]
