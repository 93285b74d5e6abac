"""Answers of guests in MessagePack that lie about their lengths, or say what JSON cannot
(docs/wire.md)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from fumehood.testing.gallery.attacks import HARMLESS, Attack
from fumehood.testing.gallery.malformed import BOUNDED, ONE_READING

_HOSTILE: Final[Mapping[str, bytes]] = {
    "text_bomb": b"\x81\xa4text\xdb\xff\xff\xff\xff",
    "bin_bomb": b"\x81\xa4text\xc6\xff\xff\xff\xff",
    "array_bomb": b"\x81\xaatool_calls\xdd\xff\xff\xff\xff",
    "map_bomb": b"\xdf\xff\xff\xff\xff\xa4text\xa1a",
    "nested_bombs": b"\xdd\x10\x00\x00\x00" * 120 + b"\xc0" * 200,
    "deep": b"\x81\xa4text" + b"\x91" * 20_000 + b"\xc0",
    "deep_maps": b"\x81\xa1a" * 1_000 + b"\x80",
    "truncated": b"\x82\xa4text\xa1a",
    "empty": b"",
    "two_documents": b"\x81\xa4text\xa1a\x81\xa4text\xa1b",
    "reserved_byte": b"\x81\xa4text\xc1",
    "extension": b"\x82\xa4text\xa1a\xa1x\xd4\x05a",
    "timestamp": b"\x82\xa4text\xa1a\xa1x\xd6\xff\x00\x00\x00\x00",
    "nan": b"\x82\xa4text\xa1a\xa1x\xcb\x7f\xf8\x00\x00\x00\x00\x00\x00",
    "infinity": b"\x82\xa4text\xa1a\xa1x\xca\xff\x80\x00\x00",
    "key_is_number": b"\x82\xa4text\xa1a\x01\xa1b",
    "key_is_bytes": b"\x82\xa4text\xa1a\xc4\x01x\xa1b",
    "key_is_array": b"\x82\xa4text\xa1a\x90\xa1b",
    "bytes_for_text": b"\x81\xa4text\xc4\x05hello",
    "not_utf8": b"\x81\xa4text\xa1\xff",
    "utf8_surrogate": b"\x81\xa4text\xa3\xed\xa0\x80",
    "json": b'{"text":"hello"}',
}


def _answer(data: bytes) -> str:
    return data.decode("utf-8", "surrogateescape")


def _row(name: str, reply: bytes, expect: str = "ProtocolError", **more: bytes) -> Attack:
    bounded = "bomb" in name or "deep" in name
    return Attack(
        f"packed_{name}",
        "MessagePack",
        BOUNDED if bounded else ONE_READING,
        expect,
        guest="packed",
        config={"model": "m"},
        chat=True,
        fill={"reply": _answer(reply)},
        limits={"deadline": 3.0},
        answer=more.get("answer"),
    )


PACKED: Final = (
    *(_row(name, reply) for name, reply in _HOSTILE.items()),
    _row("duplicates", b"\x82\xa4text\xa5first\xa4text\xa4last", HARMLESS, answer=b"last"),
)
