"""The smaller documents of the ABI: models, vectors, texts, stream handles, log records."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

from fumehood.abi import jsonwire
from fumehood.abi.fields import (
    Object,
    as_array,
    as_bool,
    as_int,
    as_object,
    as_texts,
    decode_utf8,
    get_int,
    get_text,
)
from fumehood.abi.wire import JSON, Data, Wire
from fumehood.errors import ProtocolError

I64_MIN, I64_MAX = -(1 << 63), (1 << 63) - 1
I32_MIN, I32_MAX = -(1 << 31), (1 << 31) - 1


def decode_models(
    data: Data, what: str = "the models of the plugin", wire: Wire = JSON
) -> list[str]:
    """`["m1",…]` of `parse_list_models_response` and `list_models`. Raises ProtocolError."""
    return as_texts(wire.decode(data, what), what)


def decode_static_models(
    data: Data, what: str = "the static models", wire: Wire = JSON
) -> list[str] | None:
    """`["m1",…]`, or None for `null` and EMPTY: ask over HTTP. Raises ProtocolError."""
    if len(data) == 0:
        return None
    value = wire.decode(data, what)
    return None if value is None else as_texts(value, what)


def encode_models(models: Sequence[str] | None, wire: Wire = JSON) -> bytes:
    """Both of the above as guests write them."""
    return wire.encode(None if models is None else list(models))


def decode_vectors(
    data: Data, what: str = "the vectors of the plugin", wire: Wire = JSON
) -> list[list[float]]:
    """`[[f32,…],…]`, one row per input (§3.7). Integers become floats. Raises ProtocolError."""
    rows = as_array(wire.decode(data, what), what)
    vectors: list[list[float]] = []
    for index, row in enumerate(rows):
        items = as_array(row, f"{what}[{index}]")
        kinds = set(map(type, items))
        if kinds == {float} or not kinds:
            vectors.append(items)
        elif kinds <= {float, int}:
            vectors.append([float(item) for item in items])
        else:
            raise ProtocolError(f"{what}[{index}] must be an array of numbers only")
    return vectors


def encode_vectors(vectors: Sequence[Sequence[float]], wire: Wire = JSON) -> bytes:
    """Vectors as guests write them. Raises UsageError for NaN and Infinity."""
    return wire.encode([jsonwire.checked(list(row), "a vector") for row in vectors])


def decode_text(data: Data, what: str = "the text of the plugin", wire: Wire = JSON) -> str:
    """The text of `{"text":"…"}`: completions and transcriptions. Raises ProtocolError."""
    return get_text(as_object(wire.decode(data, what), what), "text", what)


decode_completion = decode_text


def encode_text(text: str, wire: Wire = JSON) -> bytes:
    """`{"text":"…"}`."""
    return wire.encode({"text": text})


def decode_raw(data: Data, what: str) -> str:
    """RAW output: bare UTF-8 text (§0.2). Raises ProtocolError."""
    return decode_utf8(data, what)


def decode_optional_raw(data: Data, what: str) -> str | None:
    """RAW text, or None for EMPTY. Raises ProtocolError."""
    return None if len(data) == 0 else decode_utf8(data, what)


def decode_schema(data: Data, what: str = "the config schema of the plugin") -> Object:
    """The JSON Schema that `config_schema` answers as RAW text. Raises ProtocolError."""
    return as_object(jsonwire.decode(data, what), what)


def decode_flag(data: Data, what: str, wire: Wire = JSON) -> bool:
    """A boolean (`supports_streaming`). Raises ProtocolError."""
    return as_bool(wire.decode(data, what), what)


def decode_id(data: Data, what: str, wire: Wire = JSON) -> int:
    """A parser or stream id: an integer of 64 bits. Raises ProtocolError."""
    return as_int(wire.decode(data, what), what, I64_MIN, I64_MAX)


@dataclass(frozen=True, slots=True)
class StreamOpen:
    """The answer of `qmt_http_stream_open` (§3.9). `plugin_error` is text that holds JSON."""

    status: Literal["ok", "cancelled", "error"]
    stream_id: int | None = None
    plugin_error: str | None = None
    error_code: int | None = None


def encode_stream_open(result: StreamOpen) -> bytes:
    """A StreamOpenResult for a guest."""
    out: Object = {"status": result.status}
    if result.status == "ok":
        out["stream_id"] = result.stream_id
    elif result.status == "error":
        out["plugin_error"] = result.plugin_error
        out["error_code"] = result.error_code
    return jsonwire.encode(out)


def decode_stream_open(data: Data, what: str = "a stream's opening") -> StreamOpen:
    """A StreamOpenResult. Raises ProtocolError."""
    obj = as_object(jsonwire.decode(data, what), what)
    status = get_text(obj, "status", what)
    match status:
        case "ok":
            return StreamOpen("ok", get_int(obj, "stream_id", what, I64_MIN, I64_MAX))
        case "cancelled":
            return StreamOpen("cancelled")
        case "error":
            code = get_int(obj, "error_code", what, I32_MIN, I32_MAX)
            text = get_text(obj, "plugin_error", what)
            return StreamOpen("error", plugin_error=text, error_code=code)
    raise ProtocolError(f"{what}.status is not known: {status[:40]!r}")


_LEVELS: Final = {1: "error", 2: "warn", 3: "info", 4: "debug"}


@dataclass(frozen=True, slots=True)
class LogRecord:
    """A line of a guest's log (§3.10). Target and message are attacker data: escape them."""

    level: int
    target: str
    message: str

    @property
    def severity(self) -> str:
        """error, warn, info, debug; every other level is trace (§2.1)."""
        return _LEVELS.get(self.level, "trace")


def decode_log_record(data: Data, what: str = "a log record") -> LogRecord:
    """The input of `qmt_log`. Raises ProtocolError."""
    obj: Any = as_object(jsonwire.decode(data, what), what)
    return LogRecord(
        get_int(obj, "level", what), get_text(obj, "target", what), get_text(obj, "message", what)
    )


def encode_log_record(record: LogRecord) -> bytes:
    """The same as a guest writes it."""
    return jsonwire.encode(
        {"level": record.level, "target": record.target, "message": record.message}
    )
