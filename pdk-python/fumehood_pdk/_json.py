"""JSON as the ABI writes it: compact, UTF-8, strict in what is read."""

from __future__ import annotations

import json
from typing import Any, NoReturn


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


# made once: `json.dumps` and `json.loads` would make them anew for each document
_encode = json.JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode
_decode = json.JSONDecoder(parse_constant=_no_constant).decode


def dumps(value: Any) -> bytes:
    """Compact UTF-8. ValueError for what JSON cannot say: NaN, Infinity, lone surrogates, unknown objects."""
    try:
        return _encode(value).encode()
    except (TypeError, UnicodeEncodeError) as problem:
        raise ValueError(f"cannot be written as JSON: {problem}") from None


def loads(data: bytes) -> Any:
    """The value of a document. ValueError also for NaN, lone surrogates, bytes that are not UTF-8, endless depth."""
    text = data.decode()
    try:
        value = _decode(text)
    except RecursionError:
        raise ValueError("nested too deeply") from None
    if "\\ud" in text or "\\uD" in text:
        dumps(value)  # half of a pair of surrogates is no text, and could not be written again
    return value
