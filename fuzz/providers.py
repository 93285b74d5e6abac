"""Providers between any guest and any network: results and documented errors, nothing else.

`guest` makes up what exports answer, `replies` what comes over HTTP to the bundled plugins (real
Rust), `streams` how a streamed reply is cut.
"""

from __future__ import annotations

import functools
from dataclasses import fields, is_dataclass
from typing import Any, Final

from hypothesis import strategies as st

from fumehood.abi import http, payloads, replies
from fumehood.abi.http import HTTPResponse
from fumehood.errors import ConfigError
from fumehood.plugin.compiled import CompiledPlugin
from fumehood.provider import Provider, bundled
from fumehood.testing import strategies
from fuzz.puppet import (
    EXPORTS,
    FINE,
    FINE_PACKED,
    OPERATIONS,
    PACKED,
    Network,
    open_provider,
    puppet,
)
from fuzz.samples import SAMPLES
from fuzz.target import Target, outcome, signature
from tests.abi.test_hostile import packed_documents, valid_documents

PLUGINS: Final = sorted(SAMPLES)


def printable(value: Any) -> None:
    """Every text in a result can be written out; nothing fails later, far from its cause."""
    if isinstance(value, str):
        value.encode()
    elif isinstance(value, dict):
        for key, item in value.items():
            printable(key)
            printable(item)
    elif isinstance(value, list | tuple | set | frozenset):
        for item in value:
            printable(item)
    elif is_dataclass(value):
        for each in fields(value):
            printable(getattr(value, each.name))


def reply_of(case: dict[str, Any]) -> HTTPResponse:
    """The reply in a case."""
    pairs = tuple((name, value) for name, value in case.get("headers", ()))
    return HTTPResponse(case["status"], pairs, bytes.fromhex(case["body"]))


def run(one: Provider, operation: str) -> tuple[str, Any]:
    """One operation's outcome; every error of one has its receipt."""
    found = outcome(lambda: OPERATIONS[operation](one))
    kind, what = found
    if kind == "error":
        assert what.receipt is not None or isinstance(what, ConfigError), f"no receipt: {what!r}"
    else:
        printable(what)
    repr(what)
    return found


_HOSTILE: Final = strategies.hostile_documents()
_HEADERS: Final = strategies.headers()
# Strategies are made once: making them is what generation would spend its time on.


# -- any bytes as guest output ---------------------------------------------------------------------


def check_guest(case: dict[str, Any]) -> None:
    """Opens a provider on a guest with these answers and runs one operation."""
    doll = puppet(case["generation"])
    doll.tell(case["answers"])
    network = Network(reply_of(case))
    kind, one = outcome(lambda: open_provider(doll.compiled, network, "puppet", {"model": "m"}))
    if kind == "error":
        return
    try:
        repr(one)
        printable(one.config_schema)
        run(one, case["operation"])
    finally:
        one.close()


@functools.cache
def _outputs() -> st.SearchStrategy[bytes]:
    return st.one_of(
        st.sampled_from(sorted(FINE.values())),
        strategies.mutated(st.sampled_from(sorted(FINE.values()))),
        strategies.hostile_documents(),
        valid_documents(),
        strategies.mutated(valid_documents()),
        strategies.http_requests().map(http.encode_request),
    )


@functools.cache
def _packed_outputs() -> st.SearchStrategy[bytes]:
    fine = st.sampled_from(sorted(FINE_PACKED.values()))
    return st.one_of(
        fine,
        strategies.mutated(fine),
        strategies.hostile_packed(),
        packed_documents(),
        strategies.mutated(packed_documents()),
        _outputs(),
    )


@functools.cache
def _failures() -> st.SearchStrategy[bytes]:
    kinds = strategies.payloads().map(payloads.encode_payload)
    return st.one_of(kinds, strategies.mutated(kinds), strategies.hostile_documents())


@functools.cache
def _answers(packed: bool) -> st.SearchStrategy[dict[str, Any]]:
    outputs = _packed_outputs() if packed else _outputs()
    out = outputs.map(lambda data: {"out": data.hex()})
    failed = st.builds(
        lambda data, rc: {"fail": data.hex(), "rc": rc}, _failures(), st.integers(-3, 9)
    )
    return out | failed


@functools.cache
def _chunks() -> st.SearchStrategy[list[str]]:
    chunk = strategies.stream_chunks().map(replies.encode_chunk)
    any_chunk = chunk | strategies.mutated(chunk) | strategies.hostile_documents()
    return st.lists(any_chunk.map(bytes.hex), max_size=5)


@st.composite
def guests(draw: st.DrawFn) -> dict[str, Any]:
    """Answers of one to three exports; the others answer well."""
    generation = draw(st.sampled_from(sorted(EXPORTS)))
    names = draw(st.lists(st.sampled_from(EXPORTS[generation]), min_size=1, max_size=3))
    answers: dict[str, Any] = {name: draw(_answers(generation == PACKED)) for name in names}
    if generation == "B" and draw(st.booleans()):
        answers.setdefault("chat_stream", {})["chunks"] = draw(_chunks())
    operation = draw(st.sampled_from(sorted(OPERATIONS)))
    status = draw(st.sampled_from([200, 200, 200, 204, 301, 400, 401, 429, 500, 999]))
    body = draw(_HOSTILE)
    return {
        "generation": generation,
        "answers": answers,
        "operation": operation,
        "status": status,
        "headers": [list(pair) for pair in draw(_HEADERS)],
        "body": body.hex(),
    }


# -- any bytes as an HTTP reply --------------------------------------------------------------------


@functools.cache
def compiled(name: str) -> CompiledPlugin:
    """A bundled plugin, compiled once."""
    return CompiledPlugin.load(bundled.read(name).content, name=name)


@functools.cache
def real(name: str) -> tuple[Provider, Network]:
    """A bundled plugin opened on a network whose reply may be replaced."""
    network = Network(HTTPResponse(200))
    config = {
        "model": "m",
        "base_url": "https://api.example.com/v1/",
        "api_key": "sk-fuzz-canary",
        "allowed_hosts": ["api.example.com"],
    }
    return open_provider(compiled(name), network, name, config), network


def check_reply(case: dict[str, Any]) -> None:
    """One operation of a bundled plugin that gets this reply."""
    one, network = real(case["plugin"])
    network.reply, network.cuts = reply_of(case), ()
    kind, what = run(one, case["operation"])
    if kind == "error":
        assert not str(what).count("panic"), f"our own plugin panics: {what}"


_BODIES: Final = {
    sample: st.just(sample[1]) | strategies.mutated(st.just(sample[1])) | _HOSTILE
    for samples in SAMPLES.values()
    for sample in samples
}
_HINTS: Final = st.lists(
    st.tuples(
        st.sampled_from(
            ["retry-after", "retry-after-ms", "x-ratelimit-reset-requests", "x-request-id"]
        ),
        strategies.header_values() | st.sampled_from(["7", "1.5", "-1", "1e999", "1m30s"]),
    ),
    max_size=2,
)
_STATUSES: Final = st.sampled_from([200] * 6 + [201, 302, 400, 401, 413, 429, 500, 529, 999])


@st.composite
def http_cases(draw: st.DrawFn) -> dict[str, Any]:
    """A reply that is right, almost right or anything."""
    plugin = draw(st.sampled_from(PLUGINS))
    sample = draw(st.sampled_from(SAMPLES[plugin]))
    operation = sample[0]
    if draw(st.integers(0, 9)) == 0:
        operation = draw(st.sampled_from(sorted(OPERATIONS)))
    body, status = draw(_BODIES[sample]), draw(_STATUSES)
    pairs = [*draw(_HEADERS), *draw(_HINTS)]
    return {
        "plugin": plugin,
        "operation": operation,
        "status": status,
        "headers": [list(pair) for pair in pairs],
        "body": body.hex(),
    }


# -- a stream does not depend on how it is cut -----------------------------------------------------


def check_stream(case: dict[str, Any]) -> None:
    """The chunks and the end are the same whole, cut as the case says, and byte by byte."""
    one, network = real(case["plugin"])
    network.reply = HTTPResponse(200, (), bytes.fromhex(case["body"]))
    seen = []
    for cuts in ((), tuple(case["cuts"]), tuple(range(len(network.reply.body)))):
        network.cuts = cuts
        seen.append(signature(run(one, "chat_stream")))
    assert seen[0] == seen[1] == seen[2], f"it depends on the cuts: {seen}"


_LINES: Final = st.lists(
    st.sampled_from(
        [b"data: [DONE]", b"data:", b":", b"", b"event: x", b"id: 1", b"retry: 5", b"\r", b"{}"]
    )
    | st.binary(max_size=12),
    max_size=8,
).map(b"\n".join)


def _streams(sample: bytes) -> st.SearchStrategy[bytes]:
    right = st.sampled_from([sample, sample.replace(b"\n", b"\r\n")])
    return right | strategies.mutated(right) | _LINES


_STREAMS: Final = {
    plugin: _streams(next(body for operation, body in samples if operation == "chat_stream"))
    for plugin, samples in SAMPLES.items()
}


@st.composite
def stream_cases(draw: st.DrawFn) -> dict[str, Any]:
    """A stream of a vendor's, perhaps damaged, and where it is cut."""
    plugin = draw(st.sampled_from(PLUGINS))
    body = draw(_STREAMS[plugin])
    cuts = draw(st.lists(st.integers(0, max(1, len(body))), max_size=12))
    return {"plugin": plugin, "body": body.hex(), "cuts": sorted(cuts)}


# -- any config --------------------------------------------------------------------------------


def check_config(case: dict[str, Any]) -> None:
    """Opening a bundled plugin with this config, and one chat with these overrides."""
    network = Network(HTTPResponse(200, (), b"{}"))
    plugin = compiled(case["plugin"])
    kind, one = outcome(lambda: open_provider(plugin, network, case["plugin"], case["config"]))
    if kind == "error":
        return
    try:
        outcome(lambda: one.chat("x", **case["overrides"]))
    finally:
        one.close()


def configs() -> st.SearchStrategy[dict[str, Any]]:
    """Objects of JSON; often the keys that plugins know, often with values that fit."""
    keys = st.sampled_from(
        [
            "model", "base_url", "api_key", "temperature", "max_tokens", "system", "timeout",
            "top_p", "top_k", "allowed_hosts", "tool_choice", "json_schema", "reasoning_effort",
            "reasoning", "stream", "tools", "embedding_dimensions",
        ]
    )  # fmt: skip
    fitting = st.sampled_from(
        [
            "m", "https://api.example.com/v1/", "http://127.0.0.1:1/", "auto", "high", "", "*", 0.5,
            1, -1, 1 << 63, ["api.example.com"], ["*"], {"name": "s", "schema": {}}, None, True,
        ]
    )  # fmt: skip
    one = st.dictionaries(
        keys | strategies.texts(8), fitting | strategies.json_values(6), max_size=6
    )
    return st.builds(
        lambda plugin, base, config, over: {
            "plugin": plugin,
            "config": {**base, **config},
            "overrides": over,
        },
        st.sampled_from(PLUGINS),
        st.sampled_from(
            [{}, {"model": "m", "api_key": "k", "base_url": "https://api.example.com/v1/"}]
        ),
        one,
        st.dictionaries(keys.filter(lambda key: key != "tools"), fitting, max_size=2),
    )


TARGETS: Final = (
    Target("guest", guests, check_guest, weight=3),
    Target("replies", http_cases, check_reply, weight=3),
    Target("streams", stream_cases, check_stream, weight=2),
    Target("config", configs, check_config, weight=2),
)
