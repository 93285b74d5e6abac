"""`fumehood audit verify PATH`: whether an audit file is as it was written."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

import click

from fumehood.cli import output
from fumehood.errors import HostError, UsageError
from fumehood.provider.audit import check

_HASH: Final = re.compile(r"[0-9a-f]{64}")


@click.group(name="audit")
def command() -> None:
    """Look after audit files: one JSON line for each call of a provider."""


@command.command(name="verify")
@click.argument("path", type=click.Path(path_type=Path))
@click.option(
    "--head", metavar="HASH",
    help="A line's hash that was noted earlier; without one, a cut end is not detected.",
)  # fmt: skip
@click.option("--json", "as_json", is_flag=True, help="The report as JSON.")
def verify(path: Path, *, head: str | None, as_json: bool) -> None:
    """Check the hash chain of the audit file at PATH.

    Each line holds the hash of the line before and its own: one that was changed, removed, added
    or moved is named. The chain has no key. Whoever may write the file can cut its end, or write
    all of it anew, and WITHOUT --head THAT IS NOT DETECTED. So note the last hash from time to
    time where the writer of the file cannot reach it (this command prints it), and give it with
    --head: the line that has it must still be there.

    Ends with 0 where the chain is whole, else with 6.
    """
    if head is not None and not _HASH.fullmatch(head := head.strip().lower()):
        raise UsageError(
            f"--head {head[:80]!r} is not a hash",
            hint="64 hexadecimal digits, as a line's hash field",
        )
    report = check(path, head)
    if as_json:
        output.write_json(
            {
                "lines": report.lines,
                "head": report.head,
                "problems": [{"line": line, "problem": what} for line, what in report.problems],
            }
        )
    else:
        for line, what in report.problems:
            output.write_line(f"line {line} {what}")
        rows = [("lines", f"{report.lines:,}"), ("head", report.head)]
        for name, value in rows:
            output.write_line(f"{name}  {value}")
        if head is None and not report.problems:
            output.write_line("no --head was given: whether the end was cut is not known")
    if report.problems:
        count = len(report.problems)
        raise HostError(
            f"the audit file is not as it was written: {count} "
            f"{'problem' if count == 1 else 'problems'}",
            hint="compare with a copy; each line is on its own",
        )
