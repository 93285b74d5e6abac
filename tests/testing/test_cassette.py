"""Cassettes: recorded once against an endpoint that wants a key, replayed without either."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from fumehood import EgressDenied, ProviderError, UsageError
from fumehood.testing.cassette import cassette
from fumehood.testing.stub import StubServer

KEY = "sk-cassette-0123456789abcdef"


@pytest.fixture
def tape(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Path, dict[str, Any]]:
    """A recorded cassette, and what the provider was opened with; endpoint and key are gone."""
    path = tmp_path / "deep" / "tape.json"
    monkeypatch.setenv("CASSETTE_KEY", KEY)
    monkeypatch.setenv("FUMEHOOD_CASSETTE", "record")
    with StubServer(api_key=KEY) as stub:
        options = {
            "config": {"base_url": stub.url, "model": "stub-1"},
            "secrets": {"api_key": "env:CASSETTE_KEY"},
        }
        with cassette(path) as recording:
            assert recording.recording
            with recording.open("bundled:openai", **options) as provider:
                use(provider, KEY)
        assert len(stub.requests) == 4
    monkeypatch.delenv("CASSETTE_KEY")
    monkeypatch.delenv("FUMEHOOD_CASSETTE")
    return path, options


def use(provider: Any, word: str = "<secret api_key>") -> None:
    assert provider.chat("hi").text.endswith("You said: hi")
    with provider.chat_stream(f"what is {word}?") as stream:
        text = "".join(chunk.text for chunk in stream if chunk.kind == "text")
    assert "You said: what is" in text
    assert provider.embed(["a"]).vectors
    with pytest.raises(ProviderError):
        provider.chat("x", model="status-503")


def test_it_replays_without_endpoint_and_key(tape: tuple[Path, dict[str, Any]]) -> None:
    path, options = tape
    with cassette(path) as replay:
        assert not replay.recording
        with replay.open("bundled:openai", **options) as provider:
            use(provider)
        assert replay.unused == 0


def test_no_key_is_in_the_file(tape: tuple[Path, dict[str, Any]]) -> None:
    path, _ = tape
    text = path.read_text()
    assert KEY not in text
    assert KEY[3:] not in text
    exchanges = json.loads(text)["exchanges"]
    assert [exchange["status"] for exchange in exchanges] == [200, 200, 200, 503]
    assert all("authorization" not in str(exchange).lower() for exchange in exchanges)
    assert len(exchanges[1]["reply"]) >= 1


def test_another_request_is_an_error_that_shows_both(tape: tuple[Path, dict[str, Any]]) -> None:
    path, options = tape
    with (
        cassette(path, strict=False) as replay,
        replay.open("bundled:openai", **options) as provider,
        pytest.raises(UsageError, match="exchange 1: the body is not the recorded one"),
    ):
        provider.chat("something else")


def test_what_was_not_asked_for_is_told(tape: tuple[Path, dict[str, Any]]) -> None:
    path, options = tape
    with (
        pytest.raises(UsageError, match="3 recorded exchanges were not asked for"),
        cassette(path) as replay,
        replay.open("bundled:openai", **options) as provider,
    ):
        provider.chat("hi")


def test_more_than_was_recorded(tape: tuple[Path, dict[str, Any]]) -> None:
    path, options = tape
    with cassette(path) as replay, replay.open("bundled:openai", **options) as provider:
        use(provider)
        with pytest.raises(UsageError, match="has no exchange for POST"):
            provider.chat("hi")


def test_a_replay_still_decides(tape: tuple[Path, dict[str, Any]]) -> None:
    path, options = tape
    with (
        cassette(path, strict=False) as replay,
        replay.open("bundled:openai", **options) as provider,
        pytest.raises((EgressDenied, UsageError, ProviderError)) as caught,
    ):
        provider.chat("hi", base_url="http://elsewhere.example/v1/")
    assert "recorded" not in str(caught.value)


def test_a_cassette_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="there is no cassette"), cassette(tmp_path / "no.json"):
        pass
    (tmp_path / "bad.json").write_text("{}")
    with pytest.raises(UsageError, match="is no cassette"), cassette(tmp_path / "bad.json"):
        pass
