from __future__ import annotations

import os
import sys
import time
from pathlib import Path

import pytest

from fumehood.egress import sources
from fumehood.egress.known import KNOWN, known_hosts
from fumehood.egress.patterns import provider_pattern
from fumehood.egress.sources import FILE_CAP, read_secret
from fumehood.errors import ConfigError


def refuse(source: str, words: str, **more: object) -> ConfigError:
    with pytest.raises(ConfigError, match=words) as caught:
        read_secret(source, name="api_key", **more)  # type: ignore[arg-type]
    assert caught.value.problems[0][0] == "secrets.api_key"
    return caught.value


def test_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FUMEHOOD_TEST_KEY", " value\n")
    assert read_secret("env:FUMEHOOD_TEST_KEY") == "value"
    assert read_secret("env:X", environ={"X": "other"}) == "other"
    error = refuse("env:NOT_THERE", "environment variable NOT_THERE is not set", environ={})
    assert error.hint == "export NOT_THERE=…"
    refuse("env:BLANK", "not set or empty", environ={"BLANK": "  "})


@pytest.mark.parametrize("source", ["", "env", "env:", "OPENAI_API_KEY"])
def test_no_source(source: str) -> None:
    assert "env:VARIABLE" in (refuse(source, "is not a source").hint or "")


def test_unknown_kind() -> None:
    assert "keyring:SERVICE/USER" in (refuse("vault:x", "'vault' is not a kind").hint or "")
    refuse(":x", "'' is not a kind")


def test_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "key"
    path.write_text("from-file\n")
    assert read_secret(f"file:{path}") == "from-file"
    assert read_secret("file:key", folder=tmp_path) == "from-file"
    monkeypatch.setenv("HOME", str(tmp_path))
    assert read_secret("file:~/key", folder=Path("/nowhere")) == "from-file"
    refuse("file:none", "cannot be read", folder=tmp_path)
    refuse("file:nul\0", "cannot be read", folder=tmp_path)
    refuse(f"file:{tmp_path}", "not a regular file")
    path.write_bytes(b"")
    refuse("file:key", "not set or empty", folder=tmp_path)
    path.write_bytes(b"\xff\xfe")
    refuse("file:key", "not UTF-8", folder=tmp_path)
    path.write_bytes(b"x" * FILE_CAP)
    assert len(read_secret("file:key", folder=tmp_path)) == FILE_CAP
    path.write_bytes(b"x" * (FILE_CAP + 1))
    refuse("file:key", "larger than 65536 bytes", folder=tmp_path)


def test_a_pipe_does_not_hang(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    refuse("file:pipe", "not a regular file", folder=tmp_path)


@pytest.fixture
def ring(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A `keyring` module for the child process, since that package is optional."""
    (tmp_path / "keyring.py").write_text(
        "import sys, time\n"
        "def get_password(service, user):\n"
        "    if service == 'slow': time.sleep(60)\n"
        "    if service == 'broken': raise RuntimeError('no back end')\n"
        "    if service == 'none': return None\n"
        "    return f'{service}:{user}'\n"
    )
    path = f"import sys; sys.path.insert(0, {str(tmp_path)!r})\n"
    monkeypatch.setattr(sources, "_KEYRING", path + sources._KEYRING)


@pytest.mark.usefixtures("ring")
def test_keyring() -> None:
    assert read_secret("keyring:my/service/me", timeout=30) == "my/service:me"
    refuse("keyring:none/me", "has no entry none/me", timeout=30)
    refuse("keyring:broken/me", "no back end", timeout=30)
    for bad in ("service", "/me", "service/"):
        refuse(f"keyring:{bad}", "needs a service and a user")


@pytest.mark.usefixtures("ring")
def test_a_keyring_that_hangs() -> None:
    began = time.monotonic()
    refuse("keyring:slow/me", r"did not answer within 0\.5 s", timeout=0.5)
    assert time.monotonic() - began < 5


def test_without_the_keyring_package(monkeypatch: pytest.MonkeyPatch) -> None:
    block = "import sys; sys.modules['keyring'] = None\n"
    monkeypatch.setattr(sources, "_KEYRING", block + sources._KEYRING)
    refuse("keyring:service/me", "the key ring failed", timeout=30)


def test_without_an_interpreter(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", "/nowhere/python")
    refuse("keyring:service/me", "cannot be asked")


# -- the shipped table -------------------------------------------------------------------------


def test_the_table_names_exact_hosts() -> None:
    assert known_hosts("OPENAI_API_KEY") == ("api.openai.com",)
    assert known_hosts("AWS_SECRET_ACCESS_KEY") == ()
    for variable, hosts in KNOWN.items():
        assert variable.isupper()
        assert hosts
        for host in hosts:
            pattern = provider_pattern(host)
            assert (pattern.kind, pattern.host, pattern.port) == ("exact", host, None)


@pytest.mark.parametrize(
    "variable",
    [
        "OPENAI_API_KEY", "OLLAMA_API_KEY", "ANTHROPIC_API_KEY", "GEMINI_API_KEY", "GROQ_API_KEY",
        "MISTRAL_API_KEY", "XAI_API_KEY", "OPENROUTER_API_KEY", "DEEPSEEK_API_KEY", "ZAI_API_KEY",
        "ALIBABA_API_KEY", "MOONSHOT_API_KEY",
    ],
)  # fmt: skip
def test_every_variable_of_the_specification_is_known(variable: str) -> None:
    assert known_hosts(variable)
