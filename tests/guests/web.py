"""A small web server on loopback for the guests' requests: echo, statuses, an OpenAI-like API.

Every answer follows from the request alone, so that expected.json can spell it out.
"""

from __future__ import annotations

import contextlib
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

ECHOED = ("content-type", "authorization", "x-guest")
"""Request headers that /echo repeats; others differ from client to client."""


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the base class's name
        """Nothing: tests read no access log."""

    def body(self) -> bytes:
        if "chunked" in self.headers.get("transfer-encoding", ""):
            parts = []
            while size := int(self.rfile.readline(), 16):
                parts.append(self.rfile.read(size))
                self.rfile.readline()
            self.rfile.readline()
            return b"".join(parts)
        return self.rfile.read(int(self.headers.get("content-length", 0)))

    def reply(self, status: int, body: bytes, kind: str = "text/plain", **headers: str) -> None:
        self.send_response_only(status)
        self.send_header("content-type", kind)
        self.send_header("content-length", str(len(body)))
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def reply_json(self, status: int, value: object, **headers: str) -> None:
        self.reply(status, json.dumps(value).encode(), "application/json", **headers)

    def answer(self) -> None:
        body = self.body()
        path = self.path
        if path.startswith("/v1/"):
            self.answer_api(path.removeprefix("/v1/"), body)
        elif path.startswith("/echo"):
            seen = {name: self.headers[name] for name in ECHOED if name in self.headers}
            text = body.decode("utf-8", "replace")
            self.reply_json(200, {"method": self.command, "headers": seen, "body": text})
        elif path.startswith("/status/"):
            status = int(path.rpartition("/")[2])
            self.reply(status, f"status {status}".encode())
        elif path.startswith("/bytes/"):
            self.reply(200, b"b" * int(path.rpartition("/")[2]))
        elif path == "/redirect":
            self.reply(302, b"", location="/echo")
        else:
            self.reply(404, b"no such page")

    do_GET = do_POST = do_PUT = do_DELETE = do_HEAD = answer

    def answer_api(self, endpoint: str, body: bytes) -> None:
        asked = json.loads(body) if body else {}
        model = asked.get("model", "")
        if self.headers.get("authorization") == "Bearer wrong":
            self.reply_json(401, {"error": {"message": "Incorrect API key"}})
        elif model == "busy":
            self.reply_json(429, {"error": {"message": "Slow down"}}, retry_after="7")
        elif model == "broken":
            self.reply(500, b"oops")
        elif endpoint == "models":
            self.reply_json(200, {"object": "list", "data": [{"id": "small"}, {"id": "large"}]})
        elif endpoint == "embeddings":
            rows = [{"embedding": [float(len(text)), 0.5]} for text in asked["input"]]
            self.reply_json(200, {"data": rows})
        elif endpoint == "completions":
            self.reply_json(200, {"choices": [{"text": f"{asked['prompt']} and so on"}]})
        elif endpoint == "audio/transcriptions":
            self.reply_json(200, {"text": f"heard {asked['audio_base64']}"})
        elif endpoint == "audio/speech":
            self.reply(200, f"sound of {asked['input']}".encode(), "audio/mpeg")
        elif endpoint == "chat/completions" and asked.get("stream"):
            self.reply(200, stream_of(asked).encode(), "text/event-stream")
        elif endpoint == "chat/completions":
            self.reply_json(200, chat_of(asked))
        else:
            self.reply_json(404, {"error": {"message": f"no endpoint {endpoint}"}})


USAGE = {"prompt_tokens": 5, "completion_tokens": 3, "total_tokens": 8}


def said(asked: dict[str, Any]) -> str:
    """The text that the stub answers: a count of messages and the last one's text."""
    last = asked["messages"][-1]["content"]
    text = last if isinstance(last, str) else "".join(part.get("text", "") for part in last)
    return f"{len(asked['messages'])} messages, the last: {text}"


def chat_of(asked: dict[str, Any]) -> dict[str, Any]:
    """A whole reply; a call of the first tool where tools are offered."""
    message: dict[str, Any] = {"role": "assistant", "content": said(asked)}
    reason = "stop"
    if asked.get("tools"):
        function = {"name": asked["tools"][0]["function"]["name"], "arguments": '{"q":1}'}
        message["content"] = None
        message["tool_calls"] = [{"id": "c1", "type": "function", "function": function}]
        reason = "tool_calls"
    return {"choices": [{"message": message, "finish_reason": reason}], "usage": USAGE}


def stream_of(asked: dict[str, Any]) -> str:
    """The same as server-sent events: two deltas, a finish, the usage, the end."""
    text = said(asked)
    half = len(text) // 2
    events: list[Any] = [
        {"choices": [{"delta": {"content": part}, "finish_reason": None}]}
        for part in (text[:half], text[half:])
    ]
    events.append({"choices": [{"delta": {}, "finish_reason": "stop"}]})
    events.append({"choices": [], "usage": USAGE})
    return "".join(f"data: {json.dumps(event)}\n\n" for event in events) + "data: [DONE]\n\n"


@contextlib.contextmanager
def serve() -> Iterator[str]:
    """Serves on a free port of 127.0.0.1; gives the base URL, without a slash at its end."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
