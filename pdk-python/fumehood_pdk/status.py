"""What an HTTP status means (provider-abi.md §5.4), and when to try again."""

from __future__ import annotations

import re
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from fumehood_pdk import _json
from fumehood_pdk._errors import Kind, ProviderError
from fumehood_pdk._http import Headers, HTTPResponse


def classify_generic(response: HTTPResponse) -> ProviderError:
    """The meaning of a failed exchange that is not a chat (embed, complete, list models)."""
    status, message = response.status, error_message(response)
    if status == 499:
        return ProviderError.cancelled()
    if status == 429:
        return ProviderError.rate_limited(message, retry_hint(response.headers, json_body(response)))
    if status in (401, 403):
        return ProviderError.auth(message)
    if status == 400:
        return ProviderError.invalid_request(message)
    if status >= 500:
        return ProviderError.http_status(status, message, retry_hint(response.headers, json_body(response)))
    return ProviderError(message)


def classify_chat(response: HTTPResponse) -> ProviderError:
    """The meaning of a failed chat as far as the status tells it."""
    if response.status == 499:
        return ProviderError.cancelled()
    hint = retry_hint(response.headers, json_body(response))
    return ProviderError(error_message(response), kind=chat_kind(response.status), retry_after=hint)


def require_success(response: HTTPResponse) -> None:
    """Raises `classify_generic` unless the status is 2xx."""
    if not response.is_success:
        raise classify_generic(response)


def chat_kind(status: int) -> Kind:
    """The kind of a failed chat by its status alone."""
    if status == 429:
        return "rate_limited"
    if status in (401, 403):
        return "authentication"
    if status in (400, 422):
        return "invalid_request"
    if status in (408, 425) or status >= 500:
        return "unknown_transient"
    return "unknown_permanent"


@dataclass(slots=True)
class Refusal:
    """Everything a refused request tells; change what you know better, then raise `error()`."""

    message: str = ""
    kind: Kind | None = None
    code: str | None = None
    error_type: str | None = None
    request_id: str | None = None
    retry_after: int | None = None

    def error(self) -> ProviderError:
        """The error with these fields."""
        return ProviderError(
            self.message,
            kind=self.kind,
            code=self.code,
            error_type=self.error_type,
            request_id=self.request_id,
            retry_after=self.retry_after,
        )


def describe(response: HTTPResponse) -> Refusal:
    """The body's message, code and type in the shapes that vendors use, the request's id, the retry hint, and the kind
    by the status alone."""
    body = json_body(response)
    refusal = describe_body(body) or Refusal()
    refusal.message = refusal.message or error_message(response)
    refusal.kind = chat_kind(response.status)
    refusal.request_id = (
        response.headers.get("x-request-id") or response.headers.get("request-id") or refusal.request_id
    )
    refusal.retry_after = retry_hint(response.headers, body)
    if refusal.retry_after is None:
        refusal.retry_after = retry_hint_in_text(refusal.message)
    return refusal


def describe_body(body: Any) -> Refusal | None:
    """What a body says about a failure, None when it says nothing: `{"error": {"message", "code", "type"}}`,
    `{"error": "…"}`, `message` or `detail` at the top."""
    if not isinstance(body, dict):
        return None
    error = body.get("error")
    if error is None:
        error = body
    fields = error if isinstance(error, dict) else {}
    message = _words(error if isinstance(error, str) else None) or _words(fields.get("message"))
    refusal = Refusal(
        message or _words(fields.get("detail")) or "",
        code=_words(fields.get("code")),
        error_type=_words(fields.get("type")),
    )
    if refusal == Refusal():
        return None
    refusal.request_id = _words(body.get("request_id"))
    refusal.retry_after = retry_hint({}, body)
    if refusal.retry_after is None:
        refusal.retry_after = retry_hint_in_text(refusal.message)
    return refusal


def _words(value: Any) -> str | None:
    if isinstance(value, str):
        return value.strip() or None
    # some servers give the status as the code
    if isinstance(value, int | float) and not isinstance(value, bool):
        return _json.dumps(value).decode()
    return None


def json_body(response: HTTPResponse) -> Any:
    """The body as JSON, None where it is not."""
    try:
        return _json.loads(response.body)
    except ValueError:
        return None


def error_message(response: HTTPResponse) -> str:
    """The text of a failure: `/error/message`, else the body's text, else `HTTP <status>`."""
    text = _at(json_body(response), "error", "message")
    return (text if isinstance(text, str) else response.text).strip() or f"HTTP {response.status}"


def _at(value: Any, *path: str) -> Any:
    for key in path:
        value = value.get(key) if isinstance(value, dict) else None
    return value


# -- when to try again ------------------------------------------------------------------------------

_UNITS: Final = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_STEP: Final = re.compile(r"([0-9.]+)([A-Za-z]*)")
_DATE: Final = re.compile(r"[^,]*,\s*(\d+)\s+(\w+)\s+(\d+)\s+(\d+):(\d+):(\d+)\s+GMT\s*\Z", re.ASCII)
_MONTHS: Final = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
_WHOLE: Final = re.compile(r"\+?[0-9]+\Z")


def retry_hint(headers: Headers | Mapping[str, str], body: Any) -> int | None:
    """Whole seconds after which a retry makes sense: the first hint that can be read, headers first."""
    text = headers.get("retry-after", "").strip()
    if _WHOLE.match(text):
        return int(text)
    date = _date(text)
    if date is not None and date > (now := int(time.time())):
        return date - now
    text = headers.get("retry-after-ms", "").strip()
    if _WHOLE.match(text):
        return _seconds(int(text) / 1000)
    reset = _duration(headers.get("x-ratelimit-reset-requests", "").strip())
    if reset is not None:
        return _seconds(reset)
    for path in (("error", "retry_after"), ("error", "retry_after_secs"), ("retry_after",), ("retry_after_secs",)):
        value = _at(body, *path)
        if isinstance(value, str):
            value = _duration(value.strip())
        if isinstance(value, int | float) and not isinstance(value, bool) and value >= 0:
            return _seconds(value)
    return None


def retry_hint_in_text(message: str) -> int | None:
    """The hint in a sentence such as "Please try again in 11.054s", rounded up."""
    found = re.search(r"try again in ([0-9.]*)\s*(ms|milli|s|m)(?:([0-9.]+)s)?", message)
    if not found:
        return None
    number = _number(found[1].rstrip("."))
    if number is None:
        return None
    if found[2] in ("ms", "milli"):
        number /= 1000
    elif found[2] == "m":
        number = number * 60 + (_number(found[3] or "") or 0.0)
    return -int(-number // 1)


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None


def _seconds(value: float) -> int:
    """Fractions are cut off, but what is positive stays so."""
    return 1 if 0 < value < 1 else int(value)


def _duration(text: str) -> float | None:
    """Seconds in `12`, `1m30s`, `500ms`, `2h`."""
    if _WHOLE.match(text):
        return float(text)
    total, at = 0.0, 0
    while at < len(text):
        step = _STEP.match(text, at)
        number = _number(step[1]) if step else None
        if step is None or number is None or step[2] not in _UNITS:
            return None
        total += number * _UNITS[step[2]]
        at = step.end()
    return total if text else None


def _date(text: str) -> int | None:
    """Unix seconds of an HTTP date (RFC 9110 §5.6.7, the form `Sun, 06 Nov 1994 08:49:37 GMT`)."""
    found = _DATE.match(text)
    if not found or found[2] not in _MONTHS:
        return None
    day, year, hour, minute, second = (int(found[i]) for i in (1, 3, 4, 5, 6))
    month = _MONTHS.index(found[2]) + 1
    if not (1970 <= year <= 9999 and 1 <= day <= 31 and hour <= 23 and minute <= 59 and second <= 60):
        return None
    # days since 1970-01-01, counting years from March so that the leap day comes last
    y, m = (year, month - 3) if month > 2 else (year - 1, month + 9)
    days = y * 365 + y // 4 - y // 100 + y // 400 + (m * 153 + 2) // 5 + day - 1 - 719_468
    return ((days * 24 + hour) * 60 + minute) * 60 + second
