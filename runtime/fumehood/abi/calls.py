"""The input of every guest export (provider-abi.md §1.1, §1.2)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import msgspec

from fumehood.abi import jsonwire
from fumehood.abi.bytearrays import as_bytes
from fumehood.abi.fields import (
    U32_MAX,
    Object,
    as_object,
    as_texts,
    field,
    get_int,
    get_object,
    get_text,
    opt_int,
    opt_number,
    opt_text,
)
from fumehood.abi.http import HTTPResponse, response_document
from fumehood.abi.messages import Message, decode_messages, encode_messages
from fumehood.abi.messages_gen_a import encode_messages_gen_a
from fumehood.abi.tools import Tool, decode_tools, encode_tools
from fumehood.abi.wire import JSON, Wire

NULL: Final = b"null"
"""What exports without input receive (§0.2)."""

LOG_LEVELS: Final = ("off", "error", "warn", "info", "debug", "trace")


@dataclass(frozen=True, slots=True)
class CompletionRequest:
    """A text to be completed (§3.7)."""

    prompt: str
    suffix: str | None = None
    max_tokens: int | None = None
    temperature: float | None = None


def encode_config(cfg: Mapping[str, Any], wire: Wire = JSON) -> msgspec.Raw:
    """`cfg`, checked and encoded once, to stand in many inputs of that wire. Raises UsageError."""
    return msgspec.Raw(config_input(cfg, wire))


Config = Mapping[str, Any] | msgspec.Raw
"""A config object, or one from `encode_config`."""


def _cfg(cfg: Config) -> Any:
    return cfg if isinstance(cfg, msgspec.Raw) else jsonwire.checked(dict(cfg), "cfg")


def config_input(cfg: Config, wire: Wire = JSON) -> bytes:
    """A bare config object: `from_config`, `supports_streaming`, `chat_stream_parser_start`,
    `list_models` of direct mode."""
    return bytes(cfg) if isinstance(cfg, msgspec.Raw) else wire.encode(_cfg(cfg))


def cfg_input(cfg: Config, wire: Wire = JSON) -> bytes:
    """`{"cfg":…}`: `list_models_static`, `list_models_request`."""
    return wire.encode({"cfg": _cfg(cfg)})


def init_logging_input(level: str) -> bytes:
    """The number of a level of LOG_LEVELS."""
    return jsonwire.encode(LOG_LEVELS.index(level))


def chat_input(
    cfg: Config,
    messages: Iterable[Message],
    tools: Iterable[Tool] | None = None,
    gen_a: bool = False,
    wire: Wire = JSON,
) -> bytes:
    """`{"cfg","messages","tools"}`: `chat_request`, `chat_stream_request`, `chat`, `chat_stream`.

    Raises UsageError for what has no form in JSON.
    """
    encode = encode_messages_gen_a if gen_a else encode_messages
    encoded = encode(messages, wire)
    return wire.encode({"cfg": _cfg(cfg), "messages": encoded, "tools": encode_tools(tools)})


def decode_chat_input(
    data: bytes, what: str = "a chat", wire: Wire = JSON
) -> tuple[Object, list[Message], list[Tool] | None]:
    """(cfg, messages, tools) of the input above. Raises ProtocolError."""
    obj = as_object(wire.decode(data, what), what)
    return (
        get_object(obj, "cfg", what),
        decode_messages(field(obj, "messages", what), f"{what}.messages"),
        decode_tools(obj.get("tools"), f"{what}.tools"),
    )


def resp_input(cfg: Config | None, response: HTTPResponse, wire: Wire = JSON) -> bytes:
    """`{"cfg":…,"resp":{"resp":…}}`: `parse_*_response`, `classify_chat_error`.

    `parse_list_models_response` takes no config: None leaves the key out.
    """
    out: Object = {} if cfg is None else {"cfg": _cfg(cfg)}
    out["resp"] = response_document(response, wire)
    return wire.encode(out)


def embed_input(cfg: Config, inputs: Sequence[str], wire: Wire = JSON) -> bytes:
    """`{"cfg","inputs"}`: `embed_request`, `embed`."""
    return wire.encode({"cfg": _cfg(cfg), "inputs": list(inputs)})


def decode_embed_input(
    data: bytes, what: str = "an embedding", wire: Wire = JSON
) -> tuple[Object, list[str]]:
    """(cfg, inputs). Raises ProtocolError."""
    obj = as_object(wire.decode(data, what), what)
    inputs = as_texts(field(obj, "inputs", what), f"{what}.inputs")
    return get_object(obj, "cfg", what), inputs


def complete_input(cfg: Config, request: CompletionRequest, wire: Wire = JSON) -> bytes:
    """`{"cfg","req"}`: `complete_request`, `complete`. Null for what is unset."""
    req = {
        "prompt": request.prompt,
        "suffix": request.suffix,
        "max_tokens": request.max_tokens,
        "temperature": jsonwire.checked(request.temperature, "temperature"),
    }
    return wire.encode({"cfg": _cfg(cfg), "req": req})


def decode_complete_input(
    data: bytes, what: str = "a completion", wire: Wire = JSON
) -> tuple[Object, CompletionRequest]:
    """(cfg, CompletionRequest). Raises ProtocolError."""
    obj = as_object(wire.decode(data, what), what)
    req = get_object(obj, "req", what)
    request = CompletionRequest(
        get_text(req, "prompt", what),
        opt_text(req, "suffix", what),
        opt_int(req, "max_tokens", what, U32_MAX),
        opt_number(req, "temperature", what),
    )
    return get_object(obj, "cfg", what), request


def parser_parse_input(parser_id: int, line: bytes, wire: Wire = JSON) -> bytes:
    """`{"parser_id":1,"chunk":[…]}`: one line of a streamed body."""
    return wire.encode({"parser_id": parser_id, "chunk": wire.binary(line)})


def decode_parser_parse_input(
    data: bytes, what: str = "a parser call", wire: Wire = JSON
) -> tuple[int, bytes]:
    """(parser_id, line). Raises ProtocolError."""
    obj = as_object(wire.decode(data, what), what)
    line = as_bytes(field(obj, "chunk", what), f"{what}.chunk")
    return get_int(obj, "parser_id", what), line


def id_input(number: int) -> bytes:
    """A bare id: `chat_stream_parser_finish`, `chat_stream_parser_close`."""
    return jsonwire.encode(number)
