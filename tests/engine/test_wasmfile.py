"""What may be compiled in place (fumehood/engine/wasmfile.py)."""

from __future__ import annotations

import pytest

from fumehood.engine.wasmcode import uleb
from fumehood.engine.wasmfile import is_plain

HEAD = b"\0asm\1\0\0\0"
FUNCREF = b"\x63\x70"
"""`funcref` in its long form, which is valid too."""


def section(kind: int, content: bytes) -> bytes:
    return bytes([kind]) + uleb(len(content)) + content


def module(groups: list[bytes], types: bytes = b"\x01\x60\0\0") -> bytes:
    body = uleb(len(groups)) + b"".join(groups) + b"\x0b"
    code = b"\x01" + uleb(len(body)) + body
    return HEAD + section(1, types) + section(3, b"\x01\0") + section(10, code)


@pytest.mark.parametrize(
    ("groups", "plain"),
    [
        ([], True),
        ([uleb(2000) + b"\x7f"], True),
        ([uleb(2001) + b"\x7f"], False),
        ([b"\x01\x70", uleb(1999) + b"\x7f"], True),
        ([b"\x01" + FUNCREF, uleb(49_000) + b"\x7f"], False),
        ([b"\0" + FUNCREF, uleb(49_000) + b"\x7f"], False),
    ],
)
def test_locals_are_counted_whatever_the_encoding(groups: list[bytes], plain: bool) -> None:
    assert is_plain(module(groups)) is plain


def test_widths_are_read_whatever_the_encoding() -> None:
    wide = b"\x60" + uleb(33) + b"\x7f" * 33 + b"\0"
    assert not is_plain(module([], b"\x01" + wide))
    assert not is_plain(module([], b"\x01\x60\x01" + FUNCREF + b"\0"))
    hidden = b"\x60\x04" + FUNCREF * 4 + b"\0" + wide
    assert not is_plain(module([], b"\x02" + hidden))
