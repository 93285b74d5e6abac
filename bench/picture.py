"""The results as a picture: horizontal bars, SVG written by hand, no fonts but the reader's."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from typing import Final

from bench.report import Row, seconds

WIDTH: Final = 960
_LEFT: Final = 420
"""Where the bars begin: row and side stand before them."""
_ROOM: Final = 400
"""Length of the longest bar; its label stands behind it."""
_BAR: Final = 16
_GAP: Final = 10
_OURS: Final = "#0b6e4f"
_PEERS: Final = "#b9c0c7"
_FONT: Final = "font-family='system-ui, sans-serif'"


def _text(x: float, y: float, words: str, *, size: int = 12, anchor: str = "start") -> str:
    return (
        f"<text x='{x:.1f}' y='{y:.1f}' font-size='{size}' text-anchor='{anchor}' {_FONT} "
        f"fill='#1c2126'>{escape(words)}</text>"
    )


def _scale(value: float, most: float) -> float:
    """Length of a bar: twice the time, twice as long; all of the room for the most."""
    return _ROOM * value / most


def _label(row: Row, side: str) -> str:
    median = row.median(side)
    assert median is not None
    ratio = row.ratio(side)
    told = seconds(median)
    return told if side == row.sides[0] or ratio is None else f"{told}  ({ratio:.2f}×)"


def draw(sections: Sequence[tuple[str, Sequence[Row]]], caption: str) -> str:
    """The picture: a bar a side of every timed row, each row on a scale of its own, from zero."""
    parts: list[str] = []
    y = 30.0
    parts.append(_text(16, y, "fumehood beside its peers", size=18))
    parts.append(_text(16, y + 20, caption, size=11))
    y += 44
    for title, rows in sections:
        timed = [row for row in rows if len(row.seconds.get("wall", {})) > 1]
        if not timed:
            continue
        y += 22
        parts.append(_text(16, y, title, size=15))
        y += 12
        for row in timed:
            most = max(side["median"] for side in row.seconds["wall"].values())
            parts.append(_text(16, y + _BAR - 4, row.name))
            for side in row.sides:
                median = row.median(side)
                assert median is not None
                fill = _OURS if side == row.sides[0] else _PEERS
                length = _scale(median, most)
                parts.append(_text(_LEFT - 8, y + _BAR - 4, side, size=11, anchor="end"))
                parts.append(
                    f"<rect x='{_LEFT}' y='{y:.1f}' width='{length:.1f}' height='{_BAR - 2}' "
                    f"fill='{fill}'/>"
                )
                parts.append(_text(_LEFT + length + 6, y + _BAR - 4, _label(row, side), size=11))
                y += _BAR
            y += _GAP
    height = y + 16
    head = (
        f"<svg xmlns='http://www.w3.org/2000/svg' width='{WIDTH}' height='{height:.0f}' "
        f"viewBox='0 0 {WIDTH} {height:.0f}'>"
    )
    return "\n".join(
        [head, "<rect width='100%' height='100%' fill='white'/>", *parts, "</svg>", ""]
    )
