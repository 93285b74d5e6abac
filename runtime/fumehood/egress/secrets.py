"""Secret slots: what a guest holds instead of a key, and where the key takes its place. Pure.

A guest is given a token. After the egress decision the real value replaces it, in the headers
(or query parameters) that the slot declares and only towards hosts bound to it. Anywhere else the
token makes the request fail: it would be useless there, and silence would hide a mistake.
"""

from __future__ import annotations

import dataclasses
import random
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Final, NoReturn, TypeVar
from urllib.parse import quote, unquote_plus

from fumehood.egress.binding import Binding, binds, contains
from fumehood.egress.policy import Grant, Target
from fumehood.egress.scrub import Scrubber, ScrubStream, base64_cores
from fumehood.egress.tokens import mint
from fumehood.errors import ConfigError, EgressDenied, Error, UsageError

DEFAULT_HEADERS: Final = ("authorization", "x-api-key", "api-key", "x-goog-api-key")
SHORTEST: Final = 8
"""Characters below which a value is no slot: scrubbing it would hit innocent text."""

_VISIBLE: Final = re.compile(r"[\x21-\x7e]+")
_NAME: Final = re.compile(r"[!#$%&'*+\-.^_`|~0-9a-z]+")
_SCHEME_WORD: Final = re.compile(r"[A-Za-z][A-Za-z0-9\-]*[ \t]+")

_E = TypeVar("_E", bound=Error)


@dataclass(frozen=True, slots=True)
class Slot:
    """One secret of one provider. Made by `Slot.create`; its repr shows no value.

    `slot` is false for a value that the guest itself must transform and therefore gets.
    """

    name: str
    value: str = field(repr=False)
    token: str = field(repr=False)
    core: str = field(repr=False)
    hosts: tuple[Binding, ...] = ()
    headers: tuple[str, ...] = DEFAULT_HEADERS
    query: tuple[str, ...] = ()
    slot: bool = True
    source: str = ""

    @classmethod
    def create(
        cls,
        name: str,
        value: str,
        hosts: Iterable[Binding],
        *,
        headers: Iterable[str] | None = None,
        query: Iterable[str] = (),
        slot: bool = True,
        source: str = "",
        rng: random.Random | None = None,
    ) -> Slot:
        """A secret bound to `hosts` (`binding.bind`), with a fresh token.

        `headers` is the whole set in which the value may be put, `query` the parameters. `rng`
        makes the token reproducible. Raises ConfigError for a value that cannot be a slot: under
        8 characters, or not of visible ASCII.
        """
        path = f"secrets.{name}"
        names = DEFAULT_HEADERS if headers is None else tuple(h.strip().lower() for h in headers)
        for header in names:
            if not _NAME.fullmatch(header):
                message = f"{header!r} is not a header name"
                raise ConfigError(f"{path}: {message}", problems=[(f"{path}.headers", message)])
        if slot and not _VISIBLE.fullmatch(value):
            message = (
                "the value is empty or holds characters that cannot stand in a header, "
                "so it cannot be a slot"
            )
            raise ConfigError(
                f"{path}: {message}",
                problems=[(path, message)],
                hint=f"check its source, or give it to the plugin itself: {_given(name, source)}",
            )
        if slot and len(value) < SHORTEST:
            message = f"the value has fewer than {SHORTEST} characters, so it cannot be a slot"
            raise ConfigError(f"{path}: {message}", problems=[(path, message)])
        token, core = mint(value, rng) if slot else (value, value)
        return cls(name, value, token, core, tuple(hosts), names, tuple(query), slot, source)

    def __reduce__(self) -> NoReturn:
        """Refused: who pickles an object that has one far within does not mean the key."""
        raise UsageError("a secret cannot be pickled or copied")

    def line(self, option: str) -> str:
        """The line of plugins.toml that gives this secret `option`."""
        return f'{self.name} = {{ from = "{self.source or "…"}", {option} }}'


class Secrets:
    """The secrets of one provider: stable for its life, shared by its threads. Immutable."""

    def __init__(self, slots: Iterable[Slot] = ()) -> None:
        self._all: Mapping[str, Slot] = MappingProxyType({slot.name: slot for slot in slots})
        self._slots = tuple(slot for slot in self._all.values() if slot.slot)
        self._raw_cores = {slot.name: slot.core.encode() for slot in self._slots}
        self._cores = {
            name: tuple(core.decode() for core in base64_cores(raw))
            for name, raw in self._raw_cores.items()
        }
        pairs = [(slot.value, slot.token) for slot in self._slots]
        self._replies = Scrubber(pairs)
        given = [s for s in self._all.values() if not s.slot and len(s.value) >= SHORTEST]
        self._texts = Scrubber([*pairs, *((s.value, f"<secret {s.name}>") for s in given)])

    def __repr__(self) -> str:
        return f"Secrets({', '.join(self._all)})"

    def __bool__(self) -> bool:
        return bool(self._all)

    @property
    def names(self) -> tuple[str, ...]:
        """The names of all secrets."""
        return tuple(self._all)

    @property
    def given(self) -> tuple[str, ...]:
        """The names of those with `slot = false`, which callers log loudly."""
        return tuple(name for name, slot in self._all.items() if not slot.slot)

    def token_for(self, name: str) -> str:
        """What the guest gets as the value of `name`: a token, or the value itself where the
        operator said `slot = false`. Raises KeyError."""
        return self._all[name].token

    def check(self, grant: Grant) -> None:
        """Refuse a secret that is given to the guest while the guest may reach any host that is
        not bound to it. Raises ConfigError."""
        for slot in self._all.values():
            if slot.slot:
                continue
            loose = [p.text for p in grant.hosts if not any(contains(b, p) for b in slot.hosts)]
            if loose:
                listed = ", ".join(f'"{text}"' for text in [b.text for b in slot.hosts] + loose)
                message = f"slot = false needs every granted host bound to it; {loose[0]} is not"
                raise ConfigError(
                    f"secrets.{slot.name}: {message}",
                    problems=[(f"secrets.{slot.name}", message)],
                    hint=f"write {slot.line(f'slot = false, hosts = [{listed}]')}",
                )

    # -- the request ----------------------------------------------------------------------

    def substitute(self, target: Target, body: bytes) -> Target:
        """`target` with values in the place of tokens, to be sent at once and kept nowhere.

        Comes after the egress decision. Raises EgressDenied(reason="secret") where a token stands
        at a place, or goes to a host, that its slot does not allow.
        """
        for slot in self._slots:
            target = self._substitute(slot, target, body)
        return target

    def _substitute(self, slot: Slot, target: Target, body: bytes) -> Target:
        if self._raw_cores[slot.name] in body:
            _deny(slot, target, "in the body", _given(slot.name, slot.source))
        if slot.core in target.url.path:
            _deny(slot, target, "in the path", _given(slot.name, slot.source))
        headers: list[tuple[str, str]] = []
        used = False
        for name, value in target.headers:
            replaced = self._header(slot, target, name, value)
            used = used or replaced is not None
            headers.append((name, value if replaced is None else replaced))
        query = target.url.query
        if query is not None and slot.core in query:
            query = "&".join(self._parameter(slot, target, part) for part in query.split("&"))
            used = True
        if not used:
            return target
        if not any(binds(binding, target.url) for binding in slot.hosts):
            url = target.url
            entry = url.origin if url.scheme == "http" else url.authority
            listed = ", ".join(f'"{text}"' for text in [*(b.text for b in slot.hosts), entry])
            _deny(slot, target, "for a host it is not bound to", slot.line(f"hosts = [{listed}]"))
        url = (
            target.url
            if query == target.url.query
            else dataclasses.replace(target.url, query=query)
        )
        return Target(target.method, url, tuple(headers))

    def _header(self, slot: Slot, target: Target, name: str, value: str) -> str | None:
        """The value with the secret in it, or None where no token stands in it."""
        if slot.core in name or slot.core.lower() in name:
            _deny(slot, target, "in the name of a header", None)
        if slot.core not in value:
            for core in self._cores[slot.name]:
                if core in value:
                    given = _given(slot.name, slot.source)
                    _deny(slot, target, f"encoded in header {name}", given)
            return None
        if name not in slot.headers:
            listed = ", ".join(f'"{header}"' for header in (*slot.headers, name))
            _deny(slot, target, f"in header {name}", slot.line(f"headers = [{listed}]"))
        scheme = _SCHEME_WORD.match(value)
        start = scheme.end() if scheme and value[scheme.end() :] == slot.token else 0
        if value[start:] != slot.token:
            _deny(slot, target, f"inside header {name}", _given(slot.name, slot.source))
        return value[:start] + slot.value

    @staticmethod
    def _parameter(slot: Slot, target: Target, part: str) -> str:
        """One `name=value` of the query with the secret in it."""
        if slot.core not in part:
            return part
        name, _, value = part.partition("=")
        plain = unquote_plus(name)
        if plain not in slot.query:
            listed = ", ".join(f'"{query}"' for query in (*slot.query, plain))
            hint = None if slot.core in name else slot.line(f"query = [{listed}]")
            _deny(slot, target, "in the query", hint)
        if value != slot.token:
            _deny(slot, target, "inside a query parameter", _given(slot.name, slot.source))
        return f"{name}={quote(slot.value, safe='')}"

    # -- what comes back ------------------------------------------------------------------

    def scrub(self, data: bytes) -> bytes:
        """A reply without the values of the slots, their tokens in the place."""
        return self._replies.scrub(data)

    def stream(self) -> ScrubStream:
        """The same for a reply that comes in chunks."""
        return self._replies.stream()

    def scrub_text(self, text: str) -> str:
        """Text for a person or a file (errors, logs, audit) without any secret."""
        return self._texts.scrub_text(text)

    def scrub_error(self, error: _E) -> _E:
        """`error` with its texts scrubbed."""
        error.message = self.scrub_text(error.message)
        error.args = (error.message,)
        if error.hint is not None:
            error.hint = self.scrub_text(error.hint)
        if error.guest_error is not None:
            error.guest_error = self.scrub_text(error.guest_error)
        return error


NO_SECRETS: Final = Secrets()


def _given(name: str, source: str) -> str:
    return f'{name} = {{ from = "{source or "…"}", slot = false }}'


def _deny(slot: Slot, target: Target, where: str, hint: str | None) -> NoReturn:
    raise EgressDenied(
        f"the secret {slot.name!r} was used {where}",
        reason="secret",
        host=target.url.host,
        hint=hint,
    )
