"""No character that steers a terminal gets through."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fumehood.cli.text import escape, line

STEERING = [chr(n) for n in range(32) if chr(n) not in "\t\n"]
STEERING += [chr(n) for n in range(0x7F, 0xA0)]
STEERING += list("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069\u061c\u2028\u2029")
STEERING.append("\U000e0041")


@pytest.mark.parametrize("character", STEERING, ids=lambda c: f"{ord(c):04x}")
def test_steering_characters_become_visible(character: str) -> None:
    safe = escape(f"a{character}b")
    assert character not in safe
    assert safe[0] == "a"
    assert safe[-1] == "b"
    assert "\\" in safe


def test_what_people_write_stays() -> None:
    text = "Grüße, 世界!\n\tשלום \u200fمرحبا 👩\u200d🔬 \\ ok"
    assert escape(text) == text


@given(st.text(st.characters(codec=None, categories=None)))
def test_always_printable_and_stable(text: str) -> None:
    safe = escape(text)
    safe.encode("utf-8")
    assert escape(safe) == safe
    assert not any(c in safe for c in STEERING)
    assert "\n" not in line(text)
    assert "\t" not in line(text)


def test_a_line_is_one_line_and_capped() -> None:
    assert line("one\ntwo\r\n  three\x1b[2J") == r"one two three\e[2J"
    assert line("x" * 3000).endswith("(1000 more characters)")
