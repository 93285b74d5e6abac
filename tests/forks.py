"""Forking in tests: what a child does, and whether it comes to an end at all."""

from __future__ import annotations

import faulthandler
import gc
import os
import select
import signal
import threading
import traceback
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

needs_fork = pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")

PATIENCE = 12.0
"""Seconds without a word after which a child is taken for one that hangs."""


def in_child(work: Callable[[], object]) -> None:
    """Run `work` in a child of this process. Fails with its traceback, or where it hangs."""
    ours, theirs = os.pipe()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # there are other threads: the point
        pid = os.fork()
    if not pid:
        said = "fine"
        try:
            faulthandler.dump_traceback_later(PATIENCE - 5, file=theirs)
            work()
        except BaseException:
            said = traceback.format_exc()
        finally:
            os.write(theirs, said.encode()[-60_000:])
            os._exit(0)
    os.close(theirs)
    said = _read(ours)
    os.close(ours)
    if said != "fine":
        os.kill(pid, signal.SIGKILL)  # it may hang, or be gone without a word
    _, status = os.waitpid(pid, 0)
    if said != "fine":
        code = os.waitstatus_to_exitcode(status)
        pytest.fail(said or f"the child hangs or died ({code})")


def _read(pipe: int) -> str:
    parts = []
    while select.select([pipe], [], [], PATIENCE)[0]:
        part = os.read(pipe, 65536)
        if not part:
            break
        parts.append(part)
    return b"".join(parts).decode()


@contextmanager
def beside(work: Callable[[threading.Event], object]) -> Iterator[None]:
    """`work(inside)` on another thread, from where it has set `inside` to the end of the block."""
    inside = threading.Event()
    thread = threading.Thread(target=work, args=(inside,), daemon=True)
    thread.start()
    assert inside.wait(PATIENCE)
    yield
    thread.join(PATIENCE)
    assert not thread.is_alive()


@contextmanager
def uncollected() -> Iterator[None]:
    """Without garbage, and without its collection."""
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        gc.enable()
