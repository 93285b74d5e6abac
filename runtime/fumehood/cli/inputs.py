"""What a user gives: text, bytes, pictures, tools; from arguments, files or stdin."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from fumehood.abi import jsonwire
from fumehood.abi.messages import Image, ImageURL, image
from fumehood.abi.tools import Tool
from fumehood.cli.options import stdin_is_terminal
from fumehood.errors import ProtocolError, UsageError
from fumehood.limits import MIB

STDIN: Final = "-"
FILE_CAP: Final = 64 * MIB
"""Bytes of a file or of stdin that a command reads: the default of `Limits.input_bytes`."""
_PICTURES: Final = (
    (b"\x89PNG\r\n\x1a\n", "image/png"),
    (b"\xff\xd8\xff", "image/jpeg"),
    (b"GIF8", "image/gif"),
    (b"RIFF", "image/webp"),
)


def read_stdin() -> bytes:
    """All of stdin; raises UsageError beyond `FILE_CAP`."""
    data = sys.stdin.buffer.read(FILE_CAP + 1)
    if len(data) > FILE_CAP:
        raise UsageError(f"stdin holds more than {FILE_CAP} bytes")
    return data


def read_file(path: Path, what: str) -> bytes:
    """The bytes of a file that the user named; raises UsageError with what is wrong with it."""
    try:
        if path.stat().st_size > FILE_CAP:
            raise UsageError(f"{what} {str(path)!r} has more than {FILE_CAP} bytes")
        return path.read_bytes()
    except OSError as problem:
        reason = problem.strerror or type(problem).__name__
        raise UsageError(f"{what} {str(path)!r} cannot be read: {reason}") from None


def _stdin_text() -> str:
    try:
        return read_stdin().decode()
    except UnicodeDecodeError as problem:
        raise UsageError(f"stdin is not UTF-8 (byte {problem.start})") from None


def text(words: Sequence[str], what: str = "a prompt") -> str:
    """The words joined by blanks, `-` standing for stdin; without words, stdin alone.

    Raises UsageError where there is neither.
    """
    if not words:
        if stdin_is_terminal():
            raise UsageError(f"{what} is needed", hint="give it as an argument, or pipe it in")
        words = [STDIN]
    found = " ".join(_stdin_text() if word == STDIN else word for word in words)
    if not found.strip():
        raise UsageError(f"{what} is needed, this one is empty")
    return found


def lines(words: Sequence[str]) -> list[str]:
    """Each word is one text; `-`, or no word at all, takes each line of stdin that is not blank.

    Raises UsageError where nothing is left.
    """
    if not words and stdin_is_terminal():
        raise UsageError("a text is needed", hint="give it as an argument, or pipe lines in")
    found: list[str] = []
    for word in words or [STDIN]:
        if word == STDIN:
            found += [part for part in _stdin_text().splitlines() if part.strip()]
        else:
            found.append(word)
    if not found:
        raise UsageError("a text is needed, stdin holds none")
    return found


def picture(source: str) -> Image | ImageURL:
    """The block for `--image`: an http(s) URL stays one, anything else is a file.

    Raises UsageError for a file that cannot be read or is no known picture.
    """
    if source.startswith(("http://", "https://")):
        return image(source)
    data = read_file(Path(source), "the picture")
    for start, kind in _PICTURES:
        if data.startswith(start) and (kind != "image/webp" or data[8:12] == b"WEBP"):
            return image(data, kind)
    known = ", ".join(kind for _, kind in _PICTURES)
    raise UsageError(f"{source!r} is no picture of a known kind", hint=known)


def tools(path: Path) -> list[Tool]:
    """The tools of a JSON file: an array of `{"name", "description", "parameters"}`, or of the
    form `{"type": "function", "function": {…}}`. Raises UsageError naming what is wrong."""
    data = read_file(path, "the tools file")
    try:
        document = jsonwire.decode(data, f"the tools file {str(path)!r}")
    except ProtocolError as problem:
        raise UsageError(problem.message) from None
    if not isinstance(document, list):
        raise UsageError(f"the tools file {str(path)!r} is not a JSON array")
    return [_tool(item, index) for index, item in enumerate(document)]


def _tool(item: Any, index: int) -> Tool:
    if isinstance(item, dict) and isinstance(item.get("function"), dict):
        item = item["function"]
    if not isinstance(item, dict) or not isinstance(item.get("name"), str):
        raise UsageError(f"tool {index} has no name", hint='{"name": …, "parameters": {…}}')
    description = item.get("description", "")
    if not isinstance(description, str):
        raise UsageError(f"tool {index}: description must be text")
    if "parameters" in item:
        return Tool(item["name"], description, item["parameters"])
    return Tool(item["name"], description)
