"""Transcription and speech (provider-abi.md §3.8). Bytes travel as base64 text here."""

from __future__ import annotations

import base64
from dataclasses import dataclass
from typing import Any, TypeAlias

from fumehood.abi import jsonwire
from fumehood.abi.fields import (
    Object,
    as_base64,
    as_object,
    field,
    get_object,
    get_text,
    opt_number,
    opt_text,
    without_none,
)
from fumehood.abi.wire import JSON, Data, Wire
from fumehood.errors import ProtocolError, UsageError


def _base64(data: bytes) -> str:
    return base64.b64encode(data).decode("ascii")


@dataclass(frozen=True, slots=True)
class PresetVoice:
    """A voice that the remote API knows by name."""

    name: str


@dataclass(frozen=True, slots=True)
class ClonedVoice:
    """A voice taken from a recording; `text` is what is said in it."""

    audio: bytes
    text: str | None = None

    def __repr__(self) -> str:
        return f"ClonedVoice(<{len(self.audio)} bytes>, {self.text!r})"


@dataclass(frozen=True, slots=True)
class DesignedVoice:
    """A voice made from a description."""

    description: str


Voice: TypeAlias = PresetVoice | ClonedVoice | DesignedVoice


def encode_voice(voice: Voice) -> Object:
    """`voice_config` for `wire.encode`."""
    match voice:
        case PresetVoice(name):
            return {"type": "preset", "name": name}
        case ClonedVoice(audio, text):
            reference = {"reference_audio_base64": _base64(audio), "reference_text": text}
            return without_none({"type": "clone", **reference})
        case DesignedVoice(description):
            return {"type": "design", "description": description}
    raise UsageError(f"a voice is a PresetVoice or the like, not {type(voice).__name__}")


def decode_voice(value: Any, what: str) -> Voice:
    """`voice_config`. Raises ProtocolError."""
    obj = as_object(value, what)
    kind = get_text(obj, "type", what)
    match kind:
        case "preset":
            return PresetVoice(get_text(obj, "name", what))
        case "clone":
            audio = as_base64(
                field(obj, "reference_audio_base64", what), f"{what}.reference_audio_base64"
            )
            return ClonedVoice(audio, opt_text(obj, "reference_text", what))
        case "design":
            return DesignedVoice(get_text(obj, "description", what))
    raise ProtocolError(f"{what}.type is not known: {kind[:40]!r}")


@dataclass(frozen=True, slots=True)
class TranscribeRequest:
    """Speech to text."""

    audio: bytes
    filename: str | None = None
    mime_type: str | None = None
    model: str | None = None
    language: str | None = None

    def __repr__(self) -> str:
        return f"TranscribeRequest(<{len(self.audio)} bytes>, filename={self.filename!r})"


@dataclass(frozen=True, slots=True)
class SpeechRequest:
    """Text to speech."""

    text: str
    model: str | None = None
    voice: Voice | None = None
    format: str | None = None
    speed: float | None = None
    language: str | None = None


@dataclass(frozen=True, slots=True)
class SpeechReply:
    """Sound, with its MIME type where the guest says it."""

    audio: bytes
    mime_type: str | None = None

    def __repr__(self) -> str:
        return f"SpeechReply(<{len(self.audio)} bytes>, mime_type={self.mime_type!r})"


def transcribe_input(cfg: Object, request: TranscribeRequest, wire: Wire = JSON) -> bytes:
    """The input of `transcribe`; what is unset is left out."""
    return wire.encode(
        without_none(
            {
                "cfg": jsonwire.checked(cfg, "cfg"),
                "audio_base64": _base64(request.audio),
                "filename": request.filename,
                "mime_type": request.mime_type,
                "model": request.model,
                "language": request.language,
            }
        )
    )


def decode_transcribe_input(
    data: bytes, what: str = "a transcription", wire: Wire = JSON
) -> tuple[Object, TranscribeRequest]:
    """(cfg, TranscribeRequest). Raises ProtocolError."""
    obj = as_object(wire.decode(data, what), what)
    audio = as_base64(field(obj, "audio_base64", what), f"{what}.audio_base64")
    options = {
        key: opt_text(obj, key, what) for key in ("filename", "mime_type", "model", "language")
    }
    return get_object(obj, "cfg", what), TranscribeRequest(audio, **options)


def speech_input(cfg: Object, request: SpeechRequest, wire: Wire = JSON) -> bytes:
    """The input of `speech`; what is unset is left out."""
    return wire.encode(
        without_none(
            {
                "cfg": jsonwire.checked(cfg, "cfg"),
                "text": request.text,
                "model": request.model,
                "voice_config": None if request.voice is None else encode_voice(request.voice),
                "format": request.format,
                "speed": jsonwire.checked(request.speed, "speed"),
                "language": request.language,
            }
        )
    )


def decode_speech_input(
    data: bytes, what: str = "a speech request", wire: Wire = JSON
) -> tuple[Object, SpeechRequest]:
    """(cfg, SpeechRequest). Raises ProtocolError."""
    obj = as_object(wire.decode(data, what), what)
    voice = obj.get("voice_config")
    request = SpeechRequest(
        get_text(obj, "text", what),
        opt_text(obj, "model", what),
        None if voice is None else decode_voice(voice, f"{what}.voice_config"),
        opt_text(obj, "format", what),
        opt_number(obj, "speed", what),
        opt_text(obj, "language", what),
    )
    return get_object(obj, "cfg", what), request


def decode_speech(
    data: Data, what: str = "the speech of the plugin", wire: Wire = JSON
) -> SpeechReply:
    """`{"audio_base64":…,"mime_type"?:…}`. Raises ProtocolError."""
    obj = as_object(wire.decode(data, what), what)
    audio = as_base64(field(obj, "audio_base64", what), f"{what}.audio_base64")
    return SpeechReply(audio, opt_text(obj, "mime_type", what))


def encode_speech(reply: SpeechReply, wire: Wire = JSON) -> bytes:
    """The same as a guest writes it."""
    return wire.encode(
        without_none({"audio_base64": _base64(reply.audio), "mime_type": reply.mime_type})
    )
