"""Speech (provider-abi.md §3.8): text from sound and sound from text."""

from __future__ import annotations

import base64
from dataclasses import dataclass
from typing import Any, Literal


@dataclass(slots=True)
class TranscribeRequest:
    """A sound to write down."""

    audio: bytes
    filename: str | None = None
    mime_type: str | None = None
    model: str | None = None
    language: str | None = None


@dataclass(slots=True)
class Voice:
    """Whose voice to speak with: a vendor's preset `name`, one like `reference_audio`, or one as described."""

    type: Literal["preset", "clone", "design"]
    name: str | None = None
    reference_audio: bytes | None = None
    reference_text: str | None = None
    description: str | None = None


@dataclass(slots=True)
class SpeechRequest:
    """A text to speak."""

    text: str
    model: str | None = None
    voice: Voice | None = None
    format: str | None = None
    speed: float | None = None
    language: str | None = None


@dataclass(slots=True)
class Speech:
    """Spoken text."""

    audio: bytes
    mime_type: str | None = None

    def wire(self) -> dict[str, Any]:
        """The JSON object."""
        answer = {"audio_base64": base64.b64encode(self.audio).decode()}
        return answer if self.mime_type is None else {**answer, "mime_type": self.mime_type}


def transcribe_request(raw: dict[str, Any]) -> TranscribeRequest:
    """From the document's object; ValueError where the sound is missing or no base64."""
    rest = {key: raw.get(key) for key in ("filename", "mime_type", "model", "language")}
    return TranscribeRequest(_bytes(raw.get("audio_base64"), "audio_base64"), **rest)


def speech_request(raw: dict[str, Any]) -> SpeechRequest:
    """From the document's object; ValueError where the text is missing or the voice unknown."""
    if not isinstance(raw.get("text"), str):
        raise ValueError("`text` must be a string")
    rest = {key: raw.get(key) for key in ("model", "format", "speed", "language")}
    return SpeechRequest(raw["text"], voice=_voice(raw.get("voice_config")), **rest)


def _voice(raw: Any) -> Voice | None:
    if raw is None:
        return None
    kind = raw.get("type") if isinstance(raw, dict) else None
    if kind == "preset":
        return Voice("preset", name=raw["name"])
    if kind == "clone":
        sound = _bytes(raw.get("reference_audio_base64"), "reference_audio_base64")
        return Voice("clone", reference_audio=sound, reference_text=raw.get("reference_text"))
    if kind == "design":
        return Voice("design", description=raw["description"])
    raise ValueError("`voice_config` must be of type preset, clone or design")


def _bytes(value: Any, key: str) -> bytes:
    if not isinstance(value, str):
        raise ValueError(f"`{key}` must be base64")
    return base64.b64decode(value, validate=True)
