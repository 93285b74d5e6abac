"""The gallery as a Markdown table: `python -m fumehood.testing.gallery.matrix`.

SECURITY.md carries it between two marks; tests/attacks/test_matrix.py compares them.
"""

from __future__ import annotations

from fumehood.testing.gallery.attacks import HARMLESS, Attack
from fumehood.testing.gallery.table import GALLERY

SHOWN = 6
"""Names of a cell; the rest is counted."""


def _ends(attack: Attack) -> str:
    if attack.expect == HARMLESS:
        return "reaches nothing"
    words = ", ".join(str(value) for value in attack.detail.values())
    return f"`{attack.expect}`" + (f" ({words})" if words else "")


def markdown() -> str:
    """One row for each class and promise, in the table's order."""
    rows: dict[tuple[str, str], list[Attack]] = {}
    for attack in GALLERY:
        rows.setdefault((attack.group, attack.promise), []).append(attack)
    lines = ["| class | promise | hostile guests | how they end |", "|---|---|---|---|"]
    for (group, promise), attacks in rows.items():
        names = ", ".join(attack.name for attack in attacks[:SHOWN])
        if len(attacks) > SHOWN:
            names += f" and {len(attacks) - SHOWN} more"
        ends = ", ".join(dict.fromkeys(_ends(attack) for attack in attacks))
        lines.append(f"| {group} | {promise} | {names} | {ends} |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    print(markdown(), end="")  # noqa: T201 - a table for a document
