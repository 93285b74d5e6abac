"""Every guest of tests/guests does on our host what tests/guests/expected.json says."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import fumehood
from fumehood import Error, Limits, Plugin
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
def test_guest(case: Case, web: str, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(1, logger="fumehood.plugin")
    if case.raises is not None:
        with pytest.raises(getattr(fumehood, case.raises["class"])):
            open_plugin(case, tmp_path)
        return
    with open_plugin(case, tmp_path) as plugin:
        for call in case.calls(web):
            check(plugin, call, caplog)


# fmt: off
KERNEL_NAMES = {
    "alloc", "free", "length", "length_unsafe", "load_u8", "load_u64", "store_u8", "store_u64",
    "input_load_u8", "input_load_u64", "input_set", "input_offset", "input_length",
    "output_set", "output_offset", "output_length", "error_set", "error_get", "reset",
    "memory_bytes", "config_get", "var_get", "var_set", "http_request", "http_status_code",
    "http_headers", "log_trace", "log_debug", "log_info", "log_warn", "log_error",
    "get_log_level",
}
# fmt: on
"""extism-abi.md §1.2, all of it."""

GUESTS = sorted({name for case in CASES for name in case.guests.values()})


def test_guests_use_every_import() -> None:
    """Together the Rust guests import all that the kernel and the provider ABI have."""
    used = set()
    for name in GUESTS:
        if name.startswith("rust/"):
            with Plugin(guest_path(name), functions=FUNCTIONS) as plugin:
                used |= {(item.module, item.name) for item in plugin.imports}
    assert {name for module, name in used if module == "extism:host/env"} == KERNEL_NAMES
    assert {name for _, name in used if name.startswith("qmt_")} == {
        "qmt_http_request",
        "qmt_http_stream_open",
        "qmt_http_stream_next",
        "qmt_http_stream_close",
        "qmt_yield_chunk",
        "qmt_log",
    }


ALONE = [name for name in GUESTS if not name.startswith(("wat/linked", "wat/cycle"))]
"""The others are modules of a set: no plugins by themselves."""


@pytest.mark.parametrize("name", ALONE)
def test_every_export_has_a_case(name: str) -> None:
    """What a guest can be asked, some case asks."""
    asked = {
        call["export"] for case in CASES if name in case.guests.values() for call in case.raw_calls
    }
    initialisers = {"_initialize", "__wasm_call_ctors", "hs_init"}
    with Plugin(guest_path(name), functions=FUNCTIONS) as plugin:
        for export in plugin.exports:
            if plugin.has(export) and export not in initialisers:
                assert export in asked
