"""Headers and request lines by which a guest would say more than its one request."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Final

from fumehood.egress.policy import Grant
from fumehood.testing.gallery.attacks import HARMLESS, STUB, Attack
from fumehood.testing.gallery.documents import get, wire
from fumehood.testing.gallery.stage import Stage, environment
from fumehood.testing.stub import Reply

FRAMES: Final = "A guest sets no header that frames or routes a request."
LINES: Final = "A guest cannot break out of the line that it fills in."
AMBIENT: Final = "Proxies, .netrc and cookies of the host's are none of a guest's business."

HEADERS: Final[Mapping[str, tuple[str, str]]] = {
    "transfer_encoding": ("Transfer-Encoding", "chunked"),
    "transfer_encoding_case": ("tRaNsFeR-eNcOdInG", "identity"),
    "transfer_encoding_underscore": ("Transfer_Encoding", "chunked"),
    "content_length_short": ("Content-Length", "3"),
    "content_length_long": ("Content-Length", "300"),
    "content_length_signed": ("Content-Length", "+0"),
    "content_length_list": ("Content-Length", "0, 0"),
    "content_length_underscore": ("Content_Length", "5"),
    "other_host": ("Host", "attacker.example"),
    "other_port": ("Host", "127.0.0.1:1"),
    "two_hosts": ("Host", "127.0.0.1, attacker.example"),
    "connection": ("Connection", "close, x-api-key"),
    "keep_alive": ("Keep-Alive", "timeout=1000"),
    "te": ("TE", "trailers"),
    "trailer": ("Trailer", "Content-Length"),
    "upgrade": ("Upgrade", "websocket"),
    "http2_settings": ("HTTP2-Settings", "AAMAAABkAAQCAAAAAAIAAAAA"),
    "expect": ("Expect", "100-continue"),
    "cookie": ("Cookie", "session=stolen"),
    "cookie2": ("Cookie2", "$Version=1"),
    "proxy_authorization": ("Proxy-Authorization", "Basic Z3Vlc3Q="),
    "proxy_connection": ("Proxy-Connection", "keep-alive"),
    "proxy_anything": ("Proxy-Anything", "yes"),
}
NOT_HEADERS: Final[Mapping[str, tuple[str, str]]] = {
    "line_feed": ("X-A", "b\nX-Injected: yes"),
    "carriage_return": ("X-A", "b\rX-Injected: yes"),
    "fold": ("X-A", "b\r\n X-Injected: yes"),
    "null": ("X-A", "b\0c"),
    "escape": ("X-A", "b\x1b[2J"),
    "delete": ("X-A", "b\x7f"),
    "name_line": ("X-A: b\r\nX-Injected", "yes"),
    "name_space": ("X-A ", "b"),
    "name_colon": ("Transfer-Encoding:", "chunked"),
    "name_empty": ("", "b"),
    "name_pseudo": (":authority", "attacker.example"),
    "name_unicode": ("X-\u0131", "b"),
    "name_null": ("X-A\0", "b"),
}
REQUEST_LINES: Final[Mapping[str, str]] = {
    "uri_line": f"{STUB}models HTTP/1.1\r\nX-Injected: yes\r\n\r\n",
    "uri_tab": f"{STUB}models\tHTTP/1.0",
    "uri_null": f"{STUB}models\0",
    "uri_line_feed": f"{STUB}\nmodels",
}
METHODS: Final[Mapping[str, str]] = {
    "method_connect": "CONNECT",
    "method_trace": "TRACE",
    "method_pri": "PRI",
    "method_line": "GET / HTTP/1.1\r\nX-Injected: yes\r\n\r\nGET",
    "method_space": "GET /admin",
    "method_empty": "",
}


def _refused(name: str, promise: str, document: str, expect: str, **detail: str) -> Attack:
    return Attack(
        f"smuggle_{name}",
        "headers",
        promise,
        expect,
        guest="http",
        input=document,
        allowed_hosts=("127.0.0.1",),
        detail=detail,
        replies=0,
    )


def _seen(stage: Stage, headers: Mapping[str, str]) -> None:
    """`host` and `content-length` that say what ours say are dropped: the stub gets each once."""
    server = stage.stub()
    headers = {k: v.replace("HOST", f"127.0.0.1:{server.port}") for k, v in headers.items()}
    attacker = stage.guest(
        stage.compiled("http"), client=stage.client(), grant=Grant.extism(["127.0.0.1"])
    )
    attacker.call(get(f"{server.url}models", headers=headers).encode())
    names = [name for name, _ in server.requests[-1].headers]
    stage.require(len(server.requests) == 1, f"{len(server.requests)} requests came")
    stage.require(len(names) == len(set(names)), f"a header came twice: {names}")
    stage.require(server.requests[-1].header("host") == f"127.0.0.1:{server.port}", "other host")


def _space(stage: Stage) -> None:
    """A space in a URL is encoded: the rest of the line stays part of the path."""
    server = stage.stub()
    attacker = stage.guest(
        stage.compiled("http"), client=stage.client(), grant=Grant.extism(["127.0.0.1"])
    )
    attacker.call(get(f"{server.url}models HTTP/1.0").encode())
    target = server.requests[-1].target
    stage.require(target == "/v1/models%20HTTP/1.0", f"the target was {target!r}")


def _wire_value(stage: Stage) -> None:
    """A value that is not ASCII is left out, as QueryMT's hosts leave it out."""
    server = stage.stub()
    attacker = stage.guest(
        stage.compiled("qmt_http"),
        client=stage.client(),
        grant=Grant.of(["127.0.0.1"], ports=[server.port]),
    )
    attacker.call(wire(f"{server.url}models", **{"x-a": "caf\u00e9 \u560a\u560d"}).encode())
    stage.require(server.requests[-1].header("x-a") is None, "the value went out")


def _cookies(stage: Stage) -> None:
    """A cookie that a host sets is not sent again."""
    server = stage.stub()
    server.behave(lambda _request: Reply(200, (("set-cookie", "session=1; Path=/"),), b"{}"))
    attacker = stage.guest(
        stage.compiled("http"), client=stage.client(), grant=Grant.extism(["127.0.0.1"])
    )
    for _ in range(2):
        attacker.call(get(f"{server.url}models").encode())
    stage.require(server.requests[-1].header("cookie") is None, "a cookie was sent")


def _proxies(stage: Stage) -> None:
    """Variables that name a proxy, and a file with passwords."""
    proxy, server = stage.stub(), stage.stub()
    netrc = stage.folder() / "netrc"
    netrc.write_text("default login operator password canary-of-netrc\n")
    netrc.chmod(0o600)
    bait = dict.fromkeys(("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"), proxy.root)
    bait |= {"NETRC": str(netrc), "NO_PROXY": "", "no_proxy": ""}
    with environment(bait):
        attacker = stage.guest(
            stage.compiled("http"), client=stage.client(), grant=Grant.extism(["127.0.0.1"])
        )
        attacker.call(get(f"{server.url}models").encode())
    stage.require(not proxy.connections, "the proxy was used")
    stage.require(server.requests[-1].header("authorization") is None, "a password was sent")


def _quiet(name: str, promise: str, run: Callable[[Stage], None], group: str = "headers") -> Attack:
    return Attack(name, group, promise, HARMLESS, limits={"deadline": 3.0}, run=run)


SMUGGLING: Final = (
    *(
        _refused(name, FRAMES, get(f"{STUB}models", headers={header: value}), "EgressDenied",
                 reason="header")
        for name, (header, value) in HEADERS.items()
    ),
    *(
        _refused(name, LINES, get(f"{STUB}models", headers={header: value}), "ProtocolError")
        for name, (header, value) in NOT_HEADERS.items()
    ),
    *(
        _refused(name, LINES, get(url), "EgressDenied", reason="url")
        for name, url in REQUEST_LINES.items()
    ),
    *(
        _refused(name, LINES, get(f"{STUB}models", method=method), "GuestError")
        for name, method in METHODS.items()
    ),
    _refused(
        "many_headers",
        FRAMES,
        get(f"{STUB}models", headers={f"x-{number}": "y" for number in range(200)}),
        "EgressDenied",
        reason="header",
    ),
    _refused(
        "long_headers",
        FRAMES,
        get(f"{STUB}models", headers={"x-a": "y" * 70_000}),
        "EgressDenied",
        reason="header",
    ),
    _quiet("own_host_again", FRAMES, partial(_seen, headers={"Host": "HOST"})),
    _quiet("own_length_again", FRAMES, partial(_seen, headers={"Content-Length": "0"})),
    _quiet(
        "own_encodings", FRAMES, partial(_seen, headers={"Accept-Encoding": "zstd, br"})
    ),
    _quiet("space_in_uri", LINES, _space),
    _quiet("value_not_ascii", LINES, _wire_value),
    _quiet("cookie_jar", AMBIENT, _cookies, "proxies, .netrc, cookies"),
    _quiet("proxy_environment", AMBIENT, _proxies, "proxies, .netrc, cookies"),
)  # fmt: skip
