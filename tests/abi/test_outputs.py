from __future__ import annotations

import pytest

from fumehood.abi import outputs
from fumehood.abi.outputs import LogRecord, StreamOpen
from fumehood.errors import ProtocolError, UsageError


@pytest.mark.parametrize("data", [b"", b"null", b"{}", b"[1]", b'["a",null]', b'"a"'])
def test_models_refused(data: bytes) -> None:
    with pytest.raises(ProtocolError):
        outputs.decode_models(data)


def test_models() -> None:
    assert outputs.decode_models(b'["a","b"]') == ["a", "b"]
    assert outputs.decode_models(b"[]") == []
    assert outputs.encode_models(["a"]) == b'["a"]'


def test_static_models_may_be_none() -> None:
    assert outputs.decode_static_models(b"null") is None
    assert outputs.decode_static_models(b"") is None
    assert outputs.decode_static_models(b"[]") == []
    assert outputs.decode_static_models(outputs.encode_models(None)) is None
    with pytest.raises(ProtocolError):
        outputs.decode_static_models(b"{}")


def test_vectors() -> None:
    rows = outputs.decode_vectors(b"[[1,2.5],[],[-3,0]]")
    assert rows == [[1.0, 2.5], [], [-3.0, 0.0]]
    assert all(type(number) is float for row in rows for number in row)
    assert outputs.decode_vectors(b"[]") == []
    for bad in (b"", b"null", b"{}", b"[1]", b"[[null]]", b"[[true]]", b'[["1"]]', b"[[[1]]]",
                b"[[NaN]]", b"[[1e999]]", b"[[1],{}]"):  # fmt: skip
        with pytest.raises(ProtocolError):
            outputs.decode_vectors(bad)
    with pytest.raises(UsageError):
        outputs.encode_vectors([[float("nan")]])


def test_text() -> None:
    assert outputs.decode_text(b'{"text":"t","x":1}') == "t"
    for bad in (b"", b"t", b"{}", b'{"text":null}', b'{"text":1}', b'["t"]'):
        with pytest.raises(ProtocolError):
            outputs.decode_text(bad)


def test_raw_text_and_empty() -> None:
    assert outputs.decode_raw("é".encode(), "the name") == "é"
    assert outputs.decode_raw(b"", "the name") == ""
    assert outputs.decode_optional_raw(b"", "the key") is None
    assert outputs.decode_optional_raw(memoryview(b"K"), "the key") == "K"
    for bad in (b"\xff", b"\xed\xa0\x80", b"\xc0\x80"):
        with pytest.raises(ProtocolError, match="UTF-8"):
            outputs.decode_raw(bad, "the name")
        with pytest.raises(ProtocolError, match="UTF-8"):
            outputs.decode_optional_raw(bad, "the name")


def test_schema_flag_and_id() -> None:
    assert outputs.decode_schema(b'{"properties":{}}') == {"properties": {}}
    assert outputs.decode_flag(b" true ", "it") is True
    assert outputs.decode_id(b"-1", "it") == -1
    assert outputs.decode_id(b"9223372036854775807", "it") == (1 << 63) - 1
    for bad in (b"", b"true", b"[]", b"nothing"):
        with pytest.raises(ProtocolError):
            outputs.decode_schema(bad)
    for bad in (b"", b"1", b"null", b"True"):
        with pytest.raises(ProtocolError):
            outputs.decode_flag(bad, "it")
    for bad in (b"", b"1.0", b"true", b"null", b"9223372036854775808", b'"1"'):
        with pytest.raises(ProtocolError):
            outputs.decode_id(bad, "it")


@pytest.mark.parametrize(
    "data",
    [
        b"1",
        b"{}",
        b'{"status":"OK","stream_id":1}',
        b'{"status":"ok"}',
        b'{"status":"ok","stream_id":null}',
        b'{"status":"ok","stream_id":1.0}',
        b'{"status":"error","plugin_error":"x"}',
        b'{"status":"error","error_code":1}',
        b'{"status":"error","plugin_error":{},"error_code":1}',
    ],
)
def test_stream_openings_refused(data: bytes) -> None:
    with pytest.raises(ProtocolError):
        outputs.decode_stream_open(data)


def test_stream_openings() -> None:
    assert outputs.decode_stream_open(b'{"status":"ok","stream_id":3}') == StreamOpen("ok", 3)
    refused = StreamOpen("error", plugin_error="{}", error_code=-1)
    assert outputs.decode_stream_open(outputs.encode_stream_open(refused)) == refused


@pytest.mark.parametrize(
    ("level", "severity"),
    [
        (0, "trace"),
        (1, "error"),
        (2, "warn"),
        (3, "info"),
        (4, "debug"),
        (5, "trace"),
        (9, "trace"),
    ],
)
def test_log_levels(level: int, severity: str) -> None:
    record = outputs.decode_log_record(b'{"level":%d,"target":"t","message":"m"}' % level)
    assert record == LogRecord(level, "t", "m")
    assert record.severity == severity


@pytest.mark.parametrize(
    "data",
    [
        b"{}",
        b'{"level":1,"target":"t"}',
        b'{"level":1,"message":"m"}',
        b'{"target":"t","message":"m"}',
        b'{"level":"info","target":"t","message":"m"}',
        b'{"level":1,"target":null,"message":"m"}',
        b'{"level":-1,"target":"t","message":"m"}',
    ],
)
def test_log_records_refused(data: bytes) -> None:
    with pytest.raises(ProtocolError):
        outputs.decode_log_record(data)


def test_ids_and_codes_have_their_range() -> None:
    ok = '{"status":"ok","stream_id":%d}'
    assert outputs.decode_stream_open((ok % (2**63 - 1)).encode()).stream_id == 2**63 - 1
    with pytest.raises(ProtocolError, match="stream_id"):
        outputs.decode_stream_open((ok % 2**63).encode())
    error = '{"status":"error","plugin_error":"e","error_code":%d}'
    assert outputs.decode_stream_open((error % (2**31 - 1)).encode()).error_code == 2**31 - 1
    with pytest.raises(ProtocolError, match="error_code"):
        outputs.decode_stream_open((error % 2**31).encode())
