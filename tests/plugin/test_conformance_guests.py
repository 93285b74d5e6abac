"""Every guest of tests/guests does on our host what tests/guests/expected.json says."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import fumehood
from fumehood import Error, Limits, Plugin, UsageError
from tests.guests import guest_path
from tests.guests.conformance import Call, Case, load, output_complaint
from tests.guests.functions import FUNCTIONS
from tests.guests.web import serve

CASES = load()


@pytest.fixture(scope="module")
def web() -> Iterator[str]:
    with serve() as address:
        yield address


def manifest(case: Case) -> dict[str, Any]:
    modules = [{"name": name, "path": str(guest_path(g))} for name, g in case.guests.items()]
    return {"wasm": sorted(modules, key=lambda module: module["name"] == "main")}


def open_plugin(case: Case, folder: Path) -> Plugin:
    paths = None
    if case.folder:
        (folder / "hello.txt").write_text("hello from the host", "utf-8")
        prefix = "ro:" if case.folder["read_only"] else ""
        paths = {f"{prefix}{folder}": case.folder["guest"]}
    return Plugin(
        manifest(case),
        config=case.config,
        functions=FUNCTIONS,
        allowed_hosts=case.allowed_hosts,
        allowed_paths=paths,
        limits=Limits().replace(**case.limits),
        name="guest",
    )


def check_error(error: Error, wanted: dict[str, Any]) -> None:
    """Class, text and every attribute that the case names."""
    assert isinstance(error, getattr(fumehood, wanted["class"])), repr(error)
    assert wanted.get("message", "") in error.message
    for attribute in ("rc", "status", "limit", "reason"):
        if attribute in wanted:
            assert getattr(error, attribute) == wanted[attribute]
    if "cause" in wanted:
        assert type(error.__cause__).__name__ == wanted["cause"]
    assert error.receipt is not None


def check(plugin: Plugin, call: Call, caplog: pytest.LogCaptureFixture) -> None:
    caplog.clear()
    try:
        output = plugin.call(call.export, call.data)
    except Error as error:
        if "raises" not in call.expect:
            raise
        check_error(error, call.expect["raises"])
        return
    complaint = output_complaint(output, call.expect)
    assert complaint is None, f"{call.export}({call.data[:60]!r}) {complaint}"
    if "logs" in call.expect:
        names = {"DEBUG": {"DEBUG", "Level 5", "TRACE"}}
        seen = [(record.levelname, record.getMessage()) for record in caplog.records]
        assert len(seen) == len(call.expect["logs"])
        for (level, text), (wanted_level, wanted) in zip(seen, call.expect["logs"], strict=True):
            assert text == wanted
            assert level in names.get(wanted_level, {wanted_level})


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_guest(
    case: Case, web: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(1, logger="fumehood.plugin")
    if case.raises is not None:
        with pytest.raises(getattr(fumehood, case.raises["class"])):
            open_plugin(case, tmp_path)
        return
    try:
        plugin = open_plugin(case, tmp_path)
    except UsageError as error:
        if case.folder and "no files" in error.message:
            pytest.skip(f"allowed_paths: {error.message}")
        raise
    with plugin:
        for call in case.calls(web):
            check(plugin, call, caplog)
