"""`allowed_paths`: real folders, read-only where it says so, nothing outside (extism-abi.md §3.2,
§6 rows 14 and 15)."""

from __future__ import annotations

from pathlib import Path

import pytest

from fumehood.errors import ManifestError, PluginError, Timeout
from fumehood.limits import Limits
from fumehood.plugin import Plugin

READ, WRITE, CREATE, DIRECTORY, TRUNC = 1 << 1, 1 << 6, 1, 2, 8
WASI = '(import "wasi_snapshot_preview1"'


def opening(path: str, oflags: int, rights: int, *, folder: str = "") -> str:
    """A guest that opens `path` (below `folder`, opened first as a descriptor, if given), writes
    "pwned" if the rights say so, and returns the first errno that is not 0."""
    steps = (
        f"""
      (local.set $e (call $open (i32.const 3) (i32.const 1) (i32.const 100)
        (i32.const {len(folder.encode())}) (i32.const {DIRECTORY}) (i64.const {READ | 1 << 14})
        (i64.const {(1 << 29) - 1}) (i32.const 0) (i32.const 8)))
      (if (local.get $e) (then (return (local.get $e))))
      (local.set $d (i32.load (i32.const 8)))"""
        if folder
        else "(local.set $d (i32.const 3))"
    )
    write = (
        """
      (local.set $e (call $write (i32.load (i32.const 8)) (i32.const 16) (i32.const 1)
        (i32.const 24)))
      (if (local.get $e) (then (return (local.get $e))))"""
        if rights & WRITE
        else ""
    )
    return f"""(module
      {WASI} "path_open" (func $open
        (param i32 i32 i32 i32 i32 i64 i64 i32 i32) (result i32)))
      {WASI} "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
      (memory (export "memory") 1)
      (data (i32.const 16) "\\40\\00\\00\\00\\05\\00\\00\\00")
      (data (i32.const 64) "pwned") (data (i32.const 100) "{folder}")
      (data (i32.const 200) "{path}")
      (func (export "run") (result i32) (local $e i32) (local $d i32)
        {steps}
        (local.set $e (call $open (local.get $d) (i32.const 1) (i32.const 200)
          (i32.const {len(path.encode())}) (i32.const {oflags}) (i64.const {rights})
          (i64.const {rights}) (i32.const 0) (i32.const 8)))
        (if (local.get $e) (then (return (local.get $e))))
        {write}
        (i32.const 0)))"""


def run(wat: str, paths: dict[str, str]) -> int:
    """The guest's errno, 0 for success."""
    with Plugin(wat, allowed_paths=paths) as plugin:
        try:
            plugin.call("run")
        except PluginError as problem:
            return problem.rc
        return 0


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder to give, beside one that is not given."""
    given = tmp_path / "given"
    (given / "sub").mkdir(parents=True)
    (given / "file").write_text("content")
    (tmp_path / "secret").write_text("secret")
    (given / "absolute").symlink_to(tmp_path / "secret")
    (given / "relative").symlink_to("../secret")
    return given


def test_a_granted_folder_can_be_read_and_written(folder: Path) -> None:
    assert run(opening("file", 0, READ), {str(folder): "/data"}) == 0
    assert run(opening("new", CREATE, WRITE), {str(folder): "/data"}) == 0
    assert (folder / "new").read_text() == "pwned"


@pytest.mark.parametrize(
    ("path", "oflags", "below"),
    [
        ("file", 0, ""),
        ("file", TRUNC, ""),
        ("new", CREATE, ""),
        ("sub/new", CREATE, ""),
        ("new", CREATE, "."),
        ("new", CREATE, "sub"),
        ("../file", TRUNC, "sub"),
    ],
)
def test_a_read_only_folder_cannot_be_changed(
    folder: Path, path: str, oflags: int, below: str
) -> None:
    before = sorted(p.name for p in folder.rglob("*"))
    assert run(opening(path, oflags, WRITE, folder=below), {f"ro:{folder}": "/data"}) != 0
    assert sorted(p.name for p in folder.rglob("*")) == before
    assert (folder / "file").read_text() == "content"


def test_a_read_only_folder_can_be_read(folder: Path) -> None:
    assert run(opening("file", 0, READ), {f"ro:{folder}": "/data"}) == 0
    assert run(opening("file", 0, READ, folder="."), {f"ro:{folder}": "/data"}) == 0


@pytest.mark.parametrize(
    "path", ["../secret", "sub/../../secret", "/etc/passwd", "absolute", "relative"]
)
def test_nothing_outside_is_reached(folder: Path, path: str) -> None:
    assert run(opening(path, 0, READ), {str(folder): "/data"}) != 0


def test_without_folders_there_are_no_files(folder: Path) -> None:
    assert run(opening("file", 0, READ), {}) == 8


def test_a_folder_that_is_not_there_is_said_at_once(folder: Path) -> None:
    for missing in (folder / "nope", folder / "file"):
        with pytest.raises(ManifestError, match="is not a folder"):
            Plugin("(module)", allowed_paths={str(missing): "/data"})


def test_clocks_and_sleeps_stay_ours_with_folders(folder: Path) -> None:
    sleep = f"""(module {WASI} "poll_oneoff" (func $poll (param i32 i32 i32 i32) (result i32)))
      (memory (export "memory") 1)
      (func (export "run")
        (i32.store (i32.const 16) (i32.const 1))
        (i64.store (i32.const 24) (i64.const 1000000000000))
        (drop (call $poll (i32.const 0) (i32.const 100) (i32.const 1) (i32.const 200)))))"""
    limits = Limits(deadline=0.1)
    with (
        Plugin(sleep, allowed_paths={str(folder): "/d"}, limits=limits) as plugin,
        pytest.raises(Timeout),
    ):
        plugin.call("run")
