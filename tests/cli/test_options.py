"""The shared flags: what they mean and how they refuse."""

from __future__ import annotations

import pytest

from fumehood.cli.options import limits, setting, settings
from fumehood.errors import UsageError
from fumehood.limits import MIB, Limits


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("model=gpt-5", (["model"], "gpt-5")),
        ("temperature=0.5", (["temperature"], 0.5)),
        ("stop=[1,2]", (["stop"], [1, 2])),
        ('name="5"', (["name"], "5")),
        ("flag=true", (["flag"], True)),
        ("empty=", (["empty"], "")),
        ("a.b=1", (["a", "b"], 1)),
        ("url=http://h/v1?a=b", (["url"], "http://h/v1?a=b")),
        ("n=NaN", (["n"], "NaN")),
        ("big=" + "9" * 6000, (["big"], "9" * 6000)),
        ("deep=" + "[" * 100_000, (["deep"], "[" * 100_000)),
    ],
)
def test_setting(text: str, expected: tuple[list[str], object]) -> None:
    assert setting(text) == expected


@pytest.mark.parametrize("text", ["model", "=x", "a..b=1", ".=1"])
def test_a_setting_without_a_key_or_value(text: str) -> None:
    with pytest.raises(UsageError, match="is not key=value"):
        setting(text)


def test_settings_make_one_table() -> None:
    assert settings(("a.b=1", "a.c=2", "d=x", "d=y")) == {"a": {"b": 1, "c": 2}, "d": "y"}
    with pytest.raises(UsageError, match="was given a value before"):
        settings(("a=1", "a.b=2"))


def test_limits_come_from_flags() -> None:
    assert limits(None) == Limits()
    assert limits("30s").deadline == 30
    assert limits("500ms").deadline == 0.5
    assert limits("7").deadline == 7
    found = limits(None, ("memory=32MiB", "fuel=off", "http_requests=2"))
    assert (found.memory, found.fuel, found.http_requests) == (32 * MIB, None, 2)


@pytest.mark.parametrize(
    ("deadline", "texts", "message"),
    [
        ("soon", (), "--deadline: 'soon' is not a quantity"),
        ("3 years", (), "'years' is not a unit of time"),
        (None, ("memory",), "is not name=value"),
        (None, ("memry=1",), "--limit memry: no limit is called 'memry'"),
        (None, ("memory=big",), "--limit memory: 'big' is not a quantity"),
    ],
)
def test_bad_limits_are_named(deadline: str | None, texts: tuple[str, ...], message: str) -> None:
    with pytest.raises(UsageError, match=message) as raised:
        limits(deadline, texts)
    assert raised.value.hint
