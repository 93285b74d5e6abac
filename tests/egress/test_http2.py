"""HTTP/2, for threads and on both event loops: what it carries, and servers that misuse it."""

from __future__ import annotations

import builtins
import gzip
import logging
import threading
import time
from collections.abc import Iterator
from ipaddress import ip_address
from typing import Any

import pytest
from h2.errors import ErrorCodes
from h2.settings import SettingCodes
from hpack import Encoder
from hyperframe.frame import DataFrame, ExtensionFrame, Frame, PingFrame, SettingsFrame

from fumehood.abi.http import HTTPRequest
from fumehood.egress.aclient import AsyncClient
from fumehood.egress.binding import bind
from fumehood.egress.client import Client
from fumehood.egress.http2 import Machine
from fumehood.egress.policy import Grant
from fumehood.egress.resolver import Check
from fumehood.egress.secrets import Secrets, Slot
from fumehood.egress.url import IPAddress
from fumehood.errors import (
    Cancelled,
    ConfigError,
    EgressDenied,
    Timeout,
    TooMuch,
    TransportError,
)
from fumehood.limits import Limits
from fumehood.meter import Meter
from tests.egress.conftest import Authority
from tests.egress.portal import PortalClient
from tests.egress.servers import Handler, Server, always, serving
from tests.egress.servers2 import Conversation, conversing, speaking
from tests.egress.test_proxy import tunnel_to

NAME = "api.example"


class Loopback:
    def resolve(self, host: str, port: int, check: Check) -> list[IPAddress]:
        return [ip_address("127.0.0.1")]


@pytest.fixture(params=["threads", "asyncio", "trio"])
def client(request: pytest.FixtureRequest, authority: Authority) -> Iterator[Any]:
    options: dict[str, Any] = {"ca_file": authority.file, "resolver": Loopback(), "http2": True}
    kind: Any = Client
    if request.param != "threads":
        options["backend"] = request.param
        kind = PortalClient
    with kind(**options) as made:
        yield made


@pytest.fixture
def serve(authority: Authority) -> Any:
    def start(handler: Handler, *protocols: str) -> Any:
        return serving(handler, tls=speaking(authority.server(NAME), *protocols))

    return start


def grant_of(server: Server) -> Grant:
    return Grant.of([f"{NAME}:{server.port}"], private=["127.0.0.0/8"])


def ask(
    client: Any,
    server: Server,
    body: bytes = b"",
    *,
    limits: dict[str, Any] | None = None,
    headers: tuple[tuple[str, str], ...] = (),
    secrets: Secrets | None = None,
    meter: Meter | None = None,
) -> Any:
    method = "POST" if body else "GET"
    request = HTTPRequest(method, f"https://{NAME}:{server.port}/v1?x=1", headers, body)
    meter = meter or Meter(Limits(**{"deadline": 20.0, **(limits or {})}))
    return client.send(request, grant_of(server), meter, secrets=secrets)


def fails(client: Any, server: Server, kind: str, match: str, **options: Any) -> None:
    with pytest.raises(TransportError, match=match) as caught:
        ask(client, server, **options)
    assert caught.value.kind == kind, caught.value


def test_a_request_and_its_reply(client: Any, serve: Any) -> None:
    def act(talk: Conversation, stream: int) -> None:
        talk.reply(stream, b"got " + talk.body(stream), {"x-answer": "1"})

    with serve(conversing(act)) as server:
        for body in (b"", b"a body"):
            reply = ask(client, server, body, headers=(("x-mine", "yes"),))
            assert (reply.status, reply.body, reply.version) == (200, b"got " + body, "HTTP/2")
            assert reply.header("x-answer") == "1"
        assert server.connections == 1
        get, post = server.seen
        assert get.line == f"GET /v1?x=1 {NAME}:{server.port}"
        assert get.header("x-mine") == "yes"
        assert get.header("host") is None
        assert get.header("content-length") is None
        assert post.header("content-length") == "6"
        assert post.sni == NAME


def test_a_server_without_it_is_spoken_to_as_ever(client: Any, serve: Any) -> None:
    with serve(always(b"one"), "http/1.1") as server:
        for _ in range(2):
            reply = ask(client, server)
            assert (reply.body, reply.version) == (b"one", "HTTP/1.1")
        assert server.connections == 1


def test_it_is_not_offered_unless_asked_for(serve: Any, authority: Authority) -> None:
    with serve(always(b"one"), "h2", "http/1.1") as server:
        with Client(ca_file=authority.file, resolver=Loopback()) as client:
            assert ask(client, server).version == "HTTP/1.1"
        with PortalClient("asyncio", ca_file=authority.file, resolver=Loopback()) as other:
            assert ask(other, server).version == "HTTP/1.1"


@pytest.mark.parametrize("kind", [Client, AsyncClient])
def test_without_h2_it_says_what_to_install(kind: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    real = builtins.__import__

    def without(name: str, *rest: Any, **more: Any) -> Any:
        if name == "h2":
            raise ImportError(name)
        return real(name, *rest, **more)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(ConfigError, match="h2") as caught:
        kind(http2=True)
    assert caught.value.hint == "pip install 'fumehood[http2]'"
    assert caught.value.problems[0][0] == "network.http2"
    kind().close()


def test_bodies_beyond_every_window(client: Any, serve: Any) -> None:
    body = bytes(range(256)) * 16384  # 4 MiB: the server's window is 64 KiB, ours 1 MiB

    def act(talk: Conversation, stream: int) -> None:
        talk.reply(stream, talk.body(stream))

    with serve(conversing(act)) as server:
        for _ in range(2):
            assert ask(client, server, body).body == body
        assert server.connections == 1


def test_a_coded_reply_is_bounded(client: Any, serve: Any) -> None:
    bomb = gzip.compress(bytes(8 * 1024 * 1024))

    def act(talk: Conversation, stream: int) -> None:
        talk.reply(stream, bomb, {"content-encoding": "gzip"})

    with serve(conversing(act)) as server:
        assert len(ask(client, server).body) == 8 * 1024 * 1024
        with pytest.raises(TooMuch) as caught:
            ask(client, server, limits={"response_bytes": 1024 * 1024})
        assert caught.value.limit == "response_bytes"


def test_a_body_without_end_is_bounded(client: Any, serve: Any) -> None:
    def act(talk: Conversation, stream: int) -> None:
        talk.reply(stream, bytes(64 * 1024 * 1024))

    with serve(conversing(act)) as server, pytest.raises(TooMuch):
        ask(client, server, limits={"response_bytes": 1024 * 1024})


def test_a_key_goes_where_it_goes_over_http1(client: Any, serve: Any) -> None:
    key = "sk-canary-0123456789abcdef"

    def act(talk: Conversation, stream: int) -> None:
        talk.reply(stream, f"you sent {key}".encode())

    with serve(conversing(act)) as server:
        hosts = bind("api_key", source="", hosts=[f"{NAME}:{server.port}"])
        secrets = Secrets([Slot.create("api_key", key, hosts)])
        token = secrets.token_for("api_key")
        reply = ask(
            client, server, headers=(("authorization", f"Bearer {token}"),), secrets=secrets
        )
        assert server.seen[0].header("authorization") == f"Bearer {key}"
        assert reply.body == f"you sent {token}".encode()
        with pytest.raises(EgressDenied):
            ask(client, server, token.encode(), secrets=secrets)
        assert len(server.seen) == 1


def test_the_debug_log_of_hpack_does_not_show_headers(
    client: Any, serve: Any, caplog: pytest.LogCaptureFixture
) -> None:
    with serve(conversing(lambda talk, stream: talk.reply(stream, b"", {"x-back": "canary"}))) as s:
        # the server's side of this process logs; what is sent is looked at here
        with caplog.at_level(logging.DEBUG):
            machine = Machine()
            headers = [(b"host", b"h"), (b"authorization", b"canary"), (b"x-key", b"canary")]
            machine.begin("GET", "https", "/", headers, b"")
            assert "canary" not in caplog.text
            Encoder().encode([("x", "of-others")])
            assert "of-others" in caplog.text
        assert ask(client, s).header("x-back") == "canary"


@pytest.mark.parametrize(
    "name", ["connection", "transfer-encoding", "te", "upgrade", "http2-settings", ":path", "host"]
)
def test_headers_that_frame_a_request_are_refused(client: Any, serve: Any, name: str) -> None:
    with serve(conversing(lambda talk, stream: talk.reply(stream, b""))) as server:
        with pytest.raises(EgressDenied):
            ask(client, server, headers=((name, "evil"),))
        assert server.connections == 0


def test_two_at_once_have_a_connection_each(client: Any, serve: Any) -> None:
    first, go = threading.Event(), threading.Event()

    def act(talk: Conversation, stream: int) -> None:
        if talk.peer.number == 1:
            first.set()
            assert go.wait(10)
        talk.reply(stream, b"%d" % talk.peer.number)

    with serve(conversing(act)) as server:
        found: list[bytes] = []
        thread = threading.Thread(target=lambda: found.append(ask(client, server).body))
        thread.start()
        assert first.wait(10)
        assert ask(client, server).body == b"2"
        go.set()
        thread.join()
        assert found == [b"1"]


def test_a_connection_serves_one_grant(client: Any, serve: Any) -> None:
    with serve(conversing(lambda talk, stream: talk.reply(stream, b""))) as server:
        ask(client, server)
        other = Grant.of([f"{NAME}:{server.port}", "other.example"], private=["127.0.0.0/8"])
        request = HTTPRequest("GET", f"https://{NAME}:{server.port}/")
        client.send(request, other, Meter(Limits(deadline=10)))
        assert server.connections == 2


def test_through_a_proxy(client: Any, serve: Any, authority: Authority) -> None:
    with serve(conversing(lambda talk, stream: talk.reply(stream, b"far"))) as origin:
        with serving(tunnel_to(origin.port), tls=authority.server("127.0.0.1")) as proxy:  # type: ignore[arg-type]
            options: dict[str, Any] = {"ca_file": authority.file, "proxy": proxy.url, "http2": True}
            grant, request = Grant.of([NAME]), HTTPRequest("GET", f"https://{NAME}/")
            makers = [
                lambda: Client(**options),
                lambda: PortalClient("asyncio", **options),
            ]
            for make in makers:
                with make() as through:
                    for _ in range(2):
                        reply = through.send(request, grant, Meter(Limits(deadline=10)))
                        assert (reply.body, reply.version) == (b"far", "HTTP/2")
            assert proxy.connections == 2
        with serving(tunnel_to(0, "403 No")) as proxy:  # type: ignore[arg-type]
            with (
                Client(proxy=proxy.url, http2=True) as through,
                pytest.raises(TransportError, match="403 No") as caught,
            ):
                through.send(request, grant, Meter(Limits(deadline=10)))
            assert caught.value.kind == "connect"


# What hostile servers do


def test_a_stream_that_is_reset(client: Any, serve: Any) -> None:
    with serve(conversing(lambda talk, s: talk.reset(s, ErrorCodes.INTERNAL_ERROR))) as server:
        fails(client, server, "protocol", "reset the stream .INTERNAL_ERROR")
        fails(client, server, "protocol", "reset the stream")
        assert server.connections == 2


def test_a_reset_within_the_body(client: Any, serve: Any) -> None:
    def act(talk: Conversation, stream: int) -> None:
        talk.head(stream)
        talk.data(stream, b"part")
        talk.reset(stream, ErrorCodes.CANCEL)

    with serve(conversing(act)) as server:
        fails(client, server, "protocol", "reset the stream .CANCEL")


def test_a_request_is_sent_again_only_where_nobody_looked_at_it(client: Any, serve: Any) -> None:
    """On a kept connection; INTERNAL_ERROR may come after the work was done, and paid for."""

    def act(talk: Conversation, stream: int) -> None:
        if talk.peer.number == 1 and stream > 1:
            code = ErrorCodes.REFUSED_STREAM if talk.body(stream) == b"r" else 2
            talk.reset(stream, code)
        else:
            talk.reply(stream, b"%d" % talk.peer.number)

    for body, again in ((b"r", True), (b"i", False)):
        with serve(conversing(act)) as server:
            assert ask(client, server).body == b"1"
            if again:
                assert ask(client, server, body).body == b"2"
            else:
                fails(client, server, "protocol", "reset the stream", body=body)
                assert server.connections == 1


def test_a_goaway_lets_the_reply_end(client: Any, serve: Any) -> None:
    def act(talk: Conversation, stream: int) -> None:
        talk.head(stream)
        talk.data(stream, b"one")
        talk.goaway(stream)
        talk.data(stream, b" two", end=True)

    with serve(conversing(act)) as server:
        for number in (1, 2):
            assert ask(client, server).body == b"one two"
            assert server.connections == number


@pytest.mark.parametrize(
    ("last", "code", "kind"),
    [(0, 0, "reset"), (1, ErrorCodes.ENHANCE_YOUR_CALM, "protocol"), (1, 99, "protocol")],
)
def test_a_goaway_that_ends_it(client: Any, serve: Any, last: int, code: int, kind: str) -> None:
    with serve(conversing(lambda talk, s: talk.goaway(last, code))) as server:
        fails(client, server, kind, "goes away")


def test_a_goaway_that_is_none(client: Any, serve: Any) -> None:
    def act(talk: Conversation, stream: int) -> None:
        talk.peer.send(b"\x00\x00\x02\x07\x00\x00\x00\x00\x00ab")

    with serve(conversing(act)) as server:
        fails(client, server, "protocol", "HTTP/2")


def test_an_idle_connection_that_ended_is_not_used(client: Any, serve: Any) -> None:
    gone = threading.Event()

    def act(talk: Conversation, stream: int) -> None:
        talk.reply(stream, b"%d" % talk.peer.number)
        if talk.peer.number == 1:
            talk.goaway(stream)
            gone.set()

    with serve(conversing(act)) as server:
        assert ask(client, server).body == b"1"
        assert gone.wait(10)
        assert ask(client, server, b"body").body == b"2"


def endless(*frames: Frame, head: bool = True) -> Handler:
    """After the request (and a head): these frames for ever."""

    def act(talk: Conversation, stream: int) -> None:
        if head:
            talk.head(stream)
        for frame in frames:
            if frame.stream_id:
                frame.stream_id = stream
        batch = b"".join(frame.serialize() for frame in frames) * 200
        talk.peer.sock.settimeout(5)
        while not talk.peer.server.stopping.is_set():
            talk.peer.send(batch)

    return conversing(act)


FLOODS: list[tuple[Frame, bool]] = [
    (PingFrame(0, b"12345678"), False),
    (PingFrame(0, b"12345678"), True),
    (SettingsFrame(0), False),
    (SettingsFrame(0), True),
    (ExtensionFrame(0xFA, 0, body=b"x"), True),
    (DataFrame(1, b""), True),
]


@pytest.mark.parametrize(("frame", "head"), FLOODS, ids=lambda value: type(value).__name__)
def test_floods_end_with_the_deadline(client: Any, serve: Any, frame: Frame, head: bool) -> None:
    with serve(endless(frame, head=head)) as server:
        began = time.monotonic()
        with pytest.raises((Timeout, TransportError)) as caught:
            ask(client, server, limits={"deadline": 0.5})
        assert time.monotonic() - began < 10
        if isinstance(caught.value, TransportError):
            assert caught.value.kind == "protocol"


def test_continuations_without_end(client: Any, serve: Any) -> None:
    for piece in (b"", bytes(1000)):

        def act(talk: Conversation, stream: int, piece: bytes = piece) -> None:
            talk.headers_without_end(stream, talk.block((":status", "200")))
            while not talk.peer.server.stopping.is_set():
                talk.continuation(stream, piece)

        with serve(conversing(act)) as server:
            fails(client, server, "protocol", "HTTP/2|headers of more")


def test_a_header_list_that_is_too_large(client: Any, serve: Any) -> None:
    """By its bytes, by what it decodes to (one entry named again and again), by its count."""

    def large(talk: Conversation, stream: int) -> None:
        talk.head(stream, (":status", "200"), ("x-large", "x" * 15000))

    def bomb(talk: Conversation, stream: int) -> None:
        block = talk.block((":status", "200"), ("x", "y" * 3000))
        talk.send_block(stream, block + b"\xbe" * 10000)

    def many(talk: Conversation, stream: int) -> None:
        talk.head(stream, (":status", "200"), *((f"x-{n}", "1") for n in range(300)), end=True)

    with serve(conversing(large)) as server:
        fails(client, server, "timeout", "silent", limits={"idle_time": 0.3})
    with serve(conversing(bomb)) as server:
        fails(client, server, "protocol", "HTTP/2")
    with serve(conversing(many)) as server:
        fails(client, server, "protocol", "301 headers|300 headers")


@pytest.mark.parametrize(
    "headers",
    [
        ((":status", "2x0"),),
        ((":status", "+20"),),
        ((":status", "\u00b2\u00b2\u00b2"),),
        ((":status", "99"),),
        (("x", "y"),),
        ((":status", "200"), ("X-Upper", "y")),
        ((":status", "200"), ("na me", "y")),
        ((":status", "200"), ("x-evil", "a\r\nx-injected: 1")),
        ((":status", "200"), ("x-evil", "a\0b")),
        ((":status", "200"), ("na\u00efve", "y")),
        ((":status", "200"), ("transfer-encoding", "chunked")),
        ((":status", "200"), ("connection", "close")),
        ((":status", "200"), (":status", "403")),
        ((":status", "200"), ("content-length", "5"), ("content-length", "6")),
        ((":status", "200"), ("content-length", "x")),
    ],
)
def test_heads_that_are_none(client: Any, serve: Any, headers: Any) -> None:
    with serve(conversing(lambda talk, s: talk.head(s, *headers, end=True))) as server:
        fails(client, server, "protocol", NAME)


def test_a_body_of_another_length_than_declared(client: Any, serve: Any) -> None:
    for body in (b"abc", b"abcdefg"):

        def act(talk: Conversation, stream: int, body: bytes = body) -> None:
            talk.head(stream, (":status", "200"), ("content-length", "5"))
            talk.data(stream, body, end=True)

        with serve(conversing(act)) as server:
            fails(client, server, "protocol", NAME)


def test_trailers_go_no_further(client: Any, serve: Any) -> None:
    def act(talk: Conversation, stream: int) -> None:
        talk.head(stream, (":status", "103"), ("x-early", "1"))
        talk.head(stream, (":status", "200"), ("x-good", "1"))
        talk.data(stream, b"body")
        talk.head(stream, ("x-trailer", "1"), end=True)

    with serve(conversing(act)) as server:
        reply = ask(client, server)
        assert reply.body == b"body"
        assert dict(reply.headers) == {"x-good": "1"}


def test_a_window_that_never_opens(client: Any, serve: Any) -> None:
    silent = conversing(
        lambda talk, s: None, bodies=False, settings={SettingCodes.INITIAL_WINDOW_SIZE: 0}
    )

    def stall(talk: Conversation, stream: int) -> None:
        talk.peer.server.stopping.wait(10)

    still = conversing(stall, bodies=False)
    body = bytes(4 * 1024 * 1024)
    for handler in (silent, still):
        with serve(handler) as server:
            fails(client, server, "timeout", "silent", body=body, limits={"idle_time": 0.3})
        with serve(handler) as server:
            began = time.monotonic()
            with pytest.raises(Timeout):
                ask(client, server, body, limits={"deadline": 0.3})
            meter = Meter(Limits(deadline=30))
            timer = threading.Timer(0.2, meter.cancel)
            timer.start()
            with pytest.raises(Cancelled):
                ask(client, server, body, meter=meter)
            timer.join()
            assert time.monotonic() - began < 10


def test_a_server_that_sends_without_a_window(client: Any, serve: Any) -> None:
    def act(talk: Conversation, stream: int) -> None:
        talk.head(stream)
        for _ in range(200):  # 3.2 MiB, while our window is one: what waits here stays bounded
            talk.data(stream, bytes(16384))

    handler = conversing(act, bodies=False, settings={SettingCodes.INITIAL_WINDOW_SIZE: 0})
    with serve(handler) as server:
        fails(client, server, "protocol", NAME, body=bytes(100_000))


def test_padding_counts_as_what_waits(client: Any, serve: Any) -> None:
    """Data frames of nothing but padding: they fill the window, and are given back to it."""

    def act(talk: Conversation, stream: int) -> None:
        talk.http.send_headers(stream, [(":status", "200")])
        for _ in range(6_000):  # 1.5 MiB: more than one window
            talk.http.send_data(stream, b"", pad_length=255)
            talk.flush()
            while talk.http.local_flow_control_window(stream) < 512:
                talk.http.receive_data(talk.peer.sock.recv(65536))
        talk.http.send_data(stream, b"end", end_stream=True)
        talk.flush()

    with serve(conversing(act)) as server:
        assert ask(client, server).body == b"end"


def test_a_refusal_before_the_body_was_read_is_the_answer(client: Any, serve: Any) -> None:
    def act(talk: Conversation, stream: int) -> None:
        talk.head(stream, (":status", "413"), end=True)
        talk.reset(stream, ErrorCodes.NO_ERROR)

    handler = conversing(act, bodies=False, settings={SettingCodes.INITIAL_WINDOW_SIZE: 1000})
    with serve(handler) as server:
        assert ask(client, server, bytes(1_000_000)).status == 413
        assert ask(client, server, bytes(1_000_000)).status == 413
        assert server.connections == 2


def test_a_body_that_is_cut_off(client: Any, serve: Any) -> None:
    def act(talk: Conversation, stream: int) -> None:
        talk.head(stream)
        talk.data(stream, b"half")
        raise OSError("closed")

    with serve(conversing(act)) as server:
        fails(client, server, "reset", NAME)


def test_frames_that_are_none(client: Any, serve: Any) -> None:
    rubbish = [
        b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n",
        b"\xff\xff\xff\x00\x00\x00\x00\x00\x01",
        b"\x00\x00\x04\x05\x04\x00\x00\x00\x01\x00\x00\x00\x02",  # a push nobody allowed
        b"\x00\x00\x01\x00\x00\x00\x00\x00\x05x",  # data of a stream that is none of ours
    ]
    for text in rubbish:
        with serve(conversing(lambda talk, s, text=text: talk.peer.send(text))) as server:
            fails(client, server, "protocol", NAME)


def test_a_stream_comes_piece_by_piece_and_is_dropped(client: Any, serve: Any) -> None:
    go = threading.Event()

    def act(talk: Conversation, stream: int) -> None:
        talk.head(stream)
        talk.data(stream, b"one")
        go.wait(10)
        talk.data(stream, b"two", end=True)

    with serve(conversing(act)) as server:
        request = HTTPRequest("GET", f"https://{NAME}:{server.port}/")
        grant = grant_of(server)
        with client.stream(request, grant, Meter(Limits(deadline=10))) as stream:
            assert stream.read() == b"one"
            go.set()
            assert stream.read() == b"two"
            assert stream.read() == b""
        assert server.connections == 1
        go.clear()
        with client.stream(request, grant, Meter(Limits(deadline=10))) as stream:
            assert stream.read() == b"one"
        go.set()
        assert ask(client, server).body == b"onetwo"
        assert server.connections == 2  # the dropped one is gone, not shared
