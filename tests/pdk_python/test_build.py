"""The builder: reproducible bytes, bundled packages, and refusals that name what is wrong."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from fumehood_pdk._build import BuildError, Report, build
from fumehood_pdk._build import interpreter as interpreters
from fumehood_pdk._build.command import main

from fumehood.plugin import Plugin
from tests.pdk_python.conftest import INTERPRETER, PLUGINS, interpreter
from tests.toolchains import ROOT

pytestmark = pytest.mark.xdist_group("pdk_python")

GOOD = """
from fumehood_pdk import ChatResponse, HTTPRequest, provider

@provider(name="good")
class Good:
    model: str

    def chat_request(self, messages, tools):
        return HTTPRequest.get("http://h/")

    def parse_chat(self, response):
        return ChatResponse(response.text)
"""


def refused(folder: Path, source: str, name: str = "refused.py") -> BuildError:
    (folder / name).write_text(source)
    out = folder / "out.wasm"
    with pytest.raises(BuildError) as caught:
        build(folder / name, out, interpreter=interpreter())
    assert not out.exists()
    assert not list(folder.glob(".*.part"))
    return caught.value


def test_two_folders_give_the_same_bytes(tmp_path: Path) -> None:
    reports: list[Report] = []
    for name in ("one", "a much longer name for a folder"):
        folder = tmp_path / name
        folder.mkdir()
        (folder / "good.py").write_text(GOOD)
        reports.append(build(folder / "good.py", folder / "out.wasm", interpreter=interpreter()))
    first, second = (Path(report.file).read_bytes() for report in reports)
    assert first == second
    assert hashlib.sha256(first).hexdigest() == reports[0].sha256 == reports[1].sha256
    assert reports[0].size == len(first)
    assert str(tmp_path).encode() not in first


def test_another_process_gives_the_same_bytes(tmp_path: Path) -> None:
    (tmp_path / "good.py").write_text(GOOD)
    here = build(tmp_path / "good.py", tmp_path / "here.wasm", interpreter=interpreter())
    command = [sys.executable, "-m", "fumehood_pdk", "build", "good.py", "-o", "there.wasm"]
    if INTERPRETER:
        command += ["--interpreter", INTERPRETER]
    done = subprocess.run(
        command, cwd=tmp_path, capture_output=True, text=True, check=False, timeout=110,
        env={"PYTHONHASHSEED": "7", "TZ": "Asia/Tokyo", "PYTHONPATH": str(ROOT / "pdk-python")},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "there.wasm").read_bytes() == (tmp_path / "here.wasm").read_bytes()
    assert here.sha256 in done.stdout
    assert "build: importing good in Python 3.13" in done.stderr


def test_packages_and_a_module_beside_are_bundled(built: Callable[[str], Path]) -> None:
    import msgpack

    with Plugin(built("packaged")) as plugin:
        message = {"role": "User", "content": [{"type": "text", "text": "ü"}]}
        asked = json.dumps({"cfg": {"model": "m"}, "messages": [message]}).encode()
        body = bytes(json.loads(plugin.call("chat_request", asked))["req"]["body"])
        assert msgpack.unpackb(body) == {"text": "ü", "more": 7}


def test_the_report_names_what_is_inside(tmp_path: Path) -> None:
    report = build(PLUGINS / "packaged.py", tmp_path / "out.wasm", interpreter=interpreter())
    packages = {package.name: package for package in report.packages}
    assert packages.keys() == {"attrs", "msgpack"}
    assert packages["msgpack"].native == ["msgpack._cmsgpack"]
    assert packages["attrs"].license == "MIT"
    assert report.beside == ["beside"]
    assert report.unused == []
    assert report.exports[:2] == ["name", "base_url"]
    assert report.python.startswith("3.13.")


def test_pydantic_is_refused_with_the_reason(tmp_path: Path) -> None:
    metadata = '# /// script\n# dependencies = ["pydantic>=2"]\n# ///\n'
    error = refused(tmp_path, f"{metadata}import pydantic\n{GOOD}")
    assert str(error) == (
        "refused.py:4 imports pydantic, which needs pydantic_core: pydantic_core._pydantic_core "
        "is compiled code for a processor, which cannot run in a plugin"
    )
    assert error.hint is not None
    assert "do without pydantic" in error.hint


@pytest.mark.parametrize(
    ("source", "words"),
    [
        (
            "import requests",
            "refused.py:1 imports requests, which is neither in the standard library nor bundled",
        ),
        (
            "import ssl",
            "there is no TLS in a plugin",
        ),
        ("import ctypes", "there is no native code in a plugin"),
        ("import sqlite3", "there are no files in a plugin"),
        ("def f():\n    import tkinter\n", "there is no screen in a plugin"),
        ("import json.nothing", "No module named 'json.nothing'"),
        ("from json import nothing", "cannot import name 'nothing'"),
        ("x = = 1", "refused.py:1: invalid syntax"),
        (
            "1 / 0",
            "importing refused failed: ZeroDivisionError: division by zero\n  at refused.py:1",
        ),
        ("import sys; sys.exit(5)", "SystemExit: 5"),
        ("import os; os._exit(6)", "exit status 6"),
        ("x = 1", "no class is decorated with @provider"),
        (
            GOOD + GOOD.replace("class Good", "class Other"),
            "two providers in one plugin: Good, Other",
        ),
        (
            GOOD.replace("def parse_chat(self, response)", "def parse_chat(self)"),
            "Good.parse_chat cannot be called",
        ),
        (GOOD.replace("def parse_chat", "def parse_chats"), "has chat_request but not parse_chat"),
        ("# /// script\n# dependencies = [\n# ///\n", "its inline metadata is no TOML"),
        (
            '# /// script\n# requires-python = ">=3.14"\n# ///\n',
            "requires Python >=3.14; plugins run on 3.13",
        ),
        (
            '# /// script\n# dependencies = ["no such name"]\n# ///\n',
            "pip cannot install no such name",
        ),
    ],
)  # fmt: skip
def test_what_cannot_work_is_refused(tmp_path: Path, source: str, words: str) -> None:
    message = str(refused(tmp_path, source))
    assert any(word in message for word in words.split("|")), message


@pytest.mark.parametrize("name", ["two words.py", "fumehood_pdk.py", "class-name.py"])
def test_a_name_that_cannot_be_imported_is_refused(tmp_path: Path, name: str) -> None:
    assert name.removesuffix(".py") in str(refused(tmp_path, GOOD, name))


def test_a_guarded_import_is_the_plugins_own_business(tmp_path: Path) -> None:
    guarded = "try:\n    import ssl, nowhere\nexcept ImportError:\n    ssl = None\n"
    (tmp_path / "guarded.py").write_text(guarded + GOOD)
    report = build(tmp_path / "guarded.py", tmp_path / "out.wasm", interpreter=interpreter())
    assert report.name == "good"


def test_a_package_is_built_too(tmp_path: Path) -> None:
    folder = tmp_path / "mine"
    folder.mkdir()
    (folder / "__init__.py").write_text(f"from mine.inner import X\n{GOOD}")
    (folder / "inner.py").write_text("X = 1\n")
    report = build(folder, tmp_path / "out.wasm", interpreter=interpreter())
    assert report.provider == "Good"


def test_the_file_that_is_there_stays_when_a_build_fails(tmp_path: Path) -> None:
    out = tmp_path / "out.wasm"
    out.write_bytes(b"before")
    (tmp_path / "bad.py").write_text("1 / 0")
    with pytest.raises(BuildError):
        build(tmp_path / "bad.py", out, interpreter=interpreter())
    assert out.read_bytes() == b"before"


def test_a_plugin_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(BuildError, match=r"neither a \.py file nor a package"):
        build(tmp_path / "missing.py", tmp_path / "out.wasm")
    with pytest.raises(BuildError, match="there is no target 'native'"):
        build(tmp_path / "missing.py", tmp_path / "out.wasm", target="native")


def test_the_commands_exit_codes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "bad.py").write_text("import requests\n")
    assert (
        main(["build", str(tmp_path / "bad.py"), "-o", str(tmp_path / "out.wasm")], "fumehood") == 3
    )
    said = capsys.readouterr()
    assert "imports requests" in said.err
    assert "hint: --requirement requests" in said.err
    assert said.out == ""
    assert main(["build"]) == 2
    assert main([]) == 2
    assert main(["build", "--help"]) == 0
    assert "--target" in capsys.readouterr().out


def test_the_packaged_interpreter_is_the_recorded_one() -> None:
    machine = interpreters.load()
    folder = Path(interpreters.__file__).parent
    packed = sum((folder / f"{name}.xz").stat().st_size for name in interpreters.FILES)
    assert packed <= 6_000_000
    assert machine.version == (3, 13)
    assert machine.record["debian_revision"].startswith(machine.record["python"])
    assert len(machine.record["patches"]) > 20


def test_the_recipe_is_the_recorded_one() -> None:
    sys.path.insert(0, str(ROOT / "pdk-python" / "interpreter"))
    try:
        import record
    finally:
        sys.path.pop(0)
    recorded = interpreters.load().record["recipe_sha256"]
    now = record.recipe_sha256(ROOT / "pdk-python" / "interpreter")
    assert now == recorded, "the recipe changed: pdk-python/interpreter/README.md says how to build"
