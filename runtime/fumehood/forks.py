"""What the child of a fork needs: locks that nobody holds, and owners that forget what is gone.

A fork copies the memory and one thread. A lock that another thread held stays held in the child for
ever, and what that thread was doing is never done. So every lock of ours that outlives a call is
made here and is free in the child, and who keeps books on running operations is told to.
What wasmtime and the C library hold meanwhile is out of reach, as for any library with threads:
docs/host-guide.md says when to fork.
"""

from __future__ import annotations

import os
import threading
import weakref
from typing import Any, Final, Protocol


class Owner(Protocol):
    """Somebody with books: see `watch`."""

    def forked(self) -> None:
        """This is the child; only the calling thread lives on. Every lock is free."""


_locks: Final[weakref.WeakSet[Any]] = weakref.WeakSet()
_owners: Final[weakref.WeakSet[Owner]] = weakref.WeakSet()
count = 0
"""Forks between the process that imported this and the present one."""


def lock() -> threading.Lock:
    """A lock that is free in the child. Not for one that is held while a caller's code runs: that
    code may fork, and goes on in the child."""
    made = threading.Lock()
    _locks.add(made)
    return made


def rlock() -> Any:
    """The same, reentrant."""
    made = threading.RLock()
    _locks.add(made)
    return made


def watch(owner: Owner) -> None:
    """Have `owner.forked()` called in children, as long as it lives."""
    _owners.add(owner)


def _child() -> None:
    global count  # noqa: PLW0603 - there is one process
    count += 1
    for held in list(_locks):
        held._at_fork_reinit()  # what the standard library does with its own
    for owner in list(_owners):
        owner.forked()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_child)
