"""`fumehood models NAME|PATH`: the models that a provider offers."""

from __future__ import annotations

import click

from fumehood.cli import output
from fumehood.cli.options import Common, common
from fumehood.cli.target import open_provider


@click.command(name="models")
@click.argument("target", metavar="NAME|PATH")
@common
def command(common: Common, target: str) -> None:
    """List the models that a provider offers, one a line."""
    with open_provider(target, common) as provider:
        found = provider.list_models()
    if common.json:
        output.write_json(output.with_receipt(common, {"models": found.names}, found.receipt))
        return
    for name in found.names:
        output.write_line(name)
    output.finish(common, found.receipt)
