"""chat, embed, complete and models against the stub: what they print, and how they fail."""

from __future__ import annotations

import base64
import json
from pathlib import Path

import pytest

from fumehood.testing.stub import StubServer
from tests.cli.support import PLUGIN, Run

PNG = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
)
TOOLS = [{"name": "weather", "description": "d", "parameters": {"type": "object"}}]


def test_chat_streams_text_to_stdout_alone(ask: Run, stub: StubServer) -> None:
    ran = ask("chat", "hello", "there")
    assert ran.code == 0
    assert ran.out.endswith("You said: hello there\n")
    assert ran.err == ""
    assert stub.requests[-1].json["stream"] is True


def test_chat_without_streaming(ask: Run, stub: StubServer) -> None:
    ran = ask("chat", "hello", "--no-stream")
    assert (ran.code, ran.err) == (0, "")
    assert ran.out.endswith("You said: hello\n")
    assert not stub.requests[-1].json.get("stream")


def test_chat_as_json_with_receipt(ask: Run) -> None:
    ran = ask("chat", "grüße", "--json", "--receipt")
    document = json.loads(ran.out)
    assert document["text"].endswith("You said: grüße")
    assert document["finish_reason"] == "Stop"
    assert document["usage"]["output_tokens"] > 1
    assert document["receipt"]["http"][0]["status"] == 200
    assert document["receipt"]["fuel"] > 0
    assert ran.out.isascii()
    assert ran.err == ""


def test_receipt_goes_to_stderr(ask: Run) -> None:
    ran = ask("chat", "hello", "--receipt")
    assert ran.out.endswith("hello\n")
    assert "fuel" in ran.err
    assert "POST 127.0.0.1" in ran.err


def test_text_from_stdin(ask: Run, stub: StubServer) -> None:
    assert ask("chat", stdin=b"piped").out.endswith("You said: piped\n")
    ask("chat", "summarise:", "-", stdin="größe".encode())
    assert "summarise: größe" in json.dumps(stub.requests[-1].json, ensure_ascii=False)


@pytest.mark.parametrize(
    ("stdin", "message"),
    [
        (None, "a prompt is needed (give it as an argument, or pipe it in)"),
        (b" \n", "a prompt is needed, this one is empty"),
        (b"\xff\xfe", "stdin is not UTF-8 (byte 0)"),
    ],
)
def test_no_usable_prompt(ask: Run, stdin: bytes | None, message: str) -> None:
    ran = ask("chat", stdin=stdin)
    assert ran.code == 2
    assert ran.err == f"fumehood: {message}\n"


def test_model_and_system_flags(ask: Run, stub: StubServer) -> None:
    assert ask("chat", "hi", "--model", "other", "--system", "be brief", model=None).code == 0
    body = stub.requests[-1].json
    assert body["model"] == "other"
    assert "be brief" in json.dumps(body["messages"][0])


def test_pictures(ask: Run, stub: StubServer, tmp_path: Path) -> None:
    (tmp_path / "dot.png").write_bytes(PNG)
    assert ask("chat", "what is this", "--image", "dot.png").code == 0
    assert "data:image/png;base64,iVBOR" in stub.requests[-1].body.decode()
    (tmp_path / "text.png").write_bytes(b"no picture")
    for name, message in (("text.png", "no picture of a known kind"), ("no.png", "cannot be read")):
        ran = ask("chat", "x", "--image", name)
        assert ran.code == 2
        assert message in ran.err


def test_tools(ask: Run, stub: StubServer, tmp_path: Path) -> None:
    (tmp_path / "tools.json").write_text(json.dumps(TOOLS))
    ran = ask("chat", "weather?", "--tools", "tools.json")
    assert (ran.code, ran.out) == (0, "weather {}\n")
    assert stub.requests[-1].json["tools"][0]["function"]["name"] == "weather"
    calls = json.loads(ask("chat", "weather?", "--tools", "tools.json", "--json").out)["tool_calls"]
    assert calls[0]["name"] == "weather"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "the tools file"),
        ("{}", "is not a JSON array"),
        ('[{"description": "x"}]', "tool 0 has no name"),
        ('[{"name": "x", "description": 5}]', "tool 0: description must be text"),
    ],
)
def test_bad_tools(ask: Run, tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "tools.json").write_text(text)
    ran = ask("chat", "x", "--tools", "tools.json")
    assert ran.code == 2
    assert message in ran.err


def test_embed(ask: Run) -> None:
    lines = ask("embed", "a", "b").out.splitlines()
    assert [len(json.loads(line)) for line in lines] == [8, 8]
    document = json.loads(ask("embed", "--json", stdin=b"a\n\nb\n").out)
    assert [json.loads(line) for line in lines] == document["vectors"]
    assert ask("embed").code == 2
    assert ask("embed", stdin=b"\n").code == 2


def test_complete(ask: Run, stub: StubServer) -> None:
    ran = ask("complete", "once upon", "--max-tokens", "5", "--temperature", "0.5")
    assert (ran.code, ran.err) == (0, "")
    assert ran.out.startswith("once upon")
    assert stub.requests[-1].json["max_tokens"] == 5
    assert json.loads(ask("complete", "x", "--json").out)["text"].startswith("x")


def test_models_need_no_model(ask: Run) -> None:
    ran = ask("models", model=None)
    assert (ran.code, ran.out.splitlines()) == (0, ["stub-1", "stub-vision", "stub-embed"])
    assert json.loads(ask("models", "--json").out)["models"][0] == "stub-1"


def test_a_key_reaches_the_endpoint_that_the_operator_named(
    ask: Run, stub: StubServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-canary-0123456789")
    ran = ask("chat", "hi", "-vv", "--receipt")
    assert ran.code == 0
    assert stub.requests[-1].header("authorization") == "Bearer sk-canary-0123456789"
    assert "canary" not in ran.out + ran.err


# -- failures: one line, the right code --------------------------------------------------


@pytest.mark.parametrize("flags", [(), ("--no-stream",)], ids=["stream", "plain"])
@pytest.mark.parametrize(
    ("model", "code", "message"),
    [
        ("status-400", 7, "bad request"),
        ("status-401", 7, "Incorrect API key provided"),
        ("status-404", 7, "does not exist"),
        ("status-429", 7, "retry after 7 s"),
        ("status-500", 7, "The server had an error"),
        ("redirect", 7, "302"),
        ("not-json", 7, ""),
        ("empty", 7, ""),
        ("invalid-utf8", 7, ""),
        ("surrogate", 7, ""),
        ("deep-json", 7, ""),
        ("truncated", 6, "closed"),
        ("reset", 6, "reset"),
    ],
)
def test_bad_endpoints(
    ask: Run, flags: tuple[str, ...], model: str, code: int, message: str
) -> None:
    ran = ask("chat", "hi", *flags, model=model)
    assert ran.code == code
    assert ran.out == ""
    assert ran.err.count("\n") == 1
    assert ran.err.startswith("fumehood: openai: ")
    assert message in ran.err


@pytest.mark.parametrize("flags", [(), ("--no-stream",)], ids=["stream", "plain"])
@pytest.mark.parametrize("model", ["stall", "hang", "drip-20", "sse-no-newline", "endless"])
def test_slow_and_endless_endpoints_end_with_the_limits(
    ask: Run, flags: tuple[str, ...], model: str
) -> None:
    limits = ("--deadline", "1s", "--limit", "response_bytes=1MiB")
    ran = ask("chat", "hi", *flags, *limits, model=model)
    assert ran.code == 5
    assert ran.err.count("\n") == 1


def test_an_endless_stream_is_shown_until_its_limit(ask: Run) -> None:
    ran = ask("chat", "hi", "--limit", "response_bytes=100kB", model="endless-sse")
    assert ran.code == 5
    assert ran.out.startswith("and and and")
    assert ran.out.endswith("\n")


def test_unreachable(run: Run) -> None:
    ran = run("chat", PLUGIN, "hi", "--set", "model=m", "--set", "base_url=http://127.0.0.1:9/v1/")
    assert ran.code == 6
    assert "127.0.0.1:9" in ran.err


def test_text_is_escaped_before_a_terminal_sees_it(ask: Run) -> None:
    for flags in ((), ("--no-stream",)):
        ran = ask("chat", "hi", *flags, model="unsafe-text")
        if ran.code == 0:
            assert r"\e]0;owned\x07\e[2J" in ran.out
        assert not set(ran.out + ran.err) & set("\x1b\x07\r\x00\x9b\u202e")


def test_exact_text_is_in_the_json(ask: Run) -> None:
    ran = ask("chat", "hi", "--json", model="unsafe-text")
    assert json.loads(ran.out)["text"].startswith("\x1b]0;owned\x07")
    assert ran.out.isascii()


def test_a_config_that_does_not_fit_names_the_key(ask: Run) -> None:
    ran = ask("chat", "hi", "--set", "temperature=hot")
    assert ran.code == 2
    assert "temperature" in ran.err
    assert ran.err.count("\n") == 1
    ran = ask("chat", "hi", "--set", "model=5", model=None)
    assert ran.code == 2
    assert "model" in ran.err
    ran = ask("chat", "hi", "--set", "modle=x")
    assert "config.modle: unknown key; did you mean 'model'?" in ran.err
