"""The raw layer looks at itself before anybody relies on it."""

from __future__ import annotations

from importlib import metadata
from pathlib import Path
from typing import Any

import pytest
from wasmtime import _ffi

from fumehood.engine import native
from fumehood.engine.machine import machine
from fumehood.errors import HostError


def test_the_release_is_the_installed_one() -> None:
    assert native.version() == metadata.version("wasmtime")


@pytest.mark.parametrize("folders", [[], ["wasmtime-1.0.0.dist-info", "wasmtime-2.0.0.dist-info"]])
def test_where_the_folders_do_not_tell_the_metadata_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, folders: list[str]
) -> None:
    for name in folders:
        (tmp_path / name).mkdir()
    monkeypatch.setattr(_ffi, "__file__", str(tmp_path / "wasmtime" / "_ffi.py"))
    assert native.version.__wrapped__() == metadata.version("wasmtime")


@pytest.mark.parametrize("release", ["46.0.1", "47.0.0"])
def test_releases_with_advisories_are_refused(
    monkeypatch: pytest.MonkeyPatch, release: str
) -> None:
    monkeypatch.setattr(native, "version", lambda: release)
    with pytest.raises(HostError, match="cannot be used"):
        native.self_check()


@pytest.mark.parametrize("what", ["the call", "the callback"])
def test_a_layer_that_moves_values_wrongly_is_refused(
    monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    engine = machine().engine  # it was built, and so looked at, with the honest one
    if what == "the call":
        honest = native.call

        def call(context: Any, function: Any, raw: Any, count: int, trap: Any) -> Any:
            error = honest(context, function, raw, count, trap)
            raw._obj[0] ^= 1
            return error

        monkeypatch.setattr(native, "call", call)
    else:
        monkeypatch.setattr(native, "_subtract", lambda *_: 0)
    with pytest.raises(HostError, match="another value"):
        native.check_call(engine)
