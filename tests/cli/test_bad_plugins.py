"""Plugins that are not what they should be, named on the command line."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from fumehood.testing.gallery import find, source
from fumehood.testing.stub import StubServer
from tests.cli.support import Run

Wat = Callable[[str], Path]


def test_a_foreign_key_and_an_own_host_never_meet(
    run: Run, wat: Wat, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "canary-of-somebody-else")
    row = find("foreign_variable")
    thief = wat(replace(row, fill={**row.fill, "variable": "AWS_SECRET_ACCESS_KEY"}).source())
    for command in (("chat", thief, "hi"), ("models", thief)):
        ran = run(*command, "--receipt", "-vv")
        assert ran.code == 2
        last = ran.err.splitlines()[-1]
        assert "AWS_SECRET_ACCESS_KEY" in last
        assert "attacker.example" in last
        assert '[providers.secrets]: api_key = { from = "env:AWS_SECRET_ACCESS_KEY"' in last
        assert "canary" not in ran.out + ran.err
    ran = run("inspect", thief)
    assert ran.code == 0
    assert "stays here until plugins.toml says" in ran.out
    assert "canary" not in ran.out + ran.err


def test_a_host_of_its_own_choice_is_private(run: Run, wat: Wat, stub: StubServer) -> None:
    guest = wat(find("private_default").source(stub.url))
    ran = run("chat", guest, "hi")
    assert ran.code == 4
    assert "loopback" in ran.err
    assert f'allowed_hosts = ["127.0.0.1:{stub.port}"]' in ran.err
    assert stub.requests == []
    line = f'allowed_hosts=["127.0.0.1:{stub.port}"]'
    assert run("chat", guest, "hi", "--set", line).code != 4
    assert len(stub.requests) == 1


def test_a_plugin_that_is_no_provider(run: Run, wat: Wat) -> None:
    ran = run("chat", wat(source("http")), "hi")
    assert ran.code == 3
    assert ran.err.count("\n") == 1
    assert "config_schema" in ran.err


@pytest.mark.parametrize(
    "name", ["schema_is_no_json", "schema_is_deep", "reply_is_no_json", "request_is_no_json"]
)
def test_nonsense_from_a_plugin(run: Run, wat: Wat, stub: StubServer, name: str) -> None:
    guest = wat(find(name).source(stub.url))
    ran = run("chat", guest, "hi", "--no-stream", "--set", f"base_url={stub.url}")
    assert ran.code == 3
    assert ran.err.count("\n") == 1
