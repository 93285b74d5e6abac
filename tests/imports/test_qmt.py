"""The six functions of `extism:host/user` (provider-abi.md §2.1)."""

from __future__ import annotations

import json
from typing import Any

import pytest

from fumehood.abi.http import HTTPRequest, HTTPResponse, encode_request
from fumehood.egress.policy import Grant
from fumehood.engine import HostCall
from fumehood.errors import Cancelled, EgressDenied, ProtocolError, TransportError
from fumehood.imports import Services, qmt
from tests.imports.hosting import FakeClient, FakeStream, functions, within

F = functions(qmt.imports())
GRANT = Grant.extism(["*"])
WANTED = encode_request(HTTPRequest("POST", "https://h/x", (("a", "b"),), b"body"))


def services(*answers: Any, **more: Any) -> Services:
    return Services(client=FakeClient(*answers), grant=GRANT, **more)  # type: ignore[arg-type]


def document(call: HostCall, handle: int) -> Any:
    return json.loads(call.read(handle))


def test_http_request_answers_with_the_reply() -> None:
    box = services(HTTPResponse(201, (("x", "1"),), b"ok", "HTTP/1.1"))

    def script(call: HostCall) -> None:
        reply = document(call, F["qmt_http_request"](call, call.write(WANTED)))
        assert reply == {
            "resp": {
                "head": {"status": 201, "headers": {"x": "1"}, "version": "HTTP/1.1"},
                "body": [111, 107],
            }
        }

    within(script, box)
    assert box.client.asked[0].body == b"body"  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("error", "status", "text"),
    [
        (EgressDenied("no", host="evil.example"), 403, "Host 'evil.example' not in allowlist"),
        (TransportError("refused", kind="connect"), 500, "refused"),
    ],
)
def test_http_request_reports_trouble_as_a_reply_and_remembers_it(
    error: Exception, status: int, text: str
) -> None:
    box = services(error)

    def script(call: HostCall) -> None:
        reply = document(call, F["qmt_http_request"](call, call.write(WANTED)))["resp"]
        assert (reply["head"]["status"], bytes(reply["body"]).decode()) == (status, text)

    within(script, box)
    assert box.failure is error


def test_without_a_network_every_host_is_denied() -> None:
    box = Services()

    def script(call: HostCall) -> None:
        reply = document(call, F["qmt_http_request"](call, call.write(WANTED)))["resp"]
        assert reply["head"]["status"] == 403
        opened = document(call, F["qmt_http_stream_open"](call, call.write(WANTED)))
        assert opened["status"] == "error"

    within(script, box)
    assert isinstance(box.failure, EgressDenied)


@pytest.mark.parametrize("name", ["qmt_http_request", "qmt_http_stream_open"])
@pytest.mark.parametrize("data", [b"", b"{}", b'{"req":{}}', b"\xff"])
def test_bad_requests_stop_the_guest(name: str, data: bytes) -> None:
    with pytest.raises(ProtocolError):
        within(lambda call: F[name](call, call.write(data)), services())


def test_a_stream_is_read_to_its_end_and_closed() -> None:
    stream = FakeStream(200, [b"one", b"two"])
    box = services(stream)

    def script(call: HostCall) -> None:
        assert document(call, F["qmt_http_stream_open"](call, call.write(WANTED))) == {
            "status": "ok",
            "stream_id": 1,
        }
        got = [F["qmt_http_stream_next"](call, call.write(b"1")) for _ in range(4)]
        assert [call.read(h) for h in got[:2]] == [b"one", b"two"]
        assert got[2:] == [0, 0]
        F["qmt_http_stream_close"](call, call.write(b"1"))
        F["qmt_http_stream_close"](call, call.write(b"1"))

    within(script, box)
    assert stream.closed == 1
    assert box.streams == {}


def test_ids_count_up_and_unknown_ones_are_refused() -> None:
    box = services(FakeStream(200, [b"a"]), FakeStream(200, [b"b"]))

    def script(call: HostCall) -> None:
        for number in (1, 2):
            opened = document(call, F["qmt_http_stream_open"](call, call.write(WANTED)))
            assert opened["stream_id"] == number
        assert F["qmt_http_stream_next"](call, call.write(b"0")) == 0
        for number in (b"0", b"3", b"-1"):
            F["qmt_http_stream_close"](call, call.write(number))
        F["qmt_http_stream_close"](call, call.write(b"2"))
        F["qmt_http_stream_next"](call, call.write(b"2"))

    with pytest.raises(ProtocolError, match="no stream has the id 2"):
        within(script, box)
    box.close()
    box.close()
    assert box.streams == {}


def test_a_refused_status_is_classified_with_its_body() -> None:
    stream = FakeStream(429, [b'{"error":{"message":"slow down"}}'])
    box = services(stream)

    def script(call: HostCall) -> None:
        opened = document(call, F["qmt_http_stream_open"](call, call.write(WANTED)))
        assert (opened["status"], opened["error_code"]) == ("error", 4)
        assert json.loads(opened["plugin_error"]) == {
            "payload": {"type": "rate_limited", "message": "slow down", "retry_after_secs": 7}
        }

    within(script, box)
    assert stream.closed == 1


@pytest.mark.parametrize(
    ("error", "payload"),
    [
        (EgressDenied("no", host="h"), {"type": "auth_error", "message": "no"}),
        (
            TransportError("x", kind="connect"),
            {"type": "transport", "kind": "connection_refused", "message": "x"},
        ),
    ],
)
def test_a_stream_that_cannot_be_opened_is_an_error_result(
    error: Exception, payload: dict[str, str]
) -> None:
    box = services(error)

    def script(call: HostCall) -> None:
        opened = document(call, F["qmt_http_stream_open"](call, call.write(WANTED)))
        assert json.loads(opened["plugin_error"]) == {"payload": payload}

    within(script, box)
    assert box.failure is error


def test_chunks_reach_the_listener_untouched() -> None:
    got: list[bytes] = []

    def listen(data: bytes) -> bool:
        got.append(data)
        return True

    def script(call: HostCall) -> None:
        F["qmt_yield_chunk"](call, call.write(b'{"a":\xff}'))
        F["qmt_yield_chunk"](call, 0)

    within(script, services(on_chunk=listen))
    assert got == [b'{"a":\xff}', b""]


def test_a_listener_that_is_gone_cancels_the_operation() -> None:
    calls: list[bytes] = []

    def gone(data: bytes) -> bool:
        calls.append(data)
        return False

    def script(call: HostCall) -> None:
        F["qmt_yield_chunk"](call, call.write(b"1"))
        F["qmt_yield_chunk"](call, call.write(b"2"))

    with pytest.raises(Cancelled):
        within(script, services(on_chunk=gone))
    assert calls == [b"1"]
