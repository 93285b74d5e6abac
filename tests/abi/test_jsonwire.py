from __future__ import annotations

import datetime
import json
import sys
import time
from collections.abc import Callable
from typing import Any

import msgspec
import pytest

from fumehood.abi import jsonwire
from fumehood.errors import ProtocolError, UsageError


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b" ",
        b"nul",
        b"NaN",
        b"Infinity",
        b"[-Infinity]",
        b"1e400",
        b"-1e999",
        b"01",
        b".5",
        b"1.",
        b"+1",
        b"[1,]",
        b'{"a":1,}',
        b"{1:2}",
        b"[1] 2",
        b"{} x",
        b"'a'",
        b'"\t"',
        b'"\\x"',
        b"\xef\xbb\xbf{}",
        b"18446744073709551616",
        b"-9223372036854775809",
        b'{"a":[123456789012345678901234567890]}',
        b"9" * 5000,
        b'"\\ud800"',
        b'"\\udc00\\ud800"',
        b'"\\ud800\\u0041"',
        b'{"\\udfff":1}',
        b'"\xff"',
        b'{"\xfe":1}',
        b'"\xed\xa0\x80"',
        b'"\xc0\x80"',
        b'"\xf4\x90\x80\x80"',
        b'"\xe2\x82"',
    ],
)
def test_refused(text: bytes) -> None:
    with pytest.raises(ProtocolError, match="the thing"):
        jsonwire.decode(text, "the thing")


@pytest.mark.parametrize(
    ("text", "value"),
    [
        (b" null\n", None),
        (b"18446744073709551615", (1 << 64) - 1),
        (b"-9223372036854775808", -(1 << 63)),
        (b'"1234567890123456789012345"', "1234567890123456789012345"),
        (b"0.12345678901234567890123", 0.12345678901234567890123),
        (b"1e308", 1e308),
        (b'"\\ud83d\\ude00"', "😀"),
        (b'"\\u0000"', "\0"),
        (b'{"a":1,"a":2}', {"a": 2}),
        (b'{"a":1,"\\u0061":2}', {"a": 2}),
    ],
)
def test_accepted(text: bytes, value: object) -> None:
    assert jsonwire.decode(text, "it") == value
    assert jsonwire.decode(memoryview(text), "it") == value
    assert jsonwire.decode(bytearray(text), "it") == value


@pytest.mark.parametrize("template", [b"[%s]", b'{"a":%s}', b'{"[\\"":[%s]}'])
def test_depth_is_bounded_exactly(template: bytes) -> None:
    levels = template.count(b"%s") + (template == b'{"[\\"":[%s]}')
    text = b"1"
    for _ in range(jsonwire.MAX_DEPTH // levels):
        text = template % text
    jsonwire.decode(text, "it")
    with pytest.raises(ProtocolError, match=r"deeper than 128|too deeply"):
        jsonwire.decode(b"[%s]" % text, "it")


def test_brackets_in_text_and_side_by_side_are_not_depth() -> None:
    inside = json.dumps(['[{"\\' * 1000, "]}" * 3000]).encode()
    assert jsonwire.decode(inside, "it")[0].startswith("[{")
    wide = b"[" + b",".join([b"[[]]"] * 5000) + b"]"
    assert len(jsonwire.decode(wide, "it")) == 5000


@pytest.mark.parametrize("count", [1100, 200_000, 5_000_000])
@pytest.mark.parametrize("part", [b"[", b'{"a":', b'["', b'["\\"'])
def test_deep_and_unfinished_documents_are_refused_quickly(part: bytes, count: int) -> None:
    started = time.monotonic()
    with pytest.raises(ProtocolError):
        jsonwire.decode(part * count, "it")
    assert time.monotonic() - started < 10


def test_documents_that_would_fill_memory_are_refused_before_they_do() -> None:
    with pytest.raises(ProtocolError, match="too many values"):
        jsonwire.decode(b"[" + b"[]," * 8_000_000 + b"[]]", "it")
    with pytest.raises(ProtocolError, match="too many values"):
        jsonwire.decode(b"[" + b"1," * 17_000_000 + b"1]", "it")


@pytest.mark.parametrize(
    ("item", "each"), [(b"[]", 72), (b"{}", 72), (b'""', 2 * 32), (b"1", 0), (b'[""]', 72 + 64)]
)
def test_what_values_cost_in_memory(
    item: bytes, each: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    count = 40_000
    text = b"[" + b",".join([item] * count) + b"]"
    cost = 72 + count * each + (count - 1) * 32
    monkeypatch.setattr(jsonwire, "MAX_VALUE_BYTES", cost)
    assert len(jsonwire.decode(text, "it")) == count
    monkeypatch.setattr(jsonwire, "MAX_VALUE_BYTES", cost - 1)
    with pytest.raises(ProtocolError, match=rf"^it holds too many values \({len(text)} bytes"):
        jsonwire.decode(text, "it")


def test_small_documents_are_not_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jsonwire, "MAX_VALUE_BYTES", 0)
    assert jsonwire.decode(b"[" + b" " * (64 * 1024 - 2) + b"]", "it") == []
    with pytest.raises(ProtocolError, match="too many values"):
        jsonwire.decode(b"[" + b" " * (64 * 1024 - 1) + b"]", "it")


def test_only_what_may_be_too_deep_is_told_so() -> None:
    for count, words in (
        (jsonwire.MAX_DEPTH, "not valid JSON"),
        (jsonwire.MAX_DEPTH + 1, "deeper"),
    ):
        with pytest.raises(ProtocolError, match=words):
            jsonwire.decode(b"[" * count, "it")


def test_decoding_deep_in_the_python_stack_still_raises_only_our_error() -> None:
    text = b"[" * 120 + b"]" * 120

    def dive(left: int) -> object:
        return dive(left - 1) if left else jsonwire.decode(text, "it")

    used = 0
    frame = sys._getframe()
    while frame is not None:
        used, frame = used + 1, frame.f_back  # type: ignore[assignment]
    with pytest.raises(ProtocolError, match="deep"):
        dive(sys.getrecursionlimit() - used - 60)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ('{"a":1}', {"a": 1}),
        (' \n{"a":"}\\""} stack backtrace:\n 0: {', {"a": '}"'}),
        ("[1,[2]]]]", [1, [2]]),
        ('{"a":{"b":["\\\\"]}}\n\nCaused by: x', {"a": {"b": ["\\"]}}),
    ],
)
def test_prefix(text: str, value: object) -> None:
    assert jsonwire.decode_prefix(text) == value


@pytest.mark.parametrize(
    "text",
    [
        "",
        "plain text",
        "1 2",
        '"{}"',
        '{"a":',
        '{"a":"',
        '{"a":"\\',
        "[" * 1000,
        "[" * 1000 + "]" * 1000,
        "{]",
        '{"a":NaN}',
        '{"a":"\ud800"}',
        "x {}",
    ],
)
def test_prefix_refused(text: str) -> None:
    with pytest.raises(ProtocolError, match=r"^it "):
        jsonwire.decode_prefix(text, "it")


def test_prefix_of_hostile_text_takes_linear_time() -> None:
    started = time.monotonic()
    for text in ('["' * 2_000_000, '{"' + '\\"' * 2_000_000, "[" + '"a",' * 1_000_000):
        with pytest.raises(ProtocolError):
            jsonwire.decode_prefix(text)
    assert time.monotonic() - started < 10


def test_encode() -> None:
    assert jsonwire.encode({"a": [1, None, 0.5, "é"], "b": msgspec.Raw(b"[1]")}) == (
        '{"a":[1,null,0.5,"é"],"b":[1]}'.encode()
    )
    day = datetime.datetime(2026, 1, 2, 3, 4, 5, tzinfo=datetime.UTC)
    assert jsonwire.encode(day) == b'"2026-01-02T03:04:05Z"'


def test_encode_refuses_what_has_no_json_form() -> None:
    inside: list[object] = []
    inside.append(inside)
    for value in (object(), "\ud800", {"\udfff": 1}, {None: 1}, inside):
        with pytest.raises(UsageError):
            jsonwire.encode(value)


def test_checked_names_the_path() -> None:
    deep: object = 1
    for _ in range(200):
        deep = [deep]
    cases: list[tuple[object, str]] = [
        ({"a": [1, float("nan")]}, r"cfg\.a\[1\]"),
        ({"a": float("inf")}, r"cfg\.a"),
        (1 << 64, "cfg"),
        (-(1 << 63) - 1, "cfg"),
        ({"a": b"x"}, r"cfg\.a"),
        ({"a": datetime.datetime(2026, 1, 2, tzinfo=datetime.UTC)}, r"cfg\.a: a date"),
        ({1: 2}, "cfg"),
        (deep, "deeper"),
    ]
    for value, message in cases:
        with pytest.raises(UsageError, match=message):
            jsonwire.checked(value, "cfg")
    fine = {"a": [1, 2.5, None, True, ("x",)], "b": (1 << 64) - 1, "c": -(1 << 63)}
    assert jsonwire.checked(fine, "cfg") is fine


def test_the_depth_of_a_prefix() -> None:
    most = jsonwire.MAX_DEPTH
    assert jsonwire.decode_prefix("[" * most + "]" * most + "x")
    with pytest.raises(ProtocolError, match=f"^the document is nested deeper than {most}$"):
        jsonwire.decode_prefix("[" * (most + 1) + "]" * (most + 1))


@pytest.mark.parametrize("wrap", [lambda value: [value], lambda value: {"k": value}])
def test_the_depth_of_what_is_sent(wrap: Callable[[Any], Any]) -> None:
    value = wrap(1)
    for _ in range(jsonwire.MAX_DEPTH - 1):
        value = wrap(value)
    assert jsonwire.checked(value, "it") is value
    with pytest.raises(UsageError, match=f"nested deeper than {jsonwire.MAX_DEPTH}"):
        jsonwire.checked(wrap(value), "it")
