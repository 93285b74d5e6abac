"""Statuses and retry hints: every row and every source of provider-abi.md §5.4."""

from __future__ import annotations

import json
from typing import Any

import pytest

from fumehood.abi.payloads import Payload
from fumehood.abi.status import classify, retry_hint

NOW = 1_700_000_000.0  # Tue, 14 Nov 2023 22:13:20 GMT
HINT = (("retry-after", "7"),)

# status, generic type, whether it carries the hint, chat kind
TABLE: list[tuple[int, str, bool, str]] = [
    (429, "rate_limited", True, "rate_limited"),
    (401, "auth_error", False, "authentication"),
    (403, "auth_error", False, "authentication"),
    (400, "invalid_request", False, "invalid_request"),
    (422, "provider_error", False, "invalid_request"),
    (408, "provider_error", False, "unknown_transient"),
    (425, "provider_error", False, "unknown_transient"),
    (500, "http_status", True, "unknown_transient"),
    (503, "http_status", True, "unknown_transient"),
    (599, "http_status", True, "unknown_transient"),
    (404, "provider_error", False, "unknown_permanent"),
    (302, "provider_error", False, "unknown_permanent"),
    (418, "provider_error", False, "unknown_permanent"),
    (600, "provider_error", False, "unknown_permanent"),
]


@pytest.mark.parametrize(("status", "kind", "hinted", "chat_kind"), TABLE)
def test_table(status: int, kind: str, hinted: bool, chat_kind: str) -> None:
    generic = classify(status, HINT, b"no", False)
    assert generic == Payload(
        kind,
        "no",
        status_code=status if kind == "http_status" else None,
        retry_after_secs=7 if hinted else None,
    )
    chat = classify(status, HINT, b"no", True)
    assert chat == Payload("provider_error", "no", chat_kind, retry_after_secs=7)


def test_499_is_cancelled_in_both() -> None:
    assert classify(499, HINT, b"x", False) == classify(499, (), b"", True) == Payload("cancelled")


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b'{"error":{"message":" said "}}', "said"),
        (b'{"error":{"message":""}}', "HTTP 418"),
        (b'{"error":{"message":5}}', '{"error":{"message":5}}'),
        (b'{"error":"flat"}', '{"error":"flat"}'),
        (b'{"message":"m"}', '{"message":"m"}'),
        (b'[{"error":{"message":"m"}}]', '[{"error":{"message":"m"}}]'),
        (b"  plain\n", "plain"),
        (b"", "HTTP 418"),
        (b" \r\n", "HTTP 418"),
        (b"caf\xff\xc3", "caf��"),
        (b'{"error":{"message":"\xff"}}', '{"error":{"message":"�"}}'),
        ('{"error":{"message":"é"}}'.encode(), "é"),
    ],
)
def test_message(body: bytes, message: str) -> None:
    assert classify(418, (), body, False).message == message
    assert classify(418, (), body, True).message == message


def test_an_essay_is_cut() -> None:
    assert len(classify(500, (), b"x" * (8 << 20), False).message) < 20_000


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("0", 0),
        ("120", 120),
        (" 5 ", 5),
        ("Tue, 14 Nov 2023 22:14:00 GMT", 40),
        ("Tuesday, 14-Nov-23 22:14:00 GMT", 40),
        ("Tue Nov 14 22:14:00 2023", 40),
        ("Tue, 14 Nov 2023 22:13:20 GMT", None),
        ("Tue, 14 Nov 2023 22:13:00 GMT", None),
        ("1.5", None),
        ("-5", None),
        ("", None),
        ("soon", None),
        ("1m", None),
        ("٣", None),
        ("99999999999999999999", None),
        ("9" * 5000, None),
        ("Tue, 14 Nov 99999 22:14:00 GMT", None),
        ("Tue, 99 Nov 2023 99:99:99 GMT", None),
    ],
)
def test_retry_after(value: str, seconds: int | None) -> None:
    assert retry_hint((("retry-after", value),), now=NOW) == seconds


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("0", 0),
        ("1", 1),
        ("999", 1),
        ("1000", 1),
        ("1999", 1),
        ("2500", 2),
        ("1.5", None),
        ("1s", None),
    ],
)
def test_retry_after_ms(value: str, seconds: int | None) -> None:
    assert retry_hint((("retry-after-ms", value),)) == seconds


DURATIONS: list[tuple[str, int | None]] = [
    ("12", 12),
    ("0", 0),
    ("1m30s", 90),
    ("500ms", 1),
    ("1500ms", 1),
    ("0ms", 0),
    ("17.5s", 17),
    ("0.2s", 1),
    ("6m0s", 360),
    ("1h2m3s", 3723),
    ("1d", 86400),
    ("2m59.56s", 179),
    (" 5s ", 5),
    ("5 s", None),
    ("s", None),
    ("5x", None),
    ("1m30", None),
    ("1.5", None),
    ("-1s", None),
    ("", None),
    ("1" * 100 + "s", None),
    ("1s" * 1000, None),
]


@pytest.mark.parametrize(("value", "seconds"), DURATIONS)
def test_ratelimit_reset(value: str, seconds: int | None) -> None:
    assert retry_hint((("x-ratelimit-reset-requests", value),)) == seconds


BODIES: list[tuple[Any, int | None]] = [
    *DURATIONS,
    (3, 3),
    (0, 0),
    (2.9, 2),
    (0.1, 1),
    (-1, None),
    (True, None),
    (None, None),
    ([3], None),
    (1e300, None),
]


@pytest.mark.parametrize(("value", "seconds"), BODIES)
@pytest.mark.parametrize("key", ["retry_after", "retry_after_secs"])
@pytest.mark.parametrize("inside", [True, False])
def test_body(value: Any, seconds: int | None, key: str, inside: bool) -> None:
    document = {"error": {key: value}} if inside else {key: value}
    assert retry_hint((), json.dumps(document).encode()) == seconds


def test_the_first_source_that_parses_wins() -> None:
    body: dict[str, Any] = {
        "error": {"retry_after": 4, "retry_after_secs": 5},
        "retry_after": 6,
        "retry_after_secs": 7,
    }
    sources: list[tuple[str, str]] = [
        ("retry-after", "1"),
        ("retry-after-ms", "2000"),
        ("x-ratelimit-reset-requests", "3s"),
    ]
    found = []
    for drop in range(4):
        found.append(retry_hint(sources[drop:], json.dumps(body).encode()))
    del body["error"]["retry_after"]
    found.append(retry_hint((), json.dumps(body).encode()))
    del body["error"]
    found.append(retry_hint((), json.dumps(body).encode()))
    del body["retry_after"]
    found.append(retry_hint((), json.dumps(body).encode()))
    assert found == [1, 2, 3, 4, 5, 6, 7]


def test_what_does_not_parse_is_passed_over() -> None:
    headers = (
        ("retry-after", "Tue, 14 Nov 2023 22:13:00 GMT"),
        ("retry-after-ms", "x"),
        ("x-ratelimit-reset-requests", "?"),
    )
    assert retry_hint(headers, b'{"retry_after":"9s"}', now=NOW) == 9
    assert retry_hint(headers, b"not json", now=NOW) is None
    assert retry_hint(headers, b'["retry_after"]', now=NOW) is None


def test_the_clock_is_the_default_for_now() -> None:
    assert retry_hint((("retry-after", "Fri, 31 Dec 2117 23:59:59 GMT"),)) is not None
    assert retry_hint((("retry-after", "Fri, 31 Dec 1999 23:59:59 GMT"),)) is None


def test_the_zone_of_a_date_counts() -> None:
    date = "Sat, 01 Jan 2050 02:00:00 +0200"
    assert retry_hint((("retry-after", date),), now=0) == 2524608000
    assert retry_hint((("retry-after", date.replace("+0200", "GMT")),), now=0) == 2524615200


def test_the_range_of_a_hint() -> None:
    assert retry_hint((("retry-after", "0"),), now=NOW) == 0
    assert retry_hint((), b'{"retry_after":0.5}') == 1
    assert retry_hint((), b'{"retry_after":1.5}') == 1
    assert retry_hint((("retry-after", str((1 << 63) - 1)),), now=NOW) == (1 << 63) - 1
    assert retry_hint((("retry-after", str(1 << 63)),), now=NOW) is None


def test_the_body_of_a_classified_reply_has_a_hint_too() -> None:
    assert classify(429, (), b'{"error":{"retry_after":7}}', chat=True).retry_after_secs == 7
