"""Messages and their blocks (provider-abi.md §3.2): what the host sends, decoded."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any, Final, Literal


@dataclass(slots=True)
class Text:
    """Plain text."""

    text: str


@dataclass(slots=True)
class Image:
    """An image by its bytes."""

    mime_type: str
    data: bytes


@dataclass(slots=True)
class ImageURL:
    """An image by its address."""

    url: str


@dataclass(slots=True)
class PDF:
    """A PDF document."""

    data: bytes


@dataclass(slots=True)
class Audio:
    """A sound."""

    mime_type: str
    data: bytes


@dataclass(slots=True)
class Thinking:
    """What the model thought; `signature` goes back to the vendor unchanged."""

    text: str
    signature: str | None = None


@dataclass(slots=True)
class ToolUse:
    """The model asks for a tool. `arguments` is any JSON value."""

    id: str
    name: str
    arguments: Any


@dataclass(slots=True)
class ToolResult:
    """What a tool answered to the call `id`."""

    id: str
    content: list[Block]
    is_error: bool = False
    name: str | None = None


@dataclass(slots=True)
class ResourceLink:
    """A reference to something that is not included."""

    uri: str
    name: str | None = None
    description: str | None = None
    mime_type: str | None = None

    @property
    def as_text(self) -> str:
        """What a vendor without links is told instead: `name (uri)`."""
        return f"{self.name} ({self.uri})" if self.name is not None else self.uri


Block = Text | Image | ImageURL | PDF | Audio | Thinking | ToolUse | ToolResult | ResourceLink
"""One block of a message."""


@dataclass(slots=True)
class CacheHint:
    """Asks the vendor to cache the conversation up to a message; None is the vendor's default time."""

    ttl_seconds: int | None = None


@dataclass(slots=True)
class Message:
    """Who said what. System text is configuration, tool results are the user's: there are no other roles."""

    role: Literal["User", "Assistant"]
    content: list[Block] = field(default_factory=list)
    cache: CacheHint | None = None

    @property
    def text(self) -> str:
        """The texts of the blocks, a newline between them."""
        return join_text(self.content)

    @classmethod
    def user(cls, *parts: str | Block) -> Message:
        """A message of the caller; strings become text blocks."""
        return cls("User", [Text(part) if isinstance(part, str) else part for part in parts])

    @classmethod
    def assistant(cls, *parts: str | Block) -> Message:
        """A message of the model; strings become text blocks."""
        return cls("Assistant", [Text(part) if isinstance(part, str) else part for part in parts])


def join_text(blocks: Iterable[Block]) -> str:
    """The texts of the blocks, a newline between them; other blocks are passed over."""
    return "\n".join(block.text for block in blocks if isinstance(block, Text))


# -- from the wire ------------------------------------------------------------------------------


_INTEGER: Final = frozenset({int})


def _data(value: Any) -> bytes:
    if type(value) is bytes:  # MessagePack has them as they are
        return value
    if not isinstance(value, list) or not _INTEGER.issuperset(map(type, value)):
        raise ValueError("`data` must be an array of bytes")
    return bytes(value)


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError("must be a string")
    return value


def _maybe(value: Any) -> str | None:
    return None if value is None else _text(value)


def _result(raw: dict[str, Any]) -> ToolResult:
    if not isinstance(raw["is_error"], bool):
        raise ValueError("`is_error` must be true or false")
    return ToolResult(
        _text(raw["id"]), [block(item) for item in raw["content"]], raw["is_error"], _maybe(raw.get("name"))
    )


_BLOCKS: Final[dict[str, Callable[[dict[str, Any]], Block]]] = {
    "text": lambda raw: Text(_text(raw["text"])),
    "image": lambda raw: Image(_text(raw["mime_type"]), _data(raw["data"])),
    "image_url": lambda raw: ImageURL(_text(raw["url"])),
    "pdf": lambda raw: PDF(_data(raw["data"])),
    "audio": lambda raw: Audio(_text(raw["mime_type"]), _data(raw["data"])),
    "thinking": lambda raw: Thinking(_text(raw["text"]), _maybe(raw.get("signature"))),
    "tool_use": lambda raw: ToolUse(_text(raw["id"]), _text(raw["name"]), raw["arguments"]),
    "tool_result": _result,
    "resource_link": lambda raw: ResourceLink(
        _text(raw["uri"]), _maybe(raw.get("name")), _maybe(raw.get("description")), _maybe(raw.get("mime_type"))
    ),
}


def block(raw: Any) -> Block:
    """A block from its JSON object; ValueError saying what is wrong with it."""
    if not isinstance(raw, dict):
        raise ValueError("a content block must be an object")
    kind = raw.get("type")
    make = _BLOCKS.get(kind) if isinstance(kind, str) else None
    if make is None:
        raise ValueError(f"no content block has the type {kind!r}")
    try:
        return make(raw)
    except KeyError as missing:
        raise ValueError(f"a {kind} block lacks {missing}") from None
    except TypeError as problem:
        raise ValueError(f"a {kind} block: {problem}") from None


def message(raw: Any) -> Message:
    """A message from its JSON object; ValueError saying what is wrong with it."""
    if not isinstance(raw, dict) or raw.get("role") not in ("User", "Assistant"):
        raise ValueError("a message must be an object whose role is User or Assistant")
    if not isinstance(raw.get("content"), list):
        raise ValueError("the content of a message must be a list of blocks")
    return Message(raw["role"], [block(item) for item in raw["content"]], _cache(raw.get("cache")))


def _cache(raw: Any) -> CacheHint | None:
    if raw is None:
        return None
    if not isinstance(raw, dict) or not isinstance(raw.get("ephemeral"), dict):
        raise ValueError('a cache hint must be {"ephemeral": {…}}')
    return CacheHint(raw["ephemeral"].get("ttl_seconds"))
