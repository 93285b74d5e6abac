"""Sandboxes in the child of a fork.

One that another thread was inside of is halfway through a call that nobody goes on with: its lock
would be held for ever, its store has frames on a stack that is gone. It is given up, never deleted,
and whoever comes for it finds it dead: a plugin makes a new one.
"""

from __future__ import annotations

import os
import threading

from fumehood.engine.account import Entered
from fumehood.engine.ticker import owners


def _child() -> None:
    here = threading.get_ident()
    for sandbox in owners():
        if sandbox.lock.locked() and sandbox.inside != here:
            _give_up(sandbox)


def _give_up(sandbox: Entered) -> None:
    sandbox.dead = sandbox.closed = True  # and so it is never deleted
    sandbox.inside = 0
    sandbox.lock = threading.Lock()
    if sandbox.interrupts.armed:  # it was the main thread: Ctrl-C is this one's now
        sandbox.interrupts.disarm()
    forked = getattr(sandbox.services, "forked", None)
    if forked is not None:
        forked()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_child)
