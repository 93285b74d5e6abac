from __future__ import annotations

import base64
import json
import time
from urllib.parse import quote

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fumehood.egress.scrub import Scrubber, base64_cores
from tests.counts import HYPOTHESIS_EXAMPLES

VALUE = 'sk-live/9+A=z"Q\\k~0123456789'
TOKEN = "TOKEN"


def full_percent(text: str, form: str = "%%%02X") -> str:
    return "".join(form % ord(c) for c in text)


def full_json(text: str, form: str = "\\u%04x") -> str:
    return "".join(form % ord(c) for c in text)


ENCODINGS = {
    "exact": VALUE,
    "json": json.dumps(VALUE)[1:-1],
    "json with slashes": json.dumps(VALUE)[1:-1].replace("/", "\\/"),
    "json in json": json.dumps(json.dumps(VALUE))[3:-3],
    "json full": full_json(VALUE),
    "json full upper": full_json(VALUE, "\\u%04X"),
    "json full twice": json.dumps(full_json(VALUE))[1:-1],
    "percent": quote(VALUE, safe=""),
    "percent lower": full_percent(VALUE, "%%%02x"),
    "percent upper": full_percent(VALUE),
    "percent twice": quote(quote(VALUE, safe=""), safe=""),
    "percent thrice": quote(quote(full_percent(VALUE), safe=""), safe=""),
    "percent keeping slashes": quote(VALUE),
    "half and half": VALUE[:9] + full_percent(VALUE[9:15]) + full_json(VALUE[15:]),
    "html-safe json": VALUE.replace('"', "\\u0022").replace("\\k", "\\\\k").replace("+", "\\u002B"),
}


@pytest.mark.parametrize("name", ENCODINGS)
def test_encodings(name: str) -> None:
    text = f"before {ENCODINGS[name]} after".encode()
    assert Scrubber([(VALUE, TOKEN)]).scrub(text) == b"before TOKEN after"


@pytest.mark.parametrize("shift", range(3))
@pytest.mark.parametrize("tail", range(3))
@pytest.mark.parametrize("encode", [base64.b64encode, base64.urlsafe_b64encode])
@pytest.mark.parametrize("value", [VALUE, "12345678", "\x7e\x7e\x7f?>?>?>~~~"])
def test_base64_at_every_alignment(shift: int, tail: int, encode: object, value: str) -> None:
    raw = b"u" * shift + value.encode() + b"t" * tail
    packed = encode(raw)  # type: ignore[operator]
    clean = Scrubber([(value, TOKEN)]).scrub(b"Basic " + packed)
    assert b"TOKEN" in clean
    # What is left are the characters that the neighbours share: fewer than two at each end
    # beyond those of the neighbours' own.
    assert len(clean) <= len(b"Basic TOKEN") + 2 * 4 + 2
    for core in base64_cores(value.encode()):
        assert core not in clean


def test_base64_inside_percent_and_json() -> None:
    value = "~~~???>>>key/+value"
    packed = base64.b64encode(b"user:" + value.encode())
    assert b"/" in packed
    assert b"+" in packed
    scrubber = Scrubber([(value, TOKEN)])
    assert b"TOKEN" in scrubber.scrub(quote(packed.decode(), safe="").encode())
    assert b"TOKEN" in scrubber.scrub(packed.replace(b"/", b"\\/"))


def test_the_same_object_where_nothing_is_found() -> None:
    data = b'{"text": "nothing \\u0041 %41 here"}'
    assert Scrubber([(VALUE, TOKEN)]).scrub(data) is data
    assert Scrubber().scrub(data) is data
    assert not Scrubber()
    assert Scrubber([(VALUE, TOKEN)])


def test_several_values_and_places() -> None:
    scrubber = Scrubber([("secret-one", "ONE"), ("secret-one-and-two", "TWO"), ("third!!!", "3")])
    text = b"secret-one secret-one-and-two third!!!third!!! secret-one"
    assert scrubber.scrub(text) == b"ONE TWO 33 ONE"


def test_overlapping_values_leave_nothing() -> None:
    scrubber = Scrubber([("abcdefgh", "1"), ("efghijkl", "2")])
    assert scrubber.scrub(b"<abcdefghijkl>") == b"<1>"


def test_text() -> None:
    scrubber = Scrubber([(VALUE, TOKEN)])
    assert scrubber.scrub_text(f"é {VALUE} \ud800") == "é TOKEN \ud800"
    assert scrubber.scrub_text("plain") == "plain"
    assert Scrubber().scrub_text("plain") == "plain"


def test_repr_shows_nothing() -> None:
    scrubber = Scrubber([(VALUE, TOKEN)])
    assert VALUE[:8] not in repr(scrubber)
    assert VALUE[:8] not in repr(scrubber._needles)


@pytest.mark.parametrize("name", ENCODINGS)
def test_every_split_of_a_stream(name: str) -> None:
    text = f"a {ENCODINGS[name]}{ENCODINGS[name]} b".encode()
    scrubber = Scrubber([(VALUE, TOKEN)])
    for cut in range(len(text) + 1):
        stream = scrubber.stream()
        out = stream.feed(text[:cut]) + stream.feed(text[cut:]) + stream.finish()
        assert out == b"a TOKENTOKEN b", cut


@pytest.mark.parametrize("name", ENCODINGS)
def test_a_stream_byte_by_byte(name: str) -> None:
    text = f"a {ENCODINGS[name]} b\n".encode()
    stream = Scrubber([(VALUE, TOKEN)]).stream()
    out = b"".join(stream.feed(bytes([b])) for b in text) + stream.finish()
    assert out == b"a TOKEN b\n"


def test_base64_across_chunks() -> None:
    packed = b"x" + base64.b64encode(b"user:" + VALUE.encode()) + b"y"
    scrubber = Scrubber([(VALUE, TOKEN)])
    whole = scrubber.scrub(packed)
    for cut in range(len(packed) + 1):
        stream = scrubber.stream()
        assert stream.feed(packed[:cut]) + stream.feed(packed[cut:]) + stream.finish() == whole


def test_nothing_innocent_is_held_back() -> None:
    stream = Scrubber([("sk-0123456789", TOKEN)]).stream()
    assert stream.feed(b'data: {"x": "sk"}\n') == b'data: {"x": "sk"}\n'
    assert stream.feed(b"data: s") == b"data: "
    assert stream.feed(b"o\n") == b"so\n"
    assert stream.feed(b"100%") == b"100"
    assert stream.feed(b" sure\n") == b"% sure\n"
    assert stream.feed(b"tail sk-0") == b"tail "
    assert stream.finish() == b"sk-0"
    assert stream.finish() == b""
    assert Scrubber().stream().feed(b"sk-0") == b"sk-0"


VALUES = st.text(st.characters(min_codepoint=0x21, max_codepoint=0x7E), min_size=8, max_size=24)


@settings(max_examples=HYPOTHESIS_EXAMPLES, deadline=None)
@given(VALUES, st.data())
def test_a_stream_gives_what_the_whole_gives(value: str, data: st.DataObject) -> None:
    scrubber = Scrubber([(value, "\x00TOKEN\x00")])
    spelled = [value, full_percent(value), full_json(value), json.dumps(value)[1:-1], value[:5]]
    parts = data.draw(st.lists(st.sampled_from([*spelled, "\n", "%", "\\", "ab", '"']), max_size=6))
    text = "".join(parts).encode()
    cuts = sorted(data.draw(st.lists(st.integers(0, len(text)), max_size=5)))
    stream = scrubber.stream()
    out = b""
    for start, end in zip([0, *cuts], [*cuts, len(text)], strict=True):
        out += stream.feed(text[start:end])
    out += stream.finish()
    assert value.encode() not in out
    if len(parts) == parts.count(value):  # plain repetitions: nothing ambiguous at the seams
        assert out.count(b"TOKEN") >= (1 if parts else 0)


def test_speed() -> None:
    scrubber = Scrubber([("sk-proj-" + "aB3" * 40, TOKEN)])
    body = (b'{"choices": [{"text": "line\\nwith \\"quotes\\" and words"}]}' * 20_000)[: 1 << 20]
    began = time.perf_counter()
    assert scrubber.scrub(body) is body
    assert time.perf_counter() - began < 5
    stream = scrubber.stream()
    began = time.perf_counter()
    for at in range(0, len(body), 200):
        stream.feed(body[at : at + 200])
    assert time.perf_counter() - began < 5
