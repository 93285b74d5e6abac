"""Every message through Rust and back, in both wires.

What Python encodes, the PDK's types decode and encode again, and Python decodes to an equal value;
`json` and `msgpack` must be able to read what they wrote. Damaged documents come back as documents
or as errors; the guest survives them.
"""

from __future__ import annotations

import functools
import json
import math
import struct
from collections.abc import Callable
from dataclasses import fields, is_dataclass, replace
from typing import Any, Final

import msgpack
from hypothesis import strategies as st

from fumehood import Limits, Plugin, PluginError
from fumehood.abi import calls, http, outputs, replies, speech
from fumehood.abi.tools import decode_call, encode_call
from fumehood.abi.wire import JSON, MSGPACK, Wire
from fumehood.testing import strategies
from fuzz import tools
from fuzz.target import Target
from tests.abi.test_roundtrips import Trip
from tests.abi.test_roundtrips import trips as all_trips


def _single(value: float | None) -> float | None:
    """A number as Rust's f32 has it."""
    return None if value is None else struct.unpack("<f", struct.pack("<f", value))[0]


def _without_cfg(
    wire: Wire, encode: Callable[..., bytes], key: str | None
) -> Callable[[Any], bytes]:
    """The request alone, taken out of the input that holds it."""

    def inner(request: Any) -> bytes:
        document = wire.decode(encode({}, request, wire=wire), "it")
        return wire.encode(document[key] if key else _less_cfg(document))

    return inner


def _less_cfg(document: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in document.items() if name != "cfg"}


def _with_cfg(wire: Wire, decode: Callable[..., Any], key: str | None) -> Callable[[bytes], Any]:
    def inner(data: bytes) -> Any:
        request = wire.decode(data, "it")
        document = {"cfg": {}, key: request} if key else {"cfg": {}, **request}
        return decode(wire.encode(document), wire=wire)[1]

    return inner


def _float32(*names: str) -> Callable[[Any], Any]:
    return lambda value: replace(value, **{name: _single(getattr(value, name)) for name in names})


def _same(back: Any, sent: Any) -> bool:
    """Equal in value and type; a double may be off by its last bit, for serde_json reads numbers
    fast and not always to the nearest (its feature `float_roundtrip`, which the PDK leaves off)."""
    if type(back) is not type(sent):
        return False
    if isinstance(sent, float):
        return back in {math.nextafter(sent, -math.inf), sent, math.nextafter(sent, math.inf)}
    if isinstance(sent, list | tuple):
        return len(back) == len(sent) and all(map(_same, back, sent))
    if isinstance(sent, dict):
        return list(back) == list(sent) and all(_same(back[key], sent[key]) for key in sent)
    if is_dataclass(sent):
        return all(_same(getattr(back, f.name), getattr(sent, f.name)) for f in fields(sent))
    return bool(back == sent)


def _reply(value: http.HTTPResponse) -> Any:
    return (value.status, value.headers, value.body, value.version)


def _reply_back(data: bytes, wire: Wire) -> Any:
    request = http.decode_request(data, wire=wire)
    return (int(request.uri[1:]), request.headers, request.body, request.version)


def _more(wire: Wire) -> dict[str, Trip]:
    return {
        "call": (
            strategies.tool_calls(),
            lambda call: wire.encode(encode_call(call)),
            lambda data: decode_call(wire.decode(data, "it"), "it"),
        ),
        "usage": (
            strategies.usages(),
            lambda usage: wire.encode(replies.encode_usage(usage)),
            lambda data: replies.decode_usage(wire.decode(data, "it")),
        ),
        "text": (
            strategies.texts(),
            functools.partial(outputs.encode_text, wire=wire),
            functools.partial(outputs.decode_text, wire=wire),
        ),
        "completion": (
            strategies.completions(),
            _without_cfg(wire, calls.complete_input, "req"),
            _with_cfg(wire, calls.decode_complete_input, "req"),
        ),
        "transcription": (
            strategies.transcribe_requests(),
            _without_cfg(wire, speech.transcribe_input, None),
            _with_cfg(wire, speech.decode_transcribe_input, None),
        ),
        "speech": (
            strategies.speech_requests(),
            _without_cfg(wire, speech.speech_input, None),
            _with_cfg(wire, speech.decode_speech_input, None),
        ),
        "response": (
            strategies.http_responses(),
            functools.partial(http.encode_response, wire=wire),
            functools.partial(_reply_back, wire=wire),
        ),
    }


_NAMES: Final = (
    "json", "messages", "tools", "call", "reply", "usage", "chunk", "chunks", "vectors", "models",
    "text", "completion", "transcription", "speech", "sound", "response",
)  # fmt: skip


def _kinds(wire: Wire) -> dict[str, Trip]:
    table = {**all_trips(wire), **_more(wire)}
    return {name: table[name] for name in _NAMES if name in table}


WIRES: Final[dict[str, tuple[Wire, Callable[[bytes], Any]]]] = {
    JSON.name: (JSON, json.loads),
    MSGPACK.name: (MSGPACK, msgpack.unpackb),
}
"""The wires, each with an independent reader."""
KINDS: Final = {name: _kinds(wire) for name, (wire, _) in WIRES.items()}
_HOSTILE: Final = strategies.hostile_documents()
_HOSTILE_PACKED: Final = strategies.hostile_packed()
NARROW: Final[dict[str, Callable[[Any], Any]]] = {
    "completion": _float32("temperature"),
    "speech": _float32("speed"),
    "vectors": lambda rows: [[_single(number) for number in row] for row in rows],
}
"""Numbers that Rust keeps as f32."""


@functools.cache
def _guest() -> Plugin:
    return Plugin(tools.trips().read_bytes(), limits=Limits(deadline=10), name="trips")


def check(case: dict[str, Any]) -> None:
    """The document comes back with the same meaning; a damaged one with any, or an error."""
    kind = case["kind"]
    name = case.get("wire", JSON.name)
    wire, independent = WIRES[name]
    data = bytes.fromhex(case["data"])
    try:
        again = _guest().call("trip", f"{name} {kind}\n".encode() + data)
    except PluginError:
        if case.get("damaged"):
            return
        raise
    independent(again)
    if case.get("damaged"):
        return
    _, _, decode = KINDS[name][kind]
    narrow = NARROW.get(kind, lambda value: value)
    if kind == "response":
        sent, back = _reply(http.decode_response(data, wire=wire)), decode(again)
    else:
        sent, back = narrow(decode(data)), narrow(decode(again))
    assert _same(back, sent), f"{kind}: {back!r} came back for {sent!r}"


@st.composite
def cases(draw: st.DrawFn) -> dict[str, Any]:
    """A wire, a kind and a document of it, sometimes damaged."""
    wire = draw(st.sampled_from(sorted(WIRES)))
    kind = draw(st.sampled_from(sorted(KINDS[wire])))
    values, encode, _ = KINDS[wire][kind]
    data = encode(draw(values))
    case: dict[str, Any] = {"wire": wire, "kind": kind}
    if draw(st.integers(0, 2)) == 0:
        hostile = _HOSTILE_PACKED if wire == MSGPACK.name else _HOSTILE
        data = draw(strategies.mutated(st.just(data)) | hostile)
        case["damaged"] = True
    return {**case, "data": data.hex()}


TARGET: Final = Target("trips", cases, check, tools.missing_trips, weight=2)
