"""What a provider answers (provider-abi.md §3.3 to §3.7), and how it is written."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final, Protocol, runtime_checkable


class FinishReason(StrEnum):
    """Why the model stopped."""

    STOP = "Stop"
    LENGTH = "Length"
    CONTENT_FILTER = "ContentFilter"
    TOOL_CALLS = "ToolCalls"
    ERROR = "Error"
    OTHER = "Other"
    UNKNOWN = "Unknown"

    @classmethod
    def from_vendor(cls, word: str) -> FinishReason:
        """The reason behind a vendor's word for it."""
        return _WORDS.get(word, cls.UNKNOWN)


_WORDS: Final = {
    "stop": FinishReason.STOP,
    "end_turn": FinishReason.STOP,
    "stop_sequence": FinishReason.STOP,
    "eos": FinishReason.STOP,
    "length": FinishReason.LENGTH,
    "max_tokens": FinishReason.LENGTH,
    "model_context_window_exceeded": FinishReason.LENGTH,
    "content_filter": FinishReason.CONTENT_FILTER,
    "safety": FinishReason.CONTENT_FILTER,
    "tool_calls": FinishReason.TOOL_CALLS,
    "tool_use": FinishReason.TOOL_CALLS,
    "function_call": FinishReason.TOOL_CALLS,
    "error": FinishReason.ERROR,
    "refusal": FinishReason.OTHER,
    "pause_turn": FinishReason.OTHER,
}


@dataclass(slots=True)
class Usage:
    """Token counts of one operation."""

    input_tokens: int = 0
    output_tokens: int = 0
    reasoning_tokens: int = 0
    cache_read: int = 0
    cache_write: int = 0

    def wire(self) -> dict[str, int]:
        """The JSON object."""
        return {
            "input_tokens": self.input_tokens,
            "output_tokens": self.output_tokens,
            "reasoning_tokens": self.reasoning_tokens,
            "cache_read": self.cache_read,
            "cache_write": self.cache_write,
        }


@dataclass(slots=True)
class Tool:
    """A tool the model may call; `parameters` is a JSON Schema, its order of keys kept."""

    name: str
    description: str
    parameters: Any

    def wire(self) -> dict[str, Any]:
        """The JSON object, which is also what OpenAI's API takes."""
        function = {"name": self.name, "description": self.description, "parameters": self.parameters}
        return {"type": "function", "function": function}


def tool(raw: Any) -> Tool:
    """A tool from its JSON object; ValueError where a key is missing."""
    try:
        if not isinstance(raw["type"], str):
            raise TypeError
        function = raw["function"]
        name, description = function["name"], function["description"]
        if not isinstance(name, str) or not isinstance(description, str):
            raise TypeError
        return Tool(name, description, function["parameters"])
    except (KeyError, TypeError):
        raise ValueError("a tool must have type, and function with name, description and parameters") from None


@dataclass(slots=True)
class ToolCall:
    """A call the model asks for; `arguments` is JSON text."""

    id: str
    name: str
    arguments: str

    @property
    def parsed(self) -> Any:
        """The arguments as a value; `{}` when they are no JSON."""
        try:
            return json.loads(self.arguments)
        except ValueError:
            return {}

    def wire(self) -> dict[str, Any]:
        """The JSON object."""
        return {"id": self.id, "type": "function", "function": {"name": self.name, "arguments": self.arguments}}


@dataclass(slots=True)
class ChatResponse:
    """A chat's answer."""

    text: str | None = None
    tool_calls: list[ToolCall] | None = None
    thinking: str | None = None
    usage: Usage | None = None
    finish_reason: FinishReason | None = None

    def wire(self) -> dict[str, Any]:
        """The JSON object: every key, null where unset."""
        return {
            "text": self.text,
            "tool_calls": None if self.tool_calls is None else [call.wire() for call in self.tool_calls],
            "thinking": self.thinking,
            "usage": None if self.usage is None else self.usage.wire(),
            "finish_reason": self.finish_reason,
        }


@dataclass(slots=True)
class CompletionRequest:
    """What to continue."""

    prompt: str
    suffix: str | None = None
    max_tokens: int | None = None
    temperature: float | None = None


class StreamChunk:
    """One step of a streamed answer; the class methods make the kinds there are."""

    __slots__ = ("kind", "value")

    def __init__(self, kind: str, value: Any) -> None:
        self.kind = kind
        self.value = value

    def __repr__(self) -> str:
        return f"StreamChunk({self.kind!r}, {self.value!r})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, StreamChunk) and (self.kind, self.value) == (other.kind, other.value)

    def __hash__(self) -> int:
        return hash((self.kind, repr(self.value)))

    @classmethod
    def text(cls, text: str) -> StreamChunk:
        """More text."""
        return cls("text", text)

    @classmethod
    def thinking(cls, text: str) -> StreamChunk:
        """More thinking."""
        return cls("thinking", text)

    @classmethod
    def thinking_signature(cls, signature: str) -> StreamChunk:
        """The signature of the thinking so far."""
        return cls("thinking_signature", signature)

    @classmethod
    def tool_use_start(cls, index: int, id: str, name: str) -> StreamChunk:
        """Call number `index` of the answer, from 0, begins."""
        return cls("tool_use_start", {"index": index, "id": id, "name": name})

    @classmethod
    def tool_use_input_delta(cls, index: int, partial_json: str) -> StreamChunk:
        """More of a call's arguments: a piece of JSON text."""
        return cls("tool_use_input_delta", {"index": index, "partial_json": partial_json})

    @classmethod
    def tool_use_complete(cls, index: int, call: ToolCall) -> StreamChunk:
        """A call is complete."""
        return cls("tool_use_complete", {"index": index, "tool_call": call.wire()})

    @classmethod
    def usage(cls, usage: Usage) -> StreamChunk:
        """What it has cost so far."""
        return cls("usage", usage.wire())

    @classmethod
    def done(cls, reason: FinishReason = FinishReason.STOP) -> StreamChunk:
        """The answer ended; usage may still follow."""
        return cls("done", {"finish_reason": reason})

    def wire(self) -> dict[str, Any]:
        """The JSON object; the outer `usage` repeats the counts of a usage chunk."""
        return {"chunk": {self.kind: self.value}, "usage": self.value if self.kind == "usage" else None}


@runtime_checkable
class StreamParser(Protocol):
    """What `chat_stream_parser` returns: reads one streamed reply, line by line."""

    def parse(self, line: bytes) -> Iterable[StreamChunk]:
        """The chunks that this line completes. Every line comes with its end, blank ones too."""

    def finish(self) -> Iterable[StreamChunk]:
        """What is left when the body has ended."""
