"""Content blocks of chat messages (provider-abi.md §3.2)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final, TypeAlias

from fumehood.abi import jsonwire
from fumehood.abi.bytearrays import as_bytes
from fumehood.abi.fields import (
    Object,
    as_bool,
    as_object,
    field,
    get_array,
    get_text,
    opt_text,
    without_none,
)
from fumehood.abi.wire import JSON, Wire
from fumehood.errors import ProtocolError, UsageError


def _size(data: bytes) -> str:
    return f"<{len(data)} bytes>"


@dataclass(frozen=True, slots=True)
class Text:
    """Plain text."""

    text: str


@dataclass(frozen=True, slots=True)
class Image:
    """An image as bytes; `mime_type` such as image/png."""

    data: bytes
    mime_type: str

    def __repr__(self) -> str:
        return f"Image({_size(self.data)}, {self.mime_type!r})"


@dataclass(frozen=True, slots=True)
class ImageURL:
    """An image that the remote API fetches itself."""

    url: str


@dataclass(frozen=True, slots=True)
class PDF:
    """A PDF document as bytes."""

    data: bytes

    def __repr__(self) -> str:
        return f"PDF({_size(self.data)})"


@dataclass(frozen=True, slots=True)
class Audio:
    """Sound as bytes; `mime_type` such as audio/wav."""

    data: bytes
    mime_type: str

    def __repr__(self) -> str:
        return f"Audio({_size(self.data)}, {self.mime_type!r})"


@dataclass(frozen=True, slots=True)
class Thinking:
    """A model's reasoning, with the signature that some APIs want back."""

    text: str
    signature: str | None = None


@dataclass(frozen=True, slots=True)
class ToolUse:
    """A tool that the model called; `arguments` is any JSON value, usually an object."""

    id: str
    name: str
    arguments: Any


@dataclass(frozen=True, slots=True)
class ToolResult:
    """What a tool answered; `id` is that of the call."""

    id: str
    content: tuple[Block, ...]
    is_error: bool = False
    name: str | None = None


@dataclass(frozen=True, slots=True)
class ResourceLink:
    """A resource that is named, not sent."""

    uri: str
    name: str | None = None
    description: str | None = None
    mime_type: str | None = None


Block: TypeAlias = (
    Text | Image | ImageURL | PDF | Audio | Thinking | ToolUse | ToolResult | ResourceLink
)
"""One piece of a message's content."""

BLOCKS: Final = (Text, Image, ImageURL, PDF, Audio, Thinking, ToolUse, ToolResult, ResourceLink)


def encode_block(block: Block, wire: Wire = JSON) -> Object:
    """One content block for `wire.encode`."""
    match block:
        case Text(text):
            return {"type": "text", "text": text}
        case Image(data, mime_type):
            return {"type": "image", "mime_type": mime_type, "data": wire.binary(data)}
        case ImageURL(url):
            return {"type": "image_url", "url": url}
        case PDF(data):
            return {"type": "pdf", "data": wire.binary(data)}
        case Audio(data, mime_type):
            return {"type": "audio", "mime_type": mime_type, "data": wire.binary(data)}
        case Thinking(text, signature):
            return without_none({"type": "thinking", "text": text, "signature": signature})
        case ToolUse(id_, name, arguments):
            jsonwire.checked(arguments, f"the arguments of tool {name!r}")
            return {"type": "tool_use", "id": id_, "name": name, "arguments": arguments}
        case ToolResult(id_, content, is_error, name):
            return without_none(
                {
                    "type": "tool_result",
                    "id": id_,
                    "name": name,
                    "is_error": is_error,
                    "content": [encode_block(inner, wire) for inner in content],
                }
            )
        case ResourceLink(uri, name, description, mime_type):
            return without_none(
                {
                    "type": "resource_link",
                    "uri": uri,
                    "name": name,
                    "description": description,
                    "mime_type": mime_type,
                }
            )
    raise UsageError(f"content is made of text and blocks, not {type(block).__name__}")


def decode_block(value: Any, what: str) -> Block:
    """One content block. Raises ProtocolError, also for a `type` that is not known."""
    obj = as_object(value, what)
    kind = get_text(obj, "type", what)
    match kind:
        case "text":
            return Text(get_text(obj, "text", what))
        case "image":
            return Image(_data(obj, what), get_text(obj, "mime_type", what))
        case "image_url":
            return ImageURL(get_text(obj, "url", what))
        case "pdf":
            return PDF(_data(obj, what))
        case "audio":
            return Audio(_data(obj, what), get_text(obj, "mime_type", what))
        case "thinking":
            return Thinking(get_text(obj, "text", what), opt_text(obj, "signature", what))
        case "tool_use":
            arguments = field(obj, "arguments", what)
            return ToolUse(get_text(obj, "id", what), get_text(obj, "name", what), arguments)
        case "tool_result":
            content = tuple(
                decode_block(item, f"{what}.content[{index}]")
                for index, item in enumerate(get_array(obj, "content", what))
            )
            is_error = as_bool(field(obj, "is_error", what), f"{what}.is_error")
            name = opt_text(obj, "name", what)
            return ToolResult(get_text(obj, "id", what), content, is_error, name)
        case "resource_link":
            return ResourceLink(
                get_text(obj, "uri", what),
                opt_text(obj, "name", what),
                opt_text(obj, "description", what),
                opt_text(obj, "mime_type", what),
            )
    raise ProtocolError(f"{what}.type is not known: {kind[:40]!r}")


def _data(obj: Object, what: str) -> bytes:
    return as_bytes(field(obj, "data", what), f"{what}.data")
