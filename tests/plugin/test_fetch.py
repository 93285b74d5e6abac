"""Modules by URL: one GET through egress, bounded in bytes and time (§3.2)."""

from __future__ import annotations

import hashlib
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

import fumehood.extism
from fumehood.egress.client import Client
from fumehood.errors import EgressDenied, LoadError, ManifestError, Timeout, TooMuch, TransportError
from fumehood.plugin.fetch import UrlFetch
from fumehood.plugin.manifest import ModuleSource, read
from fumehood.plugin.sources import module_bytes

MODULE = b'(module (func (export "run")))'
DIGEST = hashlib.sha256(MODULE).hexdigest()


class Handler(BaseHTTPRequestHandler):
    """Serves MODULE at /m and misbehaves elsewhere."""

    protocol_version = "HTTP/1.1"
    seen: list[tuple[str, str, str | None]]
    hold: threading.Event

    def do_GET(self) -> None:
        self.seen.append((self.command, self.path, self.headers.get("x-token")))
        port = self.server.server_address[1]
        if self.path.startswith("/to/"):
            self._answer(302, b"", f"http://{self.path[4:]}:{port}/m")
        elif self.path == "/round":
            self._answer(302, b"", "/round")
        elif self.path == "/slow":
            self.hold.wait(5)
            self._answer(200, MODULE)
        elif self.path == "/large":
            self._answer(200, b"x" * 5000)
        else:
            self._answer(200 if self.path == "/m" else 404, MODULE)

    do_POST = do_GET

    def _answer(self, status: int, body: bytes, location: str | None = None) -> None:
        self.send_response(status)
        if location:
            self.send_header("location", location)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Nothing on the tests' standard error."""


@pytest.fixture
def seen() -> list[tuple[str, str, str | None]]:
    return []


@pytest.fixture
def base(seen: list[tuple[str, str, str | None]]) -> Iterator[str]:
    hold = threading.Event()
    handler = type("Bound", (Handler,), {"seen": seen, "hold": hold})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    yield f"http://127.0.0.1:{server.server_address[1]}"
    hold.set()
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def client() -> Iterator[Client]:
    with Client() as found:
        yield found


def test_a_module_is_fetched_with_its_method_and_headers(
    base: str, client: Client, seen: list[tuple[str, str, str | None]]
) -> None:
    document = {
        "wasm": [
            {"url": f"{base}/m", "method": "post", "headers": {"X-Token": "t"}, "hash": DIGEST}
        ]
    }
    assert module_bytes(read(document).modules[0], UrlFetch(client)) == MODULE
    assert seen == [("POST", "/m", "t")]


def test_localhost_in_the_url_is_the_operator_s_word(base: str, client: Client) -> None:
    url = base.replace("127.0.0.1", "localhost") + "/m"
    assert UrlFetch(client)(ModuleSource(url=url), 1000) == MODULE


def test_redirects_are_followed_and_decided_anew(base: str, client: Client) -> None:
    fetch = UrlFetch(client)
    assert fetch(ModuleSource(url=f"{base}/to/127.0.0.1"), 1000) == MODULE
    with pytest.raises(EgressDenied):  # not public, and not what the manifest names
        fetch(ModuleSource(url=f"{base}/to/127.0.0.2"), 1000)
    with pytest.raises(EgressDenied):
        fetch(ModuleSource(url=f"{base}/to/localhost"), 1000)
    with pytest.raises(TransportError, match="redirects"):
        fetch(ModuleSource(url=f"{base}/round"), 1000)


def test_a_status_other_than_200_is_no_module(base: str, client: Client) -> None:
    with pytest.raises(LoadError, match=r"wasm\[2\]\.url: 127\.0\.0\.1 answered 404"):
        UrlFetch(client)(ModuleSource(url=f"{base}/none", where="wasm[2]"), 1000)


def test_bytes_and_time_are_bounded(base: str, client: Client) -> None:
    with pytest.raises(TooMuch) as caught:
        UrlFetch(client)(ModuleSource(url=f"{base}/large"), 4999)
    assert caught.value.limit == "response_bytes"
    started = time.monotonic()
    with pytest.raises(Timeout):
        UrlFetch(client, deadline=0.2)(ModuleSource(url=f"{base}/slow"), 1000)
    assert time.monotonic() - started < 2


@pytest.mark.parametrize("url", ["", "m.wasm", "http://", "file:///etc/passwd", "http://a b/"])
def test_what_is_no_url(url: str, client: Client) -> None:
    with pytest.raises(ManifestError, match=r"wasm\[0\]\.url: "):
        UrlFetch(client)(ModuleSource(url=url), 1000)


def test_a_plugin_from_a_url(base: str) -> None:
    for entry in ({"url": f"{base}/m"}, {"url": f"{base}/m", "hash": DIGEST.upper()}):
        with fumehood.extism.Plugin({"wasm": [entry]}) as plugin:
            assert plugin.call("run", "") == b""
    with pytest.raises(LoadError, match="Hash mismatch"):
        fumehood.extism.Plugin({"wasm": [{"url": f"{base}/m", "hash": "0" * 64}]})
