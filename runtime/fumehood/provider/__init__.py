"""Plugins as LLM providers: `Provider`, `Registry`, and what they return."""

from fumehood.provider.provider import Provider
from fumehood.provider.registry import Registry
from fumehood.provider.results import (
    ChatResponse,
    Completion,
    Embeddings,
    Models,
    Speech,
    Transcription,
)
from fumehood.provider.stream import ChatStream

__all__ = [
    "ChatResponse",
    "ChatStream",
    "Completion",
    "Embeddings",
    "Models",
    "Provider",
    "Registry",
    "Speech",
    "Transcription",
]
