"""What the tests of the command line share: a stub, a clean environment, a way to run commands."""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from fumehood.cli import main
from fumehood.testing.stub import StubServer
from tests.cli.support import PLUGIN, Ran, Run


@pytest.fixture(scope="session")
def _stub() -> Iterator[StubServer]:
    with StubServer() as server:
        yield server


@pytest.fixture
def stub(_stub: StubServer) -> StubServer:
    _stub.requests.clear()
    return _stub


@pytest.fixture(autouse=True)
def clean(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No keys, no configuration of the person who runs the tests."""
    for name in list(os.environ):
        if name.endswith("_API_KEY") or name.startswith("FUMEHOOD_") or name == "OLLAMA_HOST":
            monkeypatch.delenv(name)
    for kind in ("CONFIG", "CACHE", "DATA", "STATE"):
        monkeypatch.setenv(f"XDG_{kind}_HOME", str(tmp_path / kind.lower()))
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)


class _Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Run:
    """Run a command in this process; `stdin` is what is piped in, None a terminal."""

    def go(*arguments: object, stdin: bytes | None = None) -> Ran:
        source = _Terminal() if stdin is None else io.TextIOWrapper(io.BytesIO(stdin))
        monkeypatch.setattr(sys, "stdin", source)
        code = main([str(argument) for argument in arguments])
        captured = capfd.readouterr()
        assert "Traceback" not in captured.err
        return Ran(code, captured.out, captured.err)

    return go


@pytest.fixture
def ask(run: Run, stub: StubServer) -> Run:
    """Run a provider command against the stub."""

    def go(
        command: str, *arguments: object, model: str | None = "stub-1", stdin: bytes | None = None
    ) -> Ran:
        chosen = () if model is None else ("--set", f"model={model}")
        base = ("--set", f"base_url={stub.url}")
        return run(command, PLUGIN, *arguments, *base, *chosen, stdin=stdin)

    return go


@pytest.fixture
def wat(tmp_path: Path) -> Callable[[str], Path]:
    """A file with a module's text."""

    def write(text: str) -> Path:
        path = tmp_path / "guest.wat"
        path.write_text(text)
        return path

    return write
