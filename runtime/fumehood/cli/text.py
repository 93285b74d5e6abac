"""Guest and remote text made safe for a terminal.

Everything that a plugin or an endpoint wrote is attacker data: escape sequences can retitle,
clear or fake a terminal, bidirectional controls can reorder what a person reads. `escape` makes
such characters visible. Exact text is what `--json` is for.
"""

from __future__ import annotations

import re
from typing import Final

_UNSAFE: Final = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f"  # C0 without tab and newline, DEL, C1
    "\u061c\u202a-\u202e\u2066-\u2069"  # bidirectional marks that reorder
    "\u2028\u2029\ufff9-\ufffb"  # separators that some terminals break lines at, annotations
    "\U000e0000-\U000e007f"  # tags: ASCII that nobody sees
    "\ud800-\udfff]"  # lone surrogates: no terminal can be sent one
)
_NAMED: Final = {"\r": r"\r", "\x1b": r"\e", "\x00": r"\0"}
LINE_CAP: Final = 2000
"""Characters of an error line; what a guest wrote beyond them is counted, not shown."""


def _visible(match: re.Match[str]) -> str:
    character = match[0]
    number = ord(character)
    return _NAMED.get(character) or (f"\\x{number:02x}" if number < 256 else f"\\u{number:04x}")


def escape(text: str) -> str:
    """`text` without any character that steers a terminal; tabs and newlines stay."""
    return _UNSAFE.sub(_visible, text)


def line(text: str, cap: int = LINE_CAP) -> str:
    """`text` as one safe line of at most `cap` characters: line breaks become blanks."""
    safe = escape(" ".join(part.strip() for part in text.splitlines() if part.strip()))
    if len(safe) > cap:
        return f"{safe[:cap]}… ({len(safe) - cap} more characters)"
    return safe.replace("\t", " ")
