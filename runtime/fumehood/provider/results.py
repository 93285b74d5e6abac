"""What the operations of a provider give back. Each carries the receipt of its operation."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from fumehood.abi.messages import Message
from fumehood.abi.replies import ChatReply, Usage, assistant_message
from fumehood.abi.tools import ToolCall
from fumehood.limits import Receipt


@dataclass(frozen=True, slots=True)
class ChatResponse:
    """The answer to a chat; what the plugin left out is None (or empty)."""

    text: str | None
    tool_calls: tuple[ToolCall, ...]
    thinking: str | None
    usage: Usage | None
    finish_reason: str | None
    receipt: Receipt
    thinking_signature: str | None = None
    """What some APIs want back with the thinking; only streams bring it."""

    @classmethod
    def of(
        cls, reply: ChatReply, receipt: Receipt, thinking_signature: str | None = None
    ) -> ChatResponse:
        """The public form of a decoded reply."""
        return cls(
            text=reply.text,
            tool_calls=tuple(reply.tool_calls or ()),
            thinking=reply.thinking,
            usage=reply.usage,
            finish_reason=reply.finish_reason,
            receipt=receipt,
            thinking_signature=thinking_signature,
        )

    def message(self) -> Message:
        """This answer as a message of the conversation, for the next `chat`."""
        return assistant_message(self, signature=self.thinking_signature)

    def __str__(self) -> str:
        return self.text or ""


@dataclass(frozen=True, slots=True)
class Embeddings:
    """One vector per input, in order."""

    vectors: list[list[float]]
    receipt: Receipt


@dataclass(frozen=True, slots=True)
class Completion:
    """The completion of a prompt."""

    text: str
    receipt: Receipt

    def __str__(self) -> str:
        return self.text


@dataclass(frozen=True, slots=True)
class Models:
    """The names of the models that a provider offers."""

    names: list[str]
    receipt: Receipt

    def __iter__(self) -> Iterator[str]:
        return iter(self.names)

    def __len__(self) -> int:
        return len(self.names)


@dataclass(frozen=True, slots=True)
class Transcription:
    """The text of an audio recording."""

    text: str
    receipt: Receipt

    def __str__(self) -> str:
        return self.text


@dataclass(frozen=True, slots=True)
class Speech:
    """Spoken text: bytes of audio in `mime_type`, None where the plugin did not say."""

    audio: bytes
    mime_type: str | None
    receipt: Receipt
