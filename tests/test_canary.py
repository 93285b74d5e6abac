"""The watch of tests/canary.py sees: a canary at each of its places is found."""

from __future__ import annotations

import base64
import json
import logging
import os

import pytest

from fumehood import Plugin
from fumehood.abi.http import HTTPRequest
from fumehood.egress.client import Client
from fumehood.egress.policy import Grant
from fumehood.errors import HostError, PluginError
from fumehood.limits import Limits
from fumehood.meter import Meter
from fumehood.provider import Provider, chain
from fumehood.testing.stub import StubServer
from tests.canary import _IN_ALL, _PLAIN, KEY, VALUE, VARIABLE, Watch

ECHO = """(module
  (import "extism:host/env" "input_offset" (func $input (result i64)))
  (import "extism:host/env" "input_length" (func $length (result i64)))
  (import "extism:host/env" "output_set" (func $output (param i64 i64)))
  (func (export "echo") (result i32) (call $output (call $input) (call $length)) (i32.const 0)))"""

KEEPS = f"""(module (memory (export "memory") 1)
  (data (i32.const 40000) "{KEY[:10]}") (data (i32.const 40010) "{KEY[10:]}")
  (func (export "run")))"""

CONFIG = """(module
  (import "extism:host/env" "alloc" (func $alloc (param i64) (result i64)))
  (import "extism:host/env" "store_u8" (func $store (param i64 i32)))
  (import "extism:host/env" "config_get" (func $get (param i64) (result i64)))
  (func (export "run") (result i32) (local $k i64)
    (local.set $k (call $alloc (i64.const 1)))
    (call $store (local.get $k) (i32.const 107))
    (drop (call $get (local.get $k))) (i32.const 0)))"""


def test_inputs_and_outputs(canary: Watch) -> None:
    with canary.expected() as found, Plugin(ECHO.encode()) as plugin:
        plugin.call("echo", f"x{VALUE}y")
    assert [hit for hit in found if "input" in hit]
    assert [hit for hit in found if "output" in hit]


def test_memory(canary: Watch) -> None:
    with canary.expected() as found, Plugin(KEEPS.encode()) as plugin:
        plugin.call("run")
    assert found == [f"{KEY} in a guest's memory"]


def test_the_kernels_memory(canary: Watch) -> None:
    with canary.expected() as found:
        with Plugin(ECHO.encode()) as plugin:
            plugin.call("echo", KEY)
    assert f"{KEY} in a guest's memory" in found


def test_what_host_functions_give(canary: Watch) -> None:
    with canary.expected() as found, Plugin(CONFIG.encode(), config={"k": VALUE}) as plugin:
        plugin.call("run")
    assert f"{VALUE} in what a host function gives" in found


@pytest.mark.parametrize(
    ("headers", "body", "hits"),
    [
        ((("authorization", f"Bearer {KEY}"),), b"", 0),
        ((("x-api-key", KEY),), b"", 0),
        ((("x-other", KEY),), b"", 1),
        ((("authorization", f"Bearer {VALUE}"),), b"", 1),
        ((("authorization", f"Bearer {KEY}"),), b"body " + KEY.encode(), 1),
        ((("authorization", f"Bearer {KEY}"),), base64.b64encode(b"x" + KEY.encode()), 1),
    ],
)
def test_the_wire(
    canary: Watch, headers: tuple[tuple[str, str], ...], body: bytes, hits: int
) -> None:
    with StubServer() as stub, Client() as client, canary.expected() as found:
        request = HTTPRequest("POST", stub.url, headers, body)
        client.send(request, Grant.of(base_url=stub.url), Meter(Limits()))
    assert len(found) == hits
    assert all("the wire" in hit for hit in found)


def test_logs_lines_receipts_and_errors(canary: Watch) -> None:
    with canary.expected() as found:
        logging.getLogger("fumehood.plugin.x").warning("it is %s", KEY)
        chain.seal(json.dumps({"plugin": KEY}).encode())
        Meter(Limits(), plugin=KEY).receipt()
        with pytest.raises(PluginError):
            raise PluginError(f"said {VALUE}")
        with pytest.raises(HostError):
            try:
                raise ValueError(KEY)
            except ValueError as cause:
                raise HostError("innocent") from cause
        with pytest.raises(HostError) as caught:
            error = HostError("innocent")
            error.guest_error = KEY
            raise error
    assert caught.value.message == "innocent"
    places = [hit.partition(" in ")[2] for hit in found]
    for place in ("a log record", "an audit line", "a receipt"):
        assert place in places
    assert places.count("an error") >= 3


def test_the_environment_holds_one() -> None:
    assert os.environ[VARIABLE] == VALUE


def test_a_chat_is_watched_at_every_place(canary: Watch) -> None:
    before = dict(canary.checked)
    with StubServer(api_key=KEY) as stub:
        config = {"model": "stub-1", "base_url": stub.url, "api_key": KEY}
        with Provider.open("bundled:openai", config=config) as provider:
            assert provider.chat("hi").text
    for place in (
        "a guest's input", "a guest's output", "a guest's memory", "the wire", "a receipt",
    ):  # fmt: skip
        assert canary.checked[place] > before.get(place, 0), place


def test_every_canary_has_what_the_quick_look_looks_for() -> None:
    assert all(_IN_ALL in secret for secret in _PLAIN)
