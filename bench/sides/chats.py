"""One provider's chat without its HTTP: build the request, parse the reply; and one stream line.

Our side records what `Provider` hands to the plugin for each case, into files that every other
side of the same work reads: the plugin's own encoding, and the same documents as JSON.
"""

from __future__ import annotations

import importlib.util
import json
import sys
from functools import partial
from pathlib import Path
from typing import Any, Final

from bench.run import ROOT
from bench.sides import documents
from bench.sides.calls import Extism as Peer
from bench.sides.side import Job, Side

Calls = list[tuple[str, bytes]]
"""Exports and their inputs, in order."""
PYTHON: Final = ROOT / "pdk-python" / "providers" / "openai" / "openai.py"


def save(folder: Path, name: str, calls: Calls) -> None:
    """Keep calls for the other sides, as they are (`own`) and as JSON."""
    for kind, change in (("own", bytes), ("json", as_json)):
        path = folder / f"{name}.{kind}"
        path.mkdir(parents=True, exist_ok=True)
        for number, (export, data) in enumerate(calls):
            (path / f"{number}-{export}").write_bytes(change(data))


def read(folder: str, name: str, kind: str) -> Calls:
    """What `save` kept."""
    files = sorted(Path(folder, f"{name}.{kind}").iterdir())
    return [(file.name.partition("-")[2], file.read_bytes()) for file in files]


def as_json(data: bytes) -> bytes:
    """An input in JSON, where it is MessagePack (docs/wire.md)."""
    if data[:1] in b'{["n0123456789':
        return data
    import msgpack

    return json.dumps(
        msgpack.unpackb(data), default=list, ensure_ascii=False, separators=(",", ":")
    ).encode()


def chat(call: Any, calls: Calls) -> bytes:
    """What a plugin answers to the two calls of one chat."""
    (build, asked), (parse, answered) = calls
    request: bytes = call(build, asked)
    parsed: bytes = call(parse, answered)
    return request + b"\n" + parsed


class Fumehood(Side):
    """A provider of this package in the sessions that `Provider` uses, with its default limits."""

    def __init__(self, plugin: str, provider: str, folder: str) -> None:
        self._plugin = plugin
        self._provider_name = provider
        self._folder = Path(folder)

    def imported(self) -> None:
        from fumehood.provider import Provider
        from fumehood.provider.runtime import Session

        self._class, self._session_class = Provider, Session

    def _open(self) -> Any:
        self._open_provider = self._class.open(
            self._plugin, config=documents.CONFIG[self._provider_name]
        )
        return self._open_provider._opened

    def record(self) -> Job:
        """Write what `Provider` hands to the plugin: every case, and a stream's line."""

        def job() -> dict[str, Any]:
            opened = self._open()
            for case in documents.CASES:
                save(self._folder, case, self._chat_calls(opened, case))
            if self._provider_name == "openai":
                save(self._folder, "line", self._line_calls(opened))
            return {"recorded": True}

        return job

    def _chat_calls(self, opened: Any, case: str) -> Calls:
        from fumehood.abi.http import HTTPResponse
        from fumehood.provider import effects, plans

        plan = plans.chat(opened, documents.conversation(case), None, {})
        head = (("content-type", "application/json"),)
        reply = HTTPResponse(200, head, documents.reply(self._provider_name))
        session = self._session_class(opened.host, "chat")
        calls: Calls = []
        answer: Any = None
        try:
            while True:
                effect = plan.op.send(answer)
                if isinstance(effect, effects.Call):
                    answer = session.call(effect.export, effect.data)
                    calls.append((effect.export, effect.data))
                elif isinstance(effect, effects.Send):
                    answer = reply
                else:
                    raise RuntimeError(f"a chat wants {effect}")
        except StopIteration:
            return calls
        finally:
            session.close()

    def _line_calls(self, opened: Any) -> Calls:
        """The parser's start, and one line of the stream."""
        from fumehood.provider import effects, plans

        op = plans.chat_stream(opened, documents.conversation("short"), None, {})
        session = self._session_class(opened.host, "chat_stream")
        calls: Calls = []
        answer: Any = None
        try:
            while len(calls) < 3:
                effect = op.send(answer)
                if isinstance(effect, effects.Call):
                    answer = session.call(effect.export, effect.data)
                    calls.append((effect.export, effect.data))
                elif isinstance(effect, effects.Open):
                    answer = effects.Head(200, (("content-type", "text/event-stream"),))
                else:
                    answer = documents.LINE if isinstance(effect, effects.Read) else None
        finally:
            op.close()
            session.close()
        return calls[1:]

    def kept(self, case: str, kind: str = "own") -> Job:
        """A chat of an instance that is kept."""
        host, new = self._open().host, self._session_class
        calls = read(str(self._folder), case, kind)
        kept: Any = None

        def job() -> bytes:
            nonlocal kept
            session = new(host, "chat", kept=kept)
            answer = chat(session.call, calls)
            kept = session.release()
            return answer

        return job

    def fresh(self, case: str, kind: str = "own") -> Job:
        """A chat of an instance that is made for it and ends with it."""
        host, new = self._open().host, self._session_class
        calls = read(str(self._folder), case, kind)

        def job() -> bytes:
            session = new(host, "chat")
            try:
                return chat(session.call, calls)
            finally:
                session.close()

        return job

    def line(self) -> Job:
        """One line through a stream parser."""
        session = self._session_class(self._open().host, "chat_stream")
        start, parse = read(str(self._folder), "line", "own")
        session.call(*start)
        return partial(session.call, *parse)


class Extism(Peer):
    """The same plugin on the peer, with JSON."""

    def __init__(self, guest: str, folder: str) -> None:
        super().__init__(guest)
        self._folder = folder

    def kept(self, case: str) -> Job:
        """A chat of an instance that is kept."""
        plugin = self._instance(self._compile())
        return partial(chat, plugin.call, read(self._folder, case, "json"))

    def fresh(self, case: str) -> Job:  # type: ignore[override]  # other arguments: other requests
        """A chat of an instance that is made for it and ends with it."""
        new, compiled = self._module.Plugin, self._compile()
        calls = read(self._folder, case, "json")
        return lambda: chat(new(compiled).call, calls)

    def line(self) -> Job:
        """One line through a stream parser."""
        plugin = self._instance(self._compile())
        start, parse = read(self._folder, "line", "json")
        plugin.call(*start)
        return partial(plugin.call, *parse)


class InProcess(Side):
    """The provider in Python, in this CPython, with nothing around it."""

    def __init__(self, folder: str) -> None:
        self._folder = folder

    def imported(self) -> None:
        """Nothing: its library belongs to the plugin."""

    def _new(self) -> Any:
        from fumehood_pdk import testing

        spec = importlib.util.spec_from_file_location("bench_openai", PYTHON)
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        sys.modules[spec.name] = module
        spec.loader.exec_module(module)
        return partial(testing.Plugin, module.OpenAI, **documents.CONFIG["openai"])

    def load(self) -> Job:
        """Import the class and its library."""

        def job() -> None:
            self._new()

        return job

    def kept(self, case: str, kind: str = "json") -> Job:
        """A chat of an object that is kept."""
        plugin = self._new()()
        return partial(chat, plugin.call, read(self._folder, case, kind))

    def fresh(self, case: str, kind: str = "json") -> Job:
        """A chat of an object that is made for it."""
        new, calls = self._new(), read(self._folder, case, kind)
        return lambda: chat(new().call, calls)

    def line(self) -> Job:
        """One line through a stream parser."""
        plugin = self._new()()
        start, parse = read(self._folder, "line", "json")
        plugin.call(*start)
        return partial(plugin.call, *parse)
