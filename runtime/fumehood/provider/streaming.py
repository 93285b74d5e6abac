"""The streaming chat as a generator without I/O (provider-abi.md §1.3, §7.9-§7.11, §7.17)."""

from __future__ import annotations

from collections.abc import Sequence

from fumehood.abi import calls, http, outputs, replies
from fumehood.abi.messages import Message
from fumehood.abi.tools import Tool
from fumehood.errors import PluginError, TransportError
from fumehood.provider.core import is_success
from fumehood.provider.effects import (
    Close,
    Dropped,
    Emit,
    Head,
    Next,
    Op,
    Open,
    Read,
    Ready,
    Start,
)
from fumehood.provider.failures import Config, call, interpret, refusal, unsupported
from fumehood.provider.lines import LineSplitter
from fumehood.provider.traits import PARSER_EXPORTS, Mode, Traits


def chat_stream(
    traits: Traits, cfg: Config, messages: Sequence[Message], tools: Sequence[Tool] | None
) -> Op[None]:
    """One streamed chat: `Ready` once it stands, then an `Emit` per chunk.

    The driver throws `Dropped` in at either of them when the consumer wants no more. Everything
    that fails before `Ready` is raised before the caller has a stream.
    """
    if traits.mode is Mode.DIRECT:
        yield from _direct(traits, cfg, messages, tools)
    else:
        yield from _split(traits, cfg, messages, tools)


def _split(
    traits: Traits, cfg: Config, messages: Sequence[Message], tools: Sequence[Tool] | None
) -> Op[None]:
    missing = sorted(PARSER_EXPORTS - traits.exports)
    if missing:
        raise unsupported("chat_stream", f"the plugin does not export {missing[0]!r}")
    wire = traits.wire
    packed = calls.encode_config(cfg, wire)
    data = calls.chat_input(packed, messages, tools, wire=wire)
    built = yield from call("chat_stream_request", data)
    head: Head = yield Open(http.decode_request(built, wire=wire))
    if not is_success(head.status):
        body = yield from _whole_body()
        reply = http.HTTPResponse(head.status, head.headers, body)
        raise (yield from refusal(traits, packed, reply, chat=True))
    started = yield from call("chat_stream_parser_start", calls.config_input(packed, wire))
    parser = outputs.decode_id(started, "the parser id", wire)
    ident = calls.id_input(parser)
    nothing = wire.encode([])
    splitter = LineSplitter()
    try:
        yield Ready()
        while True:
            data = yield Read()
            for line in splitter.feed(data) if data else [splitter.end()]:
                answer = yield from call(
                    "chat_stream_parser_parse", calls.parser_parse_input(parser, line, wire)
                )
                if answer == nothing:  # every second line of an event stream is blank
                    continue
                for chunk in replies.decode_chunks(answer, wire=wire):
                    yield Emit(chunk)
            if not data:
                break
        yield Close()
        # a bare id is no object: its answer is JSON
        for chunk in replies.decode_chunks((yield from call("chat_stream_parser_finish", ident))):
            yield Emit(chunk)
    except Dropped:
        yield Close()
    yield from call("chat_stream_parser_close", ident)


def _direct(
    traits: Traits, cfg: Config, messages: Sequence[Message], tools: Sequence[Tool] | None
) -> Op[None]:
    if "chat_stream" not in traits.exports:
        raise unsupported("chat_stream", "the plugin does not export 'chat_stream'")
    if "supports_streaming" not in traits.exports:
        raise unsupported("chat_stream", "the plugin does not export 'supports_streaming'")
    try:
        answer = yield from call("supports_streaming", calls.config_input(cfg, traits.wire))
        able = outputs.decode_flag(answer, "supports_streaming", traits.wire)
    except PluginError as failure:
        raise unsupported("chat_stream", "supports_streaming failed") from failure
    if not able:
        raise unsupported("chat_stream", "the plugin says so for this configuration")
    asked = {**cfg, "stream": True}
    yield Start("chat_stream", calls.chat_input(asked, messages, tools, wire=traits.wire))
    item = yield from _next()
    if item is None:
        raise PluginError("chat_stream ended before the first chunk", rc=0)
    try:
        yield Ready()
        while item is not None:
            yield Emit(replies.decode_chunk(item))
            item = yield from _next()
    except Dropped:
        yield Close()


def _next() -> Op[bytes | None]:
    try:
        item: bytes | None = yield Next()
    except PluginError as failure:
        raise interpret(failure) from failure
    return item


def _whole_body() -> Op[bytes]:
    """What is left of the opened reply; the egress client bounds it."""
    parts: list[bytes] = []
    try:
        while data := (yield Read()):
            parts.append(data)
    except TransportError:
        pass  # a refusal whose body breaks off is still that refusal
    yield Close()
    return b"".join(parts)
