"""NAME: entries of plugins.toml, and the bundled plugins without any file."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from fumehood.testing.stub import StubServer
from tests.cli.support import Run


def config(stub: StubServer, extra: str = "") -> str:
    return f"""
[[providers]]
name = "local"
path = "bundled:openai"
[providers.config]
model = "stub-1"
base_url = "{stub.url}"
{extra}
"""


def test_a_name_from_a_file(run: Run, stub: StubServer, tmp_path: Path) -> None:
    (tmp_path / "plugins.toml").write_text(config(stub))
    ran = run("chat", "local", "hi")
    assert (ran.code, ran.err) == (0, "")
    assert ran.out.endswith("You said: hi\n")
    assert run("chat", "local", "hi", "--set", "model=status-500").code == 7
    other = tmp_path / "elsewhere.toml"
    (tmp_path / "plugins.toml").rename(other)
    assert run("models", "local", "--config", other).code == 0


def test_keys_of_an_entry(
    run: Run, stub: StubServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MY_OWN_KEY", "sk-canary-abcdef123456")
    entry = config(stub, '[providers.secrets]\napi_key = "env:MY_OWN_KEY"')
    (tmp_path / "plugins.toml").write_text(entry)
    assert run("chat", "local", "hi").code == 0
    assert stub.requests[-1].header("authorization") == "Bearer sk-canary-abcdef123456"
    ran = run("inspect", "local")
    assert "env:MY_OWN_KEY, replaced by the host, to" in ran.out
    assert "canary" not in ran.out


def test_limits_of_an_entry_cannot_be_raised_past_the_ceiling(
    run: Run, stub: StubServer, tmp_path: Path
) -> None:
    entry = config(stub, '[providers.limits]\ndeadline = "1s"')
    (tmp_path / "plugins.toml").write_text(entry)
    ran = run("chat", "local", "hi", "--set", "model=hang", "--deadline", "60s")
    assert ran.code == 5
    assert "1 s passed" in ran.err


def test_unknown_names_and_files(run: Run, tmp_path: Path) -> None:
    ran = run("chat", "opnai", "hi")
    assert ran.code == 2
    assert "no provider is called 'opnai'" in ran.err
    assert "openai" in ran.err
    ran = run("chat", "openai", "hi", "--config", tmp_path / "no.toml")
    assert ran.code == 2
    assert "no.toml" in ran.err
    (tmp_path / "plugins.toml").write_text("[[provider]]\n")
    ran = run("chat", "openai", "hi")
    assert ran.code == 2
    assert "did you mean 'providers'?" in ran.err


def test_without_a_file_a_name_is_the_bundled_plugin(run: Run) -> None:
    document = json.loads(run("inspect", "openai", "--json").out)
    assert document["says"]["name"] == "openai"
    assert "api.openai.com" in document["allowed"]["network"]
    assert "OPENAI_API_KEY" in document["allowed"]["key"]


def test_without_a_key_the_error_says_where_to_put_it(run: Run) -> None:
    ran = run("chat", "openai", "hi", "--set", "model=m")
    assert ran.code != 0
    assert "OPENAI_API_KEY" in ran.err
    assert ran.err.count("\n") == 1


@pytest.mark.parametrize("path", ["no.wasm", "./no", "folder.wasm"])
def test_paths_that_are_no_files(run: Run, tmp_path: Path, path: str) -> None:
    (tmp_path / "folder.wasm").mkdir()
    for command in (("chat", path, "hi"), ("models", path), ("call", path, "f"), ("inspect", path)):
        ran = run(*command)
        assert ran.code == 2
        assert path in ran.err
        assert ran.err.count("\n") == 1
