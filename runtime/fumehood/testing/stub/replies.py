"""What the stub reads and what it writes: one request, one reply, one table of routes."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any, Final

Headers = tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class StubRequest:
    """One request as it arrived: header names in lower case, in the order of the wire."""

    method: str
    target: str
    headers: Headers
    body: bytes

    @property
    def path(self) -> str:
        """The target without its query."""
        return self.target.partition("?")[0]

    @property
    def query(self) -> str:
        """The query, or an empty string."""
        return self.target.partition("?")[2]

    def header(self, name: str) -> str | None:
        """The first value of the header `name` (lower case), or None."""
        return next((value for key, value in self.headers if key == name), None)

    @property
    def json(self) -> Any:
        """The body as JSON; raises ValueError where it is none."""
        return json.loads(self.body)

    @property
    def model(self) -> str:
        """The `model` of a JSON body, else an empty string."""
        try:
            value = self.json.get("model", "")
        except (ValueError, AttributeError):
            return ""
        return value if isinstance(value, str) else ""


@dataclass(frozen=True, slots=True)
class Reply:
    """One answer.

    A body of `bytes` is sent with its length (or with the lie in `length`); an iterable is sent
    chunked, one chunk an item. `close` ends the connection afterwards, `abort` resets it without
    an answer. `stale` keeps the connection open and drops it, without an answer, when the next
    request arrives on it: what a server's idle timeout does to an unlucky client. `interim` is how
    many interim replies (`100 Continue`) go before it.
    """

    status: int = 200
    headers: Headers = ()
    body: bytes | Iterable[bytes] = b""
    length: int | None = None
    close: bool = False
    abort: bool = False
    stale: bool = False
    interim: int = 0


Answer = Callable[[StubRequest], Reply]


@dataclass(slots=True)
class Routes:
    """Answers by method and the end of the path."""

    table: dict[tuple[str, str], Answer] = field(default_factory=dict)

    def add(self, method: str, path: str, answer: Answer) -> None:
        """Let `answer` serve `method` on every path that ends in `path`."""
        self.table[method, path] = answer

    def find(self, request: StubRequest) -> Answer | None:
        """The answer with the longest fitting path."""
        path = request.path.rstrip("/")
        fitting = [
            (len(end), answer)
            for (method, end), answer in self.table.items()
            if method == request.method and path.endswith(end)
        ]
        return max(fitting, key=lambda pair: pair[0])[1] if fitting else None


JSON_TYPE: Final = ("content-type", "application/json")
SSE_TYPE: Final = ("content-type", "text/event-stream; charset=utf-8")


def dump(value: object) -> bytes:
    """Compact JSON."""
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False).encode()


def json_reply(value: object, status: int = 200, headers: Headers = ()) -> Reply:
    """A JSON answer with the request id that real endpoints send."""
    return Reply(status, (JSON_TYPE, ("x-request-id", "req_stub"), *headers), dump(value))


def error_reply(
    status: int, message: str, kind: str, code: str | None = None, headers: Headers = ()
) -> Reply:
    """An error in the shape that OpenAI, Anthropic and Ollama clients all find a message in."""
    error = {"message": message, "type": kind, "code": code, "param": None}
    return json_reply({"type": "error", "error": error}, status, headers)


def event(value: object, name: str | None = None) -> bytes:
    """One server-sent event."""
    head = b"" if name is None else b"event: " + name.encode() + b"\n"
    return head + b"data: " + dump(value) + b"\n\n"


def words(text: str) -> list[str]:
    """`text` cut into the pieces a stream sends: one word with the space before it."""
    pieces: list[str] = []
    for number, word in enumerate(text.split(" ")):
        pieces.append(word if number == 0 else f" {word}")
    return pieces


def count(text: str) -> int:
    """Tokens as the stub counts them: words. Real tokenizers differ; a stub need not."""
    return max(1, len(text.split()))


def sample(schema: Any) -> Any:
    """A value for a JSON Schema, good enough for a tool call: it fits `type` and `enum`."""
    if not isinstance(schema, dict):
        return None
    if isinstance(choices := schema.get("enum"), list) and choices:
        return choices[0]
    kind = schema.get("type")
    if kind == "object":
        fields = schema.get("properties")
        return {k: sample(v) for k, v in fields.items()} if isinstance(fields, dict) else {}
    plain: dict[Any, Any] = {"string": "stub", "integer": 1, "number": 1.5, "boolean": True}
    return [] if kind == "array" else plain.get(kind)
