"""Config values with a shape of their own: tool choice, structured output, reasoning effort
(provider-abi.md §3.3)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from fumehood.abi import jsonwire
from fumehood.abi.fields import (
    Object,
    as_bool,
    as_object,
    as_text,
    get_object,
    get_text,
    opt_text,
    without_none,
)
from fumehood.errors import ProtocolError

REASONING_EFFORTS: Final = ("low", "medium", "high", "max")
TOOL_CHOICES: Final = ("auto", "required", "none")


@dataclass(frozen=True, slots=True)
class NamedTool:
    """The choice of one tool, by its name."""

    name: str


def decode_tool_choice(value: Any, what: str = "tool_choice") -> str | NamedTool:
    """One of TOOL_CHOICES, or the named tool; its `type` may be left out. Raises ProtocolError."""
    if isinstance(value, str):
        if value not in TOOL_CHOICES:
            raise ProtocolError(f"{what} must be one of {', '.join(TOOL_CHOICES)}, or a tool")
        return value
    obj = as_object(value, what)
    if obj.get("type", "function") != "function":
        raise ProtocolError(f"{what}.type must be 'function'")
    return NamedTool(get_text(get_object(obj, "function", what), "name", what))


def encode_tool_choice(choice: str | NamedTool) -> str | Object:
    """The same for `wire.encode`."""
    if isinstance(choice, str):
        return choice
    return {"type": "function", "function": {"name": choice.name}}


@dataclass(frozen=True, slots=True)
class OutputFormat:
    """The JSON Schema that an answer must obey (`cfg.json_schema`)."""

    name: str
    description: str | None = None
    schema: Any = None
    strict: bool | None = None


def decode_output_format(value: Any, what: str = "json_schema") -> OutputFormat:
    """`cfg.json_schema`; only `name` is mandatory. Raises ProtocolError."""
    obj = as_object(value, what)
    strict = obj.get("strict")
    return OutputFormat(
        get_text(obj, "name", what),
        opt_text(obj, "description", what),
        obj.get("schema"),
        None if strict is None else as_bool(strict, f"{what}.strict"),
    )


def encode_output_format(wanted: OutputFormat) -> Object:
    """The same for `wire.encode`; what is unset is left out."""
    return without_none(
        {
            "name": wanted.name,
            "description": wanted.description,
            "schema": jsonwire.checked(wanted.schema, "json_schema.schema"),
            "strict": wanted.strict,
        }
    )


def decode_reasoning_effort(value: Any, what: str = "reasoning_effort") -> str:
    """One of REASONING_EFFORTS. Raises ProtocolError."""
    effort = as_text(value, what)
    if effort not in REASONING_EFFORTS:
        raise ProtocolError(f"{what} must be one of {', '.join(REASONING_EFFORTS)}")
    return effort
