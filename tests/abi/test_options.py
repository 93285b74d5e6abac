"""Config values with a shape of their own, provider-abi.md §3.3."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from fumehood.abi.options import (
    NamedTool,
    OutputFormat,
    decode_output_format,
    decode_reasoning_effort,
    decode_tool_choice,
    encode_output_format,
    encode_tool_choice,
)
from fumehood.errors import ProtocolError, UsageError


@pytest.mark.parametrize(
    "value", ["auto", "required", "none", {"type": "function", "function": {"name": "f"}}]
)
def test_tool_choices(value: Any) -> None:
    assert encode_tool_choice(decode_tool_choice(value)) == value


def test_the_type_of_a_tool_choice_may_be_left_out() -> None:
    assert decode_tool_choice({"function": {"name": "f"}}) == NamedTool("f")


@pytest.mark.parametrize(
    "value",
    [
        None,
        "any",
        "Auto",
        "",
        {},
        {"type": "function"},
        {"type": "any", "function": {"name": "f"}},
        {"type": "function", "function": {}},
        ["auto"],
    ],
)
def test_tool_choices_refused(value: Any) -> None:
    with pytest.raises(ProtocolError):
        decode_tool_choice(value)


@pytest.mark.parametrize(
    "value",
    [
        {"name": "S"},
        {"name": "S", "description": "d", "schema": {"type": "object"}, "strict": True},
    ],
)
def test_output_formats(value: Any) -> None:
    assert encode_output_format(decode_output_format(value)) == value


def test_output_formats_refused() -> None:
    for value in (
        None,
        {},
        {"name": 1},
        {"name": "S", "strict": 1},
        {"name": "S", "description": 1},
    ):
        with pytest.raises(ProtocolError):
            decode_output_format(value)
    with pytest.raises(UsageError):
        encode_output_format(OutputFormat("S", schema={"minimum": float("nan")}))


def test_reasoning_efforts() -> None:
    for effort in ("low", "medium", "high", "max"):
        assert decode_reasoning_effort(effort) == effort
    for bad in ("minimal", "High", "", None, 1):
        with pytest.raises(ProtocolError):
            decode_reasoning_effort(bad)


@pytest.mark.parametrize(
    ("decode", "name"),
    [
        (decode_tool_choice, "tool_choice"),
        (decode_output_format, "json_schema"),
        (decode_reasoning_effort, "reasoning_effort"),
    ],
)
def test_errors_name_the_option(decode: Callable[[object], object], name: str) -> None:
    with pytest.raises(ProtocolError, match=f"^{name} "):
        decode(7)
