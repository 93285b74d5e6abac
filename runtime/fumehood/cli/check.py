"""`fumehood check PATH`: does a plugin keep to the ABI, and which hosts would load it?"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Final

import click
from rich.table import Table
from rich.text import Text

from fumehood.cli import failures, output
from fumehood.cli.options import Common, common
from fumehood.cli.target import existing_file
from fumehood.cli.text import escape
from fumehood.testing.check import Level, check, verdict

_STYLES: Final = {
    Level.GOOD: "green",
    Level.NOTE: "blue",
    Level.UNWISE: "yellow",
    Level.WRONG: "bold red",
}


@click.command(name="check")
@click.argument("path", metavar="PATH")
@common
def command(common: Common, path: str) -> int:
    """Examine a plugin: exports and imports, what it says of itself, its config schema, the
    requests it builds, how it takes replies that no API sends; and whether QueryMT and other
    Extism hosts would load it.

    It runs in the sandbox without a network. Exit code 3 when something is wrong.
    """
    findings = list(check(Path(existing_file(path)), common.settings))
    if common.json:
        output.write_json(
            [{"level": f.level.value, "about": f.about, "text": f.text} for f in findings]
        )
    else:
        grid = Table(show_header=False, box=None, pad_edge=False)
        grid.add_column(no_wrap=True)
        grid.add_column(overflow="fold")
        grid.add_column(overflow="fold")
        for finding in findings:
            level = Text(finding.level.value, _STYLES[finding.level])
            grid.add_row(level, Text(escape(finding.about)), Text(escape(finding.text)))
        output.console(sys.stdout).print(grid)
    return failures.DONE if verdict(findings) else failures.PLUGIN
