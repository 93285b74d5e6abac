"""Compiled modules on disk. Loading one is code execution, so every file is authenticated.

An artefact is keyed by the module's SHA-256, the wasmtime release and the engine's configuration.
It lies in a folder of mode 0700; beside it a MAC whose key lies elsewhere (mode 0600), so that who
can write into the cache alone cannot forge an entry. An artefact is read once; the bytes that
were verified are the bytes that are loaded. What does not verify is compiled anew, never loaded.
An attacker with the user's own rights is out of scope: they can replace the interpreter.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import hmac
import logging
import os
import secrets
import stat
import sys
import tempfile
from pathlib import Path
from typing import Final

import platformdirs

from fumehood.engine.artefact import Artefact
from fumehood.engine.machine import Translator, machine
from fumehood.engine.meanwhile import WORTH_A_THREAD, meanwhile
from fumehood.errors import CacheError

DIR_VARIABLE: Final = "FUMEHOOD_CACHE_DIR"
"""Environment variable with the cache folder; `off` turns the cache off."""

_log = logging.getLogger("fumehood.cache")
_KEY_BYTES: Final = 32
_OTHERS: Final = 0o077
_OPEN: Final = functools.reduce(
    lambda flags, name: flags | getattr(os, name, 0),
    ("O_CLOEXEC", "O_NOFOLLOW", "O_NONBLOCK", "O_BINARY"),  # not every system has each
    os.O_RDONLY,
)
"""Not blocking: a pipe in the place of a file must not hold us up."""


class ModuleCache:
    """One cache folder. Any number of processes may use it at a time.

    Raises CacheError where the folder or its key cannot be used safely: not ours, or open to
    others.
    """

    def __init__(self, folder: Path, key_file: Path) -> None:
        self.folder = folder
        _own_folder(folder)
        _own_folder(key_file.parent, private=False)
        self._key = _read_key(key_file)

    def path(self, digest: str, engine: Translator | None = None) -> Path:
        """Where the artefact of a module lies; of a component, with the engine of components."""
        name = f"{digest}-{(engine or machine()).fingerprint[:16]}"
        return self.folder / f"{name}.cwasm"

    def load(self, digest: str, engine: Translator | None = None) -> int | None:
        """The address of the compiled module, or None where there is none that verifies."""
        engine = engine or machine()
        path = self.path(digest, engine)
        artefact = self._open(path)
        if artefact is None:
            return None
        with artefact:
            mac = self._open(self._mac_path(path))
            if mac is None:
                self._reject(path, "its MAC cannot be read")
                return None
            with mac:
                expected = bytes(mac.view)
            if not hmac.compare_digest(mac_of(self._key, path.name, artefact.view), expected):
                self._reject(path, "its MAC does not verify")
                return None
            return engine.deserialize(artefact)

    def _open(self, path: Path) -> Artefact | None:
        """The content of a file of ours; None where there is none, or something else."""
        try:
            fd = os.open(path, _OPEN)
        except OSError:
            return None
        try:
            state = os.fstat(fd)
            if stat.S_ISREG(state.st_mode) and state.st_size and not _foreign(state):
                return Artefact(fd, state.st_size)
            why = "not a file of ours"
        except OSError:
            why = "it cannot be read"
        finally:
            os.close(fd)
        self._reject(path, why)
        return None

    def store(self, digest: str, artefact: Path, engine: Translator | None = None) -> None:
        """Move a fresh artefact into place, MAC first checked by every later `load`."""
        path = self.path(digest, engine)
        with artefact.open("rb") as file:
            content = file.read()
        mac = mac_of(self._key, path.name, content)
        mac_file = self.scratch()
        mac_file.write_bytes(mac)
        artefact.replace(path)
        mac_file.replace(self._mac_path(path))

    def scratch(self) -> Path:
        """A new private file in the folder, for a child to write into."""
        fd, name = tempfile.mkstemp(prefix=".new-", dir=self.folder)
        os.close(fd)
        return Path(name)

    @staticmethod
    def _mac_path(path: Path) -> Path:
        return path.with_suffix(".mac")

    def _reject(self, path: Path, why: str) -> None:
        _log.warning("a cached module is compiled anew: %s: %s", path.name, why)
        for victim in (path, self._mac_path(path)):
            with contextlib.suppress(OSError):
                victim.unlink()


def mac_of(key: bytes, name: str, content: bytes | memoryview) -> bytes:
    """The MAC of the artefact called `name`: over the name, which holds module, release and
    configuration, so that no artefact can stand in for another, and the MACs of the two halves of
    its content. They are nearly all of a load from the cache, and hashing releases the GIL: of
    what is large each half gets a thread."""
    half = len(content) // 2
    digests = [b"", b""]
    with memoryview(content) as view, view[:half] as first, view[half:] as second:

        def digest_first() -> None:
            digests[0] = hmac.digest(key, first, "sha256")

        if len(content) >= WORTH_A_THREAD:
            with meanwhile(digest_first):
                digests[1] = hmac.digest(key, second, "sha256")
        else:
            digest_first()
            digests[1] = hmac.digest(key, second, "sha256")
    return hmac.digest(key, name.encode() + b"\0" + b"".join(digests), "sha256")


def _foreign(state: os.stat_result) -> bool:
    return hasattr(os, "geteuid") and state.st_uid != os.geteuid()


def _own_folder(folder: Path, *, private: bool = True) -> None:
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        state = folder.lstat()
    except OSError as problem:
        raise CacheError(f"the folder {str(folder)!r} cannot be used: {problem}") from problem
    if not stat.S_ISDIR(state.st_mode) or _foreign(state):
        raise CacheError(f"{str(folder)!r} is not a folder of this user")
    if private and sys.platform != "win32" and state.st_mode & _OTHERS:
        raise CacheError(
            f"{str(folder)!r} is open to other users",
            hint=f"chmod 700 it, or name another folder in {DIR_VARIABLE}",
        )


def _read_key(file: Path) -> bytes:
    try:
        try:
            fd = os.open(file, _OPEN)
        except FileNotFoundError:
            _write_key(file)
            fd = os.open(file, _OPEN)
        with os.fdopen(fd, "rb") as opened:
            state = os.fstat(opened.fileno())
            key = opened.read(_KEY_BYTES + 1)
    except OSError as problem:
        raise CacheError(f"the cache key {str(file)!r} cannot be used: {problem}") from problem
    if _foreign(state) or (sys.platform != "win32" and state.st_mode & _OTHERS):
        raise CacheError(f"the cache key {str(file)!r} is open to other users", hint="delete it")
    if len(key) != _KEY_BYTES:
        raise CacheError(f"the cache key {str(file)!r} is damaged", hint="delete it")
    return key


def _write_key(file: Path) -> None:
    """Make a key, unless another process has made one meanwhile."""
    # written beside and linked, so that no process ever reads a half-written key
    fd, name = tempfile.mkstemp(prefix=".key-", dir=file.parent)
    try:
        with os.fdopen(fd, "wb") as new:
            new.write(secrets.token_bytes(_KEY_BYTES))
        with contextlib.suppress(FileExistsError):
            os.link(name, file)
    finally:
        Path(name).unlink()


def default_cache() -> ModuleCache | None:
    """The user's cache, or None where it is off or cannot be used (a warning says why).

    A folder that the environment names must be usable: CacheError.
    """
    named = os.environ.get(DIR_VARIABLE)
    if named == "off":
        return None
    if named:
        return ModuleCache(Path(named) / "modules", _key_file(Path(named)))
    try:
        return ModuleCache(
            Path(platformdirs.user_cache_dir("fumehood", appauthor=False)) / "modules",
            Path(platformdirs.user_data_dir("fumehood", appauthor=False)) / "cache.key",
        )
    except CacheError as problem:
        _log.warning("compiled modules are not kept: %s", problem)
        return None


def _key_file(folder: Path) -> Path:
    """The key for a named folder lies with the user's data all the same, one key a folder."""
    name = hashlib.sha256(str(folder.absolute()).encode()).hexdigest()[:16]
    return Path(platformdirs.user_data_dir("fumehood", appauthor=False)) / f"cache-{name}.key"
