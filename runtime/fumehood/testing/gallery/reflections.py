"""Replies that give a key back: whatever their spelling, the guest does not get to see it.

The row binds a canary to its own stub, the guest sends it there by its token, and the stub answers
with it. What the guest saw is its output; the row looks for the canary there, and for every run of
characters by which the spelling would give it away.
"""

from __future__ import annotations

import base64
import gzip
import json
from collections.abc import Callable, Iterator
from functools import partial
from typing import Final
from urllib.parse import quote

from fumehood import errors
from fumehood.egress.binding import bind
from fumehood.egress.policy import Grant
from fumehood.egress.secrets import Secrets, Slot
from fumehood.provider import Provider
from fumehood.testing.gallery.attacks import HARMLESS, Attack
from fumehood.testing.gallery.documents import around_key, wire
from fumehood.testing.gallery.stage import Guest, Stage
from fumehood.testing.stub import Reply, StubRequest, StubServer

PROMISE: Final = "A key that a reply gives back by accident does not reach the guest."
TEXTS: Final = "A key that a reply gives back stands in no error and no log line."

CANARY: Final = 'sk-proj-Reflected/Canary+"71c2"~end'
"""With characters that JSON, URLs and both base64 alphabets write differently."""

SHAPE: Final = "sk-proj-"
"""How the key begins, and so its token."""

TELLING: Final = 12
"""So many characters of a spelling in a row would tell too much (they are 9 bytes of a key)."""


def exact(text: str) -> str:
    """As it is."""
    return text


def json_text(text: str) -> str:
    """As JSON text has it."""
    return json.dumps(text)


def json_slashes(text: str) -> str:
    """As PHP and others write JSON."""
    return json.dumps(text).replace("/", "\\/")


def json_units(text: str) -> str:
    """JSON with every character escaped."""
    return "".join(f"\\u{ord(character):04x}" for character in text)


def json_twice(text: str) -> str:
    """JSON inside JSON."""
    return json.dumps(json.dumps(text))


def percent(text: str) -> str:
    """As in a URL."""
    return quote(text, safe="")


def percent_lower(text: str) -> str:
    """As in a URL, every character, hex in lower case."""
    return "".join(f"%{byte:02x}" for byte in text.encode())


def percent_twice(text: str) -> str:
    """As in a URL inside a URL."""
    return quote(quote(text, safe=""), safe="")


def base64_at(text: str, shift: int, encode: Callable[[bytes], bytes]) -> str:
    """Inside base64, `shift` bytes after the beginning of a group of three."""
    return encode(b"abc"[:shift] + text.encode() + b"xyz").decode()


def _request(server: StubServer, token: str) -> bytes:
    return wire(f"{server.url}models", authorization=f"Bearer {token}").encode()


def _slot(server: StubServer) -> Slot:
    """The key's slot. A token has the key's shape; one that goes on like the key by chance (one in
    some sixty, by a letter) would look like a leak of it."""
    while True:
        slot = Slot.create("api_key", CANARY, bind("api_key", base_url=server.url))
        if not slot.token.startswith(CANARY[: len(SHAPE) + 1]):
            return slot


def _attacker(stage: Stage, server: StubServer, guest: str) -> tuple[Guest, str]:
    slot = _slot(server)
    return stage.guest(
        stage.compiled(guest),
        client=stage.client(),
        grant=Grant.of(base_url=server.url),
        secrets=Secrets([slot]),
    ), slot.token


def _search(stage: Stage, output: str, spelled: str) -> None:
    """No telling run of the spelling may stand in what the guest saw."""
    stage.require(CANARY not in output, "the guest saw the key")
    for start in range(len(spelled) - TELLING + 1):
        run = spelled[start : start + TELLING]
        stage.require(run not in output, f"the guest saw {run!r} of the key")


def _sent(stage: Stage, server: StubServer) -> None:
    """The key did go to the stub, in its header and nowhere else."""
    for request in server.requests:
        stage.require(request.header("authorization") == f"Bearer {CANARY}", "no key was sent")
        others = [value for name, value in request.headers if name != "authorization"]
        stage.require(
            CANARY not in " ".join([request.target, repr(request.body), *others]),
            "the key went elsewhere",
        )


def _body(stage: Stage, spell: Callable[[str], str]) -> None:
    """Before, in the middle and at the end of a body."""
    spelled = spell(CANARY)
    server = stage.stub(lambda _request: Reply(200, (), f"{spelled} and {spelled}".encode()))
    attacker, token = _attacker(stage, server, "qmt_http")
    document = json.loads(attacker.call(_request(server, token)))
    seen = bytes(document["resp"]["body"]).decode()
    _sent(stage, server)
    _search(stage, seen, spelled)
    stage.require(" and " in seen, "the rest of the reply is gone")


def _header(stage: Stage) -> None:
    server = stage.stub(lambda _request: Reply(200, (("x-echo", f"Bearer {CANARY}"),), b"hello"))
    attacker, token = _attacker(stage, server, "qmt_http")
    seen = attacker.call(_request(server, token)).decode()
    _sent(stage, server)
    _search(stage, seen, json.dumps(CANARY)[1:-1])
    stage.require("x-echo" in seen, "the header is gone")


def _packed(stage: Stage) -> None:
    """Inside a compressed body."""
    packed = gzip.compress(f"your key is {CANARY}, kept well".encode())
    server = stage.stub(lambda _request: Reply(200, (("content-encoding", "gzip"),), packed))
    attacker, token = _attacker(stage, server, "stream_read")
    seen = attacker.call(_request(server, token)).decode()
    _sent(stage, server)
    _search(stage, seen, CANARY)
    stage.require("kept well" in seen, "the rest of the reply is gone")


def _stream(stage: Stage, spell: Callable[[str], str], size: int) -> None:
    """In chunks of `size` bytes."""
    spelled = spell(CANARY)
    text = f"data: {spelled} and {spelled}\n\n".encode()

    def chunks(_request: StubRequest) -> Reply:
        def body() -> Iterator[bytes]:
            for start in range(0, len(text), size):
                yield text[start : start + size]

        return Reply(200, (("content-type", "text/event-stream"),), body())

    server = stage.stub(chunks)
    attacker, token = _attacker(stage, server, "stream_read")
    seen = attacker.call(_request(server, token)).decode()
    _sent(stage, server)
    _search(stage, seen, spelled)
    stage.require(seen.startswith("data: ") and seen.endswith("\n\n"), "the stream is damaged")


def _error(stage: Stage, status: int, spell: Callable[[str], str]) -> None:
    """A provider's error reply that quotes the key."""
    spelled = spell(CANARY)

    def quoting(_request: StubRequest) -> Reply:
        message = f"Incorrect API key provided: {spelled}"
        return Reply(
            status,
            (("content-type", "application/json"), ("x-request-id", f"id-{CANARY}")),
            json.dumps({"error": {"message": message, "type": "invalid"}}).encode(),
        )

    server = stage.stub(quoting)
    asked = wire(f"{server.url}chat", method="POST", authorization="Bearer KEY")
    config = {"base_url": server.url, "api_key": CANARY, "model": "m"}
    with Provider.open(
        stage.attack.source(**around_key(asked)).encode(), config=config, limits=stage.limits
    ) as provider:
        try:
            with stage.outcome.timed():
                provider.chat("hello")
        except errors.Error as error:
            _sent(stage, server)
            told = f"{error} {error!r} {vars(error)!r} {error.receipt!r} {provider!r}"
            _search(stage, told, spelled)
            _search(stage, told, json.dumps(spelled)[1:-1])
            raise


def _row(name: str, run: Callable[[Stage], None], promise: str = PROMISE) -> Attack:
    return Attack(name, "secrets", promise, HARMLESS, limits={"deadline": 5.0}, run=run)


_SPELLINGS: Final = {
    spell.__name__: spell
    for spell in (
        exact, json_text, json_slashes, json_units, json_twice, percent, percent_lower,
        percent_twice,
    )
} | {
    f"{name}_{shift}": partial(base64_at, shift=shift, encode=encode)
    for name, encode in (("base64", base64.b64encode), ("base64url", base64.urlsafe_b64encode))
    for shift in range(3)
}  # fmt: skip

REFLECTIONS: Final = (
    *(_row(f"reflected_{name}", partial(_body, spell=spell)) for name, spell in _SPELLINGS.items()),
    _row("reflected_in_header", _header),
    _row("reflected_gzipped", _packed),
    *(
        _row(f"reflected_split_{name}_{size}", partial(_stream, spell=spell, size=size))
        for name, spell in _SPELLINGS.items()
        for size in (1, 7)
    ),
    *(
        Attack(
            f"reflected_error_{status}",
            "secrets",
            TEXTS,
            "ProviderError",
            guest="provider",
            detail={"status": status},
            run=partial(_error, status=status, spell=exact),
        )
        for status in (401, 400, 500)
    ),
)
