"""Every export as a function of bytes (provider-abi.md §1.1), whatever carries them in and out, on the wire that the
input is written in (docs/wire.md).

`start` binds the decorated class while the plugin is built; `dispatch` answers calls and never raises: an exception
that left it would end the instance, `SystemExit` included.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, Final

from fumehood_pdk import _entropy, _host, _json, _log, _messages, _provider, _replies, _speech, _wire
from fumehood_pdk._errors import ProviderError
from fumehood_pdk._http import HTTPRequest, HTTPResponse
from fumehood_pdk._replies import ChatResponse, CompletionRequest, StreamChunk, StreamParser
from fumehood_pdk._wire import Wire
from fumehood_pdk.status import classify_chat, require_success

_MESSAGE_CAP: Final = 2_000
_FRAMES: Final = 12


class Guest:
    """A provider as a host sees it: exports by name, stream parsers by number."""

    def __init__(self, provider: _provider.Provider) -> None:
        self.provider = provider
        self._parsers: dict[int, StreamParser] = {}
        self._last_parser = 0
        self._exports: dict[str, Callable[[Wire, bytes], bytes]] = {
            name: getattr(self, f"_{name}") for name in provider.exports
        }
        self._fresh = True

    def dispatch(self, export: str, data: bytes) -> tuple[bool, bytes]:
        """The answer of an export, or False and the document of its error, which is never empty. Never raises."""
        try:
            if self._fresh:
                self._fresh = False
                _entropy.reseed()
            call = self._exports.get(export)
            if call is None:
                raise ProviderError.not_implemented(f"this plugin has no {export}")
            return True, call(_wire.of(data), data)
        except BaseException as error:
            return False, failure(error)

    # -- about the plugin -----------------------------------------------------------------------

    def _name(self, _on: Wire, _data: bytes) -> bytes:
        return self.provider.name.encode()

    def _base_url(self, _on: Wire, _data: bytes) -> bytes:
        return (self.provider.base_url or "").encode()

    def _api_key_name(self, _on: Wire, _data: bytes) -> bytes:
        return (self.provider.api_key_name or "").encode()

    def _init_logging(self, wire: Wire, data: bytes) -> bytes:
        _log.set_level(_integer("init_logging", data))
        return b""

    def _config_schema(self, _on: Wire, _data: bytes) -> bytes:
        return _json.dumps(self.provider.config.schema)

    def _from_config(self, wire: Wire, data: bytes) -> bytes:
        config = _value(wire, "from_config", data)
        self._of(config)
        return wire.dumps(config)

    def _supports_streaming(self, wire: Wire, data: bytes) -> bytes:
        self._of(_value(wire, "supports_streaming", data))
        return wire.dumps("chat_stream_parser" in self.provider.methods)

    # -- models ---------------------------------------------------------------------------------

    def _list_models_static(self, wire: Wire, data: bytes) -> bytes:
        document, _ = wire.read("list_models_static", data)
        names = self._of(document.get("cfg"), partial=True).list_models_static()
        return wire.dumps(None if names is None else _names("list_models_static", names))

    def _list_models_request(self, wire: Wire, data: bytes) -> bytes:
        document, _ = wire.read("list_models_request", data)
        provider = self._of(document.get("cfg"), partial=True)
        return _request(wire, "list_models_request", self._method(provider, "list_models_request")())

    def _parse_list_models_response(self, wire: Wire, data: bytes) -> bytes:
        _, response = _reply(wire, "parse_list_models_response", data)
        provider = self._of({}, partial=True)
        parse = self._method(provider, "parse_list_models")
        require_success(response)
        return wire.dumps(_names("parse_list_models", _read(parse, response)))

    # -- chat -----------------------------------------------------------------------------------

    def _chat_request(self, wire: Wire, data: bytes) -> bytes:
        return self._ask(wire, "chat_request", data)

    def _chat_stream_request(self, wire: Wire, data: bytes) -> bytes:
        return self._ask(wire, "chat_stream_request", data)

    def _ask(self, wire: Wire, export: str, data: bytes) -> bytes:
        document, _ = wire.read(export, data)
        try:
            messages = [_messages.message(raw) for raw in _list(document, "messages")]
            tools = None
            if document.get("tools") is not None:
                tools = [_replies.tool(raw) for raw in _list(document, "tools")]
        except ValueError as problem:
            raise ProviderError.json_error(f"input of {export}: {problem}") from None
        provider = self._of(document.get("cfg"))
        return _request(wire, export, self._method(provider, export)(messages, tools))

    def _parse_chat_response(self, wire: Wire, data: bytes) -> bytes:
        document, response = _reply(wire, "parse_chat_response", data)
        provider = self._of(document.get("cfg"))
        answer = _read(self._method(provider, "parse_chat"), response)
        return wire.dumps(_a(ChatResponse, answer, "parse_chat").wire())

    def _classify_chat_error(self, wire: Wire, data: bytes) -> bytes:
        document, response = _reply(wire, "classify_chat_error", data)
        provider = self._of(document.get("cfg"))
        error = provider.classify_chat_error(response)
        if error is None:
            error = classify_chat(response)
        return _json.dumps({"payload": _a(ProviderError, error, "classify_chat_error").payload})  # as errors always are

    # -- streams --------------------------------------------------------------------------------

    def _chat_stream_parser_start(self, wire: Wire, data: bytes) -> bytes:
        provider = self._of(_value(wire, "chat_stream_parser_start", data))
        parser = provider.chat_stream_parser()
        if not isinstance(parser, StreamParser):
            raise TypeError(f"chat_stream_parser returned {_kind(parser)}, which has no parse(line) and finish()")
        self._last_parser += 1
        self._parsers[self._last_parser] = parser
        return wire.dumps(self._last_parser)

    def _chat_stream_parser_parse(self, wire: Wire, data: bytes) -> bytes:
        export = "chat_stream_parser_parse"
        document, taken = wire.read(export, data, "chunk")
        try:
            line = _wire.bytes_of(document.get("chunk"), taken, "chunk")
        except ValueError as problem:
            raise ProviderError.json_error(f"input of {export}: {problem}") from None
        parser = self._parsers.get(document.get("parser_id", 0))
        if parser is None:
            raise _unknown_parser(document.get("parser_id"))
        return _chunks(wire, "parse", _expected(lambda: list(parser.parse(line) or ()), line))

    def _chat_stream_parser_finish(self, wire: Wire, data: bytes) -> bytes:
        number = _integer("chat_stream_parser_finish", data)
        parser = self._parsers.pop(number, None)  # gone even when it fails
        if parser is None:
            raise _unknown_parser(number)
        return _chunks(_wire.JSON, "finish", parser.finish())

    def _chat_stream_parser_close(self, wire: Wire, data: bytes) -> bytes:
        self._parsers.pop(_integer("chat_stream_parser_close", data), None)
        return b""

    # -- embeddings and completions ---------------------------------------------------------------

    def _embed_request(self, wire: Wire, data: bytes) -> bytes:
        document, _ = wire.read("embed_request", data)
        inputs = document.get("inputs")
        if not isinstance(inputs, list) or not all(isinstance(text, str) for text in inputs):
            raise ProviderError.json_error("input of embed_request: inputs must be a list of strings")
        provider = self._of(document.get("cfg"))
        return _request(wire, "embed_request", provider.embed_request(inputs))

    def _parse_embed_response(self, wire: Wire, data: bytes) -> bytes:
        document, response = _reply(wire, "parse_embed_response", data)
        provider = self._of(document.get("cfg"))
        require_success(response)
        vectors = _read(provider.parse_embed, response)
        try:
            return wire.vectors(vectors)
        except ValueError as problem:
            raise ProviderError(str(problem)) from None

    def _complete_request(self, wire: Wire, data: bytes) -> bytes:
        document, _ = wire.read("complete_request", data)
        raw = document.get("req")
        if not isinstance(raw, dict) or not isinstance(raw.get("prompt"), str):
            raise ProviderError.json_error("input of complete_request: req must be an object with a prompt")
        asked = CompletionRequest(raw["prompt"], raw.get("suffix"), raw.get("max_tokens"), raw.get("temperature"))
        provider = self._of(document.get("cfg"))
        return _request(wire, "complete_request", provider.complete_request(asked))

    def _parse_complete_response(self, wire: Wire, data: bytes) -> bytes:
        document, response = _reply(wire, "parse_complete_response", data)
        provider = self._of(document.get("cfg"))
        require_success(response)
        return wire.dumps({"text": _a(str, _read(provider.parse_complete, response), "parse_complete")})

    # -- speech: the one case where the plugin has the host send a request ------------------------

    def _transcribe(self, wire: Wire, data: bytes) -> bytes:
        document, _ = wire.read("transcribe", data)
        provider = self._of(document.get("cfg"))
        asked = _asked("transcribe", _speech.transcribe_request, document)
        response = _fetch("transcribe_request", provider.transcribe_request(asked))
        text = _read(provider.parse_transcribe, response)
        return wire.dumps({"text": _a(str, text, "parse_transcribe")})

    def _speech(self, wire: Wire, data: bytes) -> bytes:
        document, _ = wire.read("speech", data)
        provider = self._of(document.get("cfg"))
        asked = _asked("speech", _speech.speech_request, document)
        spoken = _read(provider.parse_speech, _fetch("speech_request", provider.speech_request(asked)))
        return wire.dumps(_a(_speech.Speech, spoken, "parse_speech").wire())

    # -- helpers ------------------------------------------------------------------------------------

    def _of(self, config: Any, *, partial: bool = False) -> Any:
        """The provider that this call's config makes; hosts send it with every call."""
        build = self.provider.config.build_partial if partial else self.provider.config.build
        return build(config)

    def _method(self, provider: Any, name: str) -> Any:
        if name not in self.provider.methods:
            raise ProviderError.not_implemented(f"this provider has no {name}")
        return getattr(provider, name)


def _value(wire: Wire, export: str, data: bytes) -> Any:
    try:
        return wire.loads(data)
    except ValueError as problem:
        raise ProviderError.json_error(f"input of {export}: {problem}") from None


def _integer(export: str, data: bytes) -> int:
    number = _value(_wire.JSON, export, data)
    if type(number) is not int or number < 0:
        raise ProviderError.json_error(f"input of {export}: not a number from 0")
    return number


def _list(document: dict[str, Any], key: str) -> list[Any]:
    value = document.get(key)
    if not isinstance(value, list):
        raise ValueError(f"{key} must be a list")
    return value


def _reply(wire: Wire, export: str, data: bytes) -> tuple[dict[str, Any], HTTPResponse]:
    try:
        try:
            document, taken = wire.read(export, data, "body")
            return document, _wire.response(document, taken)
        except _wire.NotTaken:
            document, taken = wire.read(export, data)
            return document, _wire.response(document, taken)
    except ValueError as problem:
        raise ProviderError.json_error(f"input of {export}: {problem}") from None


def _asked(export: str, make: Callable[[dict[str, Any]], Any], document: dict[str, Any]) -> Any:
    try:
        return make(document)
    except (ValueError, KeyError) as problem:
        raise ProviderError.json_error(f"input of {export}: {problem}") from None


def _fetch(method: str, request: HTTPRequest) -> HTTPResponse:
    if _host.http_sink is None:
        raise ProviderError.not_implemented("there is no host here that sends requests")
    answer = _host.http_sink(_request(_wire.JSON, method, request))
    document, taken = _wire.JSON.read("qmt_http_request", answer, "body")
    response = _wire.response(document if "resp" in document.get("resp", {}) else {"resp": document}, taken)
    require_success(response)
    return response


def _read(parse: Callable[[HTTPResponse], Any], response: HTTPResponse) -> Any:
    return _expected(lambda: parse(response), response.body)


def _expected(parse: Callable[[], Any], body: bytes) -> Any:
    """What a parse method returns. That a key, an index or a type is not there is the reply's doing far more often than
    the author's: it is told as that, with the traceback and the beginning of the reply."""
    try:
        return parse()
    except (LookupError, TypeError, AttributeError, ValueError) as error:
        raise ProviderError.response_format(f"the reply is not what is expected: {_told(error)}", body) from error


def _request(wire: Wire, method: str, request: Any) -> bytes:
    return wire.request(_a(HTTPRequest, request, method))


def _a(kind: type, value: Any, method: str) -> Any:
    if not isinstance(value, kind):
        raise TypeError(f"{method} returned {_kind(value)}, not {kind.__name__}")
    return value


def _kind(value: object) -> str:
    return "None" if value is None else f"a {type(value).__name__}"


def _names(method: str, names: Any) -> list[str]:
    return [_a(str, name, method) for name in names]


def _chunks(wire: Wire, method: str, chunks: Iterable[StreamChunk] | None) -> bytes:
    return wire.dumps([_a(StreamChunk, chunk, method).wire() for chunk in chunks or ()])


def _unknown_parser(number: Any) -> ProviderError:
    return ProviderError.invalid_request(f"there is no stream parser {number} in this instance")


# -- errors -----------------------------------------------------------------------------------------


def failure(error: BaseException) -> bytes:
    """The document of an error: a ProviderError's own payload, else a plugin error with type, text and traceback."""
    try:
        if isinstance(error, ProviderError):
            return _json.dumps({"payload": error.payload})
        return _json.dumps({"payload": {"type": "plugin_error", "message": _told(error)}})
    except BaseException:  # an exception whose own text fails, or no memory for it
        return b'{"payload":{"type":"plugin_error","message":"%b"}}' % type(error).__name__.encode("ascii", "replace")


def _ours(file: str) -> bool:
    return "fumehood_pdk/_" in file or file.endswith("/_fumehood_main.py")


def _told(error: BaseException) -> str:
    """`KeyError: 'x'` and where it came from, the plugin's frames only, the innermost last."""
    if isinstance(error, SystemExit):
        text = f"SystemExit: the plugin called sys.exit({error.code!r})"
    elif isinstance(error, MemoryError) and not str(error):
        text = "MemoryError: there is no memory left of what the host allows"
    else:
        text = f"{type(error).__name__}: {error}".removesuffix(": ")
    text = text[:_MESSAGE_CAP].encode("utf-8", "replace").decode()
    frames: list[str] = []
    trace = error.__traceback__
    while trace is not None:
        code = trace.tb_frame.f_code
        if not _ours(code.co_filename.replace("\\", "/")):
            file = code.co_filename.replace("\\", "/").rpartition("/")[2]
            frames.append(f"  at {file}:{trace.tb_lineno} in {code.co_qualname}")
        trace = trace.tb_next
    if len(frames) > _FRAMES:
        frames[_FRAMES // 2 : -_FRAMES // 2] = [f"  … {len(frames) - _FRAMES} more …"]
    return "\n".join([text, *frames])


# -- the plugin ---------------------------------------------------------------------------------------

_guest: Guest | None = None


def start() -> Guest:
    """Bind the one decorated class, while the plugin is built. TypeError when there is none, or more than one."""
    global _guest  # noqa: PLW0603 - the instance of a plugin has exactly one
    classes = [found.cls.__qualname__ for found in _provider.registered]
    if len(classes) != 1:
        names = ", ".join(classes)
        raise TypeError(f"two providers in one plugin: {names}" if classes else "no class is decorated with @provider")
    _log.install()
    _guest = Guest(_provider.registered[0])
    return _guest


def dispatch(export: str, data: bytes) -> tuple[bool, bytes]:
    """`Guest.dispatch` of the plugin that `start` bound."""
    if _guest is None:
        return False, b'{"payload":{"type":"plugin_error","message":"the plugin was not started"}}'
    return _guest.dispatch(export, data)
