"""`fumehood embed NAME|PATH TEXT…`: one vector a text."""

from __future__ import annotations

import json

import click

from fumehood.cli import inputs, output
from fumehood.cli.options import Common, common
from fumehood.cli.target import open_provider


@click.command(name="embed")
@click.argument("target", metavar="NAME|PATH")
@click.argument("words", nargs=-1, metavar="[TEXT|-]...")
@click.option("--model", metavar="MODEL", help="The model; the same as --set model=…")
@common
def command(common: Common, target: str, words: tuple[str, ...], model: str | None) -> None:
    """Turn texts into vectors: one JSON array a line, in order.

    Every TEXT is one input; without one, or for `-`, every line of stdin is.
    """
    texts = inputs.lines(words)
    with open_provider(target, common, model=model) as provider:
        found = provider.embed(texts)
    if common.json:
        document = {"vectors": found.vectors}
        output.write_json(output.with_receipt(common, document, found.receipt))
        return
    for vector in found.vectors:
        output.write_line(json.dumps(vector))
    output.finish(common, found.receipt)
