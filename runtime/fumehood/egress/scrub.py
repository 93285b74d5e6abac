"""Scrubbing: a secret that comes back in a reply, an error or a log line is taken out again.

This covers accidental reflection: the value as it is, JSON-escaped, percent-encoded (each also
inside another such layer) and in base64 or base64url at any of the three alignments, across
chunks of a stream. The guest's own token takes its place. Pure.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import Final

_ENCODED: Final = rb"%(?:25)*[2-7][0-9a-fA-F]|\\u00"
"""Where this does not stand, no character is written in another spelling than its own."""

_UNIT_CAP: Final = 9
"""Bytes of the longest spelling of one character."""


def base64_cores(value: bytes) -> list[bytes]:
    """What base64 and base64url show of `value` wherever it stands in the encoded data.

    For each alignment the characters that depend on `value` alone; neighbours leave the two outer
    ones open.
    """
    found: list[bytes] = []
    for shift in range(3):
        start = -(-8 * shift // 6)
        end = 8 * (shift + len(value)) // 6
        for encode in (base64.b64encode, base64.urlsafe_b64encode):
            core = encode(b"\0" * shift + value)[start:end]
            if core not in found:
                found.append(core)
    return found


def _spellings(byte: int) -> list[bytes]:
    """The ways of writing one character that we look for, in lower-case hex, longest first."""
    out = [b"%c" % byte, b"%%%02x" % byte, b"%%25%02x" % byte, b"%%2525%02x" % byte]
    slashes = (b"\\", b"\\\\", b"\\\\\\")
    out += [s + b"u%04x" % byte for s in slashes]
    if byte in b'/"\\':
        out += [s + b"%c" % byte for s in slashes]
    return sorted(out, key=len, reverse=True)


@dataclass(frozen=True)
class _Needle:
    """One byte string to look for, and what takes its place."""

    text: bytes
    replacement: bytes

    def __repr__(self) -> str:
        return "<needle>"

    @cached_property
    def units(self) -> list[tuple[bytes, list[bytes]]]:
        """Per character: itself, and its spellings."""
        return [(b"%c" % byte, _spellings(byte)) for byte in self.text]

    @cached_property
    def encoded(self) -> re.Pattern[bytes]:
        """The text with each character in any of its spellings."""
        parts: list[bytes] = []
        for plain, spelled in self.units:
            others = b"|".join(
                re.sub(rb"[a-f]", _either_case, re.escape(s)) if s[:1] == b"%" else _escaped(s)
                for s in spelled
                if s != plain
            )
            parts.append(b"(?:" + others + b"|" + re.escape(plain) + b")")
        return re.compile(b"".join(parts), re.DOTALL)

    def spans(self, data: bytes, encoded: bool) -> list[tuple[int, int, bytes]]:
        """Where the text stands in `data`."""
        if encoded:
            return [(*m.span(), self.replacement) for m in self.encoded.finditer(data)]
        found: list[tuple[int, int, bytes]] = []
        at = data.find(self.text)
        while at >= 0:
            found.append((at, at + len(self.text), self.replacement))
            at = data.find(self.text, at + len(self.text))
        return found

    def begins(self, data: bytes, at: int) -> bool:
        """Whether `data[at:]` may be the beginning of the text, in any spelling."""
        for plain, spelled in self.units:
            rest = data[at : at + _UNIT_CAP]
            lower = rest.lower()
            if at + len(rest) == len(data) and any(
                len(rest) < len(s) and s.startswith(lower) for s in spelled
            ):
                return True
            if rest.startswith(plain):
                at += len(plain)
                if plain in b"%\\" and any(lower.startswith(s) for s in spelled if s != plain):
                    return True  # two readings: hold back rather than follow both
            else:
                step = next((len(s) for s in spelled if s != plain and lower.startswith(s)), 0)
                if not step:
                    return False
                at += step
            if at == len(data):
                return True
        return False


def _either_case(match: re.Match[bytes]) -> bytes:
    return b"[" + match[0] + match[0].upper() + b"]"


def _escaped(spelling: bytes) -> bytes:
    r"""A `\u00XX` spelling as an expression; the `u` is always lower-case, the digits are not."""
    head, mark, digits = spelling.partition(b"u00")
    if not mark:
        return re.escape(spelling)
    return re.escape(head + mark) + re.sub(rb"[a-f]", _either_case, digits)


class Scrubber:
    """Finds the given values in bytes and text. Immutable; shared by streams (`stream()`)."""

    def __init__(self, pairs: Iterable[tuple[str, str]] = ()) -> None:
        """`pairs` of (value, replacement)."""
        needles: dict[bytes, bytes] = {}
        for value, replacement in pairs:
            raw = value.encode("utf-8", "surrogatepass")
            for text in (raw, *base64_cores(raw)):
                needles.setdefault(text, replacement.encode())
        self._needles = [
            _Needle(text, needles[text]) for text in sorted(needles, key=len, reverse=True)
        ]
        self._plain = tuple(needle.text for needle in self._needles)
        used = {b for needle in self._needles for b in needle.text}
        letters = set(b"%\\u0123456789abcdefABCDEF")
        escapes = b"".join(rb"|\\" + re.escape(b"%c" % b) for b in b'/"\\' if b in used)
        self._encoded = re.compile(_ENCODED + escapes)
        self._alphabet = bytes(sorted(used | letters)) if used else b""
        self._window = max((len(n.text) for n in self._needles), default=0) * _UNIT_CAP

    def __repr__(self) -> str:
        return f"Scrubber(<{len(self._needles)} needles>)"

    def __bool__(self) -> bool:
        return bool(self._needles)

    def scrub(self, data: bytes) -> bytes:
        """`data` without the values; the same object where none stands in it."""
        return self._replace(data, self._spans(data))

    def scrub_text(self, text: str) -> str:
        """`text` without the values; lone surrogates survive."""
        if not self._needles:
            return text
        raw = text.encode("utf-8", "surrogatepass")
        clean = self.scrub(raw)
        return text if clean is raw else clean.decode("utf-8", "surrogatepass")

    def stream(self) -> ScrubStream:
        """A scrubber of one stream of chunks."""
        return ScrubStream(self)

    def _spans(self, data: bytes) -> list[tuple[int, int, bytes]]:
        if not self._needles:
            return []
        # Most data holds nothing of all this, which takes a few fast searches to see; the
        # expression looks at every byte.
        encoded = b"%" in data or b"\\" in data
        if not encoded:
            for text in self._plain:
                if text in data:
                    break
            else:
                return []
        encoded = encoded and self._encoded.search(data) is not None
        found = [span for needle in self._needles for span in needle.spans(data, encoded)]
        if len(found) < 2:
            return found
        # Leftmost, then longest; what overlaps one taken already is part of the same leak.
        found.sort(key=lambda s: (s[0], -s[1]))
        kept = [found[0]]
        for start, end, replacement in found[1:]:
            last_start, last_end, last = kept[-1]
            if start >= last_end:
                kept.append((start, end, replacement))
            elif end > last_end:
                kept[-1] = (last_start, end, last)
        return kept

    @staticmethod
    def _replace(data: bytes, spans: list[tuple[int, int, bytes]]) -> bytes:
        if not spans:
            return data
        out: list[bytes] = []
        at = 0
        for start, end, replacement in spans:
            out += (data[at:start], replacement)
            at = end
        out.append(data[at:])
        return b"".join(out)

    def _held(self, data: bytes, floor: int) -> int:
        """The first position from `floor` on at which a value may begin that `data` cuts off."""
        start = max(floor, len(data) - self._window, len(data.rstrip(self._alphabet)))
        return next(
            (p for p in range(start, len(data)) if any(n.begins(data, p) for n in self._needles)),
            len(data),
        )


class ScrubStream:
    """Scrubs one stream; holds back only what may be the beginning of a value."""

    def __init__(self, scrubber: Scrubber) -> None:
        self._scrubber = scrubber
        self._tail = b""

    def feed(self, chunk: bytes) -> bytes:
        """What of the stream so far can be given out."""
        if not self._scrubber:
            return chunk
        data = self._tail + chunk
        spans = self._scrubber._spans(data)
        held = self._scrubber._held(data, spans[-1][1] if spans else 0)
        self._tail = data[held:]
        return self._scrubber._replace(data[:held], spans)

    def finish(self) -> bytes:
        """What was held back, at the end of the stream."""
        data, self._tail = self._tail, b""
        return self._scrubber.scrub(data)
