"""Record what an API answered once, replay it ever after: no network, no key.

    with cassette("tests/chat.json") as tape:
        provider = tape.open("my_provider.wasm", config={"model": "m"},
                             secrets={"api_key": "env:MY_API_KEY"})
        assert provider.chat("hi").text

The first run, with FUMEHOOD_CASSETTE=record and the key at hand, sends the requests and writes the
file; later ones answer from it, in the recorded order, to requests that are the same. Neither the
key nor a token of it gets into the file: of a request, method, address and body are kept, of a
reply what a plugin can use. What is decided about a request (hosts, places of keys, limits) is
decided in a replay as well.
"""

from __future__ import annotations

import base64
import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from fumehood.abi.http import HTTPRequest, HTTPResponse
from fumehood.egress.client import Client, ResponseStream
from fumehood.egress.exchange import decide_request
from fumehood.egress.policy import Grant
from fumehood.egress.secrets import Secrets
from fumehood.errors import UsageError
from fumehood.meter import Meter
from fumehood.provider.opening import Spec
from fumehood.provider.provider import Provider, open_spec

RECORD: Final = "FUMEHOOD_CASSETTE"
"""Set to `record`, a cassette that is not there yet is recorded."""

_VERSION: Final = 1
_KEPT: Final = ("content-type", "retry-after", "x-request-id", "request-id")
_KEPT_PREFIXES: Final = ("retry-after", "x-ratelimit-")
_STAND_IN: Final = "fumehood-cassette-key"
_Exchange = dict[str, Any]


class Cassette:
    """One file of exchanges, and the HTTP of the providers opened with it. Use `cassette`."""

    def __init__(self, path: Path, *, recording: bool) -> None:
        self.path = path
        self.recording = recording
        self._live = Client() if recording else None
        self._exchanges: list[_Exchange] = [] if recording else _load(path)
        self._next = 0

    def open(
        self,
        plugin: str | os.PathLike[str] | bytes,
        *,
        config: Mapping[str, Any] | None = None,
        secrets: Mapping[str, Any] | None = None,
        **rest: Any,
    ) -> Provider:
        """`Provider.open` over this cassette. In a replay the secrets need not exist: stand-ins
        take their places, with the same bindings."""
        if self.recording:
            spec = Spec(plugin=plugin, config=config or {}, secrets=secrets or {}, **rest)
            return open_spec(Provider, spec, client=self)
        with _stand_ins(secrets or {}) as replaced:
            spec = Spec(plugin=plugin, config=config or {}, secrets=replaced, **rest)
            return open_spec(Provider, spec, client=self)

    @property
    def unused(self) -> int:
        """Recorded exchanges that nobody asked for yet."""
        return len(self._exchanges) - self._next

    # -- the client of a provider -----------------------------------------------------------------

    def send(
        self,
        request: HTTPRequest,
        grant: Grant,
        meter: Meter,
        *,
        secrets: Secrets | None = None,
        follow: int = 0,
    ) -> HTTPResponse:
        """As `egress.Client.send`. Raises UsageError for a request that was not recorded."""
        asked = _asked(request, secrets)
        if self._live is None:
            found = self._find(asked, request, grant, meter, secrets)
            return HTTPResponse(found["status"], _headers(found), _body(found, secrets))
        reply = self._live.send(request, grant, meter, secrets=secrets, follow=follow)
        self._exchanges.append(asked | _kept(reply.status, reply.headers, [reply.body], secrets))
        return reply

    def stream(
        self,
        request: HTTPRequest,
        grant: Grant,
        meter: Meter,
        *,
        secrets: Secrets | None = None,
    ) -> _Replayed | _Recorded:
        """As `egress.Client.stream`. Raises UsageError for a request that was not recorded."""
        asked = _asked(request, secrets)
        if self._live is None:
            found = self._find(asked, request, grant, meter, secrets)
            return _Replayed(found["status"], _headers(found), _pieces(found, secrets))
        reply = self._live.stream(request, grant, meter, secrets=secrets)
        exchange = asked | _kept(reply.status, reply.headers, [], secrets)
        self._exchanges.append(exchange)
        return _Recorded(reply, exchange, secrets)

    def close(self) -> None:
        """Write what was recorded. Idempotent. Raises UsageError where it would hold a key."""
        if self._live is None:
            return
        self._live.close()
        self._live = None
        self.path.parent.mkdir(parents=True, exist_ok=True)
        document = {"fumehood_cassette": _VERSION, "exchanges": self._exchanges}
        self.path.write_text(json.dumps(document, indent=1, ensure_ascii=False) + "\n", "utf-8")

    def _find(
        self,
        asked: _Exchange,
        request: HTTPRequest,
        grant: Grant,
        meter: Meter,
        secrets: Secrets | None,
    ) -> _Exchange:
        target = decide_request(grant, request, meter.limits.request_bytes)
        if secrets:
            secrets.substitute(target, request.body)
        meter.http_request()
        if self._next == len(self._exchanges):
            raise UsageError(
                f"{self.path.name} has no exchange for {asked['method']} {asked['uri']}",
                hint=f"delete it and record again with {RECORD}=record",
            )
        found = self._exchanges[self._next]
        for part in ("method", "uri", "body"):
            if _value(found[part]) != _value(asked[part]):
                raise UsageError(
                    f"{self.path.name}, exchange {self._next + 1}: the {part} is not the recorded "
                    f"one: {str(asked[part])[:300]}, recorded {str(found[part])[:300]}",
                    hint=f"delete it and record again with {RECORD}=record",
                )
        self._next += 1
        return found


@contextmanager
def cassette(path: str | os.PathLike[str], *, strict: bool = True) -> Iterator[Cassette]:
    """The cassette at `path`: replayed where it exists, else recorded if FUMEHOOD_CASSETTE says
    so. With `strict` a replay that ends well must have used every exchange.

    Raises UsageError for a file that is missing, unreadable or not used up.
    """
    file = Path(path)
    recording = not file.exists()
    if recording and os.environ.get(RECORD) != "record":
        raise UsageError(
            f"there is no cassette {file}", hint=f"record it once with {RECORD}=record and the key"
        )
    tape = Cassette(file, recording=recording)
    try:
        yield tape
    finally:
        tape.close()
    if strict and not recording and tape.unused:
        raise UsageError(f"{file.name}: {tape.unused} recorded exchanges were not asked for")


class _Replayed:
    """A recorded reply whose body comes piece by piece."""

    def __init__(
        self, status: int, headers: tuple[tuple[str, str], ...], pieces: list[bytes]
    ) -> None:
        self.status = status
        self.headers = headers
        self._pieces = iter(pieces)

    def read(self) -> bytes:
        """The next recorded piece, b"" at the end."""
        return next(self._pieces, b"")

    def close(self) -> None:
        """Give up the rest."""
        self._pieces = iter(())


class _Recorded:
    """A reply on its way; what is read is written down."""

    def __init__(self, reply: ResponseStream, exchange: _Exchange, secrets: Secrets | None) -> None:
        self._reply = reply
        self._exchange = exchange
        self._secrets = secrets
        self.status = reply.status
        self.headers = reply.headers

    def read(self) -> bytes:
        """As `ResponseStream.read`."""
        piece = self._reply.read()
        if piece:
            self._exchange["reply"].append(_written(piece, self._secrets))
        return piece

    def close(self) -> None:
        """As `ResponseStream.close`."""
        self._reply.close()


# -- what stands in the file -----------------------------------------------------------------------


def _load(path: Path) -> list[_Exchange]:
    try:
        document = json.loads(path.read_text("utf-8"))
        if document["fumehood_cassette"] != _VERSION:
            raise ValueError(f"version {document['fumehood_cassette']}")
        exchanges: list[_Exchange] = document["exchanges"]
    except (OSError, ValueError, KeyError, TypeError) as problem:
        raise UsageError(f"{path} is no cassette: {problem}") from None
    return exchanges


def _asked(request: HTTPRequest, secrets: Secrets | None) -> _Exchange:
    return {
        "method": request.method,
        "uri": _hidden(request.uri, secrets),
        "body": _written(request.body, secrets),
    }


def _kept(
    status: int,
    headers: tuple[tuple[str, str], ...],
    pieces: list[bytes],
    secrets: Secrets | None,
) -> _Exchange:
    kept = [
        [name, _hidden(value, secrets)]
        for name, value in headers
        if name in _KEPT or name.startswith(_KEPT_PREFIXES)
    ]
    reply = [_written(piece, secrets) for piece in pieces]
    return {"status": status, "headers": kept, "reply": reply}


def _headers(found: _Exchange) -> tuple[tuple[str, str], ...]:
    return tuple((name, value) for name, value in found["headers"])


def _pieces(found: _Exchange, secrets: Secrets | None) -> list[bytes]:
    return [_read(piece, secrets) for piece in found["reply"]]


def _body(found: _Exchange, secrets: Secrets | None) -> bytes:
    return b"".join(_pieces(found, secrets))


def _written(data: bytes, secrets: Secrets | None) -> Any:
    """Text as text, other bytes as `{"base64": …}`; no secret in either."""
    try:
        return _hidden(data.decode(), secrets)
    except UnicodeDecodeError:
        plain = secrets.scrub(data) if secrets else data
        return {"base64": base64.b64encode(plain).decode()}


def _read(written: Any, secrets: Secrets | None) -> bytes:
    if isinstance(written, dict):
        return base64.b64decode(written["base64"])
    text = str(written)
    for name in secrets.names if secrets else ():
        text = text.replace(f"<secret {name}>", secrets.token_for(name) if secrets else "")
    return text.encode()


def _hidden(text: str, secrets: Secrets | None) -> str:
    """`text` with `<secret NAME>` where a key or its token stood."""
    if not secrets:
        return text
    text = secrets.scrub_text(text)
    for name in secrets.names:
        text = text.replace(secrets.token_for(name), f"<secret {name}>")
    return text


def _value(written: Any) -> Any:
    """What is compared: JSON by its value, all else as it is."""
    if isinstance(written, str):
        try:
            return json.loads(written)
        except ValueError:
            return written
    return written


@contextmanager
def _stand_ins(secrets: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """The same secrets, their values taken from variables that exist for the moment."""
    replaced: dict[str, Any] = {}
    variables: list[str] = []
    try:
        for number, (name, secret) in enumerate(secrets.items()):
            variable = f"FUMEHOOD_CASSETTE_SECRET_{number}"
            os.environ[variable] = f"{_STAND_IN}-{number}"
            variables.append(variable)
            source = f"env:{variable}"
            plain = not isinstance(secret, Mapping)
            replaced[name] = source if plain else {**secret, "from": source}
        yield replaced
    finally:
        for variable in variables:
            del os.environ[variable]
