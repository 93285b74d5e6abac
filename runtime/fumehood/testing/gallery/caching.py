"""Files in the cache of compiled modules that are not what was put there.

Loading compiled code is running it, so an entry that does not verify must be compiled anew. Each
row fills a cache of its own, changes it, and asks for the module again.
"""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Final

from fumehood.engine.cache import ModuleCache, mac_of
from fumehood.engine.machine import machine
from fumehood.testing.gallery.attacks import HARMLESS, Attack
from fumehood.testing.gallery.stage import Stage

VERIFIED: Final = "A compiled module that does not verify is compiled anew, never loaded."
OURS: Final = "A cache or a key that is open to others is not used."

_HONEST: Final = b"\0asm\x01\0\0\0"
_OTHER: Final = _HONEST + b"\x00\x03\x02hi"
"""Two modules that differ: an empty one, and one with a custom section."""
_NOBODY: Final = 65534


class Entry:
    """A verified entry of a cache and its two files."""

    def __init__(self, stage: Stage) -> None:
        self.folder = stage.folder()
        self.key = self.folder / "keys" / "cache.key"
        self.cache = ModuleCache(self.folder / "modules", self.key)
        self.digest = self.put(_HONEST)
        self.file = self.cache.path(self.digest)
        self.mac = self.file.with_suffix(".mac")

    def put(self, module: bytes) -> str:
        """Compile it and store what came out."""
        digest = hashlib.sha256(module).hexdigest()
        artefact = self.cache.scratch()
        artefact.write_bytes(machine().translate(module))
        self.cache.store(digest, artefact)
        return digest


def _flip(file: Path, at: float) -> None:
    content = bytearray(file.read_bytes())
    content[int(at * (len(content) - 1))] ^= 1
    file.write_bytes(content)


def _replace(entry: Entry) -> None:
    """Another module's verified entry takes the place of this one."""
    other = entry.cache.path(entry.put(_OTHER))
    entry.file.write_bytes(other.read_bytes())
    entry.mac.write_bytes(other.with_suffix(".mac").read_bytes())


def _older(entry: Entry) -> None:
    """The entry of another release or configuration, under this one's name."""
    other = entry.file.with_name(f"{entry.digest}-{'0' * 16}.cwasm")
    content = entry.file.read_bytes()
    key = entry.key.read_bytes()
    entry.mac.write_bytes(mac_of(key, other.name, content))


def _forge(entry: Entry) -> None:
    """Foreign code, with a MAC by a key of the forger's own."""
    content = machine().translate(_OTHER)
    entry.file.write_bytes(content)
    entry.mac.write_bytes(mac_of(bytes(32), entry.file.name, content))


def _link(entry: Entry) -> None:
    moved = entry.file.rename(entry.folder / "elsewhere")
    entry.file.symlink_to(moved)


def _pipe(file: Path) -> None:
    file.unlink()
    if hasattr(os, "mkfifo"):
        os.mkfifo(file)


def _folder(entry: Entry) -> None:
    entry.file.unlink()
    entry.file.mkdir()


TAMPERINGS: Final[dict[str, Callable[[Entry], object]]] = {
    "first_byte": lambda e: _flip(e.file, 0),
    "middle_byte": lambda e: _flip(e.file, 0.5),
    "last_byte": lambda e: _flip(e.file, 1),
    "cut": lambda e: e.file.write_bytes(e.file.read_bytes()[:-1]),
    "longer": lambda e: e.file.write_bytes(e.file.read_bytes() + b"\0"),
    "emptied": lambda e: e.file.write_bytes(b""),
    "mac_byte": lambda e: _flip(e.mac, 0.5),
    "mac_cut": lambda e: e.mac.write_bytes(e.mac.read_bytes()[:16]),
    "mac_empty": lambda e: e.mac.write_bytes(b""),
    "mac_gone": lambda e: e.mac.unlink(),
    "mac_pipe": lambda e: _pipe(e.mac),
    "other_module": _replace,
    "other_version": _older,
    "forged": _forge,
    "link": _link,
    "pipe": lambda e: _pipe(e.file),
    "folder": _folder,
    "garbage": lambda e: e.file.write_bytes(b"\x7fELF" + bytes(4096)),
}
"""What is done to an entry."""


def _tampered(stage: Stage, what: str) -> None:
    entry = Entry(stage)
    stage.require(entry.cache.load(entry.digest) is not None, "the cache does not work")
    TAMPERINGS[what](entry)
    with stage.outcome.timed():
        loaded = entry.cache.load(entry.digest)
    stage.require(loaded is None, "it was loaded")
    stage.require(not entry.file.is_file() or entry.file.is_symlink(), "it is still there")


def _open_to_others(stage: Stage, what: str) -> None:
    """Raises CacheError, as it must."""
    entry = Entry(stage)
    folder, key = entry.cache.folder, entry.key
    if what == "folder_mode":
        folder.chmod(0o755)
    elif what == "key_mode":
        key.chmod(0o644)
    elif what == "key_cut":
        key.write_bytes(key.read_bytes()[:8])
    elif what == "folder_link":
        moved = folder.rename(entry.folder / "elsewhere")
        folder.symlink_to(moved)
    elif what == "key_link":
        moved = key.rename(entry.folder / "elsewhere")
        key.symlink_to(moved)
    elif hasattr(os, "geteuid") and os.geteuid() == 0:
        os.chown(folder, _NOBODY, -1)
    else:  # only root can give a folder away; the root folder is somebody else's
        folder = Path(os.sep)
    with stage.outcome.timed():
        ModuleCache(folder, key)


_LOADER: Final = """
import sys
from fumehood.plugin import Plugin
with Plugin(sys.stdin.buffer.read()) as plugin:
    print(plugin.call("run").decode())
"""
_PADDED: Final = """(module
(import "extism:host/env" "alloc" (func $alloc (param i64) (result i64)))
(import "extism:host/env" "store_u8" (func $store (param i64 i32)))
(import "extism:host/env" "output_set" (func $output (param i64 i64)))
(func (export "run") (result i32) (local $h i64) (local.set $h (call $alloc (i64.const 1)))
(call $store (local.get $h) (i32.const {letter})) (call $output (local.get $h) (i64.const 1))
(i32.const 0)) {padding})"""


def _answer(module: str, environ: dict[str, str]) -> str:
    done = subprocess.run(  # noqa: S603 - our own interpreter and text, no shell
        [sys.executable, "-c", _LOADER],
        input=module.encode(), capture_output=True, env=environ, check=True,
    )  # fmt: skip
    return done.stdout.decode().strip()


def _forged_for_a_plugin(stage: Stage) -> None:
    """From the file to the plugin's answer: the code of another module, with its own good MAC, in
    the place of the plugin's."""
    folder = stage.folder()
    environ = {
        **os.environ,
        "FUMEHOOD_CACHE_DIR": str(folder / "cache"),
        "XDG_DATA_HOME": str(folder / "data"),
        "PYTHONPATH": os.pathsep.join(sys.path),
    }
    padding = "(func (result i32) (i32.const 1))" * 6_000  # too big to be compiled in place
    honest, evil = (_PADDED.format(letter=ord(x), padding=padding) for x in "he")
    stage.require(_answer(honest, environ) == "h", "the honest plugin does not work")
    modules = folder / "cache" / "modules"
    (mine,) = modules.glob("*.cwasm")
    stage.require(_answer(evil, environ) == "e", "the other plugin does not work")
    (other,) = (file for file in modules.glob("*.cwasm") if file != mine)
    mine.write_bytes(other.read_bytes())
    mine.with_suffix(".mac").write_bytes(other.with_suffix(".mac").read_bytes())
    with stage.outcome.timed():
        answer = _answer(honest, environ)
    stage.require(answer == "h", f"the plugin answered {answer!r}")
    stage.require(mine.read_bytes() != other.read_bytes(), "it was not compiled anew")


CACHING: Final = (
    *(
        Attack(f"cache_{what}", "cache", VERIFIED, HARMLESS, limits={"deadline": 5.0},
               run=partial(_tampered, what=what))
        for what in TAMPERINGS
    ),
    Attack("cache_of_a_plugin", "cache", VERIFIED, HARMLESS, limits={"deadline": 20.0},
           run=_forged_for_a_plugin),
    *(
        Attack(f"cache_{what}", "cache", OURS, "CacheError", limits={"deadline": 5.0},
               run=partial(_open_to_others, what=what))
        for what in ("folder_mode", "folder_link", "folder_owner", "key_mode", "key_link",
                     "key_cut")
    ),
)  # fmt: skip
