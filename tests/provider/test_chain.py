"""The hash chain: whatever is done to the middle of a file is seen."""

from __future__ import annotations

import io
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fumehood.provider import chain


def lines(count: int, start: str = chain.START) -> list[bytes]:
    out: list[bytes] = []
    for seq in range(1, count + 1):
        document = b'{"seq":%d,"plugin":"p%d","prev":"%b"}' % (seq, seq, start.encode())
        out.append(chain.seal(document)[0])
        link = chain.parse(out[-1][:-1])
        assert link is not None
        start = link.hash
    return out


def verify(content: bytes, head: str | None = None) -> chain.Report:
    return chain.verify(io.BytesIO(content), len(content), head)


def test_a_line_is_json_and_names_its_place() -> None:
    first, second = lines(2)
    assert first.endswith(b"\n")
    assert first.count(b"\n") == 1
    one, two = json.loads(first), json.loads(second)
    assert list(one) == ["seq", "plugin", "prev", "hash"]
    assert (one["seq"], one["prev"]) == (1, "0" * 64)
    assert (two["seq"], two["prev"]) == (2, one["hash"])


def test_a_whole_chain() -> None:
    written = lines(5)
    report = verify(b"".join(written))
    assert report.problems == ()
    assert report.lines == 5
    assert report.head == json.loads(written[-1])["hash"]


def test_an_empty_file() -> None:
    assert verify(b"") == chain.Report(0, chain.START, ())
    assert verify(b"", "a" * 64).problems


@given(st.data())
def test_any_changed_byte_is_seen(data: st.DataObject) -> None:
    content = bytearray(b"".join(lines(3)))
    place = data.draw(st.integers(0, len(content) - 1))
    old = content[place]
    content[place] = data.draw(st.integers(0, 255).filter(lambda byte: byte != old))
    assert verify(bytes(content)).problems


def test_changes_name_their_line() -> None:
    a, b, c, d = lines(4)
    changed = b.replace(b"p2", b"p3")
    assert verify(a + changed + c + d).problems == ((2, "was changed: its hash does not fit"),)
    (problem,) = verify(a + c + d).problems
    assert problem[0] == 2
    assert "does not follow" in problem[1]
    assert [number for number, _ in verify(a + c + b + d).problems] == [2, 3, 4]
    assert [number for number, _ in verify(a + b + b + c + d).problems] == [3]
    (problem,) = verify(b + c + d).problems
    assert "lines before it are missing" in problem[1]


def test_a_cut_end_needs_a_head() -> None:
    written = lines(4)
    head = json.loads(written[-1])["hash"]
    cut = b"".join(written[:2])
    assert verify(cut).problems == ()
    (problem,) = verify(cut, head).problems
    assert problem == (2, "is the end, and no line has the given head: lines are missing")
    later = b"".join(written)
    assert verify(later, json.loads(written[1])["hash"]).problems == ()


def test_a_file_written_anew_needs_a_head() -> None:
    head = json.loads(lines(3)[-1])["hash"]
    forged = [chain.seal(b'{"seq":1,"plugin":"innocent","prev":"%b"}' % chain.START.encode())[0]]
    assert verify(b"".join(forged)).problems == ()
    assert verify(b"".join(forged), head).problems


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"{}\n", "not an audit line"),
        (b"\n", "not an audit line"),
        (b"\xff\xfe\x00\n", "not an audit line"),
        (b'{"seq":1,', "not complete"),
        (b'{"seq":0,"prev":"x","hash":"y"}\n', "not an audit line"),
    ],
)
def test_other_text(content: bytes, words: str) -> None:
    assert words in verify(content).problems[0][1]
    good = lines(1)[0]
    assert words in verify(good + content).problems[0][1]


def test_reports_are_bounded() -> None:
    assert len(verify(b"{}\n" * 1000).problems) == chain.MAX_PROBLEMS
    assert verify(b"x" * (chain.MAX_LINE + 5)).problems[0] == (1, "is not an audit line")


def test_what_is_appended_meanwhile_is_not_looked_at() -> None:
    a, b = lines(2)
    assert chain.verify(io.BytesIO(a + b[:10]), len(a)).problems == ()
