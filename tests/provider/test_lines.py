"""Bodies are cut into lines, whatever the reads were."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fumehood.errors import TooMuch
from fumehood.provider import lines
from fumehood.provider.lines import LineSplitter


def cut(pieces: list[bytes]) -> list[bytes]:
    splitter = LineSplitter()
    found = [line for piece in pieces for line in splitter.feed(piece)]
    return [*found, splitter.end()]


@given(st.lists(st.text("ab\r\n", max_size=8).map(str.encode), max_size=10))
def test_the_result_does_not_depend_on_the_reads(pieces: list[bytes]) -> None:
    body = b"".join(pieces)
    found = cut(pieces)
    assert found == cut([body]) == cut([bytes([byte]) for byte in body])
    assert b"".join(found) == body + b"\n"
    assert all(line.endswith(b"\n") and line.count(b"\n") == 1 for line in found)


def test_carriage_returns_and_blank_lines_are_kept() -> None:
    assert cut([b"a\r\n\r\n", b"b"]) == [b"a\r\n", b"\r\n", b"b\n"]
    assert cut([]) == [b"\n"]


def test_a_line_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lines, "MAX_LINE", 10)
    assert cut([b"a" * 10 + b"\n", b"b" * 10]) == [b"a" * 10 + b"\n", b"b" * 10 + b"\n"]
    for pieces in ([b"a" * 11 + b"\n"], [b"a" * 6] * 2, [b"a" * 9, b"aa\n"]):
        with pytest.raises(TooMuch) as caught:
            cut(pieces)
        assert caught.value.limit == "response_bytes"
