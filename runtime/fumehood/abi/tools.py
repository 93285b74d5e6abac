"""Tools that a model may call, and its calls (provider-abi.md §3.3)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from dataclasses import field as dataclass_field
from typing import Any

from fumehood.abi import jsonwire
from fumehood.abi.fields import Object, as_array, as_object, field, get_object, get_text
from fumehood.errors import ProtocolError, UsageError


def _no_parameters() -> dict[str, Any]:
    return {"type": "object", "properties": {}}


@dataclass(frozen=True, slots=True)
class Tool:
    """A function that the model may call; `parameters` is a JSON Schema, its key order kept."""

    name: str
    description: str = ""
    parameters: Any = dataclass_field(default_factory=_no_parameters)
    type: str = dataclass_field(default="function", repr=False)


@dataclass(frozen=True, slots=True)
class ToolCall:
    """A call that the model made. `arguments` is text that should be JSON; models err."""

    id: str
    name: str
    arguments: str
    type: str = dataclass_field(default="function", repr=False)

    @property
    def parsed(self) -> Any:
        """The arguments as a JSON value; `{}` where they are none (§3.3)."""
        try:
            return jsonwire.decode(self.arguments.encode(), "the arguments of a tool call")
        except (ProtocolError, UnicodeEncodeError):
            return {}


def encode_tools(tools: Iterable[Tool] | None) -> list[Object] | None:
    """Tools for `wire.encode`. Raises UsageError for what is no Tool or has no JSON form."""
    if tools is None:
        return None
    if isinstance(tools, str | bytes | Mapping | Tool) or not isinstance(tools, Iterable):
        raise UsageError(f"tools are a list of Tool, not {type(tools).__name__}")
    out: list[Object] = []
    for tool in tools:
        if not isinstance(tool, Tool):
            raise UsageError(
                f"a tool is a Tool, not {type(tool).__name__}",
                hint='Tool("name", "what it does", {"type": "object", …})',
            )
        jsonwire.checked(tool.parameters, f"the parameters of tool {tool.name!r}")
        function = {
            "name": tool.name,
            "description": tool.description,
            "parameters": tool.parameters,
        }
        out.append({"type": tool.type, "function": function})
    return out


def decode_tools(value: Any, what: str = "tools") -> list[Tool] | None:
    """Tools of a decoded array, or null. All keys are mandatory. Raises ProtocolError."""
    if value is None:
        return None
    tools: list[Tool] = []
    for index, item in enumerate(as_array(value, what)):
        path = f"{what}[{index}]"
        obj = as_object(item, path)
        kind = get_text(obj, "type", path)
        function = get_object(obj, "function", path)
        tools.append(
            Tool(
                get_text(function, "name", path),
                get_text(function, "description", path),
                field(function, "parameters", path),
                kind,
            )
        )
    return tools


def encode_call(call: ToolCall) -> Object:
    """A tool call for `wire.encode`."""
    function = {"name": call.name, "arguments": call.arguments}
    return {"id": call.id, "type": call.type, "function": function}


def decode_call(value: Any, what: str) -> ToolCall:
    """A tool call. Raises ProtocolError; `arguments` must be text, but need not be JSON."""
    obj = as_object(value, what)
    function = get_object(obj, "function", what)
    return ToolCall(
        get_text(obj, "id", what),
        get_text(function, "name", what),
        get_text(function, "arguments", what),
        get_text(obj, "type", what),
    )
