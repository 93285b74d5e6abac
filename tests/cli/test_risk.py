"""inspect --risk and --against: what a person is shown to decide on."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from fumehood.cli.risk import secretive
from fumehood.provider import bundled
from tests.cli.support import PLUGIN, Run
from tests.provider.wat import module, schema

Wat = Callable[[str], Path]
Rows = dict[str, dict[str, str]]

PLAIN = {
    "name": "plain",
    "base_url": "https://api.openai.com/v1/",
    "api_key_name": "OPENAI_API_KEY",
    "config_schema": schema("model", "api_key", required=("model",)),
}


@pytest.fixture
def risk(run: Run, tmp_path: Path) -> Callable[..., Rows]:
    """The rows of a module as an entry of a file, by what they are about."""

    def go(text: str, entry: str = "", code: int = 0) -> Rows:
        (tmp_path / "it.wat").write_text(text)
        (tmp_path / "plugins.toml").write_text(
            f'[[providers]]\nname = "it"\npath = "it.wat"\n{entry}'
        )
        ran = run("inspect", "it", "--risk", "--json")
        assert ran.code == code, ran.err
        return {row["what"]: row for row in json.loads(ran.out)["risk"]}

    return go


def verdicts(rows: Rows) -> dict[str, str]:
    return {what: row["verdict"] for what, row in rows.items() if row["verdict"] != "-"}


def test_a_plugin_that_asks_for_little(risk: Callable[..., Rows]) -> None:
    digest = hashlib.sha256(module(PLAIN).encode()).hexdigest()
    rows = risk(
        module(PLAIN),
        f'sha256 = "{digest}"\n[providers.config]\nmodel = "m"\n'
        'base_url = "https://api.openai.com/v1/"\n[providers.grants]\nclock = "1ms"',
    )
    assert verdicts(rows) == {}
    assert rows["file"]["gets"] == "is the pinned one"
    assert rows["key"]["asks"] == "the environment variable OPENAI_API_KEY"
    assert "replaced by the host" in rows["key"]["gets"]
    assert rows["config"]["asks"] == "model, api_key?"
    assert rows["config"]["gets"] == "model"
    assert rows["network"]["asks"].startswith("builds requests, the host sends them")
    assert rows["files"]["gets"] == "none"


def test_a_file_that_is_not_the_pinned_one(risk: Callable[..., Rows]) -> None:
    rows = risk(module(PLAIN), f'sha256 = "{"0" * 64}"', code=3)
    assert rows["file"]["verdict"] == "HIGH"
    assert f"REFUSED: {'0' * 64} is pinned" in rows["file"]["gets"]
    assert risk(module(PLAIN))["file"]["verdict"] == "look"


def test_another_services_key(risk: Callable[..., Rows]) -> None:
    rows = risk(module(PLAIN | {"base_url": "https://evil.example/v1/"}))
    assert rows["key"]["verdict"] == "HIGH"
    assert "stays here" in rows["key"]["gets"]
    assert rows["network"]["verdict"] == "look"
    rows = risk(module(PLAIN | {"base_url": "https://own.example/", "api_key_name": "OWN_KEY"}))
    assert rows["key"]["verdict"] == "look"


def test_what_the_operator_opened(risk: Callable[..., Rows]) -> None:
    rows = risk(
        module(PLAIN),
        '[providers.config]\nallowed_hosts = ["*"]\n[providers.grants]\n'
        'private = ["10.0.0.0/8"]\nports = [8080]',
    )
    assert rows["network"]["verdict"] == "HIGH"
    assert "EVERY public host" in rows["network"]["gets"]
    assert "10.0.0.0/8" in rows["network, beyond"]["gets"]
    assert "8080" in rows["network, beyond"]["gets"]
    rows = risk(module(PLAIN), '[providers.config]\nallowed_hosts = ["*.openai.com"]')
    assert rows["network"]["verdict"] == "look"


def test_secrets_that_the_plugin_gets(risk: Callable[..., Rows]) -> None:
    text = module(
        PLAIN | {"config_schema": schema("api_key", "org_token", "max_tokens", "jwt_secret")}
    )
    entry = (
        '[providers.config]\nbase_url = "https://api.openai.com/"\norg_token = "value"\n'
        "[providers.secrets]\n"
        'api_key = { from = "env:SOME", slot = false }\njwt_secret = "env:OTHER"'
    )
    rows = risk(text, entry)
    assert rows["secret api_key"]["verdict"] == "HIGH"
    assert "GIVEN TO THE PLUGIN" in rows["secret api_key"]["gets"]
    assert rows["config org_token"]["verdict"] == "HIGH"
    assert "THE VALUE ITSELF" in rows["config org_token"]["gets"]
    assert rows["config jwt_secret"]["verdict"] == "-"
    assert rows["secret jwt_secret"]["asks"] == "is not asked by name"
    assert "config max_tokens" not in rows


def test_what_it_imports(risk: Callable[..., Rows]) -> None:
    imports = """
      (import "extism:host/user" "qmt_http_request" (func (param i64) (result i64)))
      (import "wasi_snapshot_preview1" "clock_time_get"
        (func (param i32 i64 i32) (result i32)))
      (import "wasi_snapshot_preview1" "environ_get" (func (param i32 i32) (result i32)))
    """
    rows = risk(module(PLAIN, imports), '[providers.grants]\nclock = "1ms"')
    assert "sends requests itself" in rows["network"]["asks"]
    assert "qmt_http_request" in rows["network"]["asks"]
    assert rows["clocks"]["gets"] == "time in steps of 1.0 ms"
    assert rows["environment"] == {
        "what": "environment", "asks": "environ_get", "gets": "empty", "verdict": "-",
    }  # fmt: skip
    assert risk(module(PLAIN, imports))["clocks"]["gets"] == "exact time"


def test_memory_and_schemas(risk: Callable[..., Rows]) -> None:
    rows = risk(module(PLAIN, memory=64), '[providers.limits]\nmemory = "1MiB"')
    assert rows["memory"]["verdict"] == "look"
    rows = risk(module(PLAIN | {"config_schema": '{"type": 3}'}))
    assert rows["config"]["verdict"] == "HIGH"
    assert "ProtocolError" in rows["config"]["asks"]


def test_names_of_guests_cannot_steer_the_terminal(run: Run, wat: Wat) -> None:
    says = PLAIN | {"config_schema": schema("\x1b[2Jkey\u202e"), "name": "\x1b[2J"}
    ran = run("inspect", wat(module(says)), "--risk")
    assert ran.code == 0
    assert not set(ran.out) & set("\x1b\u202e")


def test_the_tables_of_a_bundled_plugin(run: Run, tmp_path: Path) -> None:
    ran = run("inspect", PLUGIN, "--risk")
    assert (ran.code, ran.err) == (0, "")
    for word in ("asks for", "would get", "risk", "OPENAI_API_KEY", "comes with fumehood"):
        assert word in ran.out
    old = tmp_path / "old.wasm"
    shutil.copyfile(Path(bundled.__file__).parent / "ollama.wasm", old)
    ran = run("inspect", PLUGIN, "--against", old)
    assert ran.code == 0
    assert "Against old.wasm" in ran.out
    assert run("inspect", PLUGIN, "--against", tmp_path / "gone.wasm").code == 2
    assert run("inspect", PLUGIN, "--against", old, "--no-run").code == 2


def test_an_upgrade_that_asks_for_more(run: Run, tmp_path: Path) -> None:
    old, new = tmp_path / "old.wat", tmp_path / "new.wat"
    old.write_text(module(PLAIN | {"config_schema": schema("model", "gone")}))
    sends = '(import "extism:host/user" "qmt_http_request" (func (param i64) (result i64)))'
    logs = '(import "extism:host/user" "qmt_log" (func (param i64)))'
    changed = {
        "name": "plain",
        "base_url": "https://evil.example/",
        "api_key_name": "AWS_SECRET_ACCESS_KEY",
        "config_schema": schema("model", "admin_password", required=("model",)),
    }
    new.write_text(module(changed, sends + logs, memory=40))
    document = json.loads(run("inspect", new, "--against", old, "--json").out)
    rows = {row["what"] + (row["gets"] if row["what"] == "import" else ""): row
            for row in document["difference"]}  # fmt: skip
    assert {what: row["verdict"] for what, row in rows.items()} == {
        "file": "-",
        "its default host": "HIGH",
        "its key variable": "HIGH",
        "importextism:host/user::qmt_http_request": "HIGH",
        "importextism:host/user::qmt_log": "look",
        "config model": "-",
        "config admin_password": "look",
        "config gone": "-",
        "memory from the start": "look",
        "size": "-",
    }
    assert rows["config model"]["asks"] == "string, optional"
    assert rows["config model"]["gets"] == "string, required"
    same = json.loads(run("inspect", new, "--against", new, "--json").out)["difference"]
    assert [row["gets"] for row in same] == ["the same file"]
    back = json.loads(run("inspect", old, "--against", new, "--json").out)["difference"]
    assert [row["verdict"] for row in back if row["what"] == "import"] == ["-", "-"]


def test_a_plugin_that_is_no_provider(run: Run, wat: Wat) -> None:
    ran = run("inspect", wat('(module (func (export "run")))'), "--risk", "--json")
    document = json.loads(ran.out)
    assert document["plugin"]["kind"] == "Extism plugin"
    rows = {row["what"]: row for row in document["risk"]}
    assert rows["network"]["asks"] == "no requests"
    assert "config" not in rows


@pytest.mark.parametrize(
    ("key", "answer"),
    [
        ("api_key", True), ("password", True), ("access_token", True), ("client_secret", True),
        ("max_tokens", False), ("reasoning_budget_tokens", False), ("model", False),
        ("keyword", False), ("auth_type", False), ("api_key_name", False),
    ],
)  # fmt: skip
def test_what_sounds_like_a_secret(key: str, answer: bool) -> None:
    assert secretive(key) is answer
