"""What the wire's errors mean to a caller: httpcore's exceptions become ours."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from types import TracebackType
from typing import Final

import httpcore

from fumehood.egress.secrets import Secrets
from fumehood.errors import EgressDenied, Error, TransportError, clip
from fumehood.meter import Meter

_TEXT_CAP: Final = 200
_LOST: Final = ("disconnected", "peer closed", "closed connection")


class boundary:  # noqa: N801 - used like a function; every exchange goes through it
    """Around everything a client does: our errors go out scrubbed, refusals are kept for the
    audit."""

    __slots__ = ("_meter", "_secrets")

    def __init__(self, secrets: Secrets, meter: Meter) -> None:
        self._secrets = secrets
        self._meter = meter

    def __enter__(self) -> None:
        pass

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if isinstance(error, Error):
            self._secrets.scrub_error(error)
            if isinstance(error, EgressDenied):
                self._meter.denied(error.reason, error.host)


@contextlib.contextmanager
def translated(host: str) -> Iterator[None]:
    """Around an exchange with `host`: only our errors, and no `Exception` else, come out."""
    try:
        yield
    except Exception as problem:
        translate(problem, host)
        raise


def translate(problem: BaseException | None, host: str) -> None:
    """Raise what an exception of the wire means; one of ours, and what is no `Exception`, is left
    to the caller."""
    if isinstance(problem, Error) or not isinstance(problem, Exception):
        return
    match problem:
        case httpcore.ReadError() | httpcore.WriteError():
            text = _text(problem) or "connection reset"
            raise TransportError(f"{host}: {text}", kind="reset") from None
        case httpcore.RemoteProtocolError():
            text = _text(problem)
            kind = "reset" if any(word in text for word in _LOST) else "protocol"
            raise TransportError(f"{host}: {text}", kind=kind) from None
        case httpcore.ProxyError():
            refused = f"the proxy refused {host}: {_text(problem)}"
            raise TransportError(refused, kind="connect") from None
    raise TransportError(f"{host}: {type(problem).__name__}", kind="protocol") from problem


def _text(problem: Exception) -> str:
    """The message of an error of the wire: it may quote what a server sent."""
    text = str(problem).encode("ascii", "backslashreplace").decode("ascii")
    return clip("".join(c if c.isprintable() else "?" for c in text), _TEXT_CAP)
