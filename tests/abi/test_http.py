"""Every rule of the table of provider-abi.md §3.1."""

from __future__ import annotations

import json
import os
import time
from typing import Any

import pytest

from fumehood.abi import http, jsonwire
from fumehood.abi.http import (
    HTTPRequest,
    HTTPResponse,
    decode_extism_request,
    decode_request,
    decode_response,
    encode_request,
    encode_response,
    response_document,
)
from fumehood.abi.wire import MSGPACK
from fumehood.errors import ProtocolError, UsageError

HEAD: dict[str, Any] = {
    "method": "POST",
    "uri": "https://h/p",
    "headers": {"a": "b"},
    "version": "HTTP/1.1",
}
REPLY: dict[str, Any] = {"status": 200, "headers": {}, "version": "HTTP/1.1"}


def request(**changes: Any) -> bytes:
    return json.dumps({"req": {"head": {**HEAD, **changes}, "body": []}}).encode()


def response(**changes: Any) -> bytes:
    return json.dumps({"resp": {"head": {**REPLY, **changes}, "body": []}}).encode()


def without(key: str) -> dict[str, Any]:
    return {name: value for name, value in HEAD.items() if name != key}


# keys


@pytest.mark.parametrize(
    "doc",
    [
        None,
        [],
        {},
        {"req": None},
        {"req": []},
        {"req": {"head": HEAD}},
        {"req": {"body": []}},
        {"req": {"head": HEAD, "body": [], "x": 1}},
        {"req": {"head": HEAD, "body": [], "Body": []}},
        {"req": {"head": None, "body": []}},
        {"resp": {"head": HEAD, "body": []}},
        *[{"req": {"head": without(key), "body": []}} for key in HEAD],
    ],
)
def test_keys_refused(doc: Any) -> None:
    with pytest.raises(ProtocolError):
        decode_request(json.dumps(doc).encode())


def test_extra_keys_in_head_and_beside_req_are_tolerated() -> None:
    doc = {"req": {"head": {**HEAD, "x": 1}, "body": []}, "y": {"z": []}}
    assert decode_request(json.dumps(doc).encode()).method == "POST"
    reply = {"resp": {"head": {**REPLY, "x": 1}, "body": []}, "y": 1}
    assert decode_response(json.dumps(reply).encode()).status == 200


@pytest.mark.parametrize("key", REPLY)
def test_reply_keys_are_mandatory(key: str) -> None:
    head = {name: value for name, value in REPLY.items() if name != key}
    with pytest.raises(ProtocolError, match=key):
        decode_response(json.dumps({"resp": {"head": head, "body": []}}).encode())


# version


@pytest.mark.parametrize("version", ["HTTP/0.9", "HTTP/1.0", "HTTP/1.1", "HTTP/2.0", "HTTP/3.0"])
def test_versions(version: str) -> None:
    assert decode_request(request(version=version)).version == version
    assert decode_response(response(version=version)).version == version


@pytest.mark.parametrize("version", ["HTTP/2", "http/1.1", "HTTP/1.1 ", "", "1.1", None, 1.1])
def test_other_versions(version: Any) -> None:
    with pytest.raises(ProtocolError):
        decode_request(request(version=version))
    with pytest.raises(ProtocolError):
        decode_response(response(version=version))


def test_versions_written() -> None:
    short = encode_response(HTTPResponse(200, version="HTTP/2"))
    assert decode_response(short).version == "HTTP/2.0"
    with pytest.raises(UsageError):
        encode_response(HTTPResponse(200, version="SPDY"))


# headers


@pytest.mark.parametrize(
    ("headers", "decoded"),
    [
        ({}, ()),
        ({"X-A": "1"}, (("x-a", "1"),)),
        ({"a": ["1", "2"], "b": "3"}, (("a", "1"), ("a", "2"), ("b", "3"))),
        ({"a": ["1"]}, (("a", "1"),)),
        ({"A": "1", "a": "2"}, (("a", "2"),)),
        ({"A": ["1", "2"], "a": "3"}, (("a", "3"),)),
        ({"A": "1", "a": ["2", "3"]}, (("a", "1"),)),
        ({"a": "é\t "}, (("a", "é\t "),)),
        ({"a": ""}, (("a", ""),)),
    ],
)
def test_headers(headers: Any, decoded: Any) -> None:
    assert decode_request(request(headers=headers)).headers == decoded
    assert decode_response(response(headers=headers)).headers == decoded


@pytest.mark.parametrize(
    "headers",
    [
        None,
        [],
        "a",
        {"a": []},
        {"a": None},
        {"a": 1},
        {"a": ["1", 2]},
        {"a": [["1"]]},
        {"": "1"},
        {"a b": "1"},
        {"a:": "1"},
        {"é": "1"},
        {"a\n": "1"},
        {"a": "1\n"},
        {"a": "1\r\nx: y"},
        {"a": "\0"},
        {"a": "\x7f"},
        {"a": ["ok", "\x1f"]},
    ],
)
def test_headers_refused(headers: Any) -> None:
    with pytest.raises(ProtocolError):
        decode_request(request(headers=headers))
    with pytest.raises(ProtocolError):
        decode_response(response(headers=headers))


def test_headers_are_written_in_lower_case_one_as_text_several_as_array() -> None:
    written = json.loads(
        encode_request(HTTPRequest("GET", "/", (("A", "1"), ("a", "2"), ("B", ""))))
    )
    assert written["req"]["head"]["headers"] == {"a": ["1", "2"], "b": ""}


def test_writing_a_value_that_is_not_visible_ascii_fails_for_requests() -> None:
    for value in ("é", "\n", "\x7f"):
        with pytest.raises(UsageError):
            encode_request(HTTPRequest("GET", "/", (("a", value),)))
    with pytest.raises(UsageError):
        encode_request(HTTPRequest("GET", "/", (("a b", "1"),)))


def test_writing_leaves_such_headers_out_of_replies() -> None:
    headers = (("a", "é"), ("b", "1"), ("c d", "1"), ("b", "\x80"), ("e", "tab\t"))
    reply = decode_response(encode_response(HTTPResponse(200, headers)))
    assert reply.headers == (("b", "1"), ("e", "tab\t"))
    assert reply.header("b") == "1"
    assert reply.header("a") is None


# status, method, uri


@pytest.mark.parametrize("status", [100, 200, 999])
def test_statuses(status: int) -> None:
    assert decode_response(response(status=status)).status == status


@pytest.mark.parametrize("status", [99, 1000, 0, -200, 65736, 200.0, "200", None, True, [200]])
def test_other_statuses(status: Any) -> None:
    with pytest.raises(ProtocolError):
        decode_response(response(status=status))


def test_a_status_out_of_range_is_not_written() -> None:
    with pytest.raises(UsageError):
        encode_response(HTTPResponse(99))


@pytest.mark.parametrize("method", ["GET", "get", "PROPFIND", "M-SEARCH", "X!"])
def test_methods(method: str) -> None:
    assert decode_request(request(method=method)).method == method


@pytest.mark.parametrize("method", ["", " ", "GET ", "GE T", "GET\r\n", "É", None, 1])
def test_other_methods(method: Any) -> None:
    with pytest.raises(ProtocolError):
        decode_request(request(method=method))
    if isinstance(method, str):
        with pytest.raises(UsageError):
            encode_request(HTTPRequest(method, "/"))


def test_uri_rules_apply_both_ways() -> None:
    assert decode_request(request(uri="https://h/p?q#f")).uri == "https://h/p?q"
    for uri in ("", "https://h/a b", "https:///x", None, 1):
        with pytest.raises(ProtocolError):
            decode_request(request(uri=uri))
    with pytest.raises(UsageError):
        encode_request(HTTPRequest("GET", "a b"))


# body


@pytest.mark.parametrize(
    "body", ['"ab"', "null", "[1.0]", "[256]", "[-1]", "[null]", '["1"]', "[true]", "{}", "[[1]]"]
)
@pytest.mark.parametrize("size", [0, 60_000])
def test_bodies_refused_short_and_long(body: str, size: int) -> None:
    if size and body.startswith("["):
        body = "[" + "7," * size + body[1:]
    text = f'{{"req":{{"head":{json.dumps(HEAD)},"body":{body}}}}}'
    with pytest.raises(ProtocolError, match=r"body|array"):
        decode_request(text.encode())
    text = f'{{"resp":{{"head":{json.dumps(REPLY)},"body":{body}}}}}'
    with pytest.raises(ProtocolError, match=r"body|array"):
        decode_response(text.encode())


def test_a_long_body_that_is_no_array() -> None:
    for body in ('"' + "x" * 60_000 + '"', '{"a":"' + "x" * 60_000 + '"}'):
        text = f'{{"req":{{"head":{json.dumps(HEAD)},"body":{body}}}}}'
        with pytest.raises(ProtocolError, match="body"):
            decode_request(text.encode())


def test_bodies_of_every_size_around_the_fast_path() -> None:
    for size in (0, 1, 100, 4000, 5000, 20_000, 300_000):
        data = os.urandom(size)
        assert decode_request(encode_request(HTTPRequest("GET", "/", (), data))).body == data
        assert decode_response(encode_response(HTTPResponse(200, (), data))).body == data


LONG = "[" + "7," * 20_000 + "8]"


@pytest.mark.parametrize(
    ("text", "first"),
    [
        # the same array twice: which of them is the body must not be guessed
        (f'{{"x":{LONG},"req":{{"head":{json.dumps(HEAD)},"body":{LONG}}}}}', 7),
        # an array that begins like the body, and ends otherwise, before and after it
        (
            f'{{"x":{LONG[:-2]}9],"req":{{"head":{json.dumps(HEAD)},"body":{LONG}}},'
            f'"y":{LONG[:-2]}99]}}',
            7,
        ),
        # inside a text, too
        (f'{{"x":"{LONG}","req":{{"head":{json.dumps(HEAD)},"body":{LONG}}}}}', 7),
        # of a key written twice the last counts
        (f'{{"req":{{"head":{json.dumps(HEAD)},"body":{LONG},"body":[1]}}}}', 1),
        (f'{{"req":{{"head":{json.dumps(HEAD)},"body":[1],"body":{LONG}}}}}', 7),
        (f'{{"req":{{"body":{LONG}}},"req":{{"head":{json.dumps(HEAD)},"body":[2]}}}}', 2),
        # a text that looks like a body
        (f'{{"x":"\\"body\\":{LONG}","req":{{"head":{json.dumps(HEAD)},"body":[3]}}}}', 3),
        # keys with escapes are the same keys
        (f'{{"r\\u0065q":{{"head":{json.dumps(HEAD)},"b\\u006fdy":{LONG}}}}}', 7),
        (f'{{"req" : {{ "body" :\n{LONG} , "head":{json.dumps(HEAD)} }} }}', 7),
    ],
)
def test_the_body_is_never_mistaken(text: str, first: int) -> None:
    body = decode_request(text.encode()).body
    assert body[0] == first
    assert len(body) == (20_001 if first == 7 else 1)


@pytest.mark.parametrize(
    "text",
    [
        f'{{"req":{{"head":{json.dumps(HEAD)},"body":{LONG},"x":1}}}}',
        f'{{"req":{{"head":{json.dumps(HEAD)},"body":{LONG}}},"x":NaN}}',
        f'{{"req":{{"head":{json.dumps(HEAD)},"body":{LONG}}},"x":"\\ud800"}}',
        f'{{"req":{{"head":{json.dumps(HEAD)},"body":{LONG}}},"x":{"9" * 30}}}',
        f'{{"req":{{"head":{json.dumps(HEAD)},"body":{LONG}}},"x":{"[" * 200}{"]" * 200}}}',
        f'{{"req":{{"head":{json.dumps(HEAD)},"body":{LONG}}},"req":{{"body":{LONG}}}}}',
        f'{{"req":{{"head":{json.dumps(HEAD)},"body":{LONG}}}}} x',
        f'{{"req":{{"head":{json.dumps(HEAD)},"body":{LONG}}}',
    ],
)
def test_a_long_document_is_as_strict_as_a_short_one(text: str) -> None:
    with pytest.raises(ProtocolError):
        decode_request(text.encode())


@pytest.mark.parametrize(
    ("body", "beside", "words"),
    [
        (LONG[:-2] + "256]", "", "it: the body must be "),
        (LONG, ',"x":"\\ud800"', "it is not valid JSON"),
        (LONG, ',"x":NaN', "it is not valid JSON"),
        (LONG, f',"x":{"9" * 30}', "it holds an integer beyond 64 bits"),
    ],
)
def test_what_is_wrong_with_a_long_document_is_said_by_its_name(
    body: str, beside: str, words: str
) -> None:
    text = f'{{"req":{{"head":{json.dumps(HEAD)},"body":{body}}}{beside}}}'
    with pytest.raises(ProtocolError, match=f"^{words}"):
        decode_request(text.encode(), "it")


def test_documents_in_messagepack_have_a_name_in_errors_too() -> None:
    for decode in (decode_request, decode_response):
        with pytest.raises(ProtocolError, match=r"^it is not valid MessagePack"):
            decode(b"\xc1", "it", MSGPACK)


def test_many_arrays_that_look_like_the_body_cost_linear_time() -> None:
    body = "[" + "7," * 2_000 + "8]"
    others = ",".join(["[" + "7," * 2_000 + "9]"] * 2_000)
    text = f'{{"x":[{others}],"req":{{"head":{json.dumps(HEAD)},"body":{body}}}}}'
    started = time.monotonic()
    assert len(decode_request(text.encode()).body) == 2_001
    assert time.monotonic() - started < 10


def test_invalid_utf8_beside_a_long_body() -> None:
    text = f'{{"req":{{"head":{json.dumps(HEAD)},"body":{LONG}}},"x":"'.encode() + b'\xff"}'
    with pytest.raises(ProtocolError, match="UTF-8"):
        decode_request(text)


def test_response_value_stands_inside_another_document() -> None:
    reply = HTTPResponse(404, (("a", "b"),), b"no")
    assert jsonwire.encode(response_document(reply)) == encode_response(reply)


def test_no_key_and_no_prompt_in_a_repr() -> None:
    text = repr(
        HTTPRequest("POST", "https://h/p?key=secret", (("authorization", "secret"),), b"secret")
    )
    assert "secret" not in text
    assert "https://h/p" in text
    assert "secret" not in repr(HTTPResponse(200, (("a", "secret"),), b"secret"))


# generation A and Extism


def test_extism_request() -> None:
    text = b'{"url":"https://h/","headers":{"A":"b","a":"c"},"method":"post"}'
    assert decode_extism_request(text) == ("POST", "https://h/", (("a", "c"),))
    for bare in (b'{"url":"u"}', b'{"url":"u","method":null}', b'{"url":"u","headers":{}}'):
        assert decode_extism_request(bare) == ("GET", "u", ())


@pytest.mark.parametrize(
    "text",
    [
        b"{}",
        b"[]",
        b'{"url":null}',
        b'{"url":1}',
        b'{"url":"u","headers":null}',
        b'{"url":"u","headers":{"a":["b"]}}',
        b'{"url":"u","headers":{"a":null}}',
        b'{"url":"u","headers":{"a":"b\\nc: d"}}',
        b'{"url":"u","headers":{"a b":"c"}}',
        b'{"url":"u","header":{}}',
        b'{"url":"u","body":"x"}',
        b'{"url":"u","method":"G T"}',
        b'{"url":"u","method":""}',
        b'{"url":"u","method":1}',
        b"nonsense",
    ],
)
def test_extism_request_refused(text: bytes) -> None:
    with pytest.raises(ProtocolError):
        decode_extism_request(text)


def test_a_wrong_header_name_is_shown_with_the_name_of_its_document() -> None:
    with pytest.raises(ProtocolError, match=r"^it: 'a b' is not a header name"):
        decode_request(request(headers={"a b": "c"}), "it")
    with pytest.raises(ProtocolError, match=r"^it: 'a b' is not a header name"):
        decode_extism_request(b'{"url":"u","headers":{"a b":"c"}}', "it")


def test_versions_are_the_five() -> None:
    assert len(http.VERSIONS) == 5


def test_the_repr_of_a_request_shows_no_query() -> None:
    request = http.HTTPRequest("GET", "https://h/p?secret=1?secret=2", (), b"")
    assert "https://h/p" in repr(request)
    assert "secret" not in repr(request)


def test_the_range_of_a_status() -> None:
    for status in (100, 999):
        assert http.decode_response(
            http.encode_response(http.HTTPResponse(status, (), b""))
        ).status == status  # fmt: skip
    for status in (99, 1000):
        with pytest.raises(UsageError, match="not from 100 to 999"):
            http.encode_response(http.HTTPResponse(status, (), b""))
