"""HTTP statuses as error payloads, and what a reply says about retrying (provider-abi.md §5.4)."""

from __future__ import annotations

import math
import re
import time
from collections.abc import Iterable
from datetime import UTC
from email.utils import parsedate_to_datetime
from typing import Any, Final

from fumehood.abi import jsonwire
from fumehood.abi.payloads import Payload
from fumehood.errors import ProtocolError, clip

Headers = Iterable[tuple[str, str]]

MAX_HINT: Final = (1 << 63) - 1
"""Seconds; a larger hint is none."""

_INTEGER: Final = re.compile(r"[0-9]{1,19}")
_DURATION: Final = re.compile(r"(?:[0-9]{1,12}(?:\.[0-9]{1,12})?(?:ms|us|µs|ns|s|m|h|d))+")
_PART: Final = re.compile(r"([0-9.]+)([a-zµ]+)")
_UNITS: Final = {
    "ns": 1e-9,
    "us": 1e-6,
    "µs": 1e-6,
    "ms": 1e-3,
    "s": 1.0,
    "m": 60.0,
    "h": 3600.0,
    "d": 86400.0,
}
# Bodies larger than this are no error document.
_JSON_CAP: Final = 1024 * 1024


def classify(
    status: int, headers: Headers, body: bytes, chat: bool, *, now: float | None = None
) -> Payload:
    """The payload for a non-success reply, by its status alone.

    `chat` takes the column of chats without `classify_chat_error`, else the generic one is taken.
    `headers` have lower-case names. `now` is in seconds since 1970, for Retry-After dates.
    """
    if status == 499:
        return Payload("cancelled")
    document = _document(body)
    message = _message(status, document, body)
    hint = _retry_hint(headers, document, now)
    if chat:
        return Payload("provider_error", message, _chat_kind(status), retry_after_secs=hint)
    if status == 429:
        return Payload("rate_limited", message, retry_after_secs=hint)
    if status in (401, 403):
        return Payload("auth_error", message)
    if status == 400:
        return Payload("invalid_request", message)
    if 500 <= status <= 599:
        return Payload("http_status", message, status_code=status, retry_after_secs=hint)
    return Payload("provider_error", message)


def _chat_kind(status: int) -> str:
    if status == 429:
        return "rate_limited"
    if status in (401, 403):
        return "authentication"
    if status in (400, 422):
        return "invalid_request"
    if status in (408, 425) or 500 <= status <= 599:
        return "unknown_transient"
    return "unknown_permanent"


def retry_hint(headers: Headers, body: bytes = b"", *, now: float | None = None) -> int | None:
    """Whole seconds until a retry may help, from the first source that says it, or None.

    `retry-after` (seconds or a date; a past date says nothing), `retry-after-ms`,
    `x-ratelimit-reset-requests`, then the body's `/error/retry_after` and its three like.
    """
    return _retry_hint(headers, _document(body), now)


def _retry_hint(headers: Headers, document: Any, now: float | None) -> int | None:
    values: dict[str, str] = {}
    for name, value in headers:
        values.setdefault(name, value.strip())
    hint = _retry_after(values.get("retry-after", ""), now)
    if hint is None and _INTEGER.fullmatch(values.get("retry-after-ms", "")):
        hint = _whole(int(values["retry-after-ms"]) / 1000)
    if hint is None:
        hint = _number_or_duration(values.get("x-ratelimit-reset-requests"))
    if hint is not None:
        return hint
    error = document.get("error") if isinstance(document, dict) else None
    for obj in (error, document):
        for key in ("retry_after", "retry_after_secs"):
            hint = _number_or_duration(obj.get(key)) if isinstance(obj, dict) else None
            if hint is not None:
                return hint
    return None


def _retry_after(text: str, now: float | None) -> int | None:
    if _INTEGER.fullmatch(text):
        return _whole(int(text))
    try:
        date = parsedate_to_datetime(text)
        # A date without a zone is in GMT, as every HTTP date is.
        moment = (date if date.tzinfo else date.replace(tzinfo=UTC)).timestamp()
    except (ValueError, TypeError, IndexError, OverflowError):
        return None
    seconds = moment - (time.time() if now is None else now)
    return _whole(seconds) if seconds > 0 else None


def _number_or_duration(value: object) -> int | None:
    """Seconds from a number, or from text such as `12`, `1m30s`, `500ms`."""
    if isinstance(value, bool):
        return None
    if isinstance(value, int | float):
        return _whole(value)
    if not isinstance(value, str):
        return None
    text = value.strip()
    if _INTEGER.fullmatch(text):
        return _whole(int(text))
    if len(text) > 64 or _DURATION.fullmatch(text) is None:
        return None
    return _whole(sum(float(part[1]) * _UNITS[part[2]] for part in _PART.finditer(text)))


def _whole(seconds: float) -> int | None:
    """Fractions are cut off, but a positive value stays at least 1; None if out of range."""
    if not math.isfinite(seconds) or not 0 <= seconds <= MAX_HINT:
        return None
    return 1 if 0 < seconds < 1 else int(seconds)


def _document(body: bytes) -> Any:
    """The body as JSON, or None."""
    if not body or len(body) > _JSON_CAP:
        return None
    try:
        return jsonwire.decode(body, "the reply")
    except ProtocolError:
        return None


def _message(status: int, document: Any, body: bytes) -> str:
    """`/error/message` where it is text, else the body; never empty, cut where it is an essay."""
    error = document.get("error") if isinstance(document, dict) else None
    said = error.get("message") if isinstance(error, dict) else None
    text = said if isinstance(said, str) else body.decode("utf-8", "replace")
    return clip(text.strip()) or f"HTTP {status}"
