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

from fumehood.engine.machine import Translator, machine
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
        content = self._read(path)
        if content is None:
            return None
        expected = self._read(self._mac_path(path))
        if expected is None:
            self._reject(path, "its MAC cannot be read")
            return None
        if not hmac.compare_digest(self._mac(path.name, content), expected):
            self._reject(path, "its MAC does not verify")
            return None
        return engine.deserialize(content)

    def _read(self, path: Path) -> bytes | None:
        """The content of a file of ours; None where there is none, or something else."""
        try:
            fd = os.open(path, _OPEN)
        except OSError:
            return None
        try:
            state = os.fstat(fd)
            if stat.S_ISREG(state.st_mode) and state.st_size and not _foreign(state):
                with os.fdopen(fd, "rb", closefd=False) as file:
                    return file.read()
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
        mac = self._mac(path.name, content)
        mac_file = self.scratch()
        mac_file.write_bytes(mac)
        artefact.replace(path)
        mac_file.replace(self._mac_path(path))

    def scratch(self) -> Path:
        """A new private file in the folder, for a child to write into."""
        fd, name = tempfile.mkstemp(prefix=".new-", dir=self.folder)
        os.close(fd)
        return Path(name)

    def _mac(self, name: str, content: bytes) -> bytes:
        # the name holds module, release and configuration: an artefact cannot stand in for another
        digest = hmac.digest(self._key, content, "sha256")
        return hmac.digest(self._key, name.encode() + b"\0" + digest, "sha256")

    @staticmethod
    def _mac_path(path: Path) -> Path:
        return path.with_suffix(".mac")

    def _reject(self, path: Path, why: str) -> None:
        _log.warning("a cached module is compiled anew: %s: %s", path.name, why)
        for victim in (path, self._mac_path(path)):
            with contextlib.suppress(OSError):
                victim.unlink()


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
        with contextlib.suppress(FileExistsError):
            # written beside and linked, so that no process ever reads a half-written key
            fd, name = tempfile.mkstemp(prefix=".key-", dir=file.parent)
            try:
                with os.fdopen(fd, "wb") as new:
                    new.write(secrets.token_bytes(_KEY_BYTES))
                os.link(name, file)
            finally:
                Path(name).unlink()
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
