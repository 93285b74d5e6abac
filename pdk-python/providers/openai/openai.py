"""OpenAI and every endpoint that speaks its API: chat, tools, images, streams, embeddings, completions, models.

Request for request and reply for reply the same as the provider in Rust (pdk-rust/providers/openai): tests/vectors hold
both to it.
"""

from __future__ import annotations

import base64
import json
import struct
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal

from fumehood_pdk import (
    PDF,
    Audio,
    Block,
    ChatResponse,
    CompletionRequest,
    FinishReason,
    HTTPRequest,
    HTTPResponse,
    Image,
    ImageURL,
    Limit,
    Message,
    ProviderError,
    ResourceLink,
    StreamChunk,
    Text,
    Thinking,
    Tool,
    ToolCall,
    ToolResult,
    ToolUse,
    Usage,
    bearer,
    provider,
    sse,
    status,
    urls,
)

OPENAI = "api.openai.com"
U32 = Limit(minimum=0, maximum=2**32 - 1)


@dataclass
class ToolFunction:
    """The function that must be called."""

    name: str


@dataclass
class NamedTool:
    """One tool that must be called."""

    function: ToolFunction
    type: Literal["function"] = "function"


@dataclass
class StructuredOutput:
    """A schema that the answer must follow."""

    name: str
    description: str | None = None
    schema: Any = None
    strict: bool | None = None

    def wire(self) -> dict[str, Any]:
        """What is set, as the API takes it."""
        parts = {"name": self.name, "description": self.description, "schema": self.schema, "strict": self.strict}
        made = {key: value for key, value in parts.items() if value is not None}
        if isinstance(made.get("schema"), dict):
            # strict mode demands it, and it is what the caller means
            made["schema"] = {**made["schema"]}
            made["schema"].setdefault("additionalProperties", False)
        return made


@provider(name="openai", api_key_name="OPENAI_API_KEY")
class OpenAI:
    """A chat, embedding or completion model behind an OpenAI-compatible endpoint."""

    model: Annotated[str, "The model."] = "gpt-5-mini"  # the one to say hello with
    api_key: Annotated[str, "The key; may be empty for endpoints that want none."] = ""
    auth_type: Annotated[
        Literal["api_key", "oauth", "none"] | None,
        "How the key is presented; by default as a bearer token if there is one.",
    ] = None
    base_url: Annotated[str, "Where the API is, `/v1` included.", Limit(format="uri")] = "https://api.openai.com/v1/"
    max_tokens: Annotated[Annotated[int, U32] | None, "At most so many tokens in an answer."] = None
    temperature: Annotated[float | None, "Sampling temperature."] = None
    system: Annotated[list[str] | str | None, "What the model is told first: a string or a list of strings."] = field(
        default_factory=list
    )
    timeout_seconds: Annotated[
        Annotated[int, Limit(minimum=0)] | None, "Seconds the host waits for a reply; the plugin itself does not wait."
    ] = None
    stream: Annotated[bool | None, "Whether answers are streamed; the host decides by the call it makes."] = None
    stream_usage: Annotated[
        bool | None,
        "Whether a stream is asked to report usage (default true; endpoints that refuse `stream_options` need false).",
    ] = None
    top_p: Annotated[float | None, "Nucleus sampling."] = None
    top_k: Annotated[
        Annotated[int, U32] | None, "Sample from the k likeliest tokens; OpenAI's own endpoint refuses it."
    ] = None
    tools: Annotated[list[Tool] | None, "Tools offered in every chat that brings none of its own."] = None
    tool_choice: Annotated[Literal["auto", "required", "none"] | NamedTool | None, "Which tool must be called."] = None
    enable_parallel_tool_use: Annotated[bool | None, "Whether several tools may be called at once."] = None
    embedding_encoding_format: Annotated[str | None, "`float` or `base64`; vectors reach the caller the same."] = None
    embedding_dimensions: Annotated[Annotated[int, U32] | None, "Length of the vectors."] = None
    reasoning_effort: Annotated[Literal["low", "medium", "high", "max"] | None, "How hard the model should think."] = (
        None
    )
    json_schema: Annotated[StructuredOutput | None, "A schema that the answer must follow."] = None
    extra_body: Annotated[dict[str, Any] | None, "Further fields of the request body; they win over ours."] = None

    def __post_init__(self) -> None:
        urls.join(self.base_url, "")

    # -- requests -------------------------------------------------------------------------------

    def chat_request(self, messages: list[Message], tools: list[Tool] | None) -> HTTPRequest:
        return self._chat(messages, tools, stream=False)

    def chat_stream_request(self, messages: list[Message], tools: list[Tool] | None) -> HTTPRequest:
        return self._chat(messages, tools, stream=True)

    def _chat(self, messages: list[Message], tools: list[Tool] | None, *, stream: bool) -> HTTPRequest:
        url = urls.join(self.base_url, "chat/completions")
        openai = urls.host_of(url) == OPENAI
        body: dict[str, Any] = {
            "model": self.model,
            "messages": wire_messages(self.system, messages, reasoning=not openai),
            "stream": stream,
        }
        if stream and self.stream_usage is not False:
            body["stream_options"] = {"include_usage": True}
        # OpenAI renamed the field and newer models refuse the old name; compatible servers know the old one
        _set(body, "max_completion_tokens" if openai else "max_tokens", self.max_tokens)
        _set(body, "temperature", _float(self.temperature))
        _set(body, "top_p", _float(self.top_p))
        _set(body, "top_k", self.top_k)
        offered = self.tools if tools is None else tools
        if offered:
            body["tools"] = [tool.wire() for tool in offered]
            choice = self.tool_choice
            if isinstance(choice, NamedTool):
                body["tool_choice"] = {"type": "function", "function": {"name": choice.function.name}}
            else:
                _set(body, "tool_choice", choice)
            _set(body, "parallel_tool_calls", self.enable_parallel_tool_use)
        # `max` is our word: the API's highest that every reasoning model knows is `high`
        _set(body, "reasoning_effort", "high" if self.reasoning_effort == "max" else self.reasoning_effort)
        if self.json_schema is not None:
            body["response_format"] = {"type": "json_schema", "json_schema": self.json_schema.wire()}
        return self._post(url, body)

    def embed_request(self, inputs: list[str]) -> HTTPRequest:
        body: dict[str, Any] = {
            "model": self.model,
            "input": inputs,
            "encoding_format": self.embedding_encoding_format or "float",
        }
        _set(body, "dimensions", self.embedding_dimensions)
        return self._post(urls.join(self.base_url, "embeddings"), body)

    def complete_request(self, request: CompletionRequest) -> HTTPRequest:
        body: dict[str, Any] = {"model": self.model, "prompt": request.prompt}
        _set(body, "suffix", request.suffix)
        _set(body, "max_tokens", self.max_tokens if request.max_tokens is None else request.max_tokens)
        asked = self.temperature if request.temperature is None else request.temperature
        _set(body, "temperature", _float(asked))
        _set(body, "top_p", _float(self.top_p))
        return self._post(urls.join(self.base_url, "completions"), body)

    def list_models_request(self) -> HTTPRequest:
        url = urls.join(self.base_url, "models")
        return HTTPRequest.get(url, self._authorization(url))

    def _post(self, url: str, body: dict[str, Any]) -> HTTPRequest:
        return HTTPRequest.post_json(url, body | (self.extra_body or {}), self._authorization(url))

    def _authorization(self, url: str) -> dict[str, str]:
        """OpenAI's own endpoint never works without a key; others may."""
        if self.auth_type == "none":
            return {}
        if self.api_key:
            return bearer(self.api_key)
        if urls.host_of(url) == OPENAI:
            raise ProviderError.auth("api_key is empty; OpenAI's endpoint needs one")
        return {}

    # -- replies --------------------------------------------------------------------------------

    def parse_chat(self, response: HTTPResponse) -> ChatResponse:
        if not response.is_success:
            raise classify(response)
        try:
            return parse_chat(response)
        except (_Odd, ProviderError) as problem:
            # some gateways say 200 and mean otherwise
            told = in_body(status.json_body(response))
            raise told or ProviderError.response_format(f"chat: {problem}", response.body) from None

    def classify_chat_error(self, response: HTTPResponse) -> ProviderError:
        return classify(response)

    def chat_stream_parser(self) -> Parser:
        return Parser()

    def parse_embed(self, response: HTTPResponse) -> list[list[float]]:
        try:
            return parse_embeddings(response.json())
        except (_Odd, ProviderError) as problem:
            raise ProviderError.response_format(f"embeddings: {problem}", response.body) from None

    def parse_complete(self, response: HTTPResponse) -> str:
        try:
            choices = _list(_dict(response.json()), "choices")
            if not choices:
                raise _Odd("no choice")
            text: str = _need(_dict(choices[0]), "text", str)
            return text
        except (_Odd, ProviderError) as problem:
            raise ProviderError.response_format(f"completion: {problem}", response.body) from None

    def parse_list_models(self, response: HTTPResponse) -> list[str]:
        try:
            return [_need(_dict(model), "id", str) for model in _list(_dict(response.json()), "data")]
        except (_Odd, ProviderError) as problem:
            raise ProviderError.response_format(f"list of models: {problem}", response.body) from None


def _set(body: dict[str, Any], key: str, value: Any) -> None:
    if value is not None:
        body[key] = value


def _float(value: float | None) -> float | None:
    return None if value is None else float(value)


# -- messages -----------------------------------------------------------------------------------


def wire_messages(
    system: str | Sequence[str] | None, messages: Iterable[Message], *, reasoning: bool
) -> list[dict[str, Any]]:
    """The API's list of messages. `reasoning`: whether thoughts go back with the calls they led to."""
    out: list[dict[str, Any]] = []
    texts = [system] if isinstance(system, str) else list(system or ())
    text = "\n\n".join(text for text in texts if text)
    if text:
        # one message: several system messages break many chat templates
        out.append({"role": "system", "content": text})
    for message in messages:
        if message.role == "User":
            _user(message.content, out)
        else:
            out.append(_assistant(message.content, reasoning=reasoning))
    return out


def _user(content: list[Block], out: list[dict[str, Any]]) -> None:
    """Tool results first, as messages of their own: the API wants them right after the calls."""
    parts: list[str | dict[str, Any]] = []
    answered = False
    for block in content:
        if isinstance(block, ToolResult):
            answered = True
            texts = []
            for inner in block.content:
                part = _part(inner)
                if isinstance(part, str):
                    texts.append(part)
                elif part is not None:
                    # a tool message holds text only; what else the tool gave follows as the user's
                    parts.append(part)
            out.append({"role": "tool", "tool_call_id": block.id, "content": "\n".join(texts)})
        else:
            part = _part(block)
            if part is not None:
                parts.append(part)
    if not parts and answered:
        return
    if all(isinstance(part, str) for part in parts):
        out.append({"role": "user", "content": "\n".join(str(part) for part in parts)})
    else:
        wrapped = [{"type": "text", "text": part} if isinstance(part, str) else part for part in parts]
        out.append({"role": "user", "content": wrapped})


def _part(block: Block) -> str | dict[str, Any] | None:
    """A block as a part of a user message: a string for text, an object for the rest, nothing for thoughts."""
    match block:
        case Text(text):
            return text
        case Image(mime_type, data):
            return {"type": "image_url", "image_url": {"url": _data_url(mime_type, data)}}
        case ImageURL(url):
            return {"type": "image_url", "image_url": {"url": url}}
        case PDF(data):
            file = {"filename": "document.pdf", "file_data": _data_url("application/pdf", data)}
            return {"type": "file", "file": file}
        case Audio(mime_type, data):
            sound = {"data": base64.b64encode(data).decode(), "format": _audio_format(mime_type)}
            return {"type": "input_audio", "input_audio": sound}
        case ResourceLink():
            return block.as_text
        case _:
            return None


def _data_url(mime_type: str, data: bytes) -> str:
    return f"data:{mime_type};base64,{base64.b64encode(data).decode()}"


def _audio_format(mime_type: str) -> str:
    if mime_type in ("audio/wav", "audio/x-wav", "audio/wave"):
        return "wav"
    if mime_type in ("audio/mpeg", "audio/mp3"):
        return "mp3"
    raise ProviderError.invalid_request(f"audio must be audio/wav or audio/mpeg here, not `{mime_type}`")


def _assistant(content: list[Block], *, reasoning: bool) -> dict[str, Any]:
    text = "\n".join(block.text for block in content if isinstance(block, Text))
    thoughts = [block.text for block in content if isinstance(block, Thinking)]
    calls = [
        {"id": block.id, "type": "function", "function": {"name": block.name, "arguments": _compact(block.arguments)}}
        for block in content
        if isinstance(block, ToolUse)
    ]
    message: dict[str, Any] = {"role": "assistant", "content": None if calls and not text else text}
    if calls:
        message["tool_calls"] = calls
        if reasoning and thoughts:
            message["reasoning_content"] = "\n".join(thoughts)
    return message


def _compact(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


# -- reading replies: what the caller does not need may be missing, what is there has its type ------


class _Odd(Exception):
    """The reply is not what the API promises."""


def _dict(value: Any) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise _Odd("an object is expected")
    return value


def _list(value: dict[str, Any], key: str) -> list[Any]:
    found = value.get(key)
    if not isinstance(found, list):
        raise _Odd(f"`{key}` must be a list")
    return found


def _need(value: dict[str, Any], key: str, kind: type) -> Any:
    found = value.get(key)
    if type(found) is not kind:
        raise _Odd(f"`{key}` must be of type {kind.__name__}")
    return found


def _maybe(value: dict[str, Any], key: str, kind: type) -> Any:
    return None if value.get(key) is None else _need(value, key, kind)


def _count(value: dict[str, Any], key: str) -> int | None:
    found: int | None = _maybe(value, key, int)
    if found is not None and not 0 <= found < 2**32:
        raise _Odd(f"`{key}` is no count")
    return found


def text_of(content: Any) -> str | None:
    """Text, or the texts of a list of parts."""
    if isinstance(content, str):
        return content
    if isinstance(content, list):
        texts = [part.get("text") for part in content if isinstance(part, dict)]
        return "".join(text for text in texts if isinstance(text, str))
    return None


def usage_of(raw: Any) -> Usage | None:
    """Token counts as the API reports them."""
    if raw is None:
        return None
    raw = _dict(raw)
    prompt, completion = raw.get("prompt_tokens_details"), raw.get("completion_tokens_details")
    cached = None if prompt is None else _count(_dict(prompt), "cached_tokens")
    # DeepSeek's name for cached tokens
    other = _count(raw, "prompt_cache_hit_tokens")
    reasoning = None if completion is None else _count(_dict(completion), "reasoning_tokens")
    return Usage(
        _count(raw, "prompt_tokens") or 0,
        _count(raw, "completion_tokens") or 0,
        reasoning or 0,
        (other or 0) if cached is None else cached,
    )


def finish(word: str, *, called: bool) -> FinishReason:
    """Endpoints that say `stop` after calling tools mean that the tools are to be called."""
    reason = FinishReason.from_vendor(word)
    return FinishReason.TOOL_CALLS if called and reason is FinishReason.STOP else reason


def parse_chat(response: HTTPResponse) -> ChatResponse:
    """A chat's answer: the first choice."""
    chat = _dict(response.json())
    usage = usage_of(chat.get("usage"))
    choices = [_choice(choice) for choice in _list(chat, "choices")]
    if not choices:
        return ChatResponse(usage=usage)
    answer = choices[0]
    answer.usage = usage
    return answer


def _choice(raw: Any) -> ChatResponse:
    choice = _dict(raw)
    message = _dict(choice.get("message", {}))
    calls = [_call(index, _dict(call)) for index, call in enumerate(_maybe(message, "tool_calls", list) or ())]
    refusal, thought = _maybe(message, "refusal", str), _maybe(message, "reasoning_content", str)
    text = text_of(message.get("content"))
    text = refusal if text is None else text
    thinking = text_of(message.get("reasoning")) if thought is None else thought
    word = _maybe(choice, "finish_reason", str)
    return ChatResponse(
        text=None if calls and not text else text,
        tool_calls=calls or None,
        thinking=thinking or None,
        finish_reason=None if word is None else finish(word, called=bool(calls)),
    )


def _call(index: int, call: dict[str, Any]) -> ToolCall:
    function = _dict(call.get("function"))
    arguments = function.get("arguments")
    if arguments is None:
        arguments = ""
    elif not isinstance(arguments, str):
        arguments = _compact(arguments)
    return ToolCall(_maybe(call, "id", str) or f"call_{index}", _need(function, "name", str), arguments)


def parse_embeddings(reply: Any) -> list[list[float]]:
    """The vectors in the order of the inputs, whatever order and encoding the endpoint chose."""
    data = [_dict(one) for one in _list(_dict(reply), "data")]
    if all(_count(one, "index") is not None for one in data):
        data.sort(key=lambda one: int(one["index"]))
    return [_vector(one.get("embedding")) for one in data]


def _vector(raw: Any) -> list[float]:
    if isinstance(raw, list) and all(type(number) in (int, float) for number in raw):
        return raw
    if not isinstance(raw, str):
        raise _Odd("a vector must be a list of numbers, or base64")
    try:
        data = base64.b64decode(raw, validate=True)
    except ValueError:
        raise _Odd("a vector is not base64") from None
    if len(data) % 4:
        raise _Odd("a vector is cut off")
    return list(struct.unpack(f"<{len(data) // 4}f", data))


# -- refusals -----------------------------------------------------------------------------------

_WORDS: dict[str, Any] = {
    "context_length_exceeded": "context_window_exceeded",
    "exceed_context_size_error": "context_window_exceeded",
    "string_above_max_length": "context_window_exceeded",
    "insufficient_quota": "quota_exceeded",
    "billing_hard_limit_reached": "quota_exceeded",
    "insufficient_balance": "quota_exceeded",
    "rate_limit_exceeded": "rate_limited",
    "rate_limit_error": "rate_limited",
    "tokens_per_min": "rate_limited",
    "requests_per_min": "rate_limited",
    "invalid_api_key": "authentication",
    "authentication_error": "authentication",
    "permission_error": "authentication",
    "invalid_authentication": "authentication",
    "server_overloaded": "server_overloaded",
    "overloaded": "server_overloaded",
    "overloaded_error": "server_overloaded",
    "engine_overloaded": "server_overloaded",
    "slow_down": "server_overloaded",
    "model_not_found": "invalid_request",
    "unsupported_parameter": "unsupported_operation",
    "unsupported_value": "unsupported_operation",
    "not_supported_error": "unsupported_operation",
    "server_error": "unknown_transient",
    "internal_error": "unknown_transient",
    "api_error": "unknown_transient",
}


def classify(response: HTTPResponse) -> ProviderError:
    """A reply whose status says failure: the API's code first, its words next, the status last."""
    if response.status == 499:
        return ProviderError.cancelled()
    refusal = status.describe(response)
    refusal.kind = _kind(refusal, response.status)
    return refusal.error()


def in_body(body: Any) -> ProviderError | None:
    """The failure that a body reports under a status, or a stream in an event, that said nothing of it."""
    if not isinstance(body, dict) or body.get("error") is None:
        return None
    refusal = status.describe_body(body)
    if refusal is None:
        return None
    refusal.kind = _kind(refusal, None)
    return refusal.error()


def _kind(refusal: status.Refusal, code: int | None) -> Any:
    named = _WORDS.get(refusal.code or "") or _WORDS.get(refusal.error_type or "")
    if named:
        return named
    message = refusal.message.lower()
    long = any(words in message for words in ("maximum context length", "context size", "context window"))
    if code in (None, 400, 413, 422, 500) and long:
        return "context_window_exceeded"
    if code is None:
        if refusal.error_type == "invalid_request_error":
            return "invalid_request"
        number = int(refusal.code) if refusal.code and refusal.code.isdecimal() else 0
        return status.chat_kind(number) if number >= 400 else "unknown_permanent"
    if code == 402:
        return "quota_exceeded"
    if code == 404:
        return "invalid_request"
    if code == 529 or (code == 503 and ("overload" in message or "capacity" in message)):
        return "server_overloaded"
    return status.chat_kind(code)


# -- streams ------------------------------------------------------------------------------------


@dataclass
class _Call:
    id: str = ""
    name: str = ""
    arguments: str = ""
    started: bool = False


class Parser:
    """The streamed answer: one JSON document in each `data:` line."""

    def __init__(self) -> None:
        self._lines = sse.Lines()
        self._calls: dict[int, _Call] = {}
        self._called = False
        self._done = False

    def parse(self, line: bytes) -> list[StreamChunk]:
        out: list[StreamChunk] = []
        for whole in self._lines.feed(line):
            self._line(whole, out)
        return out

    def finish(self) -> list[StreamChunk]:
        out: list[StreamChunk] = []
        self._line(self._lines.finish(), out)
        # the stream broke off: a call whose arguments are cut in half must not be made
        self._calls = {index: call for index, call in self._calls.items() if _whole(call.arguments)}
        self._complete(out)
        return out

    def _line(self, line: bytes, out: list[StreamChunk]) -> None:
        data = sse.data_of(line)
        if data is None:
            return
        if data == b"[DONE]":
            self._complete(out)
            self._end(FinishReason.TOOL_CALLS if self._called else FinishReason.STOP, out)
            return
        body: Any = None
        try:
            body = HTTPResponse(200, body=data).json()
            event = _dict(body)
            choices = [_dict(choice) for choice in _maybe(event, "choices", list) or ()]
            usage = usage_of(event.get("usage"))
            deltas = [_delta(choice.get("delta")) for choice in choices]
            words = [_maybe(choice, "finish_reason", str) for choice in choices]
        except (_Odd, ProviderError) as problem:
            raise in_body(body) or ProviderError.response_format(f"stream: {problem}", data) from None
        if event.get("error") is not None:
            raise in_body(body) or ProviderError.response_format("stream: an error without a text", data)
        if choices:
            if deltas[0] is not None:
                self._take(deltas[0], out)
            if words[0] is not None:
                self._complete(out)
                self._end(finish(words[0], called=self._called), out)
        if usage is not None:
            out.append(StreamChunk.usage(usage))

    def _end(self, reason: FinishReason, out: list[StreamChunk]) -> None:
        if not self._done:
            self._done = True
            out.append(StreamChunk.done(reason))

    def _take(self, delta: dict[str, Any], out: list[StreamChunk]) -> None:
        thought = delta.get("reasoning_content")
        thought = text_of(delta.get("reasoning")) if thought is None else thought
        if thought:
            out.append(StreamChunk.thinking(thought))
        text = text_of(delta.get("content"))
        text = delta.get("refusal") if text is None else text
        if text:
            out.append(StreamChunk.text(text))
        for piece in delta.get("tool_calls") or ():
            self._piece(piece, out)

    def _piece(self, piece: dict[str, Any], out: list[StreamChunk]) -> None:
        """A piece of a call. Without an index it belongs to the newest call, or begins one if it brings a name."""
        function = piece.get("function") or {}
        name, arguments = function.get("name"), function.get("arguments")
        index = piece.get("index")
        if index is None:
            newest = max(self._calls, default=None)
            index = 0 if newest is None else newest if name is None else newest + 1
        call = self._calls.setdefault(index, _Call())
        call.id = piece.get("id") or call.id
        call.name = name or call.name
        if not call.started and call.name:
            call.started = self._called = True
            call.id = call.id or f"call_{index}"
            out.append(StreamChunk.tool_use_start(index, call.id, call.name))
        if arguments:
            call.arguments += arguments
            if call.started:
                out.append(StreamChunk.tool_use_input_delta(index, arguments))

    def _complete(self, out: list[StreamChunk]) -> None:
        """Completes the calls that were begun, in their order."""
        for index, call in sorted(self._calls.items()):
            if call.started:
                out.append(StreamChunk.tool_use_complete(index, ToolCall(call.id, call.name, call.arguments)))
        self._calls = {}


def _delta(raw: Any) -> dict[str, Any] | None:
    """A delta whose parts have the types that the API promises."""
    if raw is None:
        return None
    delta = _dict(raw)
    for key in ("refusal", "reasoning_content"):
        _maybe(delta, key, str)
    for piece in _maybe(delta, "tool_calls", list) or ():
        _count(_dict(piece), "index")
        _maybe(piece, "id", str)
        function = piece.get("function")
        if function is not None:
            _maybe(_dict(function), "name", str)
            _maybe(function, "arguments", str)
    return delta


def _whole(text: str) -> bool:
    try:
        json.loads(text)
    except ValueError:
        return False
    return True
