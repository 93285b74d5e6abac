"""Any bytes from a guest, any reply, any file: a result or a documented error, nothing else."""

from __future__ import annotations

import itertools
import json
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fumehood.errors import ConfigError, Error, PluginError
from fumehood.provider import file
from tests.provider.fakes import FakeClient, FakePlugin, direct, provider, split

_scalars = st.none() | st.booleans() | st.integers() | st.text(max_size=8) | st.floats()
_words = st.sampled_from(
    ["req", "resp", "head", "body", "text", "payload", "type", "message", "kind", "data", "chunk",
     "usage", "done", "finish_reason", "tool_calls", "audio_base64", "properties", "method", "uri"]
)  # fmt: skip
_values = st.recursive(
    _scalars,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_words, inner, max_size=3),
    max_leaves=10,
)
outputs = st.binary(max_size=20) | _values.map(lambda v: json.dumps(v).encode())
failures = outputs.map(lambda data: PluginError(data.decode("utf-8", "replace"), rc=1))

OPERATIONS: dict[str, Any] = {
    "chat": lambda one: one.chat("x"),
    "chat_stream": lambda one: list(one.chat_stream("x")),
    "embed": lambda one: one.embed("x"),
    "complete": lambda one: one.complete("x"),
    "list_models": lambda one: one.list_models(),
    "transcribe": lambda one: one.transcribe(b"x"),
    "speech": lambda one: one.speech("x"),
}
OPTIONAL = ["list_models_static", "classify_chat_error", "transcribe", "speech"]


def answering(plugin: FakePlugin, export: str, answer: bytes | PluginError) -> None:
    def function(_data: object, instance: Any) -> bytes:
        if export == "chat_stream" and isinstance(answer, bytes):
            instance.services.on_chunk(answer)
            return b""
        if isinstance(answer, bytes):
            return answer
        raise PluginError(answer.message, rc=answer.rc)

    plugin.functions[export] = function


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    st.sampled_from([split, direct]),
    st.data(),
    outputs | failures,
    st.sampled_from([200, 200, 401, 500]),
    outputs,
)
def test_anything_from_a_guest_or_an_endpoint(
    make: Any, data: st.DataObject, answer: bytes | PluginError, status: int, body: bytes
) -> None:
    plugin: FakePlugin = make()
    export = data.draw(st.sampled_from([*plugin.functions, *OPTIONAL]))
    answering(plugin, export, answer)
    try:
        one = provider(plugin, FakeClient(*[(status, body)] * 10))
    except Error:
        return
    errors: list[Error] = []
    for operation in OPERATIONS.values():
        try:
            operation(one)
        except Error as error:
            errors.append(error)
    # What is wrong with a config is known before the operation, and its account, begin.
    assert all(error.receipt or isinstance(error, ConfigError) for error in errors)
    assert all(instance.closed for instance in plugin.instances)
    one.close()


@given(st.lists(st.binary(max_size=6), max_size=8), st.lists(st.integers(0, 40), max_size=5))
def test_a_stream_does_not_depend_on_the_reads(parts: list[bytes], cuts: list[int]) -> None:
    body = b"\n".join(parts)
    places = sorted({min(cut, len(body)) for cut in cuts} | {0, len(body)})
    pieces = [body[a:b] for a, b in itertools.pairwise(places) if a < b]
    seen: list[Any] = []
    for way in ([body] if body else [], pieces):
        plugin = split(chat_stream_parser_parse=lambda data, _: [
            {"chunk": {"text": bytes(data["chunk"]).hex()}}])  # fmt: skip
        chunks = list(provider(plugin, FakeClient((200, way))).chat_stream("x"))
        seen.append([chunk.text for chunk in chunks])
    assert seen[0] == seen[1]


_keys = st.sampled_from(
    ["providers", "network", "oci", "name", "path", "sha256", "config", "secrets", "limits",
     "grants", "private", "ports", "allowed_hosts", "deadline", "fuel", "x"]
)  # fmt: skip
_documents = st.recursive(
    _scalars | st.sampled_from(["a.wasm", "bundled:x", "oci://x", "30s", "64MiB"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_keys, inner, max_size=5),
    max_leaves=15,
)


@given(_documents | st.fixed_dictionaries({"providers": st.lists(_documents, max_size=3)}))
def test_any_file_is_read_or_refused(document: Any) -> None:
    try:
        found = file.parse(document, None)
    except Error:
        return
    for name, entry in found.entries.items():
        assert isinstance(name, str)
        assert isinstance(entry, Error) or entry.plugin
