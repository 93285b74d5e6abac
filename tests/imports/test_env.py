"""`extism:host/env` as extism-abi.md §1.2, §1.6 and §3.5 have it."""

from __future__ import annotations

import json
from typing import Any

import pytest

from fumehood.abi.http import HTTPResponse
from fumehood.egress.policy import Grant
from fumehood.engine import HostCall
from fumehood.errors import EgressDenied, Error, ProtocolError, TooMuch, TransportError
from fumehood.imports import Services, VarStore, env
from tests.imports.hosting import FakeClient, functions, within

F = functions(env.imports())
GRANT = Grant.extism(["*"])


def services(**more: Any) -> Services:
    return Services(config={"key": "value", "empty": "", "": "nameless"}, **more)


def test_config_get() -> None:
    def script(call: HostCall) -> None:
        def get(key: bytes) -> bytes:
            handle = call.write(key)
            found = F["config_get"](call, handle)
            assert call.length(handle) == 0  # consumed
            return call.read(found)

        assert get(b"key") == b"value"
        assert F["config_get"](call, call.write(b"empty")) == 0
        assert F["config_get"](call, call.write(b"missing")) == 0
        assert call.read(F["config_get"](call, 0)) == b"nameless"

    within(script, services())


@pytest.mark.parametrize("name", ["config_get", "var_get"])
def test_keys_that_are_no_blocks_or_no_text(name: str) -> None:
    with pytest.raises(ProtocolError, match=r"invalid handle offset for .* key: 81"):
        within(lambda call: F[name](call, 81), services())
    with pytest.raises(ProtocolError, match="not UTF-8"):
        within(lambda call: F[name](call, call.write(b"\xff")), services())


def test_vars_come_back_as_copies_and_an_empty_value_deletes() -> None:
    box = services()

    def script(call: HostCall) -> None:
        F["var_set"](call, call.write(b"k"), call.write(b"v" * 10))
        first, second = (F["var_get"](call, call.write(b"k")) for _ in range(2))
        assert first != second
        assert call.read(first) == b"v" * 10
        F["var_set"](call, call.write(b"k"), 0)
        assert F["var_get"](call, call.write(b"k")) == 0

    within(script, box)
    assert len(box.vars) == 0


def test_var_bytes_at_the_limit_and_one_beyond() -> None:
    def setting(size: int) -> Any:
        return lambda call: F["var_set"](call, call.write(b"k"), call.write(bytes(size)))

    within(setting(51), services(vars=VarStore(100)))
    with pytest.raises(TooMuch) as caught:
        within(setting(52), services(vars=VarStore(100)))
    assert caught.value.limit == "var_bytes"


def request(url: str = "http://h/", **more: Any) -> bytes:
    return json.dumps({"url": url, **more}).encode()


def test_http_request_gives_body_status_and_headers() -> None:
    reply = HTTPResponse(
        404, (("x-a", "1"), ("x-a", "2"), ("set-cookie", "a"), ("set-cookie", "b")), b"gone"
    )
    client = FakeClient(reply)
    box = services(client=client, grant=GRANT, follow=10)

    def script(call: HostCall) -> None:
        assert F["http_status_code"](call) == 0
        assert F["http_headers"](call) == 0
        wanted = call.write(request(method="post", headers={"A": "b"}))
        body = call.write(b"data")
        assert call.read(F["http_request"](call, wanted, body)) == b"gone"
        assert (call.length(wanted), call.length(body)) == (0, 0)
        assert F["http_status_code"](call) == 404
        headers = json.loads(call.read(F["http_headers"](call)))
        assert headers == {"x-a": "1, 2", "set-cookie": "a\nb"}

    within(script, box)
    sent = client.asked[0]
    assert (sent.method, sent.uri, sent.body) == ("POST", "http://h/", b"data")
    assert client.options[0]["follow"] == 10


def test_http_headers_can_be_off_and_an_empty_body_is_handle_0() -> None:
    box = services(client=FakeClient(HTTPResponse(204)), grant=GRANT, response_headers=False)

    def script(call: HostCall) -> None:
        assert F["http_request"](call, call.write(request()), 0) == 0
        assert F["http_headers"](call) == 0
        assert F["http_status_code"](call) == 204

    within(script, box)


@pytest.mark.parametrize("error", [EgressDenied("no", host="h"), TransportError("x", kind="dns")])
def test_a_refused_or_failed_request_stops_the_guest_and_clears_the_status(error: Error) -> None:
    box = services(client=FakeClient(HTTPResponse(200), error), grant=GRANT)

    def script(call: HostCall) -> None:
        F["http_request"](call, call.write(request()), 0)
        F["http_request"](call, call.write(request()), 0)

    with pytest.raises(type(error)) as caught:
        within(script, box)
    assert caught.value is error
    assert box.http_status == 0


@pytest.mark.parametrize(
    "document", [b"", b"{", b"[]", b"{}", request(extra=1), request(headers=None), b"\xff"]
)
def test_bad_requests_stop_the_guest(document: bytes) -> None:
    with pytest.raises(ProtocolError):
        within(
            lambda call: F["http_request"](call, call.write(document), 0),
            services(client=FakeClient(), grant=GRANT),
        )


def test_without_a_grant_there_is_no_network() -> None:
    with pytest.raises(EgressDenied):
        within(lambda call: F["http_request"](call, call.write(request()), 0), services())
