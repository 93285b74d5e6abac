"""What each operation of a provider does: one home for `Provider` and `AsyncProvider`.

A plan is made for one opened plugin: it checks the arguments and the config, and holds the
generator to drive and what turns its reply into a public result.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from fumehood import arguments
from fumehood.abi import calls
from fumehood.abi import speech as speech_wire
from fumehood.abi.messages import Conversation, as_messages
from fumehood.abi.tools import Tool
from fumehood.errors import UsageError
from fumehood.limits import Limits, Receipt
from fumehood.provider import core, streaming
from fumehood.provider.effects import Op
from fumehood.provider.failures import Config
from fumehood.provider.opening import Opened, check_config
from fumehood.provider.results import (
    ChatResponse,
    Completion,
    Embeddings,
    Models,
    Speech,
    Transcription,
)

_R = TypeVar("_R")
_T = TypeVar("_T")

Overrides = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Plan(Generic[_R]):
    """One operation: `op` to drive, then `result(reply, receipt)`."""

    op: Op[Any]
    result: Callable[[Any, Receipt], _R]


def limits(opened: Opened, overrides: Overrides) -> Limits:
    """The limits of an operation: the provider's, its deadline below `timeout_seconds`."""
    own = opened.host.limits
    timeout = opened.settings.timeout(overrides)
    if timeout is None or timeout >= own.deadline:
        return own
    return own.replace(deadline=timeout)


def chat(
    opened: Opened, messages: Conversation, tools: Sequence[Tool] | None, overrides: Overrides
) -> Plan[ChatResponse]:
    """One answer."""
    conversation = as_messages(messages)
    cfg = opened.settings.cfg(overrides)
    op = core.chat(opened.traits, cfg, conversation, tools)
    return Plan(_checked(opened, cfg, op), ChatResponse.of)


def chat_stream(
    opened: Opened, messages: Conversation, tools: Sequence[Tool] | None, overrides: Overrides
) -> Op[None]:
    """One answer, piece by piece."""
    conversation = as_messages(messages)
    cfg = opened.settings.cfg(overrides)
    return _checked(opened, cfg, streaming.chat_stream(opened.traits, cfg, conversation, tools))


def embed(opened: Opened, inputs: str | Sequence[str], overrides: Overrides) -> Plan[Embeddings]:
    """One vector per input, in order."""
    texts = [inputs] if isinstance(inputs, str) else arguments.texts(inputs, "the inputs")
    cfg = opened.settings.cfg(overrides)
    return Plan(_checked(opened, cfg, core.embed(opened.traits, cfg, texts)), Embeddings)


def complete(
    opened: Opened, request: calls.CompletionRequest, overrides: Overrides
) -> Plan[Completion]:
    """The text that continues a prompt."""
    cfg = opened.settings.cfg(overrides)
    return Plan(_checked(opened, cfg, core.complete(opened.traits, cfg, request)), Completion)


def list_models(opened: Opened) -> Plan[Models]:
    """The models that may be named. Their config may lack what other operations need."""
    return Plan(core.list_models(opened.traits, opened.settings.models_cfg()), Models)


def transcribe(
    opened: Opened, request: speech_wire.TranscribeRequest, overrides: Overrides
) -> Plan[Transcription]:
    """The text of a recording."""
    _recording(request.audio)
    cfg = opened.settings.cfg(overrides)
    op = core.transcribe(opened.traits, cfg, request)
    return Plan(_checked(opened, cfg, op), Transcription)


def speech(
    opened: Opened,
    request: speech_wire.SpeechRequest,
    overrides: Overrides,
) -> Plan[Speech]:
    """Spoken text."""
    if isinstance(request.voice, speech_wire.ClonedVoice):
        _recording(request.voice.audio)
    cfg = opened.settings.cfg(overrides)
    op = core.speech(opened.traits, cfg, request)
    return Plan(
        _checked(opened, cfg, op),
        lambda spoken, receipt: Speech(spoken.audio, spoken.mime_type, receipt),
    )


def _checked(opened: Opened, cfg: Config, op: Op[_T]) -> Op[_T]:
    """`op` after the plugin accepted `cfg`, in the same instance."""
    yield from check_config(opened, cfg)
    return (yield from op)


def as_voice(voice: str | speech_wire.Voice | None) -> speech_wire.Voice | None:
    """A voice that is text is the name of a preset."""
    return speech_wire.PresetVoice(voice) if isinstance(voice, str) else voice


def _recording(audio: object) -> None:
    if not isinstance(audio, bytes | bytearray | memoryview):
        raise UsageError(f"a recording is bytes, not {type(audio).__name__}")
