"""audit verify."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from fumehood.limits import Receipt
from fumehood.provider.audit import Audit, Settings
from fumehood.testing.stub import StubServer
from tests.cli.support import PLUGIN, Run


@pytest.fixture
def trail(tmp_path: Path) -> Path:
    path = tmp_path / "audit.jsonl"
    audit = Audit(Settings(path))
    for turn in range(3):
        audit.write(Receipt(f"p{turn}", "ab" * 32, "chat", 1, 1, 1, 1, 1, 0, True), None)
    return path


def heads(path: Path) -> list[str]:
    return [json.loads(line)["hash"] for line in path.read_text().splitlines()]


def test_a_whole_file(run: Run, trail: Path) -> None:
    ran = run("audit", "verify", trail)
    assert (ran.code, ran.err) == (0, "")
    assert heads(trail)[-1] in ran.out
    assert "not known" in ran.out
    for head in (heads(trail)[0], heads(trail)[2].upper()):
        ran = run("audit", "verify", trail, "--head", head)
        assert ran.code == 0
        assert "not known" not in ran.out
    document = json.loads(run("audit", "verify", trail, "--json").out)
    assert document == {"lines": 3, "head": heads(trail)[-1], "problems": []}


def test_a_changed_file(run: Run, trail: Path) -> None:
    trail.write_text(trail.read_text().replace('"p1"', '"px"'))
    ran = run("audit", "verify", trail)
    assert ran.code == 6
    assert "line 2 was changed" in ran.out
    assert "1 problem" in ran.err
    document = json.loads(run("audit", "verify", trail, "--json").out)
    assert document["problems"][0]["line"] == 2


def test_a_cut_file(run: Run, trail: Path) -> None:
    head = heads(trail)[-1]
    trail.write_text("".join(line + "\n" for line in trail.read_text().splitlines()[:2]))
    assert run("audit", "verify", trail).code == 0
    ran = run("audit", "verify", trail, "--head", head)
    assert ran.code == 6
    assert "lines are missing" in ran.out


def test_what_cannot_be_checked(run: Run, tmp_path: Path, trail: Path) -> None:
    assert run("audit", "verify", tmp_path / "nothing").code == 2
    assert run("audit", "verify", tmp_path).code == 2
    assert run("audit", "verify", trail, "--head", "abc").code == 2
    assert run("audit", "verify").code == 2


def test_the_help_says_what_is_not_detected(run: Run) -> None:
    out = " ".join(run("audit", "verify", "--help").out.split())
    assert "WITHOUT --head THAT IS NOT DETECTED" in out
    assert "without one, a cut end is not detected" in out
    assert "audit" in run("--help").out
    assert "verify" in run("audit", "--help").out


def test_calls_of_the_command_line_are_recorded(
    run: Run, tmp_path: Path, stub: StubServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STUB_KEY", "sk-canary-0123456789")
    config = tmp_path / "plugins.toml"
    config.write_text(f"""
audit = "audit.jsonl"
[[providers]]
name = "stub"
path = "{PLUGIN}"
[providers.config]
model = "stub-1"
base_url = "{stub.url}"
[providers.secrets]
api_key = "env:STUB_KEY"
""")
    assert run("chat", "stub", "a prompt").code == 0
    assert run("models", "stub").code == 0
    text = (tmp_path / "audit.jsonl").read_text()
    assert [json.loads(line)["operation"] for line in text.splitlines()] == [
        "chat_stream", "list_models",
    ]  # fmt: skip
    assert "a prompt" not in text
    assert "canary" not in text
    assert run("audit", "verify", tmp_path / "audit.jsonl").code == 0
