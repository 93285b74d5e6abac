"""The variables of one plugin: what `var_get` and `var_set` reach (extism-abi.md §1.6)."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Final

from fumehood.errors import TooMuch

ENTRY_OVERHEAD: Final = 48
"""Bytes that an entry counts for besides its key and value, as on existing hosts."""


class VarStore:
    """Values by key that outlive a call and an instance, never a plugin.

    Each entry counts `48 + len(key) + len(value)` bytes (keys in UTF-8), and the sum may reach
    `limit` but not pass it; a replaced entry no longer counts. The overhead bounds how many keys
    fit, the limit how long one may be. A limit of 0 disables `set`. Safe to use from threads.
    """

    __slots__ = ("_entries", "_lock", "_used", "limit")

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self._entries: dict[str, bytes] = {}
        self._used = 0
        self._lock = threading.Lock()

    def get(self, key: str) -> bytes | None:
        """The value under `key`, or None."""
        with self._lock:
            return self._entries.get(key)

    def set(self, key: str, value: bytes | None) -> None:
        """Store a copy of `value` under `key`; None or no bytes deletes the key.

        Raises TooMuch, with the store unchanged, where vars are disabled or the store would be
        over its limit.
        """
        if self.limit <= 0:
            raise TooMuch("Vars are disabled by this host", limit="var_bytes")
        with self._lock:
            freed = self._cost(key, self._entries[key]) if key in self._entries else 0
            if not value:
                self._entries.pop(key, None)
                self._used -= freed
                return
            used = self._used - freed + self._cost(key, value)
            if used > self.limit:
                raise TooMuch(
                    f"Variable store is full: {used} bytes of {self.limit}", limit="var_bytes"
                )
            self._entries[key] = bytes(value)
            self._used = used

    def forked(self) -> None:
        """This is the child of a fork: whoever was in here is gone."""
        self._lock = threading.Lock()
        self._used = sum(self._cost(key, value) for key, value in self._entries.items())

    def clear(self) -> None:
        """Forget everything."""
        with self._lock:
            self._entries.clear()
            self._used = 0

    @property
    def used(self) -> int:
        """Bytes that count against the limit now."""
        return self._used

    def __len__(self) -> int:
        return len(self._entries)

    def __contains__(self, key: object) -> bool:
        return key in self._entries

    def __iter__(self) -> Iterator[str]:
        with self._lock:
            return iter(list(self._entries))

    @staticmethod
    def _cost(key: str, value: bytes) -> int:
        return ENTRY_OVERHEAD + len(key.encode("utf-8", "surrogatepass")) + len(value)
