"""Regular expressions of a plugin's schema, matched in linear time.

A pattern is attacker data and `re` can be made to hang (`(a+)+$`). This is a Thompson machine:
every state is visited at most once per character, so a search costs at most states × characters.
What such a machine cannot do (back references, look-around, word boundaries) raises `Unsupported`
and the caller decides; what is not a pattern at all raises it too.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Final

MAX_PATTERN: Final = 1_000
"""Characters of a pattern."""
MAX_STATES: Final = 5_000
"""States of a machine; counted repetitions multiply them."""
MAX_DEPTH: Final = 40
"""Nested groups."""

Test = Callable[[str], bool]


class Unsupported(ValueError):
    """The pattern is beyond this machine; the message says what for."""


class Pattern:
    """A compiled pattern; `search` finds it anywhere, as JSON Schema wants."""

    __slots__ = ("_nodes", "_start")

    def __init__(self, source: str) -> None:
        if len(source) > MAX_PATTERN:
            raise Unsupported(f"more than {MAX_PATTERN} characters")
        builder = _Builder(source)
        self._start, self._nodes = builder.finish()

    def cost(self, text: str) -> int:
        """The most steps that a search in `text` can take."""
        return len(self._nodes) * (len(text) + 1)

    def search(self, text: str) -> bool:
        """Whether the pattern matches anywhere in `text`."""
        nodes = self._nodes
        current: set[int] = set()
        for at in range(len(text) + 1):
            self._add(current, self._start, at, len(text))
            if _MATCH in current:
                return True
            if at == len(text):
                return False
            char = text[at]
            following: set[int] = set()
            for state in current:
                kind, test, first, _ = nodes[state]
                if kind == "char" and test is not None and test(char):
                    self._add(following, first, at + 1, len(text))
            if _MATCH in following:
                return True
            current = following
        return False

    def _add(self, states: set[int], state: int, at: int, end: int) -> None:
        """Add `state` and what it reaches without a character. Iterative: depth is theirs."""
        waiting = [state]
        while waiting:
            state = waiting.pop()
            if state in states:
                continue
            states.add(state)
            kind, _, first, second = self._nodes[state]
            if kind == "split":
                waiting += [second, first]
            elif (kind == "start" and at == 0) or (kind == "end" and at == end):
                waiting.append(first)


_Node = tuple[str, Test | None, int, int]
_MATCH: Final = 0

_Tree = tuple[object, ...]
"""A parsed expression: its kind (char start end seq alt repeat), then what belongs to it; a
repeat has the expression, the least and the most times, None for no end."""


class _Builder:
    """Parses a pattern and builds its machine, back to front."""

    def __init__(self, source: str) -> None:
        self._source = source
        self._at = 0
        self._steps = 0
        self._nodes: list[_Node] = [("match", None, 0, 0)]

    def finish(self) -> tuple[int, list[_Node]]:
        tree = self._alternatives(0)
        if self._at != len(self._source):
            raise Unsupported("a closing bracket without an opening one")
        return self._build(tree, _MATCH), self._nodes

    # -- parsing --------------------------------------------------------------------------

    def _peek(self) -> str:
        return self._source[self._at : self._at + 1]

    def _take(self) -> str:
        char = self._peek()
        if not char:
            raise Unsupported("the pattern ends too early")
        self._at += 1
        return char

    def _alternatives(self, depth: int) -> _Tree:
        if depth > MAX_DEPTH:
            raise Unsupported(f"groups nested deeper than {MAX_DEPTH}")
        options = [self._sequence(depth)]
        while self._peek() == "|":
            self._at += 1
            options.append(self._sequence(depth))
        return options[0] if len(options) == 1 else ("alt", options)

    def _sequence(self, depth: int) -> _Tree:
        items: list[_Tree] = []
        while self._peek() not in ("", "|", ")"):
            items.append(self._repeated(self._atom(depth)))
        return ("seq", items)

    def _repeated(self, item: _Tree) -> _Tree:
        while True:
            char = self._peek()
            if char in ("*", "+", "?") and char:
                self._at += 1
                item = ("repeat", item, int(char == "+"), 1 if char == "?" else None)
            elif char == "{" and (bounds := self._bounds()) is not None:
                item = ("repeat", item, *bounds)
            else:
                return item
            if self._peek() == "?":  # lazy: the same language
                self._at += 1

    def _bounds(self) -> tuple[int, int | None] | None:
        """`{2}`, `{2,}` or `{2,5}`; None where the brace is only a character."""
        close = self._source.find("}", self._at)
        low, comma, high = self._source[self._at + 1 : max(close, self._at)].partition(",")
        if not _digits(low) or (high and not _digits(high)):
            return None
        self._at = close + 1
        least = int(low)
        most = least if not comma else int(high) if high else None
        if most is not None and most < least:
            raise Unsupported("a repetition whose maximum is below its minimum")
        if max(least, most or 0) > MAX_STATES:
            raise Unsupported(f"more than {MAX_STATES} repetitions")
        return least, most

    def _atom(self, depth: int) -> _Tree:
        char = self._take()
        if char == "(":
            if self._peek() == "?":
                self._group_kind()
            tree = self._alternatives(depth + 1)
            if self._take() != ")":
                raise Unsupported("a group that is not closed")
            return tree
        if char == "^":
            return ("start",)
        if char == "$":
            return ("end",)
        if char == ".":
            return ("char", lambda c: c not in "\n\r\u2028\u2029")
        if char == "[":
            return ("char", self._class())
        if char in "*+?":
            raise Unsupported("a repetition of nothing")
        if char == "\\":
            return ("char", _test(self._escape(in_class=False)))
        return ("char", _test(char))

    def _group_kind(self) -> None:
        if self._source.startswith("?:", self._at):
            self._at += 2
        elif self._source.startswith(("?<", "?P<"), self._at) and not self._source.startswith(
            ("?<=", "?<!"), self._at
        ):
            close = self._source.find(">", self._at)
            if close < 0:
                raise Unsupported("a group name that is not closed")
            self._at = close + 1
        else:
            raise Unsupported("look-around")

    def _escape(self, *, in_class: bool) -> str | Test:
        """What follows a backslash: one character, or a class of them."""
        char = self._take()
        if char in _CLASSES:
            return _CLASSES[char]
        if char in _CONTROLS:
            return _CONTROLS[char]
        if char in ("x", "u"):
            return self._code(2 if char == "x" else 4)
        if char == "b" and in_class:
            return "\b"
        if char.isalnum():
            raise Unsupported(f"\\{char}")
        return char

    def _code(self, size: int) -> str:
        digits = self._source[self._at : self._at + size]
        try:
            code = int(digits, 16) if len(digits) == size else -1
        except ValueError:
            code = -1
        if code < 0:
            raise Unsupported("a character code that is not hexadecimal")
        self._at += size
        return chr(code)

    def _class(self) -> Test:
        negated = self._peek() == "^"
        self._at += negated
        tests: list[Test] = []
        while self._peek() != "]":
            tests.append(self._range())
        self._at += 1
        # Cached: a class may have hundreds of members and stand in thousands of states.
        return functools.lru_cache(1024)(lambda c: negated != any(test(c) for test in tests))

    def _range(self) -> Test:
        low = self._member()
        after = self._source[self._at + 1 : self._at + 2]
        if self._peek() != "-" or after in ("]", ""):
            return _test(low)
        self._at += 1
        high = self._member()
        if not isinstance(low, str) or not isinstance(high, str) or low > high:
            raise Unsupported("a range without order")
        first, last = low, high
        return lambda c: first <= c <= last

    def _member(self) -> str | Test:
        char = self._take()
        return self._escape(in_class=True) if char == "\\" else char

    # -- building -------------------------------------------------------------------------

    def _node(self, kind: str, test: Test | None, first: int, second: int = 0) -> int:
        if len(self._nodes) >= MAX_STATES:
            raise Unsupported(f"more than {MAX_STATES} states")
        self._nodes.append((kind, test, first, second))
        return len(self._nodes) - 1

    def _build(self, tree: _Tree, following: int) -> int:
        """The entry state of a machine for `tree` that goes on at `following`."""
        self._steps += 1  # repetitions of nothing make no state but cost time
        if self._steps > 4 * MAX_STATES:
            raise Unsupported("too many repetitions")
        match tree:
            case ("char", test):
                return self._node("char", test, following)  # type: ignore[arg-type]
            case ("start" | "end" as kind,):
                return self._node(kind, None, following)
            case ("seq", list(items)):
                for item in reversed(items):
                    following = self._build(item, following)
                return following
            case ("alt", list(options)):
                entry = self._build(options[-1], following)
                for option in reversed(options[:-1]):
                    entry = self._node("split", None, self._build(option, following), entry)
                return entry
            case ("repeat", tuple(item), int(least), most):
                return self._repeat(item, least, most, following)  # type: ignore[arg-type]
        raise AssertionError(tree)  # pragma: no cover - the parser makes nothing else

    def _repeat(self, item: _Tree, least: int, most: int | None, following: int) -> int:
        if most is None:
            loop = self._node("split", None, 0, following)
            self._nodes[loop] = ("split", None, self._build(item, loop), following)
            following = loop
        else:
            after = following
            for _ in range(most - least):
                following = self._node("split", None, self._build(item, following), after)
        for _ in range(least):
            following = self._build(item, following)
        return following


_CONTROLS: Final = {"n": "\n", "r": "\r", "t": "\t", "f": "\f", "v": "\v", "0": "\0"}
_WORD: Final = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_")
_SPACE: Final = frozenset(" \t\n\r\f\v\u00a0\ufeff\u2028\u2029")
_CLASSES: Final[dict[str, Test]] = {
    "d": lambda c: c in "0123456789",
    "D": lambda c: c not in "0123456789",
    "w": lambda c: c in _WORD,
    "W": lambda c: c not in _WORD,
    "s": lambda c: c in _SPACE,
    "S": lambda c: c not in _SPACE,
}


def _test(what: str | Test) -> Test:
    if isinstance(what, str):
        only = what
        return lambda c: c == only
    return what


def _digits(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) <= 6
