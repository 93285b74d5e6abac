"""Logs, HTTP and vars as the Extism face sets them up."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

import fumehood
import fumehood.extism as extism
from fumehood.extism import logs
from tests.extism import wat

GUEST = f"""(module {wat._IMPORTS}
  (import "extism:host/env" "input_offset" (func $input_offset (result i64)))
  (import "extism:host/env" "get_log_level" (func $get_log_level (result i32)))
  (import "extism:host/env" "log_info" (func $log_info (param i64)))
  (import "extism:host/env" "log_warn" (func $log_warn (param i64)))
  (import "extism:host/env" "var_get" (func $var_get (param i64) (result i64)))
  (import "extism:host/env" "var_set" (func $var_set (param i64 i64)))
  (import "extism:host/env" "http_request" (func $http_request (param i64 i64) (result i64)))
  (import "extism:host/env" "http_headers" (func $http_headers (result i64)))
  (import "extism:host/env" "http_status_code" (func $http_status_code (result i32)))
  (func $out (param $p i64) (call $output_set (local.get $p) (call $length (local.get $p))))
  (func $key (result i64) (local $p i64)
    (local.set $p (call $alloc (i64.const 1))) (call $store_u8 (local.get $p) (i32.const 107))
    (local.get $p))
  (func (export "level") (result i32) (local $p i64)
    (local.set $p (call $alloc (i64.const 1)))
    (call $store_u8 (local.get $p) (i32.add (i32.const 48) (call $get_log_level)))
    (call $out (local.get $p)) (i32.const 0))
  (func (export "info") (call $log_info (call $input_offset)))
  (func (export "warn") (call $log_warn (call $input_offset)))
  (func (export "keep") (call $var_set (call $key) (call $input_offset)))
  (func (export "kept") (call $out (call $var_get (call $key))))
  (func (export "kept_then_trap") (call $out (call $var_get (call $key))) unreachable)
  (func (export "fetch") (call $out (call $http_request (call $input_offset) (i64.const 0))))
  (func (export "headers") (call $out (call $http_headers)))
  (func (export "status") (result i32) (call $http_status_code)))"""


@pytest.fixture(autouse=True)
def _sink() -> Iterator[None]:
    yield
    if logs._sink is not None:
        logs.LOGGER.removeHandler(logs._sink)
        logs._sink.close()
    logs._sink = None
    logs.LOGGER.setLevel(logs._OFF)
    logs.LOGGER.propagate = True


class Handler(BaseHTTPRequestHandler):
    """Answers with the request's headers; /to/HOST redirects there."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        if self.path.startswith("/to/"):
            self.send_response(302)
            self.send_header("location", f"http://{self.path[4:]}:{self.server.server_address[1]}/")
            body = b""
        else:
            self.send_response(404 if self.path == "/none" else 200)
            body = json.dumps({k.lower(): v for k, v in self.headers.items()}).encode()
        self.send_header("X-Mine", "one")
        self.send_header("X-Mine", "two")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Nothing on the tests' standard error."""


@pytest.fixture
def base() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    yield f"http://127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    thread.join()
    server.server_close()


def made(**options: Any) -> extism.Plugin:
    names = ("memory", "allowed_hosts", "timeout_ms")
    manifest = {name: options.pop(name) for name in names if name in options}
    document = {"wasm": [{"data": GUEST.encode()}], **manifest}
    return extism.Plugin(document, functions=[], **options)


def request(url: str, **headers: str) -> str:
    return json.dumps({"url": url, "headers": headers})


# -- logs -------------------------------------------------------------------------------------


def test_logs_are_off_until_they_are_asked_for() -> None:
    with made() as plugin:
        assert plugin.call("level", "") == bytes([(48 + 0x7FFFFFFF) & 0xFF])
        plugin.call("warn", "unseen")


def test_lines_carry_the_plugin_s_id() -> None:
    lines: list[str] = []
    logger = extism.set_log_custom(lines.append, "warn")
    with made() as one, made() as other:
        assert one.call("level", "") == b"3"
        one.call("warn", "first")
        one.call("info", "below the level")
        other.call("warn", "second\nline")
        logger.drain()
        assert [line[27:] for line in lines] == [
            f'  WARN extism::pdk: first plugin="{one.id}"\n',
            f'  WARN extism::pdk: second\\nline plugin="{other.id}"\n',
        ]


# -- vars -------------------------------------------------------------------------------------


def test_vars_outlive_calls_traps_and_resets_but_not_the_plugin() -> None:
    compiled = extism.CompiledPlugin(GUEST, functions=[])
    with extism.Plugin(compiled) as plugin:
        plugin.call("keep", "value")
        with pytest.raises(fumehood.Trap):
            plugin.call("kept_then_trap", "")
        assert plugin.call("kept", "") == b"value"
        plugin.reset()
        assert plugin.call("kept", "") == b"value"
        with extism.Plugin(compiled) as other:
            assert other.call("kept", "") == b""


def test_the_manifest_s_limit_of_vars() -> None:
    with made(memory={"max_var_bytes": 100}) as plugin:
        plugin.call("keep", "x" * 51)
        plugin.call("keep", "y" * 51)  # what it replaces does not count
        with pytest.raises(extism.Error, match="Variable store is full"):
            plugin.call("keep", "z" * 52)
        assert plugin.call("kept", "") == b"y" * 51
    with made(memory={"max_var_bytes": 0}) as plugin:
        with pytest.raises(extism.Error, match="Vars are disabled by this host"):
            plugin.call("keep", "x")
        assert plugin.call("kept", "") == b""


# -- HTTP -------------------------------------------------------------------------------------


@pytest.mark.parametrize("hosts", [None, [], ["other"], ["LOCALHOST:1"]])
def test_no_host_is_allowed_unless_it_is_named(base: str, hosts: Any) -> None:
    with made(allowed_hosts=hosts) as plugin, pytest.raises(fumehood.EgressDenied):
        plugin.call("fetch", request(base))


def test_statuses_are_answers(base: str) -> None:
    with made(allowed_hosts=["127.0.0.1"]) as plugin:
        got = json.loads(plugin.call("fetch", request(base, **{"X-Key": "k"})))
        assert got["x-key"] == "k"
        plugin.call("fetch", request(base + "/none"))
        with pytest.raises(extism.Error, match="Error code: 404"):
            plugin.call("status", "")


def test_reply_headers_are_an_option(base: str) -> None:
    with made(allowed_hosts=["127.*"]) as plugin:
        plugin.call("fetch", request(base))
        assert plugin.call("headers", "") == b""
    with made(allowed_hosts=["127.*"], http_response_headers=True) as plugin:
        plugin.call("fetch", request(base))
        assert json.loads(plugin.call("headers", ""))["x-mine"] == "one, two"


def test_redirects_are_decided_anew_and_lose_the_guest_s_headers(base: str) -> None:
    with made(allowed_hosts=["127.0.0.1"]) as plugin:
        again = request(base + "/to/127.0.0.1", **{"X-Key": "k"})
        assert json.loads(plugin.call("fetch", again))["x-key"] == "k"
        with pytest.raises(fumehood.EgressDenied, match="localhost"):
            plugin.call("fetch", request(base + "/to/localhost"))
    with made(allowed_hosts=["127.0.0.1", "localhost"]) as plugin:
        away = request(base + "/to/localhost", **{"X-Key": "k", "Authorization": "a"})
        got = json.loads(plugin.call("fetch", away))
        assert got["host"].startswith("localhost:")
        assert {"x-key", "authorization"}.isdisjoint(got)
