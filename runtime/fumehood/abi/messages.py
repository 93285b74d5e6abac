"""Chat messages, content blocks and tools (provider-abi.md §3.2, §3.3).

    user("What is on this picture?", image(png, "image/png"))
    assistant("A cat.")
    tool_result(call.id, "42")

Everything here is frozen. Blocks are made by their classes or by the helpers; `as_messages` takes
what a caller may write for a conversation.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal, TypeAlias

from fumehood.abi.blocks import (
    BLOCKS,
    PDF,
    Audio,
    Block,
    Image,
    ImageURL,
    ResourceLink,
    Text,
    Thinking,
    ToolResult,
    ToolUse,
    decode_block,
    encode_block,
)
from fumehood.abi.fields import (
    Object,
    as_array,
    as_object,
    get_array,
    get_object,
    get_text,
    opt_int,
    without_none,
)
from fumehood.abi.tools import Tool, ToolCall, decode_tools, encode_tools
from fumehood.abi.wire import JSON, Wire
from fumehood.errors import ProtocolError, UsageError

__all__ = [
    "PDF",
    "Audio",
    "Block",
    "CacheHint",
    "Conversation",
    "Image",
    "ImageURL",
    "Message",
    "ResourceLink",
    "Text",
    "Thinking",
    "Tool",
    "ToolCall",
    "ToolResult",
    "ToolUse",
    "as_messages",
    "assistant",
    "decode_block",
    "decode_messages",
    "decode_tools",
    "encode_block",
    "encode_messages",
    "encode_tools",
    "image",
    "tool_result",
    "user",
]

Role: TypeAlias = Literal["User", "Assistant"]

_ROLES: Final = ("User", "Assistant")
_SINGLE: Final = (str, *BLOCKS)


@dataclass(frozen=True, slots=True)
class CacheHint:
    """The remote API may cache the conversation up to this message, `ttl_seconds` long."""

    ttl_seconds: int | None = None


@dataclass(frozen=True, slots=True)
class Message:
    """One message of a conversation. There is no system role: system text is configuration.

    Raises UsageError for a role or content that no guest would take.
    """

    role: Role
    content: tuple[Block, ...]
    cache: CacheHint | None = None

    def __post_init__(self) -> None:
        if self.role not in _ROLES:
            raise UsageError(
                f"a message's role is 'User' or 'Assistant', not {self.role!r}",
                hint="system text is the config key 'system', a tool's answer tool_result(…)",
            )
        object.__setattr__(self, "content", _parts(self.content))

    @property
    def text(self) -> str:
        """The text blocks, joined."""
        return "".join(block.text for block in self.content if isinstance(block, Text))


def _parts(parts: object) -> tuple[Block, ...]:
    """Content as blocks; text stands for itself."""
    if isinstance(parts, _SINGLE):
        parts = (parts,)
    if not isinstance(parts, Iterable) or isinstance(parts, bytes | bytearray | dict):
        raise UsageError(
            f"content is text and blocks, not {type(parts).__name__}",
            hint="for bytes use image(data, mime_type), PDF(data) or Audio(data, mime_type)",
        )
    blocks: list[Block] = []
    for part in parts:
        if isinstance(part, str):
            blocks.append(Text(part))
        elif isinstance(part, BLOCKS):
            blocks.append(part)
        else:
            raise UsageError(
                f"content is text and blocks, not {type(part).__name__}",
                hint="for bytes use image(data, mime_type), PDF(data) or Audio(data, mime_type)",
            )
    return tuple(blocks)


def user(*parts: str | Block, cache: CacheHint | None = None) -> Message:
    """A user's message from text and blocks."""
    return Message("User", _parts(parts), cache)


def assistant(*parts: str | Block, cache: CacheHint | None = None) -> Message:
    """A model's message from text and blocks; see also `replies.assistant_message`."""
    return Message("Assistant", _parts(parts), cache)


def image(source: bytes | str, mime_type: str | None = None) -> Image | ImageURL:
    """An image block: bytes with their MIME type, or a URL for the remote API to fetch."""
    if isinstance(source, str):
        if mime_type is not None:
            raise UsageError("an image by URL takes no mime_type")
        return ImageURL(source)
    if not isinstance(source, bytes | bytearray | memoryview):
        raise UsageError(f"an image is bytes or a URL, not {type(source).__name__}")
    if mime_type is None:
        raise UsageError("an image as bytes needs its mime_type", hint='for example "image/png"')
    return Image(bytes(source), mime_type)


def tool_result(
    id: str,  # noqa: A002 - the word of the wire and of every API behind it
    content: str | Block | Sequence[str | Block],
    is_error: bool = False,
    name: str | None = None,
) -> ToolResult:
    """What a tool answered to the call `id`; `is_error` tells the model that it failed.

    Goes into a user's message: `user(tool_result(…), tool_result(…))`, or stands for one in
    a conversation.
    """
    return ToolResult(id, _parts(content), is_error, name)


Conversation: TypeAlias = "str | Message | Sequence[Message | Block | str]"
"""What callers may pass for messages."""


def as_messages(conversation: Conversation) -> list[Message]:
    """A conversation as messages: text is one user's message, and so are blocks in a row.

    Raises UsageError for anything else, and for an empty conversation.
    """
    if isinstance(conversation, str):
        return [user(conversation)]
    if isinstance(conversation, Message):
        return [conversation]
    if isinstance(conversation, bytes | bytearray | dict) or not isinstance(conversation, Iterable):
        raise UsageError(f"messages are text or a list, not {type(conversation).__name__}")
    messages: list[Message] = []
    loose: list[Block] = []
    for item in conversation:
        if isinstance(item, BLOCKS):
            loose.append(item)
            continue
        if loose:
            messages.append(user(*loose))
            loose = []
        if isinstance(item, Message):
            messages.append(item)
        elif isinstance(item, str):
            messages.append(user(item))
        else:
            raise UsageError(
                f"a message is text or a Message, not {type(item).__name__}",
                hint='build them with user("…") and assistant("…")',
            )
    if loose:
        messages.append(user(*loose))
    if not messages:
        raise UsageError("there is no message", hint='pass text, or a list such as [user("hi")]')
    return messages


# To the wire


def encode_messages(messages: Iterable[Message], wire: Wire = JSON) -> list[Object]:
    """The messages as generations B and C read them, for `wire.encode` (§3.2)."""
    return [_encode_message(message, wire) for message in messages]


def _encode_message(message: Message, wire: Wire) -> Object:
    out: Object = {
        "role": message.role,
        "content": [encode_block(block, wire) for block in message.content],
    }
    if message.cache is not None:
        out["cache"] = {"ephemeral": without_none({"ttl_seconds": message.cache.ttl_seconds})}
    return out


# From the wire


def decode_messages(value: Any, what: str = "messages") -> list[Message]:
    """The messages of a decoded array. Raises ProtocolError by §3.2."""
    return [
        _decode_message(item, f"{what}[{index}]")
        for index, item in enumerate(as_array(value, what))
    ]


def _decode_message(value: Any, what: str) -> Message:
    obj = as_object(value, what)
    role = get_text(obj, "role", what)
    if role not in _ROLES:
        raise ProtocolError(f"{what}.role must be 'User' or 'Assistant', not {role[:40]!r}")
    content = tuple(
        decode_block(item, f"{what}.content[{index}]")
        for index, item in enumerate(get_array(obj, "content", what))
    )
    cache = obj.get("cache")
    hint = None if cache is None else _decode_cache(cache, f"{what}.cache")
    return Message("User" if role == "User" else "Assistant", content, hint)


def _decode_cache(value: Any, what: str) -> CacheHint:
    obj = as_object(value, what)
    if set(obj) != {"ephemeral"}:
        raise ProtocolError(f"{what} must have exactly the key 'ephemeral'")
    return CacheHint(opt_int(get_object(obj, "ephemeral", what), "ttl_seconds", what))
