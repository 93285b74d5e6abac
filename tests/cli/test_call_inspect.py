"""call and inspect on plain modules."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from fumehood.testing.gallery import source
from fumehood.testing.stub import StubServer
from tests.cli.support import PLUGIN, Run

Wat = Callable[[str], Path]


def test_call_gives_the_bytes_of_the_output(run: Run, wat: Wat, tmp_path: Path) -> None:
    path = wat(source("well_behaved"))
    assert run("call", path, "run", "hello").out == "hello"
    assert run("call", path, "run").out == ""
    assert run("call", path, "run", "-", stdin=b"from stdin").out == "from stdin"
    (tmp_path / "input.bin").write_bytes(b"\xc3\xbc")
    assert run("call", path, "run", "--input", "input.bin").out == "ü"
    assert json.loads(run("call", path, "run", "ü", "--json").out) == {"output": "ü"}
    (tmp_path / "input.bin").write_bytes(b"\xff")
    ran = run("call", path, "run", "--input", "input.bin", "--json", "--receipt")
    document = json.loads(ran.out)
    assert document["output_base64"] == "/w=="
    assert document["receipt"]["operation"] == "run"


def test_call_input_twice_or_missing(run: Run, wat: Wat) -> None:
    path = wat(source("well_behaved"))
    assert run("call", path, "run", "x", "--input", "y").code == 2
    assert "cannot be read" in run("call", path, "run", "--input", "no.bin").err


@pytest.mark.parametrize(
    ("guest", "code", "words"),
    [
        ("endless_loop", 5, "deadline"),
        ("memory_bomb", 5, "memory"),
        ("unreachable", 3, "unreachable"),
        ("stack_overflow", 3, "stack overflow"),
        ("exit", 3, "status 3"),
        ("error_utf8", 3, "bad"),
        ("unknown_import", 3, "env::system"),
        ("wrong_signature", 3, "run"),
        ("forged_handle", 3, "handle"),
        ("timing_mask", 5, 'the plugin said: "the service is busy, try again later"'),
    ],
)
def test_exit_codes(run: Run, wat: Wat, guest: str, code: int, words: str) -> None:
    ran = run("call", wat(source(guest)), "run", "--deadline", "300ms", "--limit", "memory=32MiB")
    assert ran.code == code
    assert ran.out == ""
    assert ran.err.count("\n") == 1
    assert words in ran.err


def test_errors_of_guests_cannot_steer_the_terminal(run: Run, wat: Wat) -> None:
    ran = run("call", wat(source("error_terminal")), "run")
    assert ran.code == 3
    assert not set(ran.err) & set("\x1b\x07\r")
    assert ran.err.count("\n") == 1
    assert r"\e[2J" in ran.err


def test_logs_of_guests_are_one_safe_line(run: Run, wat: Wat) -> None:
    ran = run("call", wat(source("log_forge")), "run", "-vv")
    assert ran.code == 0
    assert not set(ran.err) & set("\x1b\u202e")
    assert not any(line.startswith("ERROR") for line in ran.err.splitlines())


def test_call_reaches_granted_hosts_alone(run: Run, wat: Wat, stub: StubServer) -> None:
    path = wat(source("http"))
    request = json.dumps({"url": f"{stub.url}models"})
    ran = run("call", path, "run", request)
    assert ran.code == 4
    assert stub.requests == []
    ran = run("call", path, "run", request, "--allow", "127.0.0.1")
    assert ran.code == 0
    assert json.loads(ran.out)["object"] == "list"


def test_config_of_a_call(run: Run, wat: Wat) -> None:
    path = wat(source("config_probe"))
    assert run("call", path, "run").out == "00000"
    assert run("call", path, "run", "--set", "HOME=x", "--set", "PATH=1").out == "00110"


def test_missing_export(run: Run, wat: Wat) -> None:
    ran = run("call", wat(source("well_behaved")), "walk")
    assert ran.code == 3
    assert "walk" in ran.err


@pytest.mark.parametrize("content", [b"", b"\0asm", b"\0asm\x01\0\0\0\x01", b"\x7fELF", b"(module"])
def test_not_wasm(run: Run, tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "bad.wasm"
    path.write_bytes(content)
    for command in (("call", path, "run"), ("inspect", path), ("chat", path, "hi")):
        ran = run(*command)
        assert ran.code in (2, 3), command
        assert ran.err.count("\n") == 1


def test_inspect_of_a_provider(run: Run) -> None:
    ran = run("inspect", PLUGIN)
    assert (ran.code, ran.err) == (0, "")
    for words in ("sha256", "generation", "C+", "extism:host/env", "chat_request", "It would be"):
        assert words in ran.out
    document = json.loads(run("inspect", PLUGIN, "--json").out)
    assert len(document["sha256"]) == 64
    assert document["size"] > 10_000
    assert {"chat", "chat_stream", "embed", "list_models"} <= set(document["capabilities"])
    assert document["memory_minimum"] > 0
    assert document["allowed"]["files"] == "none"
    assert any(e["name"] == "chat_request" and e["callable"] for e in document["exports"])


def test_inspect_of_another_plugin(run: Run, wat: Wat) -> None:
    document = json.loads(run("inspect", wat(source("http")), "--json").out)
    assert document["kind"] == "Extism plugin"
    assert document["generation"] is None
    assert document["says"] == {}
    assert "no host" in document["allowed"]["network"]
    assert "extism:host/env::http_request" in document["imports"]


HOSTILE = r"""(module
  (func (export "config_schema") (loop $l (br $l)))
  (func (export "chat"))
  (func (export "name") (loop $l (br $l)))
  (func (export "base_url") (unreachable))
  (func (export "\1b[2Jevil") (result i32) (i32.const 0)))
"""


def test_inspect_of_a_plugin_that_does_not_want_it(run: Run, wat: Wat) -> None:
    path = wat(HOSTILE)
    ran = run("inspect", path)
    assert ran.code == 0
    assert "\x1b" not in ran.out
    assert r"\e[2Jevil" in ran.out
    says = json.loads(run("inspect", path, "--json").out)["says"]
    assert says == {"name": "(OutOfFuel)", "base_url": "(Trap)"}
    assert json.loads(run("inspect", path, "--json", "--no-run").out)["says"] == {}
