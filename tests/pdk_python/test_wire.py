"""Both wires of a provider class, in plain CPython: the first byte of an input says which one it is
(docs/wire.md)."""

from __future__ import annotations

import json
import struct
from typing import Any

import msgpack
import pytest
from fumehood_pdk import (
    PDF,
    Audio,
    ChatResponse,
    FinishReason,
    HTTPRequest,
    HTTPResponse,
    Image,
    Message,
    ProviderError,
    StreamChunk,
    Text,
    ToolCall,
    ToolResult,
    Usage,
    _dispatch,
    _provider,
    provider,
)
from fumehood_pdk.testing import Failed, Plugin, Wire


class Parser:
    def parse(self, line: bytes) -> list[StreamChunk]:
        return [StreamChunk.text(line.hex())] if line.strip() else []

    def finish(self) -> list[StreamChunk]:
        return [StreamChunk.tool_use_complete(0, ToolCall("c", "f", "{}")), StreamChunk.done()]


@provider(name="both", base_url="http://h/")
class Both:
    """Says what it was given."""

    model: str = "m"
    extra: dict[str, Any] | None = None

    def chat_request(self, messages: list[Message], tools: Any) -> HTTPRequest:
        if self.model == "broken":
            raise ProviderError.rate_limited("slow down", 3)
        data = [repr(block) for message in messages for block in message.content]
        return HTTPRequest(
            "POST", "http://h/", {"x-a": ["1", "2"]}, "\n".join(data).encode() + b"\xff\x00"
        )

    def parse_chat(self, response: HTTPResponse) -> ChatResponse:
        if self.model == "bytes":
            return ChatResponse(text=response.body)  # type: ignore[arg-type] # what authors do
        told = f"{response.status} {response.headers.all('x-a')} {response.body.hex()}"
        return ChatResponse(told, [ToolCall("c", "f", "{}")], None, Usage(1, 2), FinishReason.STOP)

    def classify_chat_error(self, response: HTTPResponse) -> ProviderError | None:
        return ProviderError("no", kind="rate_limited", retry_after=response.status)

    def chat_stream_request(self, messages: list[Message], tools: Any) -> HTTPRequest:
        return self.chat_request(messages, tools)

    def chat_stream_parser(self) -> Parser:
        return Parser()

    def embed_request(self, inputs: list[str]) -> HTTPRequest:
        return HTTPRequest.post_json("http://h/", inputs)

    def parse_embed(self, response: HTTPResponse) -> list[list[float]]:
        vectors: list[list[float]] = response.json()
        return vectors

    def complete_request(self, request: Any) -> HTTPRequest:
        return HTTPRequest.post_json("http://h/", [request.prompt, request.temperature])

    def parse_complete(self, response: HTTPResponse) -> str:
        return response.text

    def list_models_request(self) -> HTTPRequest:
        return HTTPRequest.get("http://h/models")

    def parse_list_models(self, response: HTTPResponse) -> list[str]:
        return list(response.text)

    def list_models_static(self) -> list[str] | None:
        return None if self.model == "none" else ["a", "ü"]


def guest() -> _dispatch.Guest:
    return _dispatch.Guest(_provider.provider_of(Both))


def plugin(wire: Wire, **config: Any) -> Plugin:
    made = Plugin(Both, **config)
    made.wire = wire
    return made


def both(ask: Any, **config: Any) -> Any:
    """What `ask(plugin)` comes to, which is the same on either wire."""
    answers = []
    for wire in ("json", "msgpack"):
        try:
            answers.append(ask(plugin(wire, **config)))
        except Failed as failed:
            answers.append(failed.payload)
    assert answers[0] == answers[1]
    return answers[0]


SOUND = bytes(range(256))


def test_bytes_go_in_and_out() -> None:
    result = ToolResult("c", [Image("image/png", SOUND), Text("t")])
    content = [PDF(SOUND), Audio("audio/wav", b""), Text("hällo"), result]
    request = both(lambda it: it.chat_request([Message("User", content)]))
    assert request.body == "\n".join(map(repr, content)).encode() + b"\xff\x00"
    assert request.headers.all("x-a") == ["1", "2"]


@pytest.mark.parametrize("body", [b"", b"x", SOUND, b'{"body":[1,2]}', b"y" * 70_000])
def test_a_reply(body: bytes) -> None:
    reply = HTTPResponse(201, body=body)
    assert both(lambda it: it.parse_chat(reply)).text == f"201 [] {body.hex()}"
    assert both(lambda it: it.classify_chat_error(reply).payload)["retry_after_secs"] == 201
    assert both(lambda it: it.parse_complete(HTTPResponse(200, body=b"done"))) == "done"


def test_a_stream() -> None:
    chunks = both(lambda it: it.stream(b"one\n\n\xff\x00\r\ntwo"))
    assert [chunk.value for chunk in chunks if chunk.kind == "text"][1] == "ff000d0a"
    assert chunks[-1] == StreamChunk.done()


def test_the_small_answers() -> None:
    assert both(lambda it: it.list_models_request().url) == "http://h/models"
    assert both(lambda it: it.parse_list_models(HTTPResponse(200, body="aü".encode()))) == [
        "a",
        "ü",
    ]
    assert both(lambda it: it.embed_request(["ü"]).body) == '["ü"]'.encode()
    assert both(lambda it: it.complete_request("go", temperature=0.5).body) == b'["go",0.5]'


def test_vectors_are_f32() -> None:
    numbers = [0.1, -1, 0, 1e-45, 3.4e38, 16777217, 0.25]
    reply = HTTPResponse(200, body=json.dumps([numbers, [], numbers * 10]).encode())
    wanted = [struct.unpack("<f", struct.pack("<f", number))[0] for number in numbers]
    assert plugin("msgpack").parse_embed(reply) == [wanted, [], wanted * 10]
    told = plugin("json").parse_embed(reply)
    assert [struct.unpack("<f", struct.pack("<f", number))[0] for number in told[0]] == wanted


@pytest.mark.parametrize("vectors", ["[[1e39]]", "[[true]]", '[["1"]]', "[[null]]", "[[1e999]]"])
def test_vectors_that_are_none(vectors: str) -> None:
    problem = both(lambda it: it.parse_embed(HTTPResponse(200, body=vectors.encode())))
    assert "an embedding holds" in problem["message"]


def test_errors_are_json_always() -> None:
    problem = both(lambda it: it.chat_request("hi"), model="broken")
    assert problem == {"type": "rate_limited", "message": "slow down", "retry_after_secs": 3}
    assert both(lambda it: it.chat_request("hi"), nope=1)["type"] == "json_error"


def test_bytes_where_a_text_belongs_are_the_authors_mistake() -> None:
    for wire in ("json", "msgpack"):
        with pytest.raises(Failed, match=r"cannot be written as .*bytes") as caught:
            plugin(wire, model="bytes").parse_chat(HTTPResponse(200, body=b"x"))
        assert caught.value.payload["type"] == "plugin_error"


@pytest.mark.parametrize(
    ("export", "answer"),
    [
        ("from_config", {"model": "m", "extra": {"a": [1, 2.5, None]}}),
        ("supports_streaming", True),
        ("chat_stream_parser_start", 1),
        ("list_models_static", ["a", "ü"]),
    ],
)
def test_the_answer_is_in_the_wire_of_the_question(export: str, answer: Any) -> None:
    config = {"model": "m", "extra": {"a": [1, 2.5, None]}}
    asked = {"cfg": config} if export == "list_models_static" else config
    packed = guest().dispatch(export, msgpack.packb(asked))
    assert packed == (True, msgpack.packb(answer))
    ok, written = guest().dispatch(export, json.dumps(asked).encode())
    assert (ok, json.loads(written)) == (True, answer)


def test_no_models_are_null() -> None:
    asked = {"cfg": {"model": "none"}}
    assert guest().dispatch("list_models_static", msgpack.packb(asked)) == (True, b"\xc0")
    assert guest().dispatch("list_models_static", json.dumps(asked).encode()) == (True, b"null")


def test_every_kind_of_map_is_known() -> None:
    for head in (b"\x80", b"\xde\x00\x00", b"\xdf" + bytes(4)):
        assert guest().dispatch("from_config", head) == (True, b"\x80")
    extra = {str(number): number for number in range(70_000)}
    asked = msgpack.packb({"extra": extra})
    assert guest().dispatch("from_config", asked) == (True, asked)


@pytest.mark.parametrize("export", ["chat_request", "parse_chat_response", "from_config"])
@pytest.mark.parametrize(
    "data",
    [
        b"\x81", b"\x81\xa3cfg\xc1", b"\x80\x00", b"\x81\x01\x02", b"\xdf\xff\xff\xff\xff",
        b"\x81\xa3cfg\xcb\x7f\xf8" + bytes(6), b"\xc0", b"\x90", b"\xc4\x00", b"\xa1x",
        b"\xef\xbb\xbf{}", b"\xff", b"",
    ],
    ids=lambda data: data[:6].hex() or "empty",
)  # fmt: skip
def test_what_is_no_document(export: str, data: bytes) -> None:
    ok, answer = guest().dispatch(export, data)
    assert not ok
    assert json.loads(answer)["payload"]["type"] == "json_error"


@pytest.mark.parametrize("body", [None, "text", 1, [256], [-1], ["a"], [1.0], {"a": 1}])
def test_what_is_no_body(body: Any) -> None:
    head = {"status": 200, "headers": {}, "version": "HTTP/1.1"}
    asked = {"cfg": {}, "resp": {"resp": {"head": head, "body": body}}}
    for data in (msgpack.packb(asked), json.dumps(asked).encode()):
        ok, answer = guest().dispatch("parse_chat_response", data)
        assert not ok
        assert json.loads(answer)["payload"]["type"] == "json_error"


def test_bytes_in_a_config_are_refused_when_they_would_be_shown() -> None:
    ok, answer = guest().dispatch("from_config", msgpack.packb({"extra": {"a": b"x"}}))
    assert not ok
    assert "cannot be written as MessagePack" in json.loads(answer)["payload"]["message"]
