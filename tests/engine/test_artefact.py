"""Compiled code between the file that was verified and the engine that runs it."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from fumehood.engine import artefact as room
from fumehood.engine.artefact import Artefact
from fumehood.engine.machine import machine
from fumehood.engine.native import module_delete

CODE = b"\0asm\x01\0\0\0"


@pytest.fixture
def file(tmp_path: Path) -> Iterator[tuple[int, Path]]:
    """A compiled module in a file, open for reading."""
    path = tmp_path / "code"
    path.write_bytes(machine().translate(CODE))
    fd = os.open(path, os.O_RDONLY)
    yield fd, path
    os.close(fd)


def size_of(path: Path) -> int:
    return path.stat().st_size


@pytest.mark.parametrize("sealed", [True, False])
def test_what_was_taken_over_is_what_is_loaded(
    file: tuple[int, Path], sealed: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    fd, path = file
    if not sealed:
        monkeypatch.setattr(room, "_sealed", lambda fd, size: None)
    content = path.read_bytes()
    with Artefact(fd, len(content)) as artefact:
        path.write_bytes(bytes(len(content)))  # the same inode
        os.truncate(path, 10)
        assert artefact.view == content
        code = machine().deserialize(artefact)
    assert code is not None
    module_delete(code)


@pytest.mark.skipif(sys.platform != "linux", reason="memory files are Linux's")
def test_nobody_can_change_what_was_taken_over(file: tuple[int, Path]) -> None:
    fd, path = file
    with Artefact(fd, size_of(path)) as artefact:
        memory = artefact._memory
        assert memory is not None
        with pytest.raises(PermissionError):
            os.pwrite(memory, b"x", 0)
        with pytest.raises(PermissionError):
            os.ftruncate(memory, 1)
        again = os.open(f"/proc/self/fd/{memory}", os.O_RDWR)
        try:
            with pytest.raises(PermissionError):
                os.pwrite(again, b"x", 0)
        finally:
            os.close(again)


@pytest.mark.parametrize("sealed", [True, False])
def test_a_file_that_shrinks_is_an_error(
    file: tuple[int, Path], sealed: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    fd, path = file
    if not sealed:
        monkeypatch.setattr(room, "_sealed", lambda fd, size: None)
    with pytest.raises(OSError, match="cut short"):
        Artefact(fd, size_of(path) + 1)


def test_a_memory_file_that_cannot_be_filled_is_done_without(
    file: tuple[int, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    fd, path = file

    def refuse(*_: object) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "sendfile", refuse)
    before = open_files()
    with Artefact(fd, size_of(path)) as artefact:
        assert artefact.view == path.read_bytes()
        code = machine().deserialize(artefact)
    assert open_files() == before
    assert code is not None
    module_delete(code)


def test_other_bytes_are_refused_not_loaded(tmp_path: Path) -> None:
    path = tmp_path / "code"
    path.write_bytes(b"anything else")
    with path.open("rb") as opened, Artefact(opened.fileno(), size_of(path)) as artefact:
        assert machine().deserialize(artefact) is None


def test_closing_gives_everything_back(file: tuple[int, Path]) -> None:
    fd, path = file
    before = open_files()
    artefact = Artefact(fd, size_of(path))
    artefact.close()
    artefact.close()
    assert open_files() == before


def open_files() -> int:
    """Descriptors of this process, -1 where the system does not say."""
    folder = Path("/proc/self/fd")
    return len(list(folder.iterdir())) if folder.exists() else -1
