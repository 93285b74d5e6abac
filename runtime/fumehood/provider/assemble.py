"""The answer that the chunks of a stream add up to (provider-abi.md hazards 9 to 11)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from fumehood.abi.replies import ChatReply, StreamChunk, Usage
from fumehood.abi.tools import ToolCall
from fumehood.errors import TooMuch

MAX_TOOLS: Final = 10_000
"""Tool calls of one answer."""


@dataclass(slots=True)
class _Tool:
    id: str
    name: str
    parts: list[str]


class Assembler:
    """Collects chunks. Of several `done`, the first reason that is not `Stop` counts."""

    def __init__(self, limit: int) -> None:
        """`limit` is the number of characters and tool calls' characters that are kept."""
        self._limit = self._room = limit
        self._text: list[str] = []
        self._thinking: list[str] = []
        self._signature: list[str] = []
        self._tools: dict[int, _Tool] = {}
        self._usage: Usage | None = None
        self._reason: str | None = None

    def add(self, chunk: StreamChunk) -> None:
        """One more chunk. Raises TooMuch where the answer outgrows the limit."""
        if chunk.text is not None:
            self._keep(self._text, chunk.text)
        elif chunk.thinking is not None:
            self._keep(self._thinking, chunk.thinking)
        elif chunk.thinking_signature is not None:
            self._keep(self._signature, chunk.thinking_signature)
        elif chunk.kind == "usage" and chunk.usage is not None:
            self._usage = self._usage.merge(chunk.usage) if self._usage else chunk.usage
        elif chunk.kind == "done":
            if self._reason in (None, "Stop"):
                self._reason = chunk.finish_reason
        elif chunk.index is not None:
            self._add_tool(chunk, chunk.index)

    def reply(self) -> ChatReply:
        """The answer as far as it came."""
        calls = tuple(
            ToolCall(tool.id, tool.name, "".join(tool.parts) or "{}")
            for _, tool in sorted(self._tools.items())
        )
        return ChatReply(
            text="".join(self._text) if self._text else None,
            tool_calls=calls or None,
            thinking="".join(self._thinking) if self._thinking else None,
            usage=self._usage,
            finish_reason=self._reason,
        )

    @property
    def signature(self) -> str | None:
        """The signature of the thinking, where one came."""
        return "".join(self._signature) if self._signature else None

    def _add_tool(self, chunk: StreamChunk, index: int) -> None:
        tool = self._tools.get(index)
        if tool is None:
            if len(self._tools) >= MAX_TOOLS:
                raise TooMuch(f"more than {MAX_TOOLS} tool calls in one answer", limit="tool_calls")
            tool = self._tools[index] = _Tool("", "", [])
        if chunk.kind == "tool_use_start":
            tool.id, tool.name = chunk.id or "", chunk.name or ""
        elif chunk.partial_json is not None:
            self._keep(tool.parts, chunk.partial_json)
        elif chunk.tool_call is not None:
            # Some complete a call with no arguments, or `{}`, after they streamed them.
            call = chunk.tool_call
            tool.id, tool.name = call.id or tool.id, call.name or tool.name
            if call.arguments.strip() not in ("", "{}") or not tool.parts:
                tool.parts = []
                self._keep(tool.parts, call.arguments)

    def _keep(self, parts: list[str], text: str) -> None:
        self._room -= len(text)
        if self._room < 0:
            raise TooMuch(
                f"the streamed answer exceeds {self._limit} characters", limit="output_bytes"
            )
        parts.append(text)
