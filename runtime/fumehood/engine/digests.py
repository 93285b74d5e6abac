"""SHA-256 of module sources, computed once for each object: of 1.7 MB it takes a millisecond."""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from typing import Final

from fumehood import forks

_KEPT: Final = 64
_KEPT_BYTES: Final = 64 << 20

_lock = forks.lock()
_known: OrderedDict[str, bytes] = OrderedDict()
"""Digest to the object that it was last computed of: nearly always the one that a loaded module
holds, so that keeping it costs nothing. While it is kept no other object has its identity."""
_ids: dict[int, str] = {}


def digest_of(source: bytes) -> str:
    """The SHA-256 of `source` as lower-case hex digits. Bytes do not change, so that of an object
    that was seen before is known."""
    with _lock:
        digest = _ids.get(id(source))
        if digest is not None:
            _known.move_to_end(digest)
            return digest
    digest = hashlib.sha256(source).hexdigest()
    if type(source) is bytes and len(source) <= _KEPT_BYTES:
        with _lock:
            _forget(digest)
            _known[digest] = source
            _ids[id(source)] = digest
            while len(_known) > _KEPT or sum(map(len, _known.values())) > _KEPT_BYTES:
                _forget(next(iter(_known)))
    return digest


def _forget(digest: str) -> None:
    old = _known.pop(digest, None)
    if old is not None:
        del _ids[id(old)]
