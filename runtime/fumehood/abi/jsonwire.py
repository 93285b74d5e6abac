"""JSON documents between guest and host: strict, bounded, one typed error (provider-abi.md §0, §3).

What a guest sends is attacker data. `decode` either returns a value or raises `ProtocolError`:
for text that is no JSON, invalid UTF-8, NaN and Infinity, numbers out of range, integers beyond
64 bits, lone surrogates, nesting deeper than `MAX_DEPTH`, and documents whose values would take
far more memory than their text. Of a key written twice the last value counts.
"""

from __future__ import annotations

import re
from datetime import datetime
from typing import Any, Final

import msgspec

from fumehood.errors import ProtocolError, UsageError

MAX_DEPTH: Final = 128
"""Arrays and objects inside each other; the outermost counts as one."""

MAX_VALUE_BYTES: Final = 512 * 1024 * 1024
"""What the decoded values of one document may take in memory, by a coarse estimate from above."""

_SMALL: Final = 64 * 1024
"""Documents up to this many bytes cannot decode into more than a few megabytes."""

_INT_MIN, _INT_MAX = -(1 << 63), (1 << 64) - 1

_decoder: Final = msgspec.json.Decoder()
_encoder: Final = msgspec.json.Encoder()

# Eighteen digits always fit 64 bits, so a document without nineteen in a row needs no walk.
# (Folding every digit to 0 and looking for zeros is ten times as fast as a regex.)
_FOLD_DIGITS: Final = bytes(0x30 if 0x30 <= b <= 0x39 else 0x20 for b in range(256))
_LONG_DIGITS: Final = b"0" * 19
# Both match an unterminated string too, to its end: where they failed there, every quote would
# start another scan of the rest, and a hostile document would cost quadratic time.
_STRING: Final = re.compile(rb'"[^"\\]*+(?:\\.?[^"\\]*+)*+"?', re.DOTALL)
_TOKEN: Final = re.compile(r'"[^"\\]*+(?:\\.?[^"\\]*+)*+"?|[\[\]{}]', re.DOTALL)
_TO_SQUARE: Final = bytes.maketrans(b"{}", b"[]")
_NOT_SQUARE: Final = bytes(b for b in range(256) if b not in b"[]")
_SPACE: Final = " \t\n\r"


def decode(data: bytes | bytearray | memoryview, what: str) -> Any:
    """The value of a JSON document; `what` names it in errors ("the reply of 'chat_request'").

    Raises ProtocolError, and nothing else, for whatever is not allowed (see the module).
    """
    text = data if isinstance(data, bytes) else bytes(data)
    _check_bounds(text, what)
    try:
        value = _decoder.decode(text)
    except UnicodeDecodeError as problem:
        raise ProtocolError(f"{what} is not valid UTF-8: {problem.reason}") from None
    except RecursionError:
        raise ProtocolError(f"{what} is nested too deeply") from None
    except (msgspec.MsgspecError, ValueError) as problem:
        raise ProtocolError(f"{what} is not valid JSON: {problem}") from None
    if len(text) >= len(_LONG_DIGITS) and _LONG_DIGITS in text.translate(_FOLD_DIGITS):
        _check_integers(value, what)
    return value


def decode_prefix(text: str, what: str = "the document") -> Any:
    """The value of the object or array that `text` begins with; what follows it is ignored.

    For error texts with a backtrace behind the JSON (§5.1, hazard 3). Leading blanks are allowed.
    Raises ProtocolError where `text` does not begin with one complete object or array.
    """
    start = len(text) - len(text.lstrip(_SPACE))
    if not text.startswith(("{", "["), start):
        raise ProtocolError(f"{what} does not begin with a JSON object or array")
    depth = 0
    for match in _TOKEN.finditer(text, start):
        token = match[0]
        if token in ("{", "["):
            depth += 1
            if depth > MAX_DEPTH:
                raise ProtocolError(f"{what} is nested deeper than {MAX_DEPTH}")
        elif token in ("}", "]"):
            depth -= 1
            if depth == 0:
                try:
                    encoded = text[start : match.end()].encode()
                except UnicodeEncodeError:
                    raise ProtocolError(f"{what} holds a lone surrogate") from None
                return decode(encoded, what)
    raise ProtocolError(f"{what} ends inside its JSON value")


def encode(value: Any) -> bytes:
    """`value` as a compact JSON document in UTF-8.

    `msgspec.Raw` stands for text that is JSON already (`encode_bytes`). For values that the host
    or the caller made: raises UsageError where they have no JSON form. Caller-made values whose
    floats may be NaN go through `checked` first: here they would become null.
    """
    try:
        return _encoder.encode(value)
    except UnicodeEncodeError:
        raise UsageError("text with a lone surrogate cannot be sent: it is not Unicode") from None
    except RecursionError:
        raise UsageError("a value nested too deeply, or inside itself, cannot be sent") from None
    except (TypeError, ValueError, OverflowError, msgspec.MsgspecError) as problem:
        raise UsageError(f"a value cannot be sent as JSON: {problem}") from None


def checked(value: Any, what: str, _depth: int = 1) -> Any:
    """`value` itself if guests can read it as JSON, for values that callers hand in.

    Raises UsageError, with `what` and the path in it, for NaN and Infinity, integers beyond
    64 bits, keys that are not text, bytes, dates with time, and nesting deeper than `MAX_DEPTH`.
    """
    kind = type(value)
    if kind is str or value is None or kind is bool:
        return value
    if isinstance(value, int):
        if not _INT_MIN <= value <= _INT_MAX:
            raise UsageError(f"{what}: an integer beyond 64 bits cannot be sent")
    elif isinstance(value, float):
        if value - value != 0.0:  # true for NaN and both infinities only
            raise UsageError(f"{what}: {value} cannot be sent as JSON")
    elif isinstance(value, bytes | bytearray | memoryview):
        raise UsageError(f"{what}: bytes cannot be sent as JSON", hint="decode or base64 them")
    elif isinstance(value, datetime):  # text to one encoder, an extension type to the other
        raise UsageError(f"{what}: a date with time cannot be sent", hint="use its isoformat()")
    elif isinstance(value, dict | list | tuple):
        if _depth > MAX_DEPTH:
            raise UsageError(f"{what}: nested deeper than {MAX_DEPTH}")
        if isinstance(value, dict):
            for key, item in value.items():
                if not isinstance(key, str):
                    raise UsageError(f"{what}: the key {key!r} is not text")
                checked(item, f"{what}.{key}", _depth + 1)
        else:
            for index, item in enumerate(value):
                checked(item, f"{what}[{index}]", _depth + 1)
    return value


def _check_bounds(text: bytes, what: str) -> None:
    """Depth and decoded size, before one value is built."""
    brackets = text.count(b"[") + text.count(b"{")
    if len(text) > _SMALL:
        # Sizes of CPython objects, rounded up: an empty dict or list, a string per two quotes,
        # and a boxed number with its slot per comma.
        cost = brackets * 72 + text.count(b'"') * 32 + text.count(b",") * 32
        if cost > MAX_VALUE_BYTES:
            raise ProtocolError(f"{what} holds too many values ({len(text)} bytes of text)")
    if brackets > MAX_DEPTH and _too_deep(text):
        raise ProtocolError(f"{what} is nested deeper than {MAX_DEPTH}")


def _too_deep(text: bytes) -> bool:
    """Whether brackets outside strings nest deeper than MAX_DEPTH. Linear for honest documents.

    Each pass takes away the innermost pairs, so a document of depth d is gone after d passes.
    Where the text is no JSON the answer may be wrong in either direction; `decode` refuses it.
    """
    rest = _STRING.sub(b"", text) if b'"' in text else text
    rest = rest.translate(_TO_SQUARE, b"").translate(None, _NOT_SQUARE)
    for _ in range(MAX_DEPTH):
        if not rest:
            return False
        shorter = rest.replace(b"[]", b"")
        if len(shorter) == len(rest):
            break
        rest = shorter
    return bool(rest)


def _check_integers(value: Any, what: str) -> None:
    stack = [value]
    while stack:
        item = stack.pop()
        kind = type(item)
        if kind is int:
            if not _INT_MIN <= item <= _INT_MAX:
                raise ProtocolError(f"{what} holds an integer beyond 64 bits")
        elif kind is dict:
            stack.extend(item.values())
        elif kind is list:
            stack.extend(item)
