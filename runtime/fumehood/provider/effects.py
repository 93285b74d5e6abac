"""What an operation asks of whoever drives it.

The operations of `core` are generators without I/O: they yield one of these and are sent the
answer, or have the failure thrown in. The synchronous `Provider` and an asynchronous one drive
the same generators.
"""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass
from typing import Any, TypeVar

from fumehood.abi.http import HTTPRequest
from fumehood.abi.replies import StreamChunk

_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class Call:
    """Call a guest export; answered with its output (bytes)."""

    export: str
    data: bytes


@dataclass(frozen=True, slots=True)
class Send:
    """Do one HTTP exchange; answered with an `HTTPResponse`, whatever its status."""

    request: HTTPRequest


@dataclass(frozen=True, slots=True)
class Open:
    """Send a request and keep the reply's body open; answered with a `Head`."""

    request: HTTPRequest


@dataclass(frozen=True, slots=True)
class Head:
    """Status and headers of an opened reply."""

    status: int
    headers: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class Read:
    """The next bytes of the opened body, of any size; answered with b"" at its end."""


@dataclass(frozen=True, slots=True)
class Close:
    """Close the opened reply, or stop the started call. Nothing to do is no failure."""


@dataclass(frozen=True, slots=True)
class Start:
    """Call a guest export beside the consumer; what it yields is fetched with `Next`."""

    export: str
    data: bytes


@dataclass(frozen=True, slots=True)
class Next:
    """What the started call yielded next (bytes), None once it returned; raises its failure."""


@dataclass(frozen=True, slots=True)
class Ready:
    """The stream stands: the caller may have it now."""


@dataclass(frozen=True, slots=True)
class Emit:
    """One chunk for the consumer."""

    chunk: StreamChunk


Effect = Call | Send | Open | Read | Close | Start | Next | Ready | Emit

Op = Generator[Effect, Any, _T]
"""An operation: yields effects, returns its result."""


class Dropped(Exception):
    """Thrown into a stream at a `Ready` or `Emit` whose consumer wants no more."""
