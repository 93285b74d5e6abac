"""What a model answers: chat replies, stream chunks, usage (provider-abi.md §3.4 to §3.6)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal, Protocol, TypeAlias

from fumehood.abi import jsonwire
from fumehood.abi.blocks import Block, Text, Thinking, ToolUse
from fumehood.abi.fields import (
    U32_MAX,
    Object,
    as_array,
    as_int,
    as_object,
    as_text,
    field,
    get_int,
    get_text,
    only_entry,
    opt_text,
)
from fumehood.abi.messages import Message
from fumehood.abi.tools import ToolCall, decode_call, encode_call
from fumehood.abi.wire import JSON, Data, Wire
from fumehood.errors import ProtocolError, UsageError

FINISH_REASONS: Final = (
    "Stop",
    "Length",
    "ContentFilter",
    "ToolCalls",
    "Error",
    "Other",
    "Unknown",
)

# Generation B's stop reasons, in lower case (§3.6); any other is Unknown.
_STOP_REASONS: Final = {
    "end_turn": "Stop",
    "stop": "Stop",
    "stop_sequence": "Stop",
    "max_tokens": "Length",
    "length": "Length",
    "tool_use": "ToolCalls",
    "tool_calls": "ToolCalls",
    "function_call": "ToolCalls",
    "content_filter": "ContentFilter",
    "safety": "ContentFilter",
    "cancelled": "Stop",
    "refusal": "Other",
    "pause_turn": "Other",
}

# Field of Usage to the other names it may come under (§3.4).
_USAGE_NAMES: Final = {
    "input_tokens": ("prompt_tokens", "prompt_eval_count", "promptTokenCount"),
    "output_tokens": ("completion_tokens", "eval_count", "candidatesTokenCount"),
    "reasoning_tokens": (),
    "cache_read": ("cache_read_input_tokens",),
    "cache_write": ("cache_creation_input_tokens",),
}
_USAGE_FIELDS: Final = {
    spelling: name for name, others in _USAGE_NAMES.items() for spelling in (name, *others)
}


@dataclass(frozen=True, slots=True)
class Usage:
    """Tokens that a chat used, as the remote API counts them."""

    input_tokens: int = 0
    output_tokens: int = 0
    reasoning_tokens: int = 0
    cache_read: int = 0
    cache_write: int = 0

    def merge(self, other: Usage) -> Usage:
        """Two reports of one chat as one: the larger of both, field by field (§3.4)."""
        return Usage(
            max(self.input_tokens, other.input_tokens),
            max(self.output_tokens, other.output_tokens),
            max(self.reasoning_tokens, other.reasoning_tokens),
            max(self.cache_read, other.cache_read),
            max(self.cache_write, other.cache_write),
        )


def encode_usage(usage: Usage | None) -> Object | None:
    """Usage for `wire.encode`."""
    if usage is None:
        return None
    return {name: getattr(usage, name) for name in _USAGE_NAMES}


def decode_usage(value: Any, what: str = "usage") -> Usage | None:
    """Usage, or None for null. Raises ProtocolError, also for a field beside its alias."""
    if value is None:
        return None
    obj = as_object(value, what)
    counts: dict[str, int] = {}
    for key, count in obj.items():
        name = _USAGE_FIELDS.get(key)
        if name is None:
            continue
        if name in counts:
            found = [other for other in (name, *_USAGE_NAMES[name]) if other in obj]
            raise ProtocolError(f"{what} has both '{found[0]}' and '{found[1]}'")
        counts[name] = as_int(count, f"{what}.{key}", 0, U32_MAX)
    return Usage(**counts)


def decode_finish_reason(value: Any, what: str) -> str | None:
    """One of FINISH_REASONS, or None for null. Raises ProtocolError."""
    if value is None:
        return None
    reason = as_text(value, what)
    if reason not in FINISH_REASONS:
        raise ProtocolError(f"{what} is not known: {reason[:40]!r}")
    return reason


def finish_reason_of(stop_reason: str) -> str:
    """Generation B's `stop_reason` as a finish reason (§3.6), whatever its case."""
    return _STOP_REASONS.get(stop_reason.lower(), "Unknown")


@dataclass(frozen=True, slots=True)
class ChatReply:
    """ChatResponse of the wire (§3.5). None is what the guest left unset."""

    text: str | None = None
    tool_calls: tuple[ToolCall, ...] | None = None
    thinking: str | None = None
    usage: Usage | None = None
    finish_reason: str | None = None


def decode_chat_response(
    data: Data, what: str = "the chat reply of the plugin", wire: Wire = JSON
) -> ChatReply:
    """A chat reply; every field is optional. Raises ProtocolError."""
    obj = as_object(wire.decode(data, what), what)
    calls = obj.get("tool_calls")
    return ChatReply(
        opt_text(obj, "text", what),
        None if calls is None else _decode_calls(calls, f"{what}.tool_calls"),
        opt_text(obj, "thinking", what),
        decode_usage(obj.get("usage"), f"{what}.usage"),
        decode_finish_reason(obj.get("finish_reason"), f"{what}.finish_reason"),
    )


def _decode_calls(value: Any, what: str) -> tuple[ToolCall, ...]:
    return tuple(
        decode_call(item, f"{what}[{index}]") for index, item in enumerate(as_array(value, what))
    )


def encode_chat_response(reply: ChatReply, wire: Wire = JSON) -> bytes:
    """A chat reply as guests write it: null for what is unset."""
    calls = reply.tool_calls
    return wire.encode(
        {
            "text": reply.text,
            "tool_calls": None if calls is None else [encode_call(call) for call in calls],
            "thinking": reply.thinking,
            "usage": encode_usage(reply.usage),
            "finish_reason": reply.finish_reason,
        }
    )


class _Reply(Protocol):
    """What a reply must have to be said again: ChatReply, and the ChatResponse made of it."""

    @property
    def text(self) -> str | None: ...
    @property
    def tool_calls(self) -> Sequence[ToolCall] | None: ...
    @property
    def thinking(self) -> str | None: ...


def assistant_message(reply: _Reply, *, signature: str | None = None) -> Message:
    """A reply as the message that carries it on in the conversation.

    Thinking first, with its `signature` where a stream brought one, then text, then tool uses
    with their arguments parsed (`{}` where they are not JSON).
    """
    blocks: list[Block] = []
    if reply.thinking:
        blocks.append(Thinking(reply.thinking, signature))
    if reply.text:
        blocks.append(Text(reply.text))
    blocks.extend(ToolUse(call.id, call.name, call.parsed) for call in reply.tool_calls or ())
    return Message("Assistant", tuple(blocks))


ChunkKind: TypeAlias = Literal[
    "text",
    "thinking",
    "thinking_signature",
    "tool_use_start",
    "tool_use_input_delta",
    "tool_use_complete",
    "usage",
    "done",
]


@dataclass(frozen=True, slots=True)
class StreamChunk:
    """One piece of a streamed answer (§3.6). `kind` says which fields are set:

    text: `text` · thinking: `thinking` · thinking_signature: `thinking_signature` ·
    tool_use_start: `index`, `id`, `name` · tool_use_input_delta: `index`, `partial_json` ·
    tool_use_complete: `index`, `tool_call` · usage: `usage` · done: `finish_reason`.
    """

    kind: ChunkKind
    text: str | None = None
    thinking: str | None = None
    thinking_signature: str | None = None
    index: int | None = None
    id: str | None = None
    name: str | None = None
    partial_json: str | None = None
    tool_call: ToolCall | None = None
    usage: Usage | None = None
    finish_reason: str | None = None

    def __repr__(self) -> str:
        # Ten fields that are None say nothing.
        shown = [
            f"{name}={getattr(self, name)!r}"
            for name in self.__slots__
            if name != "kind" and getattr(self, name) is not None
        ]
        return f"StreamChunk({', '.join([repr(self.kind), *shown])})"


def decode_chunks(
    data: Data, what: str = "the chunks of the plugin", wire: Wire = JSON
) -> list[StreamChunk]:
    """The chunks of one parser call, an array. Raises ProtocolError."""
    items = as_array(wire.decode(data, what), what)
    return [_decode_chunk(item, f"{what}[{index}]") for index, item in enumerate(items)]


def decode_chunk(data: Data, what: str = "a chunk of the plugin") -> StreamChunk:
    """One chunk, as `qmt_yield_chunk` brings it. Raises ProtocolError."""
    return _decode_chunk(jsonwire.decode(data, what), what)


def _decode_chunk(value: Any, what: str) -> StreamChunk:
    # The usage beside the chunk only repeats a usage chunk: read by nobody (§3.6).
    kind, body = only_entry(field(as_object(value, what), "chunk", what), f"{what}.chunk")
    path = f"{what}.{kind[:40]}"
    match kind:
        case "text":
            return StreamChunk("text", text=as_text(body, path))
        case "thinking":
            return StreamChunk("thinking", thinking=as_text(body, path))
        case "thinking_signature":
            return StreamChunk("thinking_signature", thinking_signature=as_text(body, path))
        case "usage":
            usage = decode_usage(as_object(body, path), path)
            return StreamChunk("usage", usage=usage)
        case "done":
            return StreamChunk("done", finish_reason=_decode_done(as_object(body, path), path))
        case "tool_use_start":
            obj, index = _indexed(body, path)
            id_, name = get_text(obj, "id", path), get_text(obj, "name", path)
            return StreamChunk("tool_use_start", index=index, id=id_, name=name)
        case "tool_use_input_delta":
            obj, index = _indexed(body, path)
            part = get_text(obj, "partial_json", path)
            return StreamChunk("tool_use_input_delta", index=index, partial_json=part)
        case "tool_use_complete":
            obj, index = _indexed(body, path)
            call = decode_call(field(obj, "tool_call", path), f"{path}.tool_call")
            return StreamChunk("tool_use_complete", index=index, tool_call=call)
    raise ProtocolError(f"{what} has a chunk that is not known: {kind[:40]!r}")


def _indexed(body: Any, path: str) -> tuple[Object, int]:
    obj = as_object(body, path)
    return obj, get_int(obj, "index", path, 0, U32_MAX)


def _decode_done(obj: Object, path: str) -> str:
    """The reason; generation B says `stop_reason`, in the words of the remote API."""
    if "finish_reason" not in obj and "stop_reason" in obj:
        return finish_reason_of(get_text(obj, "stop_reason", path))
    reason = decode_finish_reason(field(obj, "finish_reason", path), f"{path}.finish_reason")
    if reason is None:
        raise ProtocolError(f"{path}.finish_reason must be text, not null")
    return reason


def encode_chunks(chunks: Iterable[StreamChunk], wire: Wire = JSON) -> bytes:
    """Chunks as a parser call answers them. Raises UsageError for a chunk without its fields."""
    return wire.encode([_encode_chunk(chunk) for chunk in chunks])


def encode_chunk(chunk: StreamChunk) -> bytes:
    """One chunk as `qmt_yield_chunk` takes it. Raises UsageError for one without its fields."""
    return jsonwire.encode(_encode_chunk(chunk))


def _encode_chunk(chunk: StreamChunk) -> Object:
    body: Any
    needed: tuple[object, ...]
    match chunk.kind:
        case "text":
            body, needed = chunk.text, (chunk.text,)
        case "thinking":
            body, needed = chunk.thinking, (chunk.thinking,)
        case "thinking_signature":
            body, needed = chunk.thinking_signature, (chunk.thinking_signature,)
        case "tool_use_start":
            body = {"index": chunk.index, "id": chunk.id, "name": chunk.name}
            needed = (chunk.index, chunk.id, chunk.name)
        case "tool_use_input_delta":
            body = {"index": chunk.index, "partial_json": chunk.partial_json}
            needed = (chunk.index, chunk.partial_json)
        case "tool_use_complete":
            call = None if chunk.tool_call is None else encode_call(chunk.tool_call)
            body, needed = {"index": chunk.index, "tool_call": call}, (chunk.index, call)
        case "usage":
            body, needed = encode_usage(chunk.usage), (chunk.usage,)
        case "done":
            body, needed = {"finish_reason": chunk.finish_reason}, (chunk.finish_reason,)
        case _:
            raise UsageError(f"no chunk is of kind {chunk.kind!r}")
    if any(value is None for value in needed):
        raise UsageError(f"a chunk of kind {chunk.kind!r} lacks one of its fields")
    return {"chunk": {chunk.kind: body}, "usage": encode_usage(chunk.usage)}
