"""Gets the bytes of a module that a manifest names, and checks their hash (extism-abi.md §3.2)."""

from __future__ import annotations

import hmac
import re
from typing import Final, Protocol

from fumehood.engine import digest_of
from fumehood.errors import LoadError, ManifestError
from fumehood.plugin.manifest import MAX_FILE_BYTES, ModuleSource, read_file

_SHA256_HEX: Final = re.compile(r"[0-9a-f]{64}")


class Fetch(Protocol):
    """Gets a `url` source: at most `cap` bytes, in bounded time, or one of fumehood's errors."""

    def __call__(self, source: ModuleSource, cap: int) -> bytes:
        """The body of the reply."""
        ...


def module_bytes(
    source: ModuleSource,
    fetch: Fetch | None = None,
    *,
    require_hash: bool = False,
    cap: int = MAX_FILE_BYTES,
) -> bytes:
    """The bytes of one module, Wasm or WAT as they stand, checked against `source.hash`.

    `fetch` gets `url` sources; without it they are refused. With `require_hash=True` a `url`
    source must carry a hash: what arrives over a network is then known beforehand.

    Raises ManifestError for a missing file, an unusable hash and a source that is refused;
    LoadError for bytes above `cap` or with another hash; what `fetch` raises.
    """
    if source.hash is not None:
        _expected(source)
    if source.data is not None:
        content = source.data
    elif source.path is not None:
        content = read_file(source.path, f"{source.where}.path")
    else:
        if require_hash and source.hash is None:
            raise ManifestError(
                f"{source.where}.hash: a module from a URL needs its SHA-256",
                hint="add the hash of the module you mean to run",
            )
        if fetch is None:
            raise ManifestError(f"{source.where}.url: modules from a URL are not allowed here")
        content = fetch(source, cap)
    if len(content) > cap:
        raise LoadError(f"{source.where}: {len(content)} bytes; a module may have {cap}")
    check_hash(source, content)
    return content


def check_hash(source: ModuleSource, content: bytes) -> None:
    """Compare the SHA-256 of `content` with `source.hash`, if there is one.

    Hex digits of either case, in constant time. Raises LoadError where they differ.
    """
    if source.hash is None:
        return
    expected = _expected(source)
    found = digest_of(content)
    if not hmac.compare_digest(found, expected):
        raise LoadError(
            f"{source.where}.hash: Hash mismatch, found {found} but expected {expected}"
        )


def _expected(source: ModuleSource) -> str:
    expected = (source.hash or "").lower()
    if not _SHA256_HEX.fullmatch(expected):
        raise ManifestError(f"{source.where}.hash: a SHA-256 is 64 hexadecimal digits")
    return expected
