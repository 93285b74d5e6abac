"""Documents of guests that are no JSON, or JSON that readers disagree about."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from fumehood.testing.gallery.attacks import HARMLESS, STUB, Attack
from fumehood.testing.gallery.documents import around_key, wire

ONE_READING: Final = "A document that readers could disagree about is refused, or read in one way."
BOUNDED: Final = "Documents from guests are bounded before they are decoded."
GRANTED: Final = f"{STUB}models"
OTHER: Final = "http://attacker.example/"

VALUES: Final[Mapping[str, str]] = {
    "nan": "NaN",
    "infinity": "-Infinity",
    "beyond_double": "1e999",
    "long_integer": "9" * 400,
    "beyond_64_bits": str(1 << 64),
    "below_64_bits": str(-(1 << 63) - 1),
    "surrogate": '"\\ud800"',
    "surrogates_reversed": '"\\udc00\\ud800"',
    "surrogate_key": '{"\\udfff":1}',
    "not_utf8": '"\udcff"',
    "overlong_utf8": '"\udcc0\udcaf"',
    "utf8_surrogate": '"\udced\udca0\udc80"',
    "control_character": '"a\nb"',
    "nul": '"a\0b"',
    "leading_zero": "01",
    "plus": "+1",
    "hexadecimal": "0x10",
    "single_quotes": "'a'",
    "comment": "1/*a*/",
    "trailing_comma": "[1,]",
    "half_a_word": "tru",
    "deep": "[" * 100_000 + "]" * 100_000,
    "deep_objects": '{"a":' * 1_000 + "1" + "}" * 1_000,
    "unclosed": "[" * 2_000,
}
"""Values that stand where the document has room for any; each makes it one that is refused."""


def _refused(name: str, guest: str, document: str) -> Attack:
    group = "UTF-8" if "utf8" in name or "surrogate" in name else "JSON"
    promise = BOUNDED if "deep" in name or "long" in name else ONE_READING
    return Attack(
        name,
        group,
        promise,
        "ProtocolError",
        guest=guest,
        input=document,
        allowed_hosts=("127.0.0.1",),
        replies=0,
        limits={"deadline": 3.0},
    )


_DOCUMENTS: Final[Mapping[str, tuple[str, str]]] = {
    "extism_request": ("http", f'{{"url":"{GRANTED}","headers":{{}},"method":@}}'),
    "wire_request": (
        "qmt_http",
        f'{{"req":{{"head":{{"method":"GET","uri":"{GRANTED}","headers":{{}},'
        '"version":"HTTP/1.1"},"body":@}}',
    ),
    "log_record": ("qmt_log", '{"level":"info","target":"a","message":@}'),
    "stream_request": ("stream_open", '{"req":@}'),
}

_BODIES: Final[Mapping[str, str]] = {
    "too_big": "[256]",
    "negative": "[-1]",
    "fraction": "[1.5]",
    "exponent": "[1e1]",
    "text": '"hello"',
    "null": "null",
    "nested": "[[1]]",
    "texts": '["1"]',
    "booleans": "[true]",
    "huge": "[" + "9" * 400 + "]",
    "holes": "[1,,2]",
    "open": "[1,2",
    "zeros": "[007]",
}
"""Bodies, which are arrays of bytes."""

_EXTRA: Final[Mapping[str, tuple[str, str]]] = {
    "bom": ("http", f'\ufeff{{"url":"{GRANTED}"}}'),
    "two_documents": ("http", f'{{"url":"{GRANTED}"}}{{"url":"{OTHER}"}}'),
    "utf16": ("http", "{\0}\0"),
    "empty": ("http", ""),
    "blanks": ("http", " " * 100_000),
    "array": ("http", "[]"),
    "unknown_key": ("http", f'{{"url":"{GRANTED}","proxy":"{OTHER}"}}'),
    "headers_null": ("http", f'{{"url":"{GRANTED}","headers":null}}'),
    "header_number": ("http", f'{{"url":"{GRANTED}","headers":{{"a":1}}}}'),
    "url_number": ("http", '{"url":2130706433}'),
    "version_9": ("qmt_http", wire(GRANTED).replace("HTTP/1.1", "HTTP/9")),
    "header_no_values": ("qmt_http", wire(GRANTED).replace('"headers": {}', '"headers":{"a":[]}')),
    "no_head": ("qmt_http", '{"req":{"body":[]}}'),
}

_LAST_DENIED: Final = f'{{"url":"{GRANTED}","url":"{OTHER}"}}'
_LAST_GRANTED: Final = f'{{"url":"{OTHER}","url":"{GRANTED}"}}'
_HEADER_TWICE: Final = f'{{"url":"{GRANTED}","headers":{{"te":"trailers","TE":"a"}}}}'

_ASKED: Final = around_key(wire(f"{STUB}models", authorization="Bearer KEY"))


def _duplicate(name: str, document: str, expect: str, replies: int) -> Attack:
    return Attack(
        f"duplicate_{name}",
        "JSON",
        "Of two values of one key the last one counts, for deciding and for sending alike.",
        expect,
        guest="http",
        input=document,
        allowed_hosts=("127.0.0.1",),
        replies=replies,
        limits={"deadline": 3.0},
    )


def _reply(name: str, reply: str, expect: str = "ProtocolError", **more: bytes) -> Attack:
    return Attack(
        f"reply_{name}",
        "UTF-8" if "utf8" in name or "surrogate" in name else "JSON",
        ONE_READING,
        expect,
        guest="provider",
        config={"base_url": STUB, "api_key": "sk-of-no-worth", "model": "m"},
        chat=True,
        fill={**_ASKED, "reply": reply},
        limits={"deadline": 3.0},
        answer=more.get("answer"),
    )


MALFORMED: Final = (
    *(
        _refused(f"{where}_{name}", guest, document.replace("@", value))
        for where, (guest, document) in _DOCUMENTS.items()
        for name, value in VALUES.items()
    ),
    *(
        _refused(f"body_{name}", "qmt_http", _DOCUMENTS["wire_request"][1].replace("@", value))
        for name, value in _BODIES.items()
    ),
    *(_refused(f"request_{name}", guest, text) for name, (guest, text) in _EXTRA.items()),
    _duplicate("url_last_denied", _LAST_DENIED, "EgressDenied", 0),
    _duplicate("url_last_granted", _LAST_GRANTED, HARMLESS, 1),
    _duplicate("header", _HEADER_TWICE, "EgressDenied", 0),
    _reply("has_surrogate", '{"text":"\\ud800"}'),
    _reply("is_not_utf8", '{"text":"\udcff"}'),
    _reply("has_overlong_utf8", '{"text":"\udcc0\udcaf"}'),
    _reply("has_nan", '{"text":"a","usage":{"input_tokens":NaN}}'),
    _reply("has_negative_count", '{"text":"a","usage":{"input_tokens":-1}}'),
    _reply("has_count_beyond_64_bits", f'{{"text":"a","usage":{{"input_tokens":{1 << 64}}}}}'),
    _reply("is_empty", ""),
    _reply("is_two_documents", '{"text":"a"}{"text":"b"}'),
    _reply("has_duplicates", '{"text":"first","text":"last"}', HARMLESS, answer=b"last"),
)
