"""Bytes of a module: files, data, URLs, hashes (§3.2)."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import pytest

from fumehood.errors import LoadError, ManifestError
from fumehood.plugin import manifest as manifest_module
from fumehood.plugin.manifest import ModuleSource, read
from fumehood.plugin.sources import check_hash, module_bytes

EMPTY = b"\0asm\1\0\0\0"
DIGEST = hashlib.sha256(EMPTY).hexdigest()


def test_data_and_path(tmp_path: Path) -> None:
    file = tmp_path / "m.wasm"
    file.write_bytes(EMPTY)
    assert module_bytes(ModuleSource(data=EMPTY)) == EMPTY
    assert module_bytes(ModuleSource(path=file)) == EMPTY


@pytest.mark.parametrize("digest", [DIGEST, DIGEST.upper(), DIGEST.swapcase()])
def test_a_hash_of_either_case(digest: str) -> None:
    assert module_bytes(ModuleSource(data=EMPTY, hash=digest)) == EMPTY


def test_a_hash_of_wat_is_the_hash_of_its_text() -> None:
    text = b"(module)"
    source = read({"wasm": [{"data": text, "hash": hashlib.sha256(text).hexdigest()}]}).modules[0]
    assert module_bytes(source) == text


def test_a_hash_that_differs() -> None:
    source = ModuleSource(data=EMPTY, hash="0" * 64, where="wasm[2]")
    with pytest.raises(LoadError) as caught:
        module_bytes(source)
    assert str(caught.value) == (
        f"wasm[2].hash: Hash mismatch, found {DIGEST} but expected {'0' * 64}"
    )


@pytest.mark.parametrize("digest", ["", "ab", DIGEST[:-1], DIGEST + "0", "g" * 64, f" {DIGEST}"])
def test_a_hash_that_is_none(digest: str) -> None:
    with pytest.raises(ManifestError, match=r"wasm\[0\]\.hash: a SHA-256 is 64 hex"):
        check_hash(ModuleSource(data=EMPTY, hash=digest), EMPTY)


def test_an_unusable_hash_is_seen_before_anything_is_fetched() -> None:
    def fetch(source: ModuleSource, cap: int) -> bytes:
        raise AssertionError("fetched")

    with pytest.raises(ManifestError, match="64 hexadecimal"):
        module_bytes(ModuleSource(url="http://h/", hash="x"), fetch)


def test_a_missing_file_names_the_key_path(tmp_path: Path) -> None:
    source = ModuleSource(path=tmp_path / "none.wasm", where="wasm[1]")
    with pytest.raises(ManifestError, match=r"wasm\[1\]\.path: cannot read .*none\.wasm"):
        module_bytes(source)


def test_a_folder_is_no_module(tmp_path: Path) -> None:
    with pytest.raises(ManifestError, match="not a regular file"):
        module_bytes(ModuleSource(path=tmp_path))
    with pytest.raises(ManifestError, match="not a regular file"):
        module_bytes(ModuleSource(path=Path(os.devnull)))


def test_a_name_with_a_nul_is_no_file() -> None:
    with pytest.raises(ManifestError, match="not a file name"):
        module_bytes(ModuleSource(path=Path("a\0b")))


def test_too_large_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "m.wasm"
    file.write_bytes(EMPTY)
    monkeypatch.setattr(manifest_module, "MAX_FILE_BYTES", 7)
    with pytest.raises(ManifestError, match="larger than 7 bytes"):
        module_bytes(ModuleSource(path=file))
    monkeypatch.undo()
    with pytest.raises(LoadError, match="8 bytes; a module may have 7"):
        module_bytes(ModuleSource(path=file), cap=7)


def test_urls_need_a_fetcher_and_their_bytes_are_checked() -> None:
    asked: list[tuple[str | None, int]] = []

    def fetch(source: ModuleSource, cap: int) -> bytes:
        asked.append((source.url, cap))
        return EMPTY

    source = ModuleSource(url="https://h/m", hash=DIGEST)
    assert module_bytes(source, fetch, cap=100) == EMPTY
    assert asked == [("https://h/m", 100)]
    with pytest.raises(ManifestError, match=r"wasm\[0\]\.url: modules from a URL are not allowed"):
        module_bytes(source)
    with pytest.raises(LoadError, match="Hash mismatch"):
        module_bytes(ModuleSource(url="https://h/m", hash="0" * 64), fetch)


def test_a_hash_can_be_required_of_urls_only() -> None:
    def fetch(source: ModuleSource, cap: int) -> bytes:
        return EMPTY

    with pytest.raises(ManifestError, match=r"wasm\[0\]\.hash: a module from a URL needs"):
        module_bytes(ModuleSource(url="https://h/m"), fetch, require_hash=True)
    source = ModuleSource(url="https://h/m", hash=DIGEST)
    assert module_bytes(source, fetch, require_hash=True) == EMPTY
    assert module_bytes(ModuleSource(data=EMPTY), require_hash=True) == EMPTY
