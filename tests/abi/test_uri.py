from __future__ import annotations

import pytest

from fumehood.abi.uri import MAX_SCHEME, MAX_URI, BadUri, check_uri

SAME = [
    "*",
    "/",
    "/a?b",
    "/a//b",
    "h",
    "h:1",
    "example.com:443",
    "https://h",
    "https://h/",
    "HTTPS://H/",
    "https://h?x",
    "https://h:8080/p?q=/?:@[]",
    "https://u:p@h/p",
    "https://u%20:p@h/",
    "https://[::1]:80/",
    "wasi+x.y://h/",
    "/%zz",
    '/{"a"}',
    "/é?é",
    "https://h/p?a=`^{}",
]


@pytest.mark.parametrize("text", SAME)
def test_accepted_as_it_is(text: str) -> None:
    assert check_uri(text) == text


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        ("/a#b", "/a"),
        ("/a?b#c?d", "/a?b"),
        ("https://h#x", "https://h"),
        ("https://h/#", "https://h/"),
        ("https://h/p?q#/f g", "https://h/p?q"),
    ],
)
def test_the_fragment_is_dropped(text: str, kept: str) -> None:
    assert check_uri(text) == kept


@pytest.mark.parametrize(
    "text",
    [
        "",
        " ",
        "https://h/a b",
        "https://h/a?b c",
        "https://h/\n",
        "https://h/\x7f",
        "https://h/<a>",
        '/a?"',
        "/a`",
        "https://",
        "https:///p",
        "https://?q",
        "://h/",
        "a/b",
        "h?q",
        "h#f",
        "https://h h/",
        "https://é/",
        "https://h\\x/",
        "https://h:1:2/",
        "https://a%20b/",
        "https://u@/",
        "https://[::1/",
        "https://::1]/",
        "https://]::1[/",
        "https://[::1][::2]/",
        "https://h\x00/",
        "x" * 65 + "://h/",
        "/" + "a" * MAX_URI,
        "/" + "é" * (MAX_URI // 2),
    ],
)
def test_refused(text: str) -> None:
    with pytest.raises(BadUri):
        check_uri(text)


def test_the_longest() -> None:
    text = "/" + "a" * (MAX_URI - 1)
    assert check_uri(text) == text


def test_the_ends_of_what_is_allowed() -> None:
    for whole in ("*", "a://h/", f"{'a' * MAX_SCHEME}://h/"):
        assert check_uri(whole) == whole
    with pytest.raises(BadUri, match=r"^the URI has no scheme, or one that is too long$"):
        check_uri(f"{'a' * (MAX_SCHEME + 1)}://h/")


def test_every_character_of_a_path_and_a_query() -> None:
    """As `http::Uri` has it: byte maps for ASCII, everything beyond passes."""
    path = {*range(0x21, 0x7F)} - {*b"#<>?`"}
    query = {*range(0x21, 0x7F)} - {*b'"#<>'}
    for number in [*range(0x100), 0x2028, 0xD7FF, 0xFFFF, 0x10FFFF]:
        char = chr(number)
        if char in "#?":
            continue  # they end a path
        for text, allowed in ((f"/a{char}", path), (f"/?a{char}", query)):
            if number in allowed or number >= 0x80:
                assert check_uri(text) == text
            else:
                with pytest.raises(BadUri):
                    check_uri(text)
