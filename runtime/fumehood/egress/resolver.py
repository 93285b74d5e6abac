"""Names to addresses, under the deadline.

`getaddrinfo` cannot be interrupted, so it runs in a daemon thread of its own and the caller waits
no longer than its meter allows. The number of threads that a hung resolver can hold is bounded.
"""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable
from ipaddress import ip_address
from typing import Final, Protocol

from fumehood.egress.url import IPAddress
from fumehood.errors import TransportError

Check = Callable[[], float]
"""Gives the seconds that may still be waited; raises Timeout, Cancelled or TransportError."""

POLL: Final = 0.05
"""Seconds between two looks at cancellation while something blocks."""

LOOKUPS: Final = 64
"""Lookups that may be under way at once, hung ones included."""


class Resolver(Protocol):
    """What turns a host name into addresses; tests put their own in."""

    def resolve(self, host: str, port: int, check: Check) -> list[IPAddress]:
        """The addresses of `host`, best first. Raises TransportError(kind="dns")."""


def _getaddrinfo(host: str, port: int) -> list[IPAddress]:
    found: dict[IPAddress, None] = {}
    for *_, where in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM):
        # A zone id (fe80::1%eth0) only comes with link-local addresses: never dialled by name.
        found[ip_address(str(where[0]).partition("%")[0])] = None
    return list(found)


class SystemResolver:
    """The operating system's resolver."""

    def __init__(
        self, lookup: Callable[[str, int], list[IPAddress]] = _getaddrinfo, lookups: int = LOOKUPS
    ) -> None:
        self._lookup = lookup
        self._slots = threading.BoundedSemaphore(lookups)

    def resolve(self, host: str, port: int, check: Check) -> list[IPAddress]:
        """The addresses of `host`, in the order the system prefers.

        `check` is called at least every 50 ms. Raises TransportError(kind="dns") for a name that
        does not resolve or too many hung lookups, and what `check` raises.
        """
        if not self._slots.acquire(blocking=False):
            raise TransportError(f"{host} was not looked up: too many lookups are hung", kind="dns")
        done = threading.Event()
        outcome: list[list[IPAddress] | Exception] = []

        def work() -> None:
            try:
                outcome.append(self._lookup(host, port))
            except Exception as problem:  # noqa: BLE001 — carried over to the waiting thread
                outcome.append(problem)
            finally:
                self._slots.release()
                done.set()

        thread = threading.Thread(target=work, name=f"resolve {host}", daemon=True)
        try:
            thread.start()
        except RuntimeError as problem:
            self._slots.release()
            raise TransportError(f"{host} was not looked up: {problem}", kind="dns") from None
        while not done.wait(min(POLL, check())):
            pass
        found = outcome[0]
        if isinstance(found, OSError | ValueError):
            reason = getattr(found, "strerror", None) or found
            raise TransportError(f"{host} was not found: {reason}", kind="dns") from None
        if isinstance(found, Exception):
            raise TransportError(f"the lookup of {host} failed", kind="dns") from found
        if not found:
            raise TransportError(f"{host} has no address", kind="dns")
        return found
