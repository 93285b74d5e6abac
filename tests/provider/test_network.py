"""`[network]`: what may stand there, and that it reaches the sockets of threads and event loops."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import anyio
import pytest
import trustme

from fumehood import AsyncProvider, Provider, Registry
from fumehood.egress.transport import Network
from fumehood.errors import ConfigError, EgressDenied, TransportError, UsageError
from fumehood.provider import file
from fumehood.provider.network import given, parse
from tests.egress.conftest import Authority
from tests.egress.servers import Server, always, serving
from tests.egress.servers2 import Conversation, conversing, speaking

ANSWER = json.dumps(
    {
        "id": "x",
        "object": "chat.completion",
        "created": 1,
        "model": "m",
        "choices": [
            {
                "index": 0,
                "message": {"role": "assistant", "content": "hello"},
                "finish_reason": "stop",
            }
        ],
    }
).encode()


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    ca = trustme.CA()
    path = tmp_path_factory.mktemp("ca") / "ca.pem"
    ca.cert_pem.write_to_path(path)
    return Authority(ca, str(path))


def test_what_may_stand_there(tmp_path: Path) -> None:
    table = {"ca_file": "c.pem", "proxy": "http://p:1", "proxy_private": ["10.0.0.0/8"]}
    assert parse({**table, "http2": True}, tmp_path, []) == Network(
        str(tmp_path / "c.pem"), "http://p:1", ("10.0.0.0/8",), True
    )
    assert parse({}, tmp_path, []) == given(None) == Network()
    assert given({"ca_file": "c.pem"}).ca_file == str(Path.cwd() / "c.pem")


@pytest.mark.parametrize(
    ("table", "key", "said"),
    [
        ([], "network", "table"),
        ({"htp2": True}, "network.htp2", "'http2'"),
        ({"http2": "yes"}, "network.http2", "true or false"),
        ({"proxy": 3}, "network.proxy", "text"),
        ({"proxy": "http://p:1", "proxy_private": "10.0.0.0/8"}, "network.proxy_private", "list"),
        ({"proxy": "http://p:1", "proxy_private": [3]}, "network.proxy_private", "list"),
        ({"proxy": "http://p:1", "proxy_private": ["10"]}, "network.proxy_private[0]", "10"),
        ({"proxy_private": ["10.0.0.0/8"]}, "network.proxy_private", "not there"),
    ],
)
def test_what_may_not(table: Any, key: str, said: str, tmp_path: Path) -> None:
    problems: list[tuple[str, str]] = []
    assert parse(table, tmp_path, problems) == Network()
    assert problems[0][0] == key
    assert said in problems[0][1]
    with pytest.raises(ConfigError if isinstance(table, dict) else UsageError):
        given(table)
    with pytest.raises(ConfigError) as caught:
        file.parse({"network": table}, None)
    assert caught.value.problems[0][0] == key


def test_a_plugins_config_grants_no_network(tmp_path: Path) -> None:
    """Only the whole file's table counts; an entry has none."""
    entry = {"name": "x", "path": "bundled:openai", "network": {"http2": True}}
    read = file.parse({"providers": [entry]}, None).entries["x"]
    assert isinstance(read, ConfigError)
    assert read.problems[0][0] == "providers[0].network"


def settings(server: Server) -> dict[str, Any]:
    return {
        "config": {"base_url": f"{server.url}/v1/", "model": "m"},
        "secrets": {"api_key": {"from": "env:NETWORK_TEST_KEY"}},
    }


@pytest.fixture(autouse=True)
def key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NETWORK_TEST_KEY", "sk-0123456789abcdef")


def chats(opening: dict[str, Any], network: dict[str, Any]) -> list[str]:
    """The versions of HTTP that a chat is answered over: from a thread, from two event loops."""
    with Provider.open("bundled:openai", network=network, **opening) as provider:
        texts = [provider.chat("hi").text]

    async def one() -> str | None:
        async with AsyncProvider.open("bundled:openai", network=network, **opening) as provider:
            return (await provider.chat("hi")).text

    texts += [anyio.run(one, backend=backend) for backend in ("asyncio", "trio")]
    return [str(text) for text in texts]


def test_http2_is_spoken_where_it_is_asked_for(authority: Authority) -> None:
    def act(talk: Conversation, stream: int) -> None:
        talk.reply(stream, ANSWER, {"content-type": "application/json"})

    context = speaking(authority.server("127.0.0.1"))
    with serving(conversing(act), tls=context) as server:
        network = {"ca_file": authority.file, "http2": True}
        assert chats(settings(server), network) == ["hello"] * 3
        assert {seen.header("authorization") for seen in server.seen} == {
            "Bearer sk-0123456789abcdef"
        }
        with pytest.raises(TransportError):  # the server speaks nothing else
            chats(settings(server), {"ca_file": authority.file})


def test_a_registry_takes_it_from_its_file_or_its_caller(
    authority: Authority, tmp_path: Path
) -> None:
    def act(talk: Conversation, stream: int) -> None:
        talk.reply(stream, ANSWER, {"content-type": "application/json"})

    context = speaking(authority.server("127.0.0.1"))
    with serving(conversing(act), tls=context) as server:
        table = {"name": "x", "path": "bundled:openai", **settings(server)}
        network = {"ca_file": authority.file, "http2": True}
        path = tmp_path / "plugins.json"
        path.write_text(json.dumps({"providers": [table], "network": network}))

        async def one(registry: Registry) -> str | None:
            async with registry.aopen("x") as provider:
                return (await provider.chat("hi")).text

        with Registry(path) as registry:
            with registry.open("x") as provider:
                assert provider.chat("hi").text == "hello"
            assert anyio.run(one, registry) == "hello"
        with Registry(path, network={"ca_file": authority.file}) as registry:
            with registry.open("x") as provider, pytest.raises(TransportError):
                provider.chat("hi")
            with pytest.raises(TransportError):
                anyio.run(one, registry)
        with pytest.raises(UsageError):
            Registry(path, network=3)  # type: ignore[arg-type]


def test_a_proxy_whose_name_is_private_needs_its_network(monkeypatch: pytest.MonkeyPatch) -> None:
    from ipaddress import ip_address

    from fumehood.egress.resolver import SystemResolver

    monkeypatch.setattr(SystemResolver, "resolve", lambda *a: [ip_address("127.0.0.1")])
    opening = {
        "config": {"base_url": "http://api.example/v1/", "model": "m"},
        "secrets": {"api_key": "env:NETWORK_TEST_KEY"},
    }
    reply = always(ANSWER, headers=[("content-type", "application/json")])
    with serving(reply) as proxy:
        network: dict[str, Any] = {"proxy": f"http://proxy.example:{proxy.port}"}
        with pytest.raises(EgressDenied) as caught:
            chats(opening, network)
        assert caught.value.host == "proxy.example"
        assert proxy.connections == 0
        assert chats(opening, {**network, "proxy_private": ["127.0.0.0/8"]}) == ["hello"] * 3
