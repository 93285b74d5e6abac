"""The same provider, openai, on four sides, and the child process that measures one.

    python -m bench.provider_sides SIDE FILE             serves requests: one JSON line in, one out
    python -m bench.provider_sides SIDE FILE --load      loads it, prints the answer

A request {"work", "times"} is answered by {"wall", "cpu"}, as in bench/worker.py. `work` is `fresh`
or `warm`, or `answer`, which is answered by {"answer"}: what the chat came to, the same everywhere.
"""

from __future__ import annotations

import importlib.util
import json
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, Final, Protocol

from bench.worker import measure

CONFIG: Final[dict[str, Any]] = {
    "api_key": "sk-of-the-benchmark",
    "base_url": "https://llm.example/v1/",
    "model": "gpt-4o-mini",
    "system": ["Answer in one sentence."],
    "temperature": 0.5,
}
_QUESTION: Final = "How tall is the Matterhorn, and who climbed it first?"
_REPLY: Final = {
    "id": "chatcmpl-1",
    "object": "chat.completion",
    "created": 1_760_000_000,
    "model": "gpt-4o-mini",
    "choices": [
        {
            "index": 0,
            "message": {
                "role": "assistant",
                "content": "It is 4,478 m high; Edward Whymper's party climbed it first, in 1865.",
            },
            "finish_reason": "stop",
        }
    ],
    "usage": {"prompt_tokens": 31, "completion_tokens": 24, "total_tokens": 55},
}


def _document(**rest: Any) -> bytes:
    return json.dumps({"cfg": CONFIG, **rest}, separators=(",", ":")).encode()


_ASKED: Final = _document(
    messages=[{"role": "User", "content": [{"type": "text", "text": _QUESTION}]}], tools=None
)
_ANSWERED: Final = _document(
    resp={
        "resp": {
            "head": {
                "status": 200,
                "headers": {"content-type": ["application/json"]},
                "version": "HTTP/1.1",
            },
            "body": list(json.dumps(_REPLY).encode()),
        }
    }
)


def chat(call: Callable[[str, bytes], bytes]) -> bytes:
    """What a provider asks its plugin for one chat: build the request, parse the reply."""
    request = call("chat_request", _ASKED)
    return request + b"\n" + call("parse_chat_response", _ANSWERED)


class Side(Protocol):
    """The same jobs on every side."""

    def imported(self) -> None:
        """Import what is no part of the plugin."""

    def load(self, file: Path) -> None:
        """Make it ready to be called."""

    def fresh(self) -> bytes:
        """A chat of an instance that is made for it and ends with it."""

    def warm(self) -> bytes:
        """A chat of an instance that is kept."""


class Sandbox:
    """A .wasm file of any kind, in the sessions that `Provider` uses, with its default limits."""

    def imported(self) -> None:
        from fumehood.limits import Limits
        from fumehood.plugin import CompiledPlugin
        from fumehood.provider.runtime import Host, Session

        self._compiled_plugin, self._host_class, self._session = CompiledPlugin, Host, Session
        self._limits = Limits()

    def load(self, file: Path) -> None:
        compiled = self._compiled_plugin.load(file, name="openai")
        self._host = self._host_class(
            name="openai", compiled=compiled, client=_NoNetwork(), limits=self._limits
        )
        self._kept: Any = None

    def fresh(self) -> bytes:
        session = self._session(self._host, "chat")
        try:
            return chat(session.call)
        finally:
            session.close()

    def warm(self) -> bytes:
        session = self._session(self._host, "chat", kept=self._kept)
        answer = chat(session.call)
        self._kept = session.release()
        return answer


class InProcess:
    """The provider class in this CPython, through the same bytes, with nothing around it."""

    def imported(self) -> None:
        """Its library is bundled in the other Python sides' files: importing it is loading."""

    def load(self, file: Path) -> None:
        from fumehood_pdk import testing

        spec = importlib.util.spec_from_file_location("bench_openai", file)
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        sys.modules[spec.name] = module
        spec.loader.exec_module(module)
        self._new = partial(testing.Plugin, module.OpenAI, **CONFIG)
        self._kept = self._new()

    def fresh(self) -> bytes:
        return chat(self._new().call)

    def warm(self) -> bytes:
        return chat(self._kept.call)


class _NoNetwork:
    """A provider's HTTP client; there is none."""

    def send(self, *_args: Any, **_more: Any) -> Any:
        raise AssertionError("nothing is sent")

    stream = send

    def close(self) -> None:
        pass


SIDES: Final[dict[str, type[Side]]] = {
    "rust": Sandbox,
    "core": Sandbox,
    "component": Sandbox,
    "in-process": InProcess,
}


def loaded(side: Side, file: Path) -> dict[str, float]:
    """Seconds of loading alone."""
    side.imported()

    def job() -> bytes:
        side.load(file)
        return b""

    return measure(job, b"", 1)


def serve(side: Side, file: Path) -> None:
    """Answer requests until stdin ends."""
    side.imported()
    side.load(file)
    answer = side.warm()
    for line in sys.stdin:
        request = json.loads(line)
        if request["work"] == "answer":
            print(json.dumps({"answer": answer.decode()}), flush=True)
            continue
        job = side.fresh if request["work"] == "fresh" else side.warm
        print(json.dumps(measure(job, answer, request["times"])), flush=True)


def main() -> None:
    """See the module."""
    side, file = SIDES[sys.argv[1]](), Path(sys.argv[2])
    if sys.argv[3:4] == ["--load"]:
        print(json.dumps(loaded(side, file)))
    else:
        serve(side, file)


if __name__ == "__main__":
    main()
