"""Reads module files, and knows those again that did not change since.

A file is known by device, inode, size and its two dates. To take a changed file for the old one is
not dangerous: what is given back are the bytes that were read then, and pins are checked against
them. It would only be late, and so files that were changed in the last two seconds are not
remembered: a second change might bear the same date (git does the same with its index).
"""

from __future__ import annotations

import os
import time
from collections import OrderedDict
from pathlib import Path
from typing import Final

from fumehood import forks

_SETTLED: Final = 2.0
"""Seconds: file systems date changes in steps of up to two."""
_KEPT: Final = 64
_KEPT_BYTES: Final = 64 << 20
_WASM: Final = b"\0asm"

_Stamp = tuple[int, int, int, int, int]
_lock = forks.lock()
_known: OrderedDict[_Stamp, bytes] = OrderedDict()
"""The very objects that loaded modules hold, which therefore cost no memory of their own."""


def read_file(path: Path, cap: int) -> bytes:
    """The bytes of a file, of a longer one its first `cap` + 1. The same object, without reading,
    for a module that did not change since it was last read.

    Raises OSError, and ValueError for what is no file name.
    """
    with path.open("rb", buffering=0) as file:
        stamp = _stamp(file.fileno())
        with _lock:
            known = _known.get(stamp)
            if known is not None:
                _known.move_to_end(stamp)
        if known is not None:
            return known[: cap + 1]
        content = _read(file.fileno(), min(stamp[2], cap) + 1, cap + 1)
        # exactly the file: not one that grew or was cut meanwhile
        if len(content) == stamp[2] and content.startswith(_WASM):
            newest = max(stamp[3], stamp[4]) / 1e9
            if time.time() - newest > _SETTLED and _stamp(file.fileno()) == stamp:
                _remember(stamp, content)
    return content


def _read(fd: int, expected: int, most: int) -> bytes:
    """Up to `most` bytes; in one piece, without a copy, where `expected` suffice."""
    content = os.read(fd, expected)
    pieces = [content]
    size = len(content)
    while content and size < most:
        content = os.read(fd, min(most - size, 1 << 20))
        pieces.append(content)
        size += len(content)
    return b"".join(pieces) if len(pieces) > 2 else pieces[0]


def _stamp(fd: int) -> _Stamp:
    state = os.fstat(fd)
    return (state.st_dev, state.st_ino, state.st_size, state.st_mtime_ns, state.st_ctime_ns)


def _remember(stamp: _Stamp, content: bytes) -> None:
    if len(content) > _KEPT_BYTES:
        return
    with _lock:
        _known[stamp] = content
        while len(_known) > _KEPT or sum(map(len, _known.values())) > _KEPT_BYTES:
            _known.popitem(last=False)
