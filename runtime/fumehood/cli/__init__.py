"""The command line: `fumehood`, or `python -m fumehood`. One file a command."""

from __future__ import annotations

from collections.abc import Sequence

__all__ = ["main"]


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit code (spec/api.md "CLI")."""
    from fumehood.cli.app import run  # after the name is importable, so that --help stays quick

    return run(argv)
