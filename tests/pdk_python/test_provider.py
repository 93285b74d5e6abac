"""The decorator, and a provider class driven in plain CPython."""

from __future__ import annotations

import enum
import json
import logging
from dataclasses import dataclass
from typing import Annotated, Any, Literal

import jsonschema
import pytest
from fumehood_pdk import (
    ChatResponse,
    FinishReason,
    HTTPRequest,
    HTTPResponse,
    Limit,
    Message,
    ProviderError,
    StreamChunk,
    Tool,
    ToolCall,
    ToolUse,
    Usage,
    bearer,
    provider,
    sse,
)
from fumehood_pdk.testing import Failed, Plugin


class Colour(enum.Enum):
    RED = "red"


@dataclass
class Nested:
    """Something inside."""

    a: int
    b: list[str] | None = None


class Parser:
    def parse(self, line: bytes) -> list[StreamChunk]:
        data = sse.data_of(line)
        return [] if data is None else [StreamChunk.text(data.decode())]

    def finish(self) -> list[StreamChunk]:
        return [StreamChunk.usage(Usage(1, 2)), StreamChunk.done()]


@provider(name="sample", api_key_name="SAMPLE_KEY")
class Sample:
    """A sample.

    Only the first paragraph is told.
    """

    api_key: str
    model: Annotated[str, "The model."]
    base_url: str = "https://api.example.com/v1/"
    temperature: Annotated[float | None, Limit(minimum=0, maximum=2)] = None
    effort: Literal["low", "high"] = "low"
    colour: Colour | None = None
    nested: Nested | None = None
    tools: list[Tool] | None = None
    extra: dict[str, Any] | None = None
    count: Annotated[int, Limit(minimum=1)] = 1

    def chat_request(self, messages: list[Message], tools: list[Tool] | None) -> HTTPRequest:
        if not messages:
            raise ProviderError.invalid_request("say something")
        body = {"model": self.model, "messages": [message.text for message in messages]}
        if tools and len(tools) > 1000:
            raise RuntimeError("too many tools")
        if tools:
            body["tools"] = [tool.name for tool in tools]
        return HTTPRequest.post_json(f"{self.base_url}chat", body, bearer(self.api_key))

    def parse_chat(self, response: HTTPResponse) -> ChatResponse:
        answer = response.json()
        calls = [ToolCall("c", "f", '{"q":1}')] if "call" in answer else None
        return ChatResponse(answer["text"], calls, None, Usage(1, 2), FinishReason.STOP)

    def chat_stream_request(self, messages: list[Message], tools: list[Tool] | None) -> HTTPRequest:
        return self.chat_request(messages, tools)

    def chat_stream_parser(self) -> Parser:
        return Parser()

    def list_models_request(self) -> HTTPRequest:
        return HTTPRequest.get(f"{self.base_url}models", bearer(self.api_key))

    def parse_list_models(self, response: HTTPResponse) -> list[str]:
        names: list[str] = response.json()
        return names


GOOD = {"api_key": "k", "model": "m"}


def plugin(**more: Any) -> Plugin:
    return Plugin(Sample, **{**GOOD, **more})


def test_a_chat_without_wasm() -> None:
    request = plugin().chat_request("hi", [Tool("f", "d", {"type": "object"})])
    assert request.method == "POST"
    assert request.url == "https://api.example.com/v1/chat"
    assert request.headers["Authorization"] == "Bearer k"
    assert json.loads(request.body) == {"model": "m", "messages": ["hi"], "tools": ["f"]}
    answer = plugin().parse_chat(HTTPResponse(200, body=b'{"text": "hello", "call": 1}'))
    assert (answer.text, answer.finish_reason, answer.usage) == ("hello", "Stop", Usage(1, 2))
    assert answer.tool_calls is not None
    assert answer.tool_calls[0].parsed == {"q": 1}


def test_a_stream_without_wasm() -> None:
    chunks = plugin().stream(b"data: a\n\ndata: b")
    assert [chunk.kind for chunk in chunks] == ["text", "text", "usage", "done"]
    assert chunks[0] == StreamChunk.text("a")


def test_the_schema_is_derived_and_valid() -> None:
    schema = plugin().schema
    jsonschema.Draft202012Validator.check_schema(schema)
    check = jsonschema.Draft202012Validator(schema)
    assert schema["title"] == "Sample"
    assert schema["description"] == "A sample."
    assert schema["required"] == ["api_key", "model"]
    assert schema["additionalProperties"] is False
    assert schema["properties"]["model"] == {"type": "string", "description": "The model."}
    assert schema["properties"]["effort"] == {"enum": ["low", "high"], "default": "low"}
    assert schema["$defs"]["Nested"]["properties"]["b"]["default"] is None
    for config, fits in CONFIGS:
        assert check.is_valid({**GOOD, **config}) is fits, config


CONFIGS: list[tuple[dict[str, Any], bool]] = [
    ({}, True),
    ({"temperature": 1}, True),
    ({"temperature": 2.5}, False),
    ({"temperature": "hot"}, False),
    ({"count": 0}, False),
    ({"count": True}, False),
    ({"effort": "max"}, False),
    ({"colour": "red"}, True),
    ({"colour": "blue"}, False),
    ({"nested": {"a": 1, "b": ["x"]}}, True),
    ({"nested": {"a": 1, "c": 2}}, False),
    ({"nested": {"b": []}}, False),
    ({"extra": {"any": [1]}}, True),
    ({"extra": []}, False),
    ({"unknown": 1}, False),
    (
        {
            "tools": [
                {"type": "function", "function": {"name": "f", "description": "", "parameters": 1}}
            ]
        },
        True,
    ),
    ({"tools": [{}]}, False),
]


@pytest.mark.parametrize(("config", "fits"), CONFIGS)
def test_reading_a_config_agrees_with_its_schema(config: dict[str, Any], fits: bool) -> None:
    document = json.dumps({**GOOD, **config}).encode()
    if fits:
        assert json.loads(plugin().call("from_config", document)) == {**GOOD, **config}
        return
    with pytest.raises(Failed) as caught:
        plugin().call("from_config", document)
    assert caught.value.type == "json_error"
    assert any(key in caught.value.message for key in config)


def test_models_are_listed_before_everything_is_configured() -> None:
    assert Plugin(Sample, api_key="k").list_models_request().url.endswith("/models")
    assert Plugin(Sample).parse_list_models(HTTPResponse(200, body=b'["a"]')) == ["a"]


def test_an_exception_becomes_an_error_with_the_plugins_traceback() -> None:
    with pytest.raises(Failed) as caught:
        plugin().parse_chat(HTTPResponse(200, body=b"{}"))
    lines = caught.value.message.splitlines()
    assert caught.value.type == "response_format_error"
    assert caught.value.payload["raw_response"] == "{}"
    assert lines[0] == "the reply is not what is expected: KeyError: 'text'"
    assert lines[1].startswith("  at test_provider.py:")
    assert lines[1].endswith("in Sample.parse_chat")
    with pytest.raises(Failed) as caught:
        plugin().chat_request([Message.user("x")] * 3, tools=[Tool("a", "b", 1)] * 100_000)
    lines = caught.value.message.splitlines()
    assert caught.value.type == "plugin_error"
    assert lines[0] == "RuntimeError: too many tools"
    assert lines[1].endswith("in Sample.chat_request")


def test_a_provider_error_keeps_its_structure() -> None:
    error = ProviderError("m", kind="rate_limited", code="c", retry_after=3)
    assert error.payload == {
        "type": "provider_error", "message": "m", "kind": "rate_limited", "code": "c",
        "retry_after_secs": 3,
    }  # fmt: skip
    with pytest.raises(Failed) as caught:
        plugin().chat_request([])
    assert caught.value.payload == {"type": "invalid_request", "message": "say something"}


def test_a_reply_that_is_no_json_is_shown() -> None:
    with pytest.raises(Failed) as caught:
        plugin().parse_chat(HTTPResponse(200, body=b"<html>" + b"x" * 5000))
    assert caught.value.type == "response_format_error"
    assert caught.value.payload["raw_response"].startswith("<html>x")
    assert len(caught.value.payload["raw_response"]) == 2049


@pytest.mark.parametrize(
    "body", [b"[NaN]", b'"\\ud800"', b"\xff", b"[" * 100_000, b"\xef\xbb\xbf{}"]
)
def test_json_that_is_none(body: bytes) -> None:
    with pytest.raises(ProviderError, match="not JSON"):
        HTTPResponse(200, body=body).json()


def test_what_is_missing_says_so() -> None:
    @provider(name="little")
    class Little:
        def chat_request(self, messages: list[Message], tools: list[Tool] | None) -> HTTPRequest:
            return HTTPRequest.get("http://h/")

        def parse_chat(self, response: HTTPResponse) -> ChatResponse:
            return "text"  # type: ignore[return-value] # what an author without mypy does

    little = Plugin(Little)
    assert "embed_request" not in little.exports
    assert "chat_stream_parser_start" not in little.exports
    with pytest.raises(Failed) as caught:
        little.chat_stream_request("hi")
    assert caught.value.type == "not_implemented"
    with pytest.raises(Failed, match="parse_chat returned a str, not ChatResponse"):
        little.parse_chat(HTTPResponse(200))


def test_a_stream_parser_may_fail_and_is_gone() -> None:
    sample = plugin()
    number = sample.call("chat_stream_parser_start", json.dumps(GOOD).encode())
    assert sample.call("chat_stream_parser_finish", number)
    with pytest.raises(Failed, match="no stream parser 1"):
        sample.call("chat_stream_parser_finish", number)
    assert sample.call("chat_stream_parser_close", number) == b""


@pytest.mark.parametrize(
    ("request_", "kind"),
    [
        (HTTPRequest.get("/relative"), "invalid_url"),
        (HTTPRequest.get("http://h/a b"), "invalid_url"),
        (HTTPRequest.get("ftp://h/"), "invalid_url"),
        (HTTPRequest.get("http://user@h/"), "invalid_url"),
        (HTTPRequest("GE T", "http://h/"), "invalid_request"),
        (HTTPRequest.get("http://h/", {"a b": "c"}), "invalid_request"),
        (HTTPRequest.get("http://h/", {"a": "b\nc"}), "invalid_request"),
        (HTTPRequest.get("http://h/", {"a": ["b", "ü"]}), "invalid_request"),
    ],
)
def test_requests_that_cannot_be_sent(request_: HTTPRequest, kind: str) -> None:
    with pytest.raises(ProviderError) as caught:
        request_.checked()
    assert caught.value.type == kind


def test_requests_are_written_as_the_abi_has_them() -> None:
    request = HTTPRequest("GET", "HTTP://H?q#f", {"X-A": ["1", "2"], "None": []}).checked()
    assert (request.url, request.headers) == ("http://H/?q", {"x-a": ["1", "2"]})
    with pytest.raises(ProviderError) as caught:
        bearer("se\ncret")
    assert "cret" not in caught.value.message


def test_blocks_survive_the_way() -> None:
    message = Message.assistant("a", ToolUse("c", "f", {"q": [1]}))
    assert message.text == "a"
    assert plugin().chat_request([message]).body


def test_logging_goes_to_the_host(monkeypatch: pytest.MonkeyPatch) -> None:
    from fumehood_pdk import _host, _log

    lines: list[tuple[int, str]] = []
    monkeypatch.setattr(_host, "log_sink", lambda level, line: lines.append((level, line)))
    root = logging.getLogger()
    level, handlers = root.level, list(root.handlers)
    try:
        root.handlers[:] = []
        _log.install()
        _log.set_level(3)
        logging.getLogger("mine").info("n %d", 1)
        logging.getLogger("mine").debug("unseen")
        logging.getLogger("mine").error("%d", "no number")
    finally:
        root.setLevel(level)
        root.handlers[:] = handlers
    assert lines[0] == (3, "mine: n 1")
    assert lines[1][1].startswith("mine: a log line could not be made")


# -- what makes no sense is told where it is written -------------------------------------------


def request(self: Any, messages: Any, tools: Any) -> Any: ...
def parse(self: Any, response: Any) -> Any: ...
def one(self: Any) -> Any: ...


async def later(self: Any, response: Any) -> Any: ...


@pytest.mark.parametrize(
    ("members", "words"),
    [
        ({}, "does nothing: give it at least chat_request and parse_chat"),
        ({"chat_requests": request}, "is chat_requests meant to be chat_request?"),
        ({"chat_request": request}, "has chat_request but not parse_chat"),
        ({"chat_request": request, "parse_chats": parse}, "is parse_chats meant to be it?"),
        ({"parse_embed": parse}, "has parse_embed but not embed_request"),
        (
            {"chat_request": one, "parse_chat": parse},
            "cannot be called as def chat_request(self, messages, tools)",
        ),
        ({"chat_request": request, "parse_chat": later}, "parse_chat must not be async"),
        ({"chat_request": request, "parse_chat": 3}, "parse_chat must be a method"),
        ({"chat_stream_request": request, "chat_stream_parser": one}, "who streams must chat too"),
        (
            {"chat_request": request, "parse_chat": parse, "__annotations__": {"a": "set[int]"}},
            "X.a: set[int] is no type that a config can have",
        ),
        (
            {"chat_request": request, "parse_chat": parse, "__annotations__": {"a": "Nowhere"}},
            "name 'Nowhere' is not defined",
        ),
    ],
)
def test_the_decorator_names_what_makes_no_sense(members: dict[str, Any], words: str) -> None:
    cls = type("X", (), {"__module__": __name__, **members})
    with pytest.raises(TypeError) as caught:
        provider(name="x")(cls)
    assert words in str(caught.value)


def test_a_name_is_needed() -> None:
    with pytest.raises(TypeError, match="needs name="):
        provider(name=" ")
    with pytest.raises(TypeError, match="not decorated"):
        Plugin(int)
