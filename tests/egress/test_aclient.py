"""What is the asynchronous client's own: cancelled tasks, several requests at once, its loop."""

from __future__ import annotations

import gc
import threading
import time
from pathlib import Path

import anyio
import pytest

from fumehood.abi.http import HTTPRequest
from fumehood.egress.aclient import AsyncClient, AsyncResponseStream
from fumehood.egress.policy import Grant
from fumehood.errors import Cancelled, ClosedError, Error, TooMuch, TransportError, UsageError
from fumehood.limits import Limits
from fumehood.meter import Meter
from tests.egress.conftest import Authority
from tests.egress.servers import Peer, Server, always, chunked, serving

pytestmark = pytest.mark.anyio


@pytest.fixture(params=["asyncio", "trio"])
def anyio_backend(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def grant(server: Server) -> Grant:
    return Grant.of(["127.0.0.1"], ports=[server.port])


def request(server: Server) -> HTTPRequest:
    return HTTPRequest("GET", server.url)


async def opened(
    client: AsyncClient, server: Server, meter: Meter | None = None
) -> AsyncResponseStream:
    return await client.stream(request(server), grant(server), meter or Meter(Limits(deadline=10)))


def watch(peer: Peer) -> None:
    """Streams until the client closes."""
    if peer.request() is not None:
        peer.send(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n")
        peer.sock.recv(1)


def silent(peer: Peer) -> None:
    """Takes the request and says nothing until the client closes."""
    if peer.request() is not None:
        peer.sock.recv(1)


async def ended(server: Server, connections: int) -> bool:
    """Whether the server sees that the client closed them all."""
    with anyio.move_on_after(5):
        while True:
            with server._lock:
                if not server._open:
                    return server.connections == connections
            await anyio.sleep(0.005)
    return False


async def test_closed_and_dropped_streams_leave_no_socket() -> None:
    with serving(watch) as server:
        async with AsyncClient() as client:
            stream = await opened(client, server)
            assert await stream.read() == b"abc"
            stream.close()
            stream.close()
            with pytest.raises(ClosedError):
                await stream.read()
            account = Meter(Limits())
            stream = await opened(client, server, account)
            assert await stream.read() == b"abc"
            del stream
            gc.collect()
            assert [exchange.received for exchange in account.exchanges] == [3]
            async with await opened(client, server):
                pass
            assert await ended(server, 3)


@pytest.mark.parametrize("handler", [silent, watch])
async def test_a_cancelled_task_closes_its_socket(handler: object) -> None:
    with serving(handler) as server:  # type: ignore[arg-type]
        account = Meter(Limits())
        async with AsyncClient() as client:
            with anyio.move_on_after(0.1) as scope:
                await client.send(request(server), grant(server), account)
            assert scope.cancelled_caught
            assert await ended(server, 1)
            assert len(account.exchanges) == 1


async def test_a_cancelled_dial_leaves_nothing() -> None:
    with serving(silent) as server:
        async with AsyncClient() as client:
            with anyio.CancelScope() as scope:
                scope.cancel()
                await client.send(request(server), grant(server), Meter(Limits()))
            assert scope.cancelled_caught


async def test_cancel_from_another_thread_ends_a_wait() -> None:
    with serving(silent) as server:
        account = Meter(Limits(deadline=30))
        async with AsyncClient() as client:
            timer = threading.Timer(0.1, account.cancel)
            timer.start()
            began = time.monotonic()
            with pytest.raises(Cancelled):
                await client.send(request(server), grant(server), account)
            assert time.monotonic() - began < 5
            timer.join()
            assert await ended(server, 1)


async def test_many_requests_at_once_then_few_connections() -> None:
    with serving(always(b"abc")) as server:
        async with AsyncClient() as client:
            bodies: list[bytes] = []

            async def one() -> None:
                reply = await client.send(request(server), grant(server), Meter(Limits()))
                bodies.append(reply.body)

            for _ in range(3):
                async with anyio.create_task_group() as group:
                    for _ in range(40):
                        group.start_soon(one)
            assert bodies == [b"abc"] * 120
            assert server.connections <= 40
        assert await ended(server, server.connections)


async def test_a_slow_reader_slows_the_sender() -> None:
    sent = 0

    def flood(peer: Peer) -> None:
        nonlocal sent
        peer.request()
        peer.send(b"HTTP/1.1 200 OK\r\ncontent-length: 40000000\r\n\r\n")
        for _ in range(400):
            peer.send(b"x" * 100_000)
            sent += 1

    with serving(flood) as server:
        async with AsyncClient() as client:
            stream = await opened(client, server)
            assert await stream.read()
            before = -1
            while before != sent:  # until the sender stands still
                before = sent
                await anyio.sleep(0.2)
            assert sent < 200  # what the kernel's buffers hold, no more
            total = 0
            while data := await stream.read():
                assert len(data) <= 64 * 1024
                total += len(data)
            assert total + 1 > 39_000_000


async def test_the_pieces_of_a_body_are_capped(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fumehood.egress.aclient.CHUNK_CAP", 20)
    async with AsyncClient() as client:
        with serving(chunked(*[b"a"] * 20)) as server:
            reply = await client.send(request(server), grant(server), Meter(Limits()))
            assert reply.body == b"a" * 20
        with serving(chunked(*[b"a"] * 21)) as server:
            with pytest.raises(TooMuch, match="20 pieces"):
                await client.send(request(server), grant(server), Meter(Limits()))


async def test_a_body_of_tiny_chunks_lets_other_tasks_run() -> None:
    ticks = 0
    with serving(chunked(*[b"a"] * 20_000)) as server:
        async with AsyncClient() as client, anyio.create_task_group() as group:

            async def tick() -> None:
                nonlocal ticks
                while True:
                    await anyio.sleep(0)
                    ticks += 1

            group.start_soon(tick)
            reply = await client.send(request(server), grant(server), Meter(Limits()))
            group.cancel_scope.cancel()
    assert len(reply.body) == 20_000
    assert ticks > 100


async def test_more_than_it_should_have_sent_ends_a_connection() -> None:
    def generous(peer: Peer) -> None:
        while peer.request() is not None:
            peer.send(b"HTTP/1.1 200 OK\r\ncontent-length: 1\r\n\r\naHTTP/1.1 200 OK\r\n")

    with serving(generous) as server:
        async with AsyncClient() as client:
            for _ in range(3):
                reply = await client.send(request(server), grant(server), Meter(Limits()))
                assert reply.body == b"a"
        assert server.connections == 3


async def test_tls_over_many_reads(authority: Authority) -> None:
    body = bytes(range(256)) * 2048
    with serving(always(body), tls=authority.server("127.0.0.1")) as server:
        async with AsyncClient(ca_file=authority.file) as client:
            for _ in range(2):
                reply = await client.send(request(server), grant(server), Meter(Limits()))
                assert reply.body == body
        assert server.connections == 1


async def test_through_a_proxy() -> None:
    with serving(always(b"proxied")) as proxy, serving(always()) as target:
        async with AsyncClient(proxy=f"http://user:pw@127.0.0.1:{proxy.port}") as client:
            reply = await client.send(request(target), grant(target), Meter(Limits()))
        assert reply.body == b"proxied"
        assert proxy.seen[0].line == f"GET {target.url}/ HTTP/1.1"
        assert proxy.seen[0].header("proxy-authorization") == "Basic dXNlcjpwdw=="
        assert target.connections == 0


async def test_through_a_tunnel(authority: Authority) -> None:
    def tunnel(peer: Peer) -> None:
        seen = peer.request()
        assert seen is not None
        if seen.header("proxy-authorization") is None:
            peer.reply(status="403 No")
            return
        peer.send(b"HTTP/1.1 200 OK\r\n\r\n")
        with authority.server("127.0.0.1").wrap_socket(peer.sock, server_side=True) as inner:
            peer.sock = inner
            peer.request()
            peer.reply(b"inside")
            inner.recv(1)

    with serving(tunnel) as proxy:
        wanted = Grant.of(["127.0.0.1"], ports=[4430])
        asked = HTTPRequest("GET", "https://127.0.0.1:4430/x")
        async with AsyncClient(
            proxy=f"http://user:pw@127.0.0.1:{proxy.port}", ca_file=authority.file
        ) as client:
            reply = await client.send(asked, wanted, Meter(Limits()))
            assert reply.body == b"inside"
            assert [seen.line for seen in proxy.seen] == [
                "CONNECT 127.0.0.1:4430 HTTP/1.1",
                "GET /x HTTP/1.1",
            ]
        async with AsyncClient(proxy=f"http://127.0.0.1:{proxy.port}") as client:
            with pytest.raises(TransportError, match="proxy refused") as caught:
                await client.send(asked, wanted, Meter(Limits()))
            assert caught.value.kind == "connect"
        assert await ended(proxy, 2)


async def test_a_closed_client() -> None:
    with serving(always()) as server:
        client = AsyncClient()
        await client.send(request(server), grant(server), Meter(Limits()))
        client.close()
        client.close()
        with pytest.raises(ClosedError):
            await client.send(request(server), grant(server), Meter(Limits()))
        assert await ended(server, 1)


async def test_a_bad_bundle_is_said_at_once(tmp_path: Path) -> None:
    with pytest.raises(Error, match="ca_file"):
        AsyncClient(ca_file=str(tmp_path / "none.pem"))


def test_it_belongs_to_one_event_loop() -> None:
    with serving(always()) as server:
        client = AsyncClient()

        async def send() -> None:
            await client.send(request(server), grant(server), Meter(Limits()))

        anyio.run(send)
        with pytest.raises(UsageError, match="another event loop"):
            anyio.run(send)
        client.close()


async def test_idle_connections_are_bounded_and_expire(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fumehood.egress.apools.IDLE", 5)
    with serving(always(b"abc")) as server, serving(always(b"abc")) as other:
        async with AsyncClient() as client:

            async def one(there: Server) -> None:
                await client.send(request(there), grant(there), Meter(Limits()))

            async with anyio.create_task_group() as group:
                for _ in range(20):
                    group.start_soon(one, server)
            assert client._pools._count <= 5
            monkeypatch.setattr("fumehood.egress.ahttp.KEEP_TIME", 0)
            for _ in range(8):
                await one(other)
            assert client._pools._count <= 1
            assert await ended(server, server.connections)
