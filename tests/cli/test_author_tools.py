"""`fumehood new`, `build` and `check`: from a name to a plugin that every host likes."""

from __future__ import annotations

import json
import os
import pwd
import subprocess
import sys
from pathlib import Path

import pytest

from fumehood.abi.http import HTTPRequest, encode_request
from fumehood.abi.wire import JSON, MSGPACK, Wire
from fumehood.cli.app import run
from fumehood.testing.check import Level, check, verdict
from tests.provider.wat import module, schema
from tests.toolchains import ROOT, need_interop_plugin, need_wasip1_cargo, wasip1_cargo

BUNDLED = ROOT / "runtime" / "fumehood" / "provider" / "bundled"
CARGO = wasip1_cargo()  # before the tests have no environment

pytestmark = pytest.mark.xdist_group("pdk_python")


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_a_new_python_project_tests_builds_and_passes(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["new", "--lang", "python", "noble-gas"]) == 0
    assert "next: cd noble-gas" in capsys.readouterr().out
    project = folder / "noble-gas"
    done = subprocess.run(
        [sys.executable, "-m", "unittest"], cwd=project, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "Ran 4 tests" in done.stderr
    wasm = project / "noble_gas.wasm"
    assert run(["build", str(project / "noble_gas.py"), "-o", str(wasm)]) == 0
    assert "noble-gas (NobleGas)" in capsys.readouterr().out
    findings = list(check(wasm))
    assert verdict(findings), [finding for finding in findings if finding.level is Level.WRONG]


def test_a_new_rust_project_tests_and_builds(folder: Path) -> None:
    cargo = CARGO or need_wasip1_cargo()
    assert run(["new", "--lang", "rust", "noble-gas"]) == 0
    project = folder / "noble-gas"
    done = subprocess.run(
        [cargo, "build", "--release", "--target", "wasm32-wasip1",
         "--target-dir", ROOT / "build" / "new-rust"],
        cwd=project, capture_output=True, text=True, check=False, timeout=110,
        # rustup finds its toolchains below the home folder, which these tests put elsewhere
        env={**os.environ, "HOME": pwd.getpwuid(os.getuid()).pw_dir},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    wasm = ROOT / "build" / "new-rust" / "wasm32-wasip1" / "release" / "noble_gas.wasm"
    findings = list(check(wasm))
    assert any(f.about == "name" and f.text == "noble-gas" for f in findings)
    assert any(f.about == "QueryMT" and f.level is Level.GOOD for f in findings)


def test_a_new_rust_project_passes_its_own_tests(folder: Path) -> None:
    cargo = CARGO or need_wasip1_cargo()
    assert run(["new", "--lang", "rust", "noble-gas"]) == 0
    done = subprocess.run(
        [cargo, "test", "--target-dir", ROOT / "build" / "new-rust-native"],
        cwd=folder / "noble-gas", capture_output=True, text=True, check=False, timeout=110,
        env={**os.environ, "HOME": pwd.getpwuid(os.getuid()).pw_dir},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "2 passed; 0 failed" in done.stdout


@pytest.mark.parametrize("name", ["Upper", "two words", "-x", "json", "a--b", "a/b", ".."])
def test_names_that_cannot_be(folder: Path, name: str) -> None:
    assert run(["new", "--lang", "python", "--", name]) == 2
    assert list(folder.iterdir()) == []


def test_nothing_is_overwritten(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "mine").mkdir()
    assert run(["new", "--lang", "python", "mine"]) == 2
    assert "is there already" in capsys.readouterr().err


def test_templates_are_the_examples() -> None:
    templates = ROOT / "runtime" / "fumehood" / "cli" / "templates"
    for template, example in (
        ("python/my_provider.py", "pdk-python/examples/my_provider.py"),
        ("python/test_my_provider.py", "pdk-python/examples/test_my_provider.py"),
        ("rust/src/lib.rs", "pdk-rust/examples/quickstart/src/lib.rs"),
    ):
        assert (templates / f"{template}.txt").read_text() == (ROOT / example).read_text()


@pytest.mark.parametrize("name", ["openai", "anthropic", "ollama"])
def test_the_bundled_plugins_are_as_they_should_be(name: str) -> None:
    config = {"max_tokens": 9} if name == "anthropic" else {}
    findings = list(check(BUNDLED / f"{name}.wasm", config))
    assert verdict(findings), [finding for finding in findings if finding.level is Level.WRONG]
    assert {
        "exports", "QueryMT", "config_schema", "from_config", "parse_chat_response",
        "fumehood_msgpack",
    } <= {finding.about for finding in findings}  # fmt: skip


@pytest.mark.parametrize(
    ("uri", "wire", "text"),
    [
        ("https://h/x", MSGPACK, None),
        ("https://h/other", MSGPACK, "another request than in JSON"),
        ("https://h/x", JSON, "not valid MessagePack"),
    ],
)
def test_what_a_plugin_makes_of_messagepack(uri: str, wire: Wire, text: str | None) -> None:
    def says(uri: str, wire: Wire) -> str:
        data = encode_request(HTTPRequest("GET", uri), wire)
        return data.decode("utf-8", "surrogateescape")

    guest = module(
        {
            "config_schema": schema("model", "base_url"),
            "from_config": "{}",
            "_plain": says("https://h/x", JSON),
            "_packed": says(uri, wire),
        },
        '(import "extism:host/env" "input_load_u8" (func $byte (param i64) (result i32)))'
        '(global (export "fumehood_msgpack") i32 (i32.const 0))',
        bodies={
            "chat_request": "(if (result i32) (i32.gt_u (call $byte (i64.const 0)) (i32.const 127))"
            " (then (call $say @_packed@)) (else (call $say @_plain@)))"
        },
    )
    found = [f for f in check(guest.encode()) if "MessagePack" in f.about or "msgpack" in f.about]
    if text is None:
        assert [(f.about, f.level) for f in found] == [("fumehood_msgpack", Level.GOOD)]
    else:
        assert found
        assert all(f.level is Level.WRONG and text in f.text for f in found)


def test_a_plugin_of_querymts_own_is_examined() -> None:
    findings = list(check(need_interop_plugin()))
    assert any(f.about == "QueryMT" and f.level is Level.GOOD for f in findings)
    assert any(f.about == "chat_request, one question" for f in findings)


def test_what_is_no_provider_is_told(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "other.wat").write_text('(module (func (export "hello")))')
    assert run(["check", "other.wat"]) == 3
    assert "this is no provider plugin" in capsys.readouterr().out
    assert run(["check", "no-such-file.wasm"]) == 2


def test_findings_as_json(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["check", str(BUNDLED / "openai.wasm"), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert {item["level"] for item in found} <= {"good", "note", "unwise", "wrong"}


BAD = """\
(module
  (import "extism:host/env" "error_set" (func $error (param i64)))
  (func (export "chat_request") (result i32) unreachable)
  (func (export "chat_stream_request") (result i32) unreachable)
  (func (export "parse_chat_response") (result i32) unreachable)
  (func (export "list_models_request") (result i32) unreachable)
  (func (export "parse_list_models_response") (result i32) unreachable)
  (func (export "chat_stream_parser_start") (result i32) unreachable)
  (func (export "embed_request") (result i32) unreachable)
  (func (export "config_schema") (result i32) unreachable)
  (func (export "name") (param i32) (result i64) unreachable))
"""


def test_every_fault_of_the_structure_is_named(folder: Path) -> None:
    from fumehood.plugin import CompiledPlugin
    from fumehood.testing.check.structure import structure

    (folder / "bad.wat").write_text(BAD)
    with CompiledPlugin.load(folder / "bad.wat") as compiled:
        texts = [f"{f.about}: {f.text}" for f in structure(compiled) if f.level is Level.WRONG]
    assert any("export name: must be () -> () or () -> i32" in text for text in texts)
    assert any("QueryMT: would not load it" in text for text in texts)
    assert any("a stream parser needs all four" in text for text in texts)
    assert any("embed needs a pair" in text for text in texts)
