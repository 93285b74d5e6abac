"""The config that a plugin gets: merged, pruned, shaped, checked (provider-abi.md §4.4, §4.5)."""

import datetime
import logging

import pytest

from fumehood.errors import ConfigError
from fumehood.provider.config import Settings
from fumehood.provider.plain import plain
from fumehood.provider.schema import Schema
from tests.provider.fakes import SCHEMA, FakeClient, direct, fail, provider, split

NONE: dict = {}


def settings(base: dict, **more: object) -> Settings:
    import json

    return Settings(Schema(json.dumps(SCHEMA).encode()), base, **more)  # type: ignore[arg-type]


def test_host_keys_vanish_and_typos_are_said(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        one = settings({"model": "m", "allowed_hosts": ["h"], "provider": "p", "modle": "x"})
    assert one.cfg({}) == {"model": "m"}
    assert "did you mean 'model'" in caplog.text
    assert "allowed_hosts" not in caplog.text


def test_overrides_win_and_none_means_unset() -> None:
    one = settings({"model": "m", "temperature": 1})
    assert one.cfg({"temperature": 0.5}) == {"model": "m", "temperature": 0.5}
    assert one.cfg({"temperature": None, "top_p": 0.5}) == {"model": "m", "temperature": 1}
    assert one.cfg({}) == {"model": "m", "temperature": 1}


def test_every_problem_of_a_call_is_listed() -> None:
    one = settings({"model": "m"})
    with pytest.raises(ConfigError) as caught:
        one.cfg({"model": 3, "temperature": "x"})
    assert [path for path, _ in caught.value.problems] == ["model", "temperature"]
    with pytest.raises(ConfigError) as caught:
        one.cfg({"temprature": 1, "api_key": "x", "allowed_hosts": ["*"]})
    assert {path for path, _ in caught.value.problems} == {"temprature", "api_key", "allowed_hosts"}
    assert "did you mean 'temperature'" in str(caught.value)


def test_the_entry_is_checked_at_once_except_for_what_a_call_may_bring() -> None:
    with pytest.raises(ConfigError) as caught:
        settings({"temperature": "hot"})
    assert [path for path, _ in caught.value.problems] == ["temperature"]
    one = settings({}, missing={"model": "name one"})
    assert one.models_cfg() == {}
    with pytest.raises(ConfigError) as caught:
        one.cfg({})
    assert caught.value.problems == [("model", "is required")]
    assert caught.value.hint == "name one"
    assert one.cfg({"model": "m"}) == {"model": "m"}


@pytest.mark.parametrize(
    ("kind", "gen_a", "given", "sent"),
    [
        ({"type": "array", "items": {"type": "string"}}, False, "a", ["a"]),
        ({"type": "string"}, False, "a", "a"),
        ({"type": "string"}, False, ["a", "b"], "a\n\nb"),
        ({}, False, "a", ["a"]),
        ({}, True, ["a", "b"], "a\n\nb"),
        ({"type": "array"}, False, [{"text": "x"}], [{"text": "x"}]),
    ],
)  # fmt: skip
def test_system_has_the_shape_that_the_plugin_takes(
    kind: dict, gen_a: bool, given: object, sent: object
) -> None:
    import json

    schema = Schema(json.dumps({"properties": {"system": kind}}).encode())
    assert Settings(schema, {}, gen_a=gen_a).cfg({"system": given}) == {"system": sent}
    assert Settings(schema, {"system": given}, gen_a=gen_a).cfg({}) == {"system": sent}


def test_an_empty_system_is_left_out() -> None:
    for empty in ("", [], None):
        assert settings({"model": "m", "system": empty}).cfg({}) == {"model": "m"}


def test_timeout_seconds() -> None:
    one = settings({"model": "m", "timeout_seconds": 3})
    assert one.timeout({}) == 3.0
    assert one.timeout({"timeout_seconds": 1.5}) == 1.5
    for odd in ("x", 0, -1, True):
        assert one.timeout({"timeout_seconds": odd}) is None


def test_base_url_must_be_granted() -> None:
    one = provider(
        split(), FakeClient((200, b"x")), config={"model": "m", "base_url": "https://a.b/v1"}
    )
    assert one.chat("hi", base_url="https://a.b/v2").text == "x"
    with pytest.raises(ConfigError) as caught:
        one.chat("hi", base_url="https://evil.example/")
    assert caught.value.problems[0][0] == "base_url"
    assert 'allowed_hosts = ["evil.example"]' in str(caught.value)
    for bad in ("localhost:11434", "127.0.0.1:80", "ftp://x/", "https://u@h/"):
        with pytest.raises(ConfigError, match="base_url"):
            provider(split(), config={"model": "m", "base_url": bad})


def test_the_plugin_has_the_last_word_on_its_config() -> None:
    payload = {"payload": {"type": "json_error", "message": "missing field `x`"}}
    for refusal in (fail("missing field `x`", -1), fail(payload)):
        with pytest.raises(ConfigError) as caught:
            provider(direct(from_config=refusal))
        assert caught.value.problems == [("config", "missing field `x`")]
        assert "missing field" in (caught.value.guest_error or "")
        assert caught.value.receipt is not None
    assert provider(direct(from_config=fail("never asked")), config={}).list_models().names == [
        "m1"
    ]


def test_plain_values() -> None:
    when = datetime.datetime(2026, 1, 2, 3, 4, 5, tzinfo=datetime.UTC)
    assert plain({"a": (when, when.date(), when.time()), "b": 1.5, "c": None}, "") == {
        "a": ["2026-01-02T03:04:05Z", "2026-01-02", "03:04:05"], "b": 1.5, "c": None,
    }  # fmt: skip
    loop: list = []
    loop.append(loop)
    for bad in (float("nan"), float("inf"), b"x", {1: 2}, {1, 2}, 1 << 64, -(1 << 63) - 1, loop):
        with pytest.raises(ConfigError):
            plain({"k": bad}, "")
