"""Transcription and speech, provider-abi.md §3.8."""

from __future__ import annotations

import json
from typing import Any

import pytest

from fumehood.abi.speech import (
    ClonedVoice,
    SpeechReply,
    SpeechRequest,
    TranscribeRequest,
    decode_speech,
    decode_speech_input,
    decode_transcribe_input,
    decode_voice,
    encode_speech,
    encode_voice,
    speech_input,
    transcribe_input,
)
from fumehood.errors import ProtocolError, UsageError


@pytest.mark.parametrize(
    "text",
    ["AA", "AA=", "A===", "AA==\n", " AA==", "AB==", "-_==", "A A=", "é===", "=", "AA==AA=="],
)
def test_base64_is_strict(text: str) -> None:
    with pytest.raises(ProtocolError, match="base64"):
        decode_speech(json.dumps({"audio_base64": text}).encode())


def test_sound() -> None:
    assert decode_speech(b'{"audio_base64":""}') == SpeechReply(b"")
    assert decode_speech(b'{"audio_base64":"+/8=","mime_type":null}') == SpeechReply(b"\xfb\xff")
    assert json.loads(encode_speech(SpeechReply(b"\0"))) == {"audio_base64": "AA=="}
    for bad in (b"", b"null", b"{}", b'{"audio_base64":[0]}', b'{"audio_base64":null}',
                b'{"audio_base64":"AA==","mime_type":1}'):  # fmt: skip
        with pytest.raises(ProtocolError):
            decode_speech(bad)


@pytest.mark.parametrize(
    "voice",
    [
        None,
        {},
        {"type": "preset"},
        {"type": "Preset", "name": "a"},
        {"type": "clone"},
        {"type": "clone", "reference_audio": [1]},
        {"type": "clone", "reference_audio_base64": "A"},
        {"type": "design"},
        {"type": "design", "description": 1},
    ],
)
def test_voices_refused(voice: Any) -> None:
    with pytest.raises(ProtocolError):
        decode_voice(voice, "voice")


def test_a_cloned_voice_without_text() -> None:
    encoded = encode_voice(ClonedVoice(b"RIF"))
    assert encoded == {"type": "clone", "reference_audio_base64": "UklG"}
    assert decode_voice(encoded, "voice") == ClonedVoice(b"RIF")


def test_what_is_unset_is_omitted() -> None:
    assert json.loads(transcribe_input({}, TranscribeRequest(b"RIF"))) == {
        "cfg": {},
        "audio_base64": "UklG",
    }
    assert json.loads(speech_input({}, SpeechRequest("hi"))) == {"cfg": {}, "text": "hi"}


def test_no_nan() -> None:
    with pytest.raises(UsageError, match="speed"):
        speech_input({}, SpeechRequest("hi", speed=float("nan")))
    with pytest.raises(UsageError, match="cfg"):
        transcribe_input({"a": float("inf")}, TranscribeRequest(b""))


@pytest.mark.parametrize(
    "doc",
    [
        {},
        {"cfg": {}},
        {"audio_base64": "", "text": ""},
        {"cfg": [], "audio_base64": "", "text": ""},
        {"cfg": {}, "audio_base64": "", "text": "", "model": 1},
    ],
)
def test_inputs_refused(doc: Any) -> None:
    data = json.dumps(doc).encode()
    with pytest.raises(ProtocolError):
        decode_transcribe_input(data)
    with pytest.raises(ProtocolError):
        decode_speech_input(data)


def test_reprs_hold_no_sound() -> None:
    for value in (ClonedVoice(b"x" * 99), SpeechReply(b"x" * 99), TranscribeRequest(b"x" * 99)):
        assert "99 bytes" in repr(value)
        assert "xxx" not in repr(value)


def test_what_is_no_voice_cannot_be_sent() -> None:
    for wrong in (None, "name", {"type": "preset"}):
        with pytest.raises(UsageError, match="voice"):
            encode_voice(wrong)  # type: ignore[arg-type]
