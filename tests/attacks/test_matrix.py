"""SECURITY.md shows the gallery as it is."""

from __future__ import annotations

from pathlib import Path

from fumehood.testing.gallery.matrix import markdown

PAGE = Path(__file__).parents[2] / "SECURITY.md"


def test_security_md_carries_the_matrix() -> None:
    text = PAGE.read_text(encoding="utf-8")
    shown = text.partition("<!-- gallery -->")[2].partition("<!-- /gallery -->")[0].strip()
    assert shown == markdown().strip(), (
        "SECURITY.md is stale: put the output of `python -m fumehood.testing.gallery.matrix` "
        "between its two marks"
    )
