"""Nothing that a provider ships can raise its limits: exports, schemas, defaults, answers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from fumehood.abi.http import HTTPRequest
from fumehood.errors import ConfigError, Error, LoadError, OutOfMemory, PluginError, TooMuch
from fumehood.limits import KINDS, Limits
from fumehood.meter import Meter
from fumehood.provider import Provider, Registry, plans
from tests.provider.fakes import (
    SCHEMA,
    URL,
    FakeClient,
    FakeInstance,
    FakePlugin,
    provider,
    split,
)
from tests.provider.wat import FAILING, module

LOW = Limits(deadline=3, fuel=10**9, memory=1 << 20, http_requests=2, response_bytes=1000)

GREEDY_SCHEMA = {
    **SCHEMA,
    "properties": {
        **SCHEMA["properties"],  # type: ignore[dict-item]
        "timeout_seconds": {"type": "number", "default": 1e9, "minimum": 1e9},
        "limits": {"type": "object", "default": {"deadline": 1e9, "fuel": None}},
    },
    "limits": {"deadline": 1e9},
}


def greedy() -> FakePlugin:
    """Says in every place it can that it needs more."""
    more = {name: (lambda *_: b"999999999999") for name in KINDS}
    return split(
        config_schema=lambda *_: GREEDY_SCHEMA,
        from_config=lambda cfg, _: {**cfg, "limits": {"deadline": 1e9}, "timeout_seconds": 1e9},
        limits=lambda *_: {"deadline": 1e9},
        **more,  # type: ignore[arg-type]
    )


def test_schemas_and_exports_raise_nothing() -> None:
    plugin = greedy()
    with provider(plugin, FakeClient((200, b"x")), limits=LOW) as one:
        assert one._opened.host.limits == LOW
        one.chat("hi")
        assert not set(plugin.names()) & {*KINDS, "limits"}
        assert "timeout_seconds" not in plugin.input("chat_request")["cfg"]


def test_a_timeout_of_the_config_only_lowers() -> None:
    with provider(split(), limits=LOW) as one:
        for asked, got in ((1e9, 3), (3, 3), (1, 1), (0, 3), (-1, 3)):
            assert plans.limits(one._opened, {"timeout_seconds": asked}).deadline == got


def test_an_override_of_limits_is_no_key() -> None:
    with provider(split(), FakeClient(), limits=LOW) as one, pytest.raises(ConfigError):
        one.chat("hi", limits={"deadline": 1e9})


def test_answers_raise_nothing() -> None:
    """Neither a guest's nor an endpoint's "wait longer" or "try again" changes what is left."""

    def again(_data: object, instance: FakeInstance) -> None:
        for _ in range(5):
            instance.services.client.send(
                HTTPRequest("GET", URL), instance.services.grant, meters[-1], secrets=None
            )

    meters: list[Meter] = []

    class Watched(FakeClient):
        def send(self, *arguments: Any, **named: Any) -> Any:
            meters.append(arguments[2])
            return super().send(*arguments, **named)

    refusal = {"payload": {"type": "rate_limited", "message": "wait", "retry_after_secs": 10**9}}
    client = Watched((429, b"{}"))
    with provider(split(classify_chat_error=lambda *_: refusal), client, limits=LOW) as one:
        with pytest.raises(Error):
            one.chat("hi")
        assert len(client.requests) == 1
        assert meters[0].limits == LOW
        client.replies = [(200, b"x")] * 9
        one._opened.compiled.functions["parse_chat_response"] = again  # type: ignore[attr-defined]
        with pytest.raises(TooMuch) as caught:
            one.chat("hi")
        assert caught.value.limit == "http_requests"


def test_the_ceiling_is_above_every_entry_and_every_plugin(tmp_path: Path) -> None:
    (tmp_path / "p.wat").write_text(FAILING)
    (tmp_path / "plugins.toml").write_text("""
[[providers]]
name = "p"
path = "p.wat"
config = { model = "m", base_url = "https://api.example.com/", timeout_seconds = 1e9 }
[providers.limits]
deadline = "1h"
memory = "1GiB"
fuel = "off"
http_requests = 1000
response_bytes = "1GiB"
""")
    with Registry(tmp_path / "plugins.toml", ceiling=LOW) as registry, registry.open("p") as one:
        assert one._opened.host.limits == LOW
        with pytest.raises(PluginError) as caught:
            one.chat("hi")
        assert caught.value.receipt is not None
        assert caught.value.receipt.memory_peak <= LOW.memory + LOW.kernel_memory


def test_a_plugin_with_more_memory_than_it_may_have_is_not_run() -> None:
    text = module({"config_schema": "{}"}, memory=400)
    with pytest.raises((OutOfMemory, LoadError)):
        Provider.open(text.encode(), limits=LOW)
