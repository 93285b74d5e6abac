"""The stub speaks the shapes it claims, and misbehaves exactly as told."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import threading
import time
import zlib
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from fumehood.testing.stub import BEHAVIOURS, Reply, StubServer


@pytest.fixture
def stub() -> Iterator[StubServer]:
    with StubServer() as server:
        yield server


@pytest.fixture
def client(stub: StubServer) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=stub.url, trust_env=False, timeout=10) as http:
        yield http


USER = [{"role": "user", "content": "hello there"}]
TOOL = {
    "type": "function",
    "function": {
        "name": "weather",
        "description": "d",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}},
    },
}


def events(body: str) -> list[Any]:
    data = [line[6:] for line in body.splitlines() if line.startswith("data: ")]
    return [text if text == "[DONE]" else json.loads(text) for text in data]


def test_chat_names_itself_a_stub_and_counts(client: httpx.Client, stub: StubServer) -> None:
    reply = client.post(
        "chat/completions",
        json={"model": "stub-1", "messages": USER},
        headers={"Authorization": "Bearer k"},
    ).json()
    message = reply["choices"][0]["message"]
    assert message["content"].startswith("This is the stub endpoint")
    assert message["content"].endswith("You said: hello there")
    assert reply["choices"][0]["finish_reason"] == "stop"
    assert reply["usage"]["prompt_tokens"] == 2
    assert stub.requests[-1].header("authorization") == "Bearer k"
    assert stub.requests[-1].json["messages"] == USER
    assert stub.requests[-1].path == "/v1/chat/completions"


def test_chat_streams_the_same_text_with_usage_and_done(client: httpx.Client) -> None:
    body = {
        "model": "stub-1",
        "messages": USER,
        "stream": True,
        "stream_options": {"include_usage": True},
    }
    reply = client.post("chat/completions", json=body)
    assert reply.headers["content-type"].startswith("text/event-stream")
    seen = events(reply.text)
    assert seen[-1] == "[DONE]"
    assert seen[-2]["usage"]["completion_tokens"] > 5
    text = "".join(e["choices"][0]["delta"].get("content") or "" for e in seen[:-2] if e["choices"])
    assert text.endswith("You said: hello there")
    assert [e["choices"][0]["finish_reason"] for e in seen[:-2]][-1] == "stop"


def test_usage_is_not_streamed_unasked(client: httpx.Client) -> None:
    reply = client.post("chat/completions", json={"model": "m", "messages": USER, "stream": True})
    assert all(e == "[DONE]" or e["choices"] for e in events(reply.text))


def test_a_tool_is_called_once_and_its_result_answered(client: httpx.Client) -> None:
    body: dict[str, Any] = {"model": "stub-1", "messages": USER, "tools": [TOOL]}
    choice = client.post("chat/completions", json=body).json()["choices"][0]
    assert choice["finish_reason"] == "tool_calls"
    call = choice["message"]["tool_calls"][0]
    assert call["function"]["name"] == "weather"
    assert json.loads(call["function"]["arguments"]) == {"city": "stub"}
    body["messages"] = [
        *USER,
        {"role": "assistant", "tool_calls": [call]},
        {"role": "tool", "tool_call_id": call["id"], "content": "rain"},
    ]
    answer = client.post("chat/completions", json=body).json()["choices"][0]
    assert answer["message"]["content"].endswith("You said: rain")


def test_streamed_tool_arguments_join_to_json(client: httpx.Client) -> None:
    body = {"model": "m", "messages": USER, "tools": [TOOL], "stream": True}
    seen = events(client.post("chat/completions", json=body).text)[:-1]
    deltas = [e["choices"][0]["delta"].get("tool_calls") for e in seen]
    parts = [d[0]["function"]["arguments"] for d in deltas if d]
    assert json.loads("".join(parts)) == {"city": "stub"}
    assert seen[-1]["choices"][0]["finish_reason"] == "tool_calls"


def test_images_are_accepted(client: httpx.Client) -> None:
    content = [
        {"type": "text", "text": "what is this"},
        {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}},
    ]
    body = {"model": "m", "messages": [{"role": "user", "content": content}]}
    text = client.post("chat/completions", json=body).json()["choices"][0]["message"]["content"]
    assert "what is this [image of 26 characters]" in text


@pytest.mark.parametrize(
    "body", [b"{", b"[]", b"{}", b'{"model":"m"}', b'{"model":"m","messages":[]}']
)
def test_a_bad_chat_body_is_a_400(client: httpx.Client, body: bytes) -> None:
    reply = client.post("chat/completions", content=body)
    assert reply.status_code == 400
    assert reply.json()["error"]["type"] == "invalid_request_error"


def test_embeddings_depend_on_the_text_alone(client: httpx.Client) -> None:
    data = client.post("embeddings", json={"model": "e", "input": ["a", "b", "a"]}).json()["data"]
    assert [d["index"] for d in data] == [0, 1, 2]
    assert data[0]["embedding"] == data[2]["embedding"] != data[1]["embedding"]
    assert len(data[0]["embedding"]) == 8
    one = client.post("embeddings", json={"model": "e", "input": "a", "dimensions": 3}).json()
    assert len(one["data"][0]["embedding"]) == 3


def test_completions_plain_and_streaming(client: httpx.Client) -> None:
    body: dict[str, Any] = {"model": "c", "prompt": "once upon"}
    text = client.post("completions", json=body).json()["choices"][0]["text"]
    seen = events(client.post("completions", json=body | {"stream": True}).text)[:-1]
    assert (
        "".join(e["choices"][0]["text"] for e in seen)
        == text
        == ("once upon … completed by the stub")
    )


def test_models_in_both_shapes(client: httpx.Client) -> None:
    assert next(m["id"] for m in client.get("models").json()["data"]) == "stub-1"
    other = client.get("models", headers={"anthropic-version": "2023-06-01"}).json()
    assert other["data"][0]["type"] == "model"
    assert other["has_more"] is False


def test_audio(client: httpx.Client) -> None:
    heard = client.post("audio/transcriptions", files={"file": ("a.wav", b"RIFF")})
    assert heard.json()["text"].startswith("stub transcript of ")
    said = client.post("audio/speech", json={"model": "t", "input": "hi", "voice": "alloy"})
    assert said.content.startswith(b"RIFF")
    assert client.post("audio/transcriptions", json={}).status_code == 400


ANTHROPIC = {"anthropic-version": "2023-06-01", "x-api-key": "k"}


def test_anthropic_plain_and_streaming_agree(client: httpx.Client) -> None:
    body: dict[str, Any] = {"model": "m", "max_tokens": 9, "messages": USER}
    plain = client.post("messages", json=body, headers=ANTHROPIC).json()
    reply = client.post("messages", json=body | {"stream": True}, headers=ANTHROPIC)
    seen = events(reply.text)
    kinds = [e["type"] for e in seen]
    assert kinds[0] == "message_start"
    assert kinds[-2:] == ["message_delta", "message_stop"]
    text = "".join(e["delta"]["text"] for e in seen if e["type"] == "content_block_delta")
    assert text == plain["content"][0]["text"]
    names = [line[7:] for line in reply.text.splitlines() if line.startswith("event: ")]
    assert names == kinds


def test_anthropic_tool_use(client: httpx.Client) -> None:
    tool = {
        "name": "f",
        "input_schema": {"type": "object", "properties": {"n": {"type": "integer"}}},
    }
    body: dict[str, Any] = {"model": "m", "max_tokens": 9, "messages": USER, "tools": [tool]}
    plain = client.post("messages", json=body, headers=ANTHROPIC).json()
    assert plain["stop_reason"] == "tool_use"
    assert plain["content"][0]["input"] == {"n": 1}
    seen = events(client.post("messages", json=body | {"stream": True}, headers=ANTHROPIC).text)
    parts = [e["delta"]["partial_json"] for e in seen if e["type"] == "content_block_delta"]
    assert json.loads("".join(parts)) == {"n": 1}


@pytest.mark.parametrize(
    ("headers", "body", "status"),
    [
        ({}, {"model": "m", "max_tokens": 1, "messages": USER}, 400),
        ({"anthropic-version": "x"}, {"model": "m", "max_tokens": 1, "messages": USER}, 401),
        (ANTHROPIC, {"model": "m", "messages": USER}, 400),
    ],
)
def test_anthropic_refuses_what_the_api_refuses(
    client: httpx.Client, headers: dict[str, str], body: dict[str, Any], status: int
) -> None:
    assert client.post("messages", json=body, headers=headers).status_code == status


def test_ollama(stub: StubServer) -> None:
    with httpx.Client(base_url=stub.root, trust_env=False) as client:
        body: dict[str, Any] = {"model": "m", "messages": USER}
        lines = client.post("api/chat", json=body).text.splitlines()
        pieces = [json.loads(line) for line in lines]
        assert pieces[-1]["done"] is True
        assert pieces[-1]["eval_count"] > 1
        plain = client.post("api/chat", json=body | {"stream": False}).json()
        assert "".join(p["message"]["content"] for p in pieces) == plain["message"]["content"]
        called = client.post("api/chat", json=body | {"stream": False, "tools": [TOOL]}).json()
        assert called["message"]["tool_calls"][0]["function"]["arguments"] == {"city": "stub"}
        done = client.post("api/generate", json={"model": "m", "prompt": "p", "stream": False})
        assert done.json()["response"].startswith("p")
        vectors = client.post("api/embed", json={"model": "m", "input": ["a", "b"]}).json()
        assert len(vectors["embeddings"]) == 2
        single = client.post("api/embeddings", json={"model": "m", "prompt": "a"}).json()
        assert single["embedding"] == vectors["embeddings"][0]
        assert client.get("api/tags").json()["models"][0]["name"] == "stub-1"


def test_unknown_route_is_404(client: httpx.Client) -> None:
    assert client.get("nothing/here").status_code == 404


def test_keep_alive_uses_one_connection(client: httpx.Client, stub: StubServer) -> None:
    for _ in range(5):
        client.get("models")
    assert stub.connections == 1


def test_chunked_request_bodies_are_read(client: httpx.Client, stub: StubServer) -> None:
    parts = iter([b'{"model":"m",', b'"messages":[{"role":"user","content":"x"}]}'])
    assert client.post("chat/completions", content=parts).status_code == 200
    assert stub.requests[-1].model == "m"


def test_an_api_key_can_be_demanded() -> None:
    body = {"model": "m", "messages": USER}
    with (
        StubServer(api_key="right") as stub,
        httpx.Client(base_url=stub.url, trust_env=False) as client,
    ):
        for headers, status in (
            ({}, 401),
            ({"authorization": "Bearer wrong"}, 401),
            ({"authorization": "Bearer right"}, 200),
            ({"x-api-key": "right"}, 200),
        ):
            reply = client.post("chat/completions", json=body, headers=headers)
            assert reply.status_code == status


# -- misbehaviour -------------------------------------------------------------------------------


def ask(client: httpx.Client, model: str) -> httpx.Response:
    return client.post("chat/completions", json={"model": model, "messages": USER})


@pytest.mark.parametrize("status", [400, 401, 403, 404, 429, 500, 503])
def test_status(client: httpx.Client, status: int) -> None:
    reply = ask(client, f"status-{status}")
    assert reply.status_code == status
    assert reply.json()["error"]["message"].endswith("(stub)")
    assert reply.headers.get("retry-after") == ("7" if status in (429, 503) else None)


def test_queue_is_served_once_and_before_the_model(client: httpx.Client, stub: StubServer) -> None:
    stub.behave("status-500", Reply(202, (), b"x"), lambda r: Reply(200, (), r.method.encode()))
    assert [ask(client, "status-401").status_code for _ in range(2)] == [500, 202]
    assert ask(client, "m").content == b"POST"
    assert ask(client, "m").status_code == 200


def test_unknown_behaviour_is_refused(stub: StubServer) -> None:
    with pytest.raises(ValueError, match="no behaviour is called 'nonsense'"):
        stub.behave("nonsense")


def test_bodies_that_are_wrong(client: httpx.Client) -> None:
    assert b"<html>" in ask(client, "not-json").content
    assert ask(client, "empty").content == b""
    assert b"\xff\xfe\x80" in ask(client, "invalid-utf8").content
    assert b"\\ud800" in ask(client, "surrogate").content
    assert ask(client, "deep-json").content == b"[" * 200_000
    assert b"NaN" in ask(client, "nan-json").content
    assert len(ask(client, "long-number").content) > 5000
    assert len(ask(client, "big-2").content) > 2 * 1024 * 1024
    assert "\x1b[2J" in ask(client, "unsafe-text").json()["choices"][0]["message"]["content"]


def test_codings(client: httpx.Client) -> None:
    assert "gzipped" in ask(client, "gzip").text
    assert "deflated" in ask(client, "deflate").text
    body = {"model": "gzip-bomb-3", "messages": USER}
    with client.stream("POST", "chat/completions", json=body) as reply:
        raw = b"".join(reply.iter_raw())
    assert len(raw) < 20_000
    assert len(zlib.decompress(raw, 31)) == 3 * 1024 * 1024


def test_reflect_sends_headers_back(client: httpx.Client) -> None:
    reply = client.post(
        "chat/completions", json={"model": "reflect"}, headers={"authorization": "Bearer seen"}
    )
    assert "authorization: Bearer seen" in reply.json()["choices"][0]["message"]["content"]


def test_redirect(client: httpx.Client, stub: StubServer) -> None:
    reply = ask(client, "redirect-307")
    assert reply.status_code == 307
    assert reply.headers["location"].startswith(stub.url)
    stub.redirect_to = "http://elsewhere.invalid/"
    assert ask(client, "redirect").headers["location"] == "http://elsewhere.invalid/"


def test_headers_that_are_wrong(client: httpx.Client) -> None:
    assert ask(client, "odd-header").headers["x-odd"]
    with pytest.raises(httpx.RemoteProtocolError):
        ask(client, "header-flood-20000")


@pytest.mark.parametrize(
    ("model", "error"), [("truncated", httpx.RemoteProtocolError), ("reset", httpx.ReadError)]
)
def test_connections_that_break(client: httpx.Client, model: str, error: type[Exception]) -> None:
    with pytest.raises(error):
        ask(client, model)


def test_a_stale_connection_is_dropped_at_its_next_request(
    client: httpx.Client, stub: StubServer
) -> None:
    assert ask(client, "stale").status_code == 200
    with pytest.raises(httpx.RemoteProtocolError, match="disconnected without sending"):
        ask(client, "m")
    assert ask(client, "m").status_code == 200
    assert len(stub.requests) == 2
    assert stub.connections == 2


@pytest.mark.parametrize("model", ["hang", "stall", "drip-20"])
def test_slow_ones_outlive_a_timeout_and_end_with_the_server(stub: StubServer, model: str) -> None:
    with httpx.Client(base_url=stub.url, trust_env=False, timeout=0.3) as client:
        started = time.monotonic()
        if model == "drip-20":
            with client.stream("POST", "chat/completions", json={"model": model}) as reply:
                pieces = reply.iter_raw()
                assert b"".join(next(pieces) for _ in range(5)).startswith(b"{")
        else:
            with pytest.raises(httpx.ReadTimeout):
                ask(client, model)
        assert time.monotonic() - started < 5
    stub.close()
    assert time.monotonic() - started < 6


@pytest.mark.parametrize("model", ["endless", "endless-sse", "sse-no-newline"])
def test_endless_bodies_go_on(client: httpx.Client, model: str) -> None:
    with client.stream("POST", "chat/completions", json={"model": model}) as reply:
        size = 0
        for piece in reply.iter_raw():
            size += len(piece)
            if size > 1_000_000:
                break
    assert size > 1_000_000


def test_behaviours_by_path(client: httpx.Client) -> None:
    assert client.get("behave/status-503").status_code == 503


def test_every_behaviour_is_described() -> None:
    assert all(behaviour.__doc__ for behaviour in BEHAVIOURS.values())


# -- life ---------------------------------------------------------------------------------------


def test_close_leaves_no_thread_and_frees_the_port() -> None:
    before = threading.active_count()
    stub = StubServer().start()
    with httpx.Client(base_url=stub.url, trust_env=False) as client:
        client.get("models")
        stub.close()
        stub.close()
    with pytest.raises(OSError), socket.create_connection((stub.host, stub.port), 1):
        pass
    deadline = time.monotonic() + 5
    while threading.active_count() > before and time.monotonic() < deadline:
        time.sleep(0.01)
    assert threading.active_count() == before


def test_many_clients_at_once(stub: StubServer) -> None:
    failures: list[BaseException] = []

    def work(name: str) -> None:
        try:
            with httpx.Client(base_url=stub.url, trust_env=False, timeout=20) as client:
                for i in range(20):
                    text = f"{name}-{i}"
                    body = {"model": "m", "messages": [{"role": "user", "content": text}]}
                    reply = client.post("chat/completions", json=body).json()
                    assert reply["choices"][0]["message"]["content"].endswith(text)
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=work, args=(f"t{i}",)) for i in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert len(stub.requests) == 160


def test_runs_as_a_process_of_its_own() -> None:
    command = [sys.executable, "-m", "fumehood.testing.stub", "--port", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            url = process.stdout.readline().strip()
            with httpx.Client(base_url=url, trust_env=False) as client:
                assert client.get("models").status_code == 200
        finally:
            process.terminate()
