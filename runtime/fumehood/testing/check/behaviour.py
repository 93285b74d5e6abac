"""What a plugin says of itself, the requests it builds, how it takes what it does not expect."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any, Final
from urllib.parse import urlsplit

from fumehood.abi import calls, http, outputs, payloads, replies
from fumehood.abi.wire import JSON, MSGPACK, MSGPACK_EXPORT
from fumehood.errors import Error, GuestError, LimitError, PluginError, ProtocolError, Trap, clip
from fumehood.limits import Limits
from fumehood.plugin import CompiledPlugin, Plugin
from fumehood.provider.opening import traits_of
from fumehood.provider.schema import Schema
from fumehood.testing.check import samples
from fumehood.testing.check.finding import Finding, Level

LIMITS: Final = Limits(guest_time=5.0, deadline=15.0, http_requests=0)
_SHOWN: Final = 300
_SLOTS: Final = ("authorization", "x-api-key", "api-key", "x-goog-api-key")


class Examination:
    """One plugin's. Every answer is taken from a fresh instance unless it is part of a stream."""

    def __init__(self, compiled: CompiledPlugin, overrides: dict[str, Any]) -> None:
        self._compiled = compiled
        self._overrides = overrides
        self._config: dict[str, Any] = {}
        self._secret = samples.KEY

    def run(self) -> Iterator[Finding]:
        """The findings, in order; the rest is left out when no config can be made."""
        yield from self._identity()
        yield from self._schema()
        good = self._try("from_config", calls.config_input(self._config), _object)
        if good is not None:
            text = f"{good.text} (say which with --set key=value)"
            yield Finding(Level.WRONG, "from_config", f"an example config is refused: {text}")
            return
        yield Finding(Level.GOOD, "from_config", f"takes {', '.join(self._config) or 'nothing'}")
        yield from self._requests()
        if traits_of(self._compiled).wire is MSGPACK:
            yield from self._packed()
        yield from self._replies()
        if self._compiled.has("chat_stream_parser_start"):
            yield from self._streams()

    # -- asking ---------------------------------------------------------------------------------

    def _ask(self, export: str, data: bytes) -> bytes:
        with Plugin(self._compiled, limits=LIMITS) as plugin:
            return plugin.call(export, data)

    def _try(
        self, export: str, data: bytes, decode: Callable[[bytes], object], about: str = ""
    ) -> Finding | None:
        """What is wrong with an answer, None where nothing is."""
        try:
            decode(self._ask(export, data))
        except Error as error:
            return _judge(error, about or export)
        return None

    # -- itself ---------------------------------------------------------------------------------

    def _identity(self) -> Iterator[Finding]:
        for export, needed in (("name", True), ("base_url", False), ("api_key_name", False)):
            if not self._compiled.has(export):
                continue
            try:
                text = self._ask(export, b"null").decode()
            except (Error, UnicodeDecodeError) as problem:
                yield Finding(Level.WRONG, export, f"does not answer: {problem}")
                continue
            if text.startswith('"'):
                yield Finding(Level.WRONG, export, f"must be bare text, not JSON: {text[:_SHOWN]}")
            elif not text.strip() and needed:
                yield Finding(Level.WRONG, export, "is empty")
            elif export == "base_url" and text and not _is_address(text):
                yield Finding(Level.WRONG, export, f"is no address: {text[:_SHOWN]}")
            elif text:
                yield Finding(Level.GOOD, export, text[:_SHOWN])
        if self._compiled.has("init_logging"):
            for level in range(6):
                bad = self._try("init_logging", b"%d" % level, _empty)
                if bad is not None:
                    yield bad
                    break

    def _schema(self) -> Iterator[Finding]:
        try:
            schema = Schema(self._ask("config_schema", b"null"))
        except Error as error:
            yield Finding(Level.WRONG, "config_schema", str(error))
            self._config = dict(self._overrides)
            return
        self._config = samples.example(schema.document) | self._overrides
        self._secret = str(self._config.get("api_key", samples.KEY))
        if schema.properties is None:
            text = "no properties: the host sends every key that an operator writes"
            yield Finding(Level.UNWISE, "config_schema", text)
            return
        yield Finding(Level.GOOD, "config_schema", f"{len(schema.properties)} keys")
        for key, why in (
            ("base_url", "nobody can point it at another address, a test's for example"),
            ("model", "the model cannot be chosen"),
        ):
            if key not in schema.properties:
                yield Finding(Level.UNWISE, "config_schema", f"no `{key}`: {why}")

    # -- requests -------------------------------------------------------------------------------

    def _requests(self) -> Iterator[Finding]:
        cfg = calls.encode_config(self._config)
        asked = [
            (f"chat_request, {name}", "chat_request", calls.chat_input(cfg, talk, samples.TOOLS))
            for name, talk in samples.CONVERSATIONS.items()
        ]
        talk = samples.CONVERSATIONS["one question"]
        asked.append(("list_models_request", "list_models_request", calls.cfg_input(cfg)))
        asked.append(
            ("chat_stream_request", "chat_stream_request", calls.chat_input(cfg, talk, None))
        )
        if self._compiled.has("embed_request"):
            asked.append(("embed_request", "embed_request", calls.embed_input(cfg, ["a", "b"])))
        for about, export, data in asked:
            try:
                request = http.decode_request(self._ask(export, data))
            except Error as error:
                found = _judge(error, about, refusal=Level.NOTE)
                if "refuses: json_error" in found.text:  # the document is one of the ABI's own
                    found = Finding(Level.WRONG, about, f"cannot read its input: {found.text}")
                yield found
                continue
            yield from self._request(about, request)

    def _packed(self) -> Iterator[Finding]:
        """What is asked in MessagePack makes the request that it makes in JSON (docs/wire.md)."""
        wrong = False
        for name, talk in samples.CONVERSATIONS.items():
            about = f"chat_request, {name}, in MessagePack"
            made: list[http.HTTPRequest] = []
            try:
                for wire in (JSON, MSGPACK):
                    data = calls.chat_input(self._config, talk, samples.TOOLS, wire=wire)
                    made.append(http.decode_request(self._ask("chat_request", data), wire=wire))
            except Error as error:
                if not made:
                    continue  # refused in JSON: said already
                yield _judge(error, about)
                wrong = True
                continue
            if made[0] != made[1]:
                yield Finding(Level.WRONG, about, "another request than in JSON")
                wrong = True
        if not wrong:
            yield Finding(Level.GOOD, MSGPACK_EXPORT, "the same requests as in JSON")

    def _request(self, about: str, request: http.HTTPRequest) -> Iterator[Finding]:
        if not _is_address(request.uri):
            yield Finding(Level.WRONG, about, f"goes to no address: {request.uri[:_SHOWN]}")
            return
        places = [name for name, value in request.headers if self._secret in value]
        if self._secret in request.uri:
            text = "the key stands in the address; hosts that keep it back need it in a header"
            yield Finding(Level.UNWISE, about, text)
        if self._secret.encode() in request.body:
            yield Finding(Level.UNWISE, about, "the key stands in the body")
        odd = [name for name in places if name.lower() not in _SLOTS]
        if odd:
            text = f"the key stands in {odd[0]}: an operator has to allow that header"
            yield Finding(Level.UNWISE, about, text)
        yield Finding(Level.GOOD, about, f"{request.method} {request.uri[:_SHOWN]}")

    # -- replies --------------------------------------------------------------------------------

    def _replies(self) -> Iterator[Finding]:
        cfg = calls.encode_config(self._config)
        parsers: list[tuple[str, Callable[[bytes], object]]] = [
            ("parse_chat_response", replies.decode_chat_response),
            ("parse_list_models_response", outputs.decode_models),
        ]
        if self._compiled.has("parse_embed_response"):
            parsers.append(("parse_embed_response", outputs.decode_vectors))
        for export, decode in parsers:
            wrong = 0
            for name, body in samples.HOSTILE.items():
                reply = http.HTTPResponse(200, (("content-type", "application/json"),), body)
                given = None if export == "parse_list_models_response" else cfg
                bad = self._try(export, calls.resp_input(given, reply), decode, f"{export}, {name}")
                if bad is not None and bad.level is not Level.GOOD:
                    wrong += 1
                    yield bad
            if not wrong:
                text = f"{len(samples.HOSTILE)} replies that no API sends: each answered or refused"
                yield Finding(Level.GOOD, export, text)
        if self._compiled.has("classify_chat_error"):
            yield from self._classify(cfg)

    def _classify(self, cfg: calls.Config) -> Iterator[Finding]:
        wrong = 0
        for status in samples.STATUSES:
            for body in (b"", b"busy", b'{"error":{"message":"m"}}', b'{"error":[1]}'):
                reply = http.HTTPResponse(status, (("retry-after", "3"),), body)
                data = calls.resp_input(cfg, reply)
                about = f"classify_chat_error, {status}"
                bad = self._try("classify_chat_error", data, _payload, about)
                if bad is not None:
                    wrong += 1
                    yield Finding(Level.WRONG, about, bad.text)
        if not wrong:
            text = f"{len(samples.STATUSES)} statuses: each an error with a kind"
            yield Finding(Level.GOOD, "classify_chat_error", text)

    # -- streams --------------------------------------------------------------------------------

    def _streams(self) -> Iterator[Finding]:
        about = "stream parser"
        config = calls.config_input(self._config)
        wrong: list[Finding] = []
        for line in samples.LINES:
            with Plugin(self._compiled, limits=LIMITS) as plugin:
                try:
                    number = outputs.decode_id(
                        plugin.call("chat_stream_parser_start", config), about
                    )
                    data = calls.parser_parse_input(number, line)
                    replies.decode_chunks(plugin.call("chat_stream_parser_parse", data))
                    rest = plugin.call("chat_stream_parser_finish", calls.id_input(number))
                    replies.decode_chunks(rest)
                    plugin.call("chat_stream_parser_close", calls.id_input(number))
                except Error as error:
                    finding = _judge(error, f"{about}, {line[:20]!r}")
                    wrong += [finding] if finding.level is not Level.GOOD else []
        with Plugin(self._compiled, limits=LIMITS) as plugin:
            try:
                plugin.call("chat_stream_parser_close", calls.id_input(999))
            except Error:
                text = "closing a parser that is not there must not be an error"
                wrong.append(Finding(Level.WRONG, about, text))
        yield from wrong
        if not wrong:
            text = f"{len(samples.LINES)} lines that no API sends: each answered or refused"
            yield Finding(Level.GOOD, about, text)


def _judge(error: Error, about: str, refusal: Level = Level.GOOD) -> Finding:
    """A structured refusal is an answer like any other; all else is not."""
    text = clip(str(error), _SHOWN)
    if isinstance(error, PluginError):
        payload = payloads.decode_failure(error.message, error.rc or 0)
        if payload is None:
            return Finding(Level.WRONG, about, f"an error without structure: {text}")
        if payload.type == "plugin_error":
            said = clip(payload.message, _SHOWN)
            # it is contained and told, but hosts take a plugin error for one that passes
            return Finding(Level.UNWISE, about, f"fails instead of refusing: {said}")
        return Finding(refusal, about, f"refuses: {payload.type}: {clip(payload.message, _SHOWN)}")
    if isinstance(error, ProtocolError):
        return Finding(Level.WRONG, about, f"an answer that the ABI does not have: {text}")
    if isinstance(error, Trap):
        return Finding(Level.WRONG, about, f"traps: {text}")
    if isinstance(error, LimitError):
        return Finding(Level.WRONG, about, f"runs into a limit: {text}")
    if isinstance(error, GuestError):
        return Finding(Level.WRONG, about, text)
    raise error


def _is_address(text: str) -> bool:
    try:
        parts = urlsplit(text)
        return parts.scheme in ("http", "https") and bool(parts.hostname)
    except ValueError:
        return False


def _object(data: bytes) -> None:
    if not isinstance(json.loads(data or b"null"), dict):
        raise ProtocolError("from_config must answer with a config")


def _empty(data: bytes) -> None:
    if data:
        raise ProtocolError("must answer nothing")


def _payload(data: bytes) -> None:
    if payloads.decode_failure(data.decode("utf-8", "replace"), 0) is None:
        raise ProtocolError("the answer holds no error")
