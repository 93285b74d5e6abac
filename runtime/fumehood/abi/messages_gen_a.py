"""The message shape of generation A guests (provider-abi.md §3.11)."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

from fumehood.abi import jsonwire
from fumehood.abi.blocks import (
    PDF,
    Block,
    Image,
    ImageURL,
    Text,
    ToolResult,
    ToolUse,
)
from fumehood.abi.bytearrays import as_bytes
from fumehood.abi.fields import (
    Object,
    as_array,
    as_object,
    as_text,
    field,
    get_text,
    only_entry,
)
from fumehood.abi.messages import Message
from fumehood.abi.tools import ToolCall, decode_call, encode_call
from fumehood.abi.wire import JSON, Wire
from fumehood.errors import ProtocolError, UsageError

_IMAGES: Final = {
    "image/jpeg": "JPEG",
    "image/jpg": "JPEG",
    "image/png": "PNG",
    "image/gif": "GIF",
    "image/webp": "WEBP",
}
_MIME_TYPES: Final = {
    "JPEG": "image/jpeg",
    "PNG": "image/png",
    "GIF": "image/gif",
    "WEBP": "image/webp",
}


def encode_messages_gen_a(messages: Iterable[Message], wire: Wire = JSON) -> list[Object]:
    """The messages as generation A reads them, for `wire.encode`.

    One kind stands in a message, so one message may become several, in the order of its blocks;
    neighbouring tool uses, and tool results, stay together. Its text, joined, is the content of
    the first that is no tool result. Thinking, audio and resource links have no equivalent and
    are dropped. Raises UsageError for an image format that generation A cannot name.
    """
    return [encoded for message in messages for encoded in _encode_message(message, wire)]


def _encode_message(message: Message, wire: Wire) -> list[Object]:
    kinds: list[Any] = []
    for block in message.content:
        kind = _encode_kind(block, wire)
        if kind is None:
            continue
        (tag, body), *_ = kind.items()
        if kinds and tag in ("ToolUse", "ToolResult") and tag in kinds[-1]:
            kinds[-1][tag].extend(body)
        else:
            kinds.append(kind)
    text = _joined(message.content)
    # Results answer calls, text may go with anything else; text alone is a message of its own.
    bearer = next((at for at, kind in enumerate(kinds) if "ToolResult" not in kind), None)
    if bearer is None and (text or not kinds):
        kinds.append("Text")
        bearer = len(kinds) - 1
    return [
        {"role": message.role, "message_type": kind, "content": text if at == bearer else ""}
        for at, kind in enumerate(kinds)
    ]


def _joined(content: Iterable[Block]) -> str:
    return "".join(block.text for block in content if isinstance(block, Text))


def _encode_kind(block: Block, wire: Wire) -> Object | None:
    match block:
        case Image(data, mime_type):
            name = _IMAGES.get(mime_type.lower())
            if name is None:
                raise UsageError(
                    f"this plugin (generation A) cannot take an image of type {mime_type!r}",
                    hint=f"use one of {', '.join(sorted(_MIME_TYPES.values()))}",
                )
            return {"Image": [name, wire.binary(data)]}
        case PDF(data):
            return {"Pdf": wire.binary(data)}
        case ImageURL(url):
            return {"ImageURL": url}
        case ToolUse(id_, name, arguments):
            jsonwire.checked(arguments, f"the arguments of tool {name!r}")
            text = jsonwire.encode(arguments).decode()
            return {"ToolUse": [encode_call(ToolCall(id_, name, text))]}
        case ToolResult(id_, content, _, name):
            return {"ToolResult": [encode_call(ToolCall(id_, name or "", _joined(content)))]}
        case _:
            return None


def decode_messages_gen_a(value: Any, what: str = "messages") -> list[Message]:
    """The messages of a decoded array of generation A. Raises ProtocolError."""
    return [
        _decode_message(item, f"{what}[{index}]")
        for index, item in enumerate(as_array(value, what))
    ]


def _decode_message(value: Any, what: str) -> Message:
    obj = as_object(value, what)
    role = get_text(obj, "role", what)
    if role not in ("User", "Assistant"):
        raise ProtocolError(f"{what}.role must be 'User' or 'Assistant', not {role[:40]!r}")
    text = get_text(obj, "content", what)
    blocks: list[Block] = [Text(text)] if text else []
    kind = field(obj, "message_type", what)
    path = f"{what}.message_type"
    if kind != "Text":
        tag, body = only_entry(kind, path)
        blocks.extend(_decode_kind(tag, body, path))
    return Message("User" if role == "User" else "Assistant", tuple(blocks))


def _decode_kind(tag: str, body: Any, path: str) -> list[Block]:
    match tag:
        case "Image":
            pair = as_array(body, path)
            if len(pair) != 2 or _MIME_TYPES.get(as_text(pair[0], path)) is None:
                raise ProtocolError(f"{path}: an image is [JPEG, PNG, GIF or WEBP, bytes]")
            return [Image(as_bytes(pair[1], path), _MIME_TYPES[pair[0]])]
        case "Pdf":
            return [PDF(as_bytes(body, path))]
        case "ImageURL":
            return [ImageURL(as_text(body, path))]
        case "ToolUse":
            calls = [decode_call(item, path) for item in as_array(body, path)]
            return [ToolUse(call.id, call.name, call.parsed) for call in calls]
        case "ToolResult":
            calls = [decode_call(item, path) for item in as_array(body, path)]
            return [
                ToolResult(call.id, (Text(call.arguments),), name=call.name or None)
                for call in calls
            ]
    raise ProtocolError(f"{path} is not known: {tag[:40]!r}")
