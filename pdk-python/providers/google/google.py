"""Google's Gemini API: chat, tools, images, thinking, streams, embeddings, models.

Unlike QueryMT's provider the key travels in a header, not in the address, and streams are server-sent events.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal
from urllib.parse import quote

from fumehood_pdk import (
    PDF,
    Audio,
    Block,
    ChatResponse,
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
    join_text,
    provider,
    sse,
    status,
    urls,
)

U32 = Limit(minimum=0, maximum=2**32 - 1)
BUDGETS = {"low": 1024, "medium": 8192, "high": 24576, "max": 32768}
"""Tokens of thinking for our words; a budget of the config's own wins."""


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


@provider(name="google", api_key_name="GEMINI_API_KEY")
class Google:
    """A Gemini model."""

    model: Annotated[str, "The model, with or without `models/` before it."]
    api_key: Annotated[str, "The key."] = ""
    base_url: Annotated[str, "Where the API is, its version included.", Limit(format="uri")] = (
        "https://generativelanguage.googleapis.com/v1beta/"
    )
    max_tokens: Annotated[Annotated[int, U32] | None, "At most so many tokens in an answer, thoughts included."] = None
    temperature: Annotated[float | None, "Sampling temperature."] = None
    system: Annotated[list[str] | str | None, "What the model is told first: a string or a list of strings."] = field(
        default_factory=list
    )
    timeout_seconds: Annotated[
        Annotated[int, Limit(minimum=0)] | None, "Seconds the host waits for a reply; the plugin itself does not wait."
    ] = None
    stream: Annotated[bool | None, "Whether answers are streamed; the host decides by the call it makes."] = None
    top_p: Annotated[float | None, "Nucleus sampling."] = None
    top_k: Annotated[Annotated[int, U32] | None, "Sample from the k likeliest tokens."] = None
    tools: Annotated[list[Tool] | None, "Tools offered in every chat that brings none of its own."] = None
    tool_choice: Annotated[Literal["auto", "required", "none"] | NamedTool | None, "Which tool must be called."] = None
    reasoning_effort: Annotated[Literal["low", "medium", "high", "max"] | None, "How hard the model should think."] = (
        None
    )
    reasoning_budget_tokens: Annotated[Annotated[int, U32] | None, "Tokens that it may think for."] = None
    json_schema: Annotated[StructuredOutput | None, "A schema that the answer must follow."] = None
    embedding_dimensions: Annotated[Annotated[int, U32] | None, "Length of the vectors."] = None

    def __post_init__(self) -> None:
        urls.join(self.base_url, "")

    # -- requests -------------------------------------------------------------------------------

    def chat_request(self, messages: list[Message], tools: list[Tool] | None) -> HTTPRequest:
        return self._post("generateContent", self._chat(messages, tools))

    def chat_stream_request(self, messages: list[Message], tools: list[Tool] | None) -> HTTPRequest:
        return self._post("streamGenerateContent?alt=sse", self._chat(messages, tools))

    def _chat(self, messages: list[Message], tools: list[Tool] | None) -> dict[str, Any]:
        body: dict[str, Any] = {"contents": contents(messages)}
        texts = [self.system] if isinstance(self.system, str) else self.system or []
        text = "\n\n".join(text for text in texts if text)
        if text:
            body["systemInstruction"] = {"parts": [{"text": text}]}
        offered = self.tools if tools is None else tools
        if offered:
            declared = [
                {"name": tool.name, "description": tool.description, "parametersJsonSchema": tool.parameters}
                for tool in offered
            ]
            body["tools"] = [{"functionDeclarations": declared}]
            if self.tool_choice is not None:
                body["toolConfig"] = {"functionCallingConfig": _choice(self.tool_choice)}
        generation = self._generation()
        if generation:
            body["generationConfig"] = generation
        return body

    def _generation(self) -> dict[str, Any]:
        budget = self.reasoning_budget_tokens
        if budget is None and self.reasoning_effort is not None:
            budget = BUDGETS[self.reasoning_effort]
        thinking = None if budget is None else {"thinkingBudget": budget, "includeThoughts": budget > 0}
        wanted: dict[str, Any] = {
            "temperature": self.temperature,
            "topP": self.top_p,
            "topK": self.top_k,
            "maxOutputTokens": self.max_tokens,
            "thinkingConfig": thinking,
        }
        if self.json_schema is not None:
            wanted["responseMimeType"] = "application/json"
            wanted["responseJsonSchema"] = self.json_schema.schema
        return {key: value for key, value in wanted.items() if value is not None}

    def embed_request(self, inputs: list[str]) -> HTTPRequest:
        asked: list[dict[str, Any]] = []
        for text in inputs:
            one: dict[str, Any] = {"model": f"models/{self._name}", "content": {"parts": [{"text": text}]}}
            if self.embedding_dimensions is not None:
                one["outputDimensionality"] = self.embedding_dimensions
            asked.append(one)
        return self._post("batchEmbedContents", {"requests": asked})

    def list_models_request(self) -> HTTPRequest:
        return HTTPRequest.get(urls.join(self.base_url, "models?pageSize=1000"), self._headers())

    @property
    def _name(self) -> str:
        return self.model.removeprefix("models/")

    def _post(self, method: str, body: dict[str, Any]) -> HTTPRequest:
        url = urls.join(self.base_url, f"models/{quote(self._name, safe='')}:{method}")
        return HTTPRequest.post_json(url, body, self._headers())

    def _headers(self) -> dict[str, str]:
        return {"x-goog-api-key": self.api_key} if self.api_key else {}

    # -- replies --------------------------------------------------------------------------------

    def parse_chat(self, response: HTTPResponse) -> ChatResponse:
        try:
            answer = _Answer(response.json())
        except _Odd as problem:
            raise ProviderError.response_format(f"chat: {problem}", response.body) from None
        return ChatResponse(
            text=None if answer.calls and not answer.text else answer.text,
            tool_calls=[ToolCall(f"call_{i}" if not c.id else c.id, c.name, c.json) for i, c in enumerate(answer.calls)]
            or None,
            thinking=answer.thinking or None,
            usage=answer.usage,
            finish_reason=_finish(answer.word, called=bool(answer.calls)) if answer.word else None,
        )

    def classify_chat_error(self, response: HTTPResponse) -> ProviderError:
        return classify(response)

    def chat_stream_parser(self) -> Parser:
        return Parser()

    def parse_embed(self, response: HTTPResponse) -> list[list[float]]:
        try:
            rows = _list(_dict(response.json()), "embeddings")
            return [_list(_dict(row), "values") for row in rows]
        except _Odd as problem:
            raise ProviderError.response_format(f"embeddings: {problem}", response.body) from None

    def parse_list_models(self, response: HTTPResponse) -> list[str]:
        try:
            rows = [_dict(row) for row in _list(_dict(response.json()), "models")]
            return [_text(row, "name").removeprefix("models/") for row in rows]
        except _Odd as problem:
            raise ProviderError.response_format(f"list of models: {problem}", response.body) from None


def _choice(choice: str | NamedTool) -> dict[str, Any]:
    if isinstance(choice, NamedTool):
        return {"mode": "ANY", "allowedFunctionNames": [choice.function.name]}
    return {"mode": {"auto": "AUTO", "required": "ANY", "none": "NONE"}[choice]}


# -- messages -----------------------------------------------------------------------------------


def contents(messages: Iterable[Message]) -> list[dict[str, Any]]:
    """The API's turns. Two of one speaker in a row become one: the API wants them to alternate."""
    names: dict[str, str] = {}
    out: list[dict[str, Any]] = []
    for message in messages:
        role = "user" if message.role == "User" else "model"
        parts: list[dict[str, Any]] = []
        signature: str | None = None
        for block in message.content:
            if isinstance(block, Thinking):
                # thoughts stay where they were; their signature goes back with what they led to
                signature = block.signature or signature
                continue
            if isinstance(block, ToolUse):
                names[block.id] = block.name
            part = _part(block, names)
            if part is None:
                continue
            if signature is not None and role == "model":
                part["thoughtSignature"], signature = signature, None
            parts.append(part)
        if not parts:
            continue
        if out and out[-1]["role"] == role:
            out[-1]["parts"].extend(parts)
        else:
            out.append({"role": role, "parts": parts})
    return out


def _part(block: Block, names: dict[str, str]) -> dict[str, Any] | None:
    match block:
        case Text(text):
            return {"text": text} if text else None
        case Image(mime_type, data) | Audio(mime_type, data):
            return _inline(mime_type, data)
        case PDF(data):
            return _inline("application/pdf", data)
        case ImageURL(url):
            return {"fileData": {"fileUri": url}}
        case ResourceLink():
            return {"text": block.as_text}
        case ToolUse(_, name, arguments):
            return {"functionCall": {"name": name, "args": arguments if isinstance(arguments, dict) else {}}}
        case ToolResult(id_, content, is_error, name):
            return {"functionResponse": {"name": name or names.get(id_, id_), "response": _result(content, is_error)}}
        case _:
            return None


def _inline(mime_type: str, data: bytes) -> dict[str, Any]:
    return {"inlineData": {"mimeType": mime_type, "data": base64.b64encode(data).decode()}}


def _result(content: Sequence[Block], is_error: bool) -> dict[str, Any]:
    return {"error" if is_error else "result": join_text(content)}


# -- replies ------------------------------------------------------------------------------------


class _Odd(Exception):
    """The reply is not what the API promises."""


def _dict(value: Any) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise _Odd("an object is expected")
    return value


def _list(value: dict[str, Any], key: str) -> list[Any]:
    found = value.get(key, [])
    if not isinstance(found, list):
        raise _Odd(f"`{key}` must be a list")
    return found


def _text(value: dict[str, Any], key: str) -> str:
    found = value.get(key, "")
    if not isinstance(found, str):
        raise _Odd(f"`{key}` must be a string")
    return found


def _count(value: dict[str, Any], key: str) -> int:
    found = value.get(key, 0)
    if type(found) is not int or not 0 <= found < 2**32:
        raise _Odd(f"`{key}` is no count")
    return found


@dataclass
class _Call:
    id: str
    name: str
    json: str


class _Answer:
    """A whole answer, or one piece of a streamed one: both have the same form."""

    def __init__(self, raw: Any) -> None:
        reply = _dict(raw)
        self.text: str | None = None
        self.thinking = ""
        self.signatures: list[str] = []
        self.calls: list[_Call] = []
        self.usage = _usage(reply.get("usageMetadata"))
        candidates = _list(reply, "candidates")
        feedback = reply.get("promptFeedback")
        self.word = _text(_dict(feedback), "blockReason") if feedback is not None else ""
        if candidates:
            candidate = _dict(candidates[0])
            self.word = _text(candidate, "finishReason") or self.word
            for part in _list(_dict(candidate.get("content", {})), "parts"):
                self._take(_dict(part))
        elif not self.word and "usageMetadata" not in reply:
            raise _Odd("neither candidates nor a reason why there are none")

    def _take(self, part: dict[str, Any]) -> None:
        text = _text(part, "text")
        if part.get("thought") is True:
            self.thinking += text
        elif "text" in part:
            self.text = (self.text or "") + text
        if "functionCall" in part:
            call = _dict(part["functionCall"])
            arguments = json.dumps(call.get("args", {}), ensure_ascii=False, separators=(",", ":"))
            self.calls.append(_Call(_text(call, "id"), _text(call, "name"), arguments))
        signature = _text(part, "thoughtSignature")
        if signature:
            self.signatures.append(signature)


def _usage(raw: Any) -> Usage | None:
    if raw is None:
        return None
    raw = _dict(raw)
    thoughts = _count(raw, "thoughtsTokenCount")
    return Usage(
        input_tokens=_count(raw, "promptTokenCount"),
        output_tokens=_count(raw, "candidatesTokenCount") + thoughts,
        reasoning_tokens=thoughts,
        cache_read=_count(raw, "cachedContentTokenCount"),
    )


_REASONS = {
    "STOP": FinishReason.STOP,
    "MAX_TOKENS": FinishReason.LENGTH,
    "SAFETY": FinishReason.CONTENT_FILTER,
    "RECITATION": FinishReason.CONTENT_FILTER,
    "BLOCKLIST": FinishReason.CONTENT_FILTER,
    "PROHIBITED_CONTENT": FinishReason.CONTENT_FILTER,
    "SPII": FinishReason.CONTENT_FILTER,
    "IMAGE_SAFETY": FinishReason.CONTENT_FILTER,
    "LANGUAGE": FinishReason.OTHER,
    "OTHER": FinishReason.OTHER,
    "MALFORMED_FUNCTION_CALL": FinishReason.ERROR,
}


def _finish(word: str, *, called: bool) -> FinishReason:
    reason = _REASONS.get(word, FinishReason.UNKNOWN)
    return FinishReason.TOOL_CALLS if called and reason is FinishReason.STOP else reason


class Parser:
    """The streamed answer: each event holds the next parts; a call comes whole."""

    def __init__(self) -> None:
        self._lines = sse.Lines()
        self._calls = 0

    def parse(self, line: bytes) -> list[StreamChunk]:
        out: list[StreamChunk] = []
        for whole in self._lines.feed(line):
            out.extend(self._line(whole))
        return out

    def finish(self) -> list[StreamChunk]:
        return self._line(self._lines.finish())

    def _line(self, line: bytes) -> list[StreamChunk]:
        data = sse.data_of(line)
        if data is None:
            return []
        raw = HTTPResponse(200, body=data).json()
        if isinstance(raw, dict) and raw.get("error") is not None:
            raise _refusal(raw, None)
        try:
            answer = _Answer(raw)
        except _Odd as problem:
            raise ProviderError.response_format(f"stream: {problem}", data) from None
        out: list[StreamChunk] = []
        if answer.thinking:
            out.append(StreamChunk.thinking(answer.thinking))
        out.extend(StreamChunk.thinking_signature(signature) for signature in answer.signatures)
        if answer.text:
            out.append(StreamChunk.text(answer.text))
        for call in answer.calls:
            index, self._calls = self._calls, self._calls + 1
            made = ToolCall(call.id or f"call_{index}", call.name, call.json)
            out.append(StreamChunk.tool_use_start(index, made.id, made.name))
            out.append(StreamChunk.tool_use_input_delta(index, made.arguments))
            out.append(StreamChunk.tool_use_complete(index, made))
        if answer.usage is not None:
            out.append(StreamChunk.usage(answer.usage))
        if answer.word:
            out.append(StreamChunk.done(_finish(answer.word, called=self._calls > 0)))
        return out


# -- refusals -----------------------------------------------------------------------------------

_STATUSES: dict[str, Any] = {
    "RESOURCE_EXHAUSTED": "rate_limited",
    "UNAUTHENTICATED": "authentication",
    "PERMISSION_DENIED": "authentication",
    "INVALID_ARGUMENT": "invalid_request",
    "FAILED_PRECONDITION": "invalid_request",
    "OUT_OF_RANGE": "invalid_request",
    "NOT_FOUND": "invalid_request",
    "UNIMPLEMENTED": "unsupported_operation",
    "UNAVAILABLE": "server_overloaded",
    "INTERNAL": "unknown_transient",
    "DEADLINE_EXCEEDED": "unknown_transient",
    "ABORTED": "unknown_transient",
}


def classify(response: HTTPResponse) -> ProviderError:
    """A reply whose status says failure: Google's own status first, its words next, HTTP's last."""
    if response.status == 499:
        return ProviderError.cancelled()
    body = status.json_body(response)
    if isinstance(body, list) and body:  # a refused stream without `alt=sse` comes as a list of one
        body = body[0]
    if isinstance(body, dict) and isinstance(body.get("error"), dict):
        return _refusal(body, response)
    return status.describe(response).error()


def _refusal(body: dict[str, Any], response: HTTPResponse | None) -> ProviderError:
    refusal = status.describe_body(body) or status.Refusal("no message")
    error = body["error"] if isinstance(body["error"], dict) else {}
    word = error.get("status") if isinstance(error.get("status"), str) else None
    code = error.get("code") if type(error.get("code")) is int else None
    code = code if response is None else response.status
    refusal.error_type = word
    refusal.kind = _STATUSES.get(word or "") or status.chat_kind(code or 0)
    message = refusal.message.lower()
    if "api key not valid" in message or "api_key_invalid" in json.dumps(error.get("details", "")).lower():
        refusal.kind = "authentication"
    elif refusal.kind == "invalid_request" and "token count" in message and "exceeds" in message:
        refusal.kind = "context_window_exceeded"
    if response is not None:
        refusal.request_id = response.headers.get("x-request-id") or refusal.request_id
        if (hint := status.retry_hint(response.headers, body)) is not None:
            refusal.retry_after = hint
    if refusal.retry_after is None:
        refusal.retry_after = _delay(error.get("details"))
    return refusal.error()


def _delay(details: Any) -> int | None:
    """`retryDelay` of google.rpc.RetryInfo, such as `"12.5s"`, rounded up."""
    for detail in details if isinstance(details, list) else ():
        delay = detail.get("retryDelay") if isinstance(detail, dict) else None
        if isinstance(delay, str) and delay.endswith("s"):
            try:
                return max(1, -int(-float(delay[:-1]) // 1))
            except ValueError:
                continue
    return None
