"""Patterns of a schema: the language of `re` where both can, and never slow."""

import re
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fumehood.provider.patterns import MAX_PATTERN, Pattern, Unsupported

TEXTS = ["", "a", "b", "ab", "aab", "abc", "A1", "x-y", "a\nb", "sk-123", "é", "]", "\\", "a.b"]


@pytest.mark.parametrize(
    "source",
    [
        "", "a", "^a", "a$", "^$", "^a$", "a|b", "^(a|b)+$", "(?:ab)*c", "a{2}", "a{1,2}b",
        "a{2,}", "^[a-c]+$", "^[^a-c]+$", r"^\w+$", r"\d", r"^\D*$", r"^\S+$", r"\s",
        r"^sk-\d{3}$", ".", r"\.", r"[\]a]", "[a-]", r"[\w-]+", "a??b", "a+?",
        "(?P<name>a)b", "(a|)b", "()*", "^^a", r"\x41", r"[\x41-\x43]", r"\-", "x-y", "a{x}",
        r"[\n]", "((a*)*)*b", "(a{0,3}){0,3}$",
    ],
)  # fmt: skip
def test_agrees_with_re(source: str) -> None:
    pattern, peer = Pattern(source), re.compile(source, re.ASCII)
    for text in TEXTS:
        if text.endswith("\n"):
            continue
        assert pattern.search(text) == bool(peer.search(text)), (source, text)


@given(
    st.text("ab()|*+?[]^$.{}12,-", max_size=12),
    st.lists(st.text("ab1", max_size=6), min_size=1, max_size=5),
)
def test_agrees_with_re_on_anything(source: str, texts: list[str]) -> None:
    try:
        pattern = Pattern(source)
    except Unsupported:
        return
    if "[" in source or "{," in source or "+" in source:
        return  # possessive repetition, {,n} and []a] differ between re and ECMA-262
    try:
        peer = re.compile(source)
    except re.error:
        return  # this machine reads some of what JavaScript allows and re does not
    for text in texts:
        assert pattern.search(text) == bool(peer.search(text)), (source, text)


@pytest.mark.parametrize(
    "source",
    [
        "(a+)+$", "(a|a)*$", "(a|aa)+$", "(.*a){20}", "^(([a-z])+.)+[A-Z]([a-z])+$",
        "(a?){50}a{50}", "(((((a*)*)*)*)*)*$",
    ],
)  # fmt: skip
def test_pathological_patterns_are_quick(source: str) -> None:
    started = time.process_time()
    Pattern(source).search("a" * 200 + "!")
    assert time.process_time() - started < 2.0


@pytest.mark.parametrize(
    "source",
    [
        "(?=a)", "(?!a)", "(?<=a)", r"(a)\1", r"\b", "(", ")", "[", "[a", "*",
        "a" * (MAX_PATTERN + 1),
        "(" * 60 + ")" * 60, "(a{1000}){1000}", "((){5000}){5000}", "((((a{9}){9}){9}){9}){9}",
        "a{5,2}", r"\x4", r"\uzzzz", "[b-a]", r"[\w-z]", "\\", "(?P<a", "a{99999}", "(?i)a",
    ],
)  # fmt: skip
def test_what_the_machine_cannot_do_is_said(source: str) -> None:
    with pytest.raises(Unsupported):
        Pattern(source)
