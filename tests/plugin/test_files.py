"""Module files: what is read, and when it is known again."""

from __future__ import annotations

import hashlib
import os
import time
from collections import OrderedDict
from pathlib import Path

import pytest

from fumehood.errors import LoadError
from fumehood.plugin import CompiledPlugin, Plugin, files
from fumehood.plugin.files import read_file

ONE = b"\0asm\x01\0\0\0"
TWO = ONE + b"\x00\x03\x02hi"
CAP = 1000


@pytest.fixture(autouse=True)
def fresh(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "_known", OrderedDict())


def settled(path: Path, content: bytes, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A file that was written a while ago. Its change date cannot be set: the clock is."""
    path.write_bytes(content)
    later = time.time() + 10
    monkeypatch.setattr(time, "time", lambda: later)
    return path


def test_a_file_that_did_not_change_is_the_same_object(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = settled(tmp_path / "m.wasm", ONE, monkeypatch)
    first = read_file(path, CAP)
    assert first == ONE
    assert read_file(path, CAP) is first
    link = tmp_path / "link"
    link.symlink_to(path)
    assert read_file(link, CAP) is first


def test_a_young_file_is_read_each_time(tmp_path: Path) -> None:
    path = tmp_path / "m.wasm"
    path.write_bytes(ONE)
    state = path.stat()
    assert read_file(path, CAP) == ONE
    other = bytes([*ONE[:-1], 1])
    path.write_bytes(other)
    os.utime(path, ns=(state.st_atime_ns, state.st_mtime_ns))
    assert read_file(path, CAP) == other
    assert not files._known


@pytest.mark.parametrize("how", ["rewritten", "same size and date", "replaced", "shorter"])
def test_a_changed_file_is_read_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    path = settled(tmp_path / "m.wasm", TWO, monkeypatch)
    assert read_file(path, CAP) == TWO
    state = path.stat()
    changed = TWO[:-2] + b"ho"
    if how == "rewritten":
        changed = TWO + TWO[8:]
        path.write_bytes(changed)
    elif how == "same size and date":  # its change date tells
        path.write_bytes(changed)
        os.utime(path, ns=(state.st_atime_ns, state.st_mtime_ns))
    elif how == "replaced":
        (tmp_path / "new").write_bytes(changed)
        os.utime(tmp_path / "new", ns=(state.st_atime_ns, state.st_mtime_ns))
        (tmp_path / "new").replace(path)
    else:
        changed = ONE
        os.truncate(path, len(ONE))
    assert read_file(path, CAP) == changed


def test_what_is_no_module_is_not_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = settled(tmp_path / "m.toml", b"wasm = []", monkeypatch)
    assert read_file(path, CAP) == b"wasm = []"
    assert not files._known


def test_a_long_file_is_cut_behind_the_cap(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = settled(tmp_path / "m.wasm", ONE * 4, monkeypatch)
    assert read_file(path, 9) == (ONE * 4)[:10]
    assert not files._known
    assert read_file(path, 32) == ONE * 4
    assert read_file(path, 9) == (ONE * 4)[:10]


def test_a_file_that_grows_while_it_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As files of /proc do, which have no size at all."""
    path = settled(tmp_path / "m.wasm", ONE, monkeypatch)
    honest = files._stamp
    monkeypatch.setattr(files, "_stamp", lambda fd: (*honest(fd)[:2], 0, *honest(fd)[3:]))
    assert read_file(path, CAP) == ONE
    assert not files._known
    big = settled(tmp_path / "big.wasm", ONE * 400_000, monkeypatch)
    assert read_file(big, 1 << 30) == ONE * 400_000


def test_what_is_kept_is_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "_KEPT", 2)
    paths = [settled(tmp_path / f"{i}.wasm", ONE + b"\0\1" + bytes([i]), monkeypatch)
             for i in range(4)]  # fmt: skip
    for path in paths:
        read_file(path, CAP)
    assert len(files._known) == 2
    monkeypatch.setattr(files, "_KEPT_BYTES", 10)
    assert read_file(paths[0], CAP) == ONE + b"\0\1\0"
    assert [len(kept) for kept in files._known.values()] != [11, 11, 11]


def test_a_plugin_from_a_known_file_is_neither_read_nor_hashed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = settled(tmp_path / "m.wasm", TWO, monkeypatch)
    CompiledPlugin.load(path).close()

    def never(*_: object) -> bytes:
        raise AssertionError("it is known")

    monkeypatch.setattr(files, "_read", never)
    monkeypatch.setattr(hashlib, "sha256", never)
    CompiledPlugin.load(path).close()
    Plugin(path).close()


def test_a_pin_is_checked_against_a_known_file_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = settled(tmp_path / "m.wasm", TWO, monkeypatch)
    for _ in range(2):
        with pytest.raises(LoadError, match="Hash mismatch"):
            Plugin({"wasm": [{"path": str(path), "hash": "0" * 64}]})
