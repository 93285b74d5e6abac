"""A kept-alive connection that the server closed meanwhile costs the caller nothing."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from fumehood.abi.http import HTTPRequest
from fumehood.egress.client import Client
from fumehood.egress.policy import Grant
from fumehood.errors import TransportError
from fumehood.limits import Limits
from fumehood.meter import Meter
from fumehood.testing.stub import StubServer

BODY = b'{"model":"m","messages":[{"role":"user","content":"x"}]}'


@pytest.fixture
def stub() -> Iterator[StubServer]:
    with StubServer() as server:
        yield server


def send(client: Client, stub: StubServer) -> Meter:
    meter = Meter(Limits(deadline=20))
    grant = Grant.of(["127.0.0.1"], ports=[stub.port])
    request = HTTPRequest("POST", f"{stub.url}chat/completions", (), BODY)
    assert client.send(request, grant, meter).status == 200
    return meter


def test_a_request_on_a_stale_connection_is_sent_again(stub: StubServer) -> None:
    stub.behave("stale")
    with Client() as client:
        send(client, stub)
        meter = send(client, stub)
    assert (len(stub.requests), stub.connections) == (2, 2)
    assert [exchange.status for exchange in meter.exchanges] == [200]


def test_a_fresh_connection_that_breaks_is_an_error(stub: StubServer) -> None:
    stub.behave("reset", "reset")
    with Client() as client, pytest.raises(TransportError) as raised:
        send(client, stub)
    assert raised.value.kind == "reset"
    assert stub.connections == 1
