from __future__ import annotations

import socket
import threading
from ipaddress import ip_address

import pytest

from fumehood.egress.resolver import SystemResolver
from fumehood.egress.url import IPAddress
from fumehood.errors import Cancelled, Timeout, TransportError
from fumehood.limits import Limits
from fumehood.meter import Meter


def plenty() -> float:
    return 5.0


def test_addresses_in_order_without_doubles(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[object, ...]] = []

    def answer(host: str, port: int, **more: object) -> list[tuple[object, ...]]:
        asked.append((host, port, more))
        return [
            (socket.AF_INET6, 1, 6, "", ("fe80::1%eth0", port, 0, 2)),
            (socket.AF_INET, 1, 6, "", ("192.0.2.1", port)),
            (socket.AF_INET, 1, 6, "", ("192.0.2.1", port)),
        ]

    monkeypatch.setattr(socket, "getaddrinfo", answer)
    found = SystemResolver().resolve("h.example", 443, plenty)
    assert found == [ip_address("fe80::1"), ip_address("192.0.2.1")]
    assert asked == [("h.example", 443, {"type": socket.SOCK_STREAM})]


def test_literals_resolve_to_themselves() -> None:
    assert SystemResolver().resolve("127.0.0.1", 80, plenty) == [ip_address("127.0.0.1")]


@pytest.mark.parametrize(
    ("problem", "words"),
    [
        (socket.gaierror(-2, "Name or service not known"), "Name or service not known"),
        (UnicodeError("label too long"), "label too long"),
        (OSError("no strerror"), "no strerror"),
        (RuntimeError("broken"), "the lookup of h failed"),
    ],
)
def test_failures(problem: Exception, words: str) -> None:
    def lookup(host: str, port: int) -> list[IPAddress]:
        raise problem

    with pytest.raises(TransportError, match=words) as caught:
        SystemResolver(lookup).resolve("h", 80, plenty)
    assert caught.value.kind == "dns"


def test_no_address() -> None:
    with pytest.raises(TransportError, match="h has no address") as caught:
        SystemResolver(lambda _h, _p: []).resolve("h", 80, plenty)
    assert caught.value.kind == "dns"


def test_waiting_ends_with_the_meter_and_slots_come_back() -> None:
    release, ended = threading.Event(), threading.Event()

    def lookup(host: str, port: int) -> list[IPAddress]:
        release.wait(30)
        ended.set()
        return [ip_address("192.0.2.1")]

    resolver = SystemResolver(lookup, lookups=1)
    try:
        with pytest.raises(Timeout):
            resolver.resolve("h", 80, Meter(Limits(deadline=0.1)).remaining)
        with pytest.raises(TransportError, match="too many lookups are hung"):
            resolver.resolve("h", 80, plenty)
        other = SystemResolver(lookup)
        account = Meter(Limits())
        timer = threading.Timer(0.1, account.cancel)
        timer.start()
        with pytest.raises(Cancelled):
            other.resolve("h", 80, account.remaining)
        timer.join()
    finally:
        release.set()
    assert ended.wait(5)
    for thread in threading.enumerate():
        if thread.name == "resolve h":
            thread.join(5)
    assert resolver.resolve("h", 80, plenty) == [ip_address("192.0.2.1")]


def test_no_thread_to_be_had(monkeypatch: pytest.MonkeyPatch) -> None:
    def start(self: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    resolver = SystemResolver(lambda _h, _p: [ip_address("192.0.2.1")], lookups=1)
    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", start)
        with pytest.raises(TransportError, match="can't start new thread"):
            resolver.resolve("h", 80, plenty)
    assert resolver.resolve("h", 80, plenty)
