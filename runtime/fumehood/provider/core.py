"""Every provider operation as a generator without I/O (provider-abi.md §1.3).

Each function takes the plugin's `Traits` and the `cfg` it was opened with, yields effects and
returns a decoded reply of `abi.replies`. Whoever drives it (`runtime.Session`) does the calls
and the HTTP. Nothing here retries: whether to is the caller's business.
"""

from __future__ import annotations

from collections.abc import Sequence

from fumehood.abi import calls, http, outputs, replies
from fumehood.abi import speech as speech_wire
from fumehood.abi.messages import Message
from fumehood.abi.tools import Tool
from fumehood.abi.wire import Wire
from fumehood.errors import ProtocolError, Trap
from fumehood.provider.effects import Op, Send
from fumehood.provider.failures import Config, call, refusal, unsupported
from fumehood.provider.traits import Mode, Traits


def chat(
    traits: Traits, cfg: Config, messages: Sequence[Message], tools: Sequence[Tool] | None
) -> Op[replies.ChatReply]:
    """One chat. Raises what the plugin or the remote API reports."""
    wire = traits.wire
    packed = calls.encode_config(cfg, wire)
    data = calls.chat_input(packed, messages, tools, traits.gen_a, wire)
    if traits.mode is Mode.DIRECT:
        answer = yield from _present(traits, "chat", "chat", data)
        return replies.decode_chat_response(answer, wire=wire)
    reply = yield from _exchange("chat_request", data, wire)
    if not is_success(reply.status):
        raise (yield from refusal(traits, packed, reply, chat=True))
    answer = yield from call("parse_chat_response", calls.resp_input(packed, reply, wire))
    return replies.decode_chat_response(answer, wire=wire)


def embed(traits: Traits, cfg: Config, inputs: Sequence[str]) -> Op[list[list[float]]]:
    """One vector per input, in order."""
    packed = calls.encode_config(cfg, traits.wire)
    data = calls.embed_input(packed, inputs, traits.wire)
    answer = yield from _simple(traits, packed, "embed", data)
    vectors = outputs.decode_vectors(answer, wire=traits.wire)
    if len(vectors) != len(inputs):
        raise ProtocolError(f"{len(vectors)} vectors came back for {len(inputs)} inputs")
    return vectors


def complete(traits: Traits, cfg: Config, request: calls.CompletionRequest) -> Op[str]:
    """The completion of a prompt."""
    packed = calls.encode_config(cfg, traits.wire)
    data = calls.complete_input(packed, request, traits.wire)
    answer = yield from _simple(traits, packed, "complete", data)
    return outputs.decode_completion(answer, wire=traits.wire)


def list_models(traits: Traits, cfg: Config) -> Op[list[str]]:
    """The names of the models. `cfg` may lack what other operations need (hazard 15)."""
    wire = traits.wire
    if traits.mode is Mode.DIRECT:
        data = calls.config_input(cfg, wire)
        answer = yield from _present(traits, "list_models", "list_models", data)
        return outputs.decode_models(answer, wire=wire)
    packed = calls.encode_config(cfg, wire)
    data = calls.cfg_input(packed, wire)
    if "list_models_static" in traits.exports:
        answer = yield from call("list_models_static", data)
        models = outputs.decode_static_models(answer, wire=wire)
        if models is not None:
            return models
    reply = yield from _exchange("list_models_request", data, wire)
    if not is_success(reply.status):
        raise (yield from refusal(traits, packed, reply, chat=False))
    answer = yield from call("parse_list_models_response", calls.resp_input(None, reply, wire))
    return outputs.decode_models(answer, wire=wire)


def transcribe(traits: Traits, cfg: Config, request: speech_wire.TranscribeRequest) -> Op[str]:
    """The text of a recording (§3.8). The guest does its own HTTP in both modes."""
    data = speech_wire.transcribe_input(cfg, request, traits.wire)
    answer = yield from _present(traits, "transcribe", "transcribe", data)
    return outputs.decode_text(answer, wire=traits.wire)


def speech(
    traits: Traits, cfg: Config, request: speech_wire.SpeechRequest
) -> Op[speech_wire.SpeechReply]:
    """Spoken text (§3.8). The guest does its own HTTP in both modes."""
    data = speech_wire.speech_input(cfg, request, traits.wire)
    answer = yield from _present(traits, "speech", "speech", data)
    return speech_wire.decode_speech(answer, wire=traits.wire)


def is_success(status: int) -> bool:
    """Whether a reply goes to the guest's parser: 2xx and nothing else."""
    return 200 <= status < 300


def _exchange(export: str, data: bytes, wire: Wire) -> Op[http.HTTPResponse]:
    """Have the guest build a request, send it."""
    built = yield from call(export, data)
    reply: http.HTTPResponse = yield Send(http.decode_request(built, wire=wire))
    return reply


def _present(traits: Traits, operation: str, export: str, data: bytes) -> Op[bytes]:
    """Call an export that a plugin may lack."""
    if export not in traits.exports:
        raise unsupported(operation, f"the plugin does not export {export!r}")
    return (yield from call(export, data))


def _simple(traits: Traits, cfg: calls.Config, operation: str, data: bytes) -> Op[bytes]:
    """embed and complete, up to the guest's answer: the generic classifier, the guest not
    consulted. Many plugins leave these as a panic, so a trap here names the export and says what
    it probably means."""
    names = [f"{operation}_request", f"parse_{operation}_response"]
    if traits.mode is Mode.DIRECT:
        names = [operation]
    for name in names:
        if name not in traits.exports:
            raise unsupported(operation, f"the plugin does not export {name!r}")
    try:
        if traits.mode is Mode.DIRECT:
            return (yield from call(operation, data))
        reply = yield from _exchange(names[0], data, traits.wire)
        if not is_success(reply.status):
            raise (yield from refusal(traits, cfg, reply, chat=False))
        return (yield from call(names[1], calls.resp_input(cfg, reply, traits.wire)))
    except Trap as trap:
        trap.hint = trap.hint or f"this plugin probably has no {operation}"
        raise
