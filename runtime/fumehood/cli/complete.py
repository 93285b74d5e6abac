"""`fumehood complete NAME|PATH TEXT…`: continue a text."""

from __future__ import annotations

import click

from fumehood.cli import inputs, output
from fumehood.cli.options import Common, common
from fumehood.cli.target import open_provider


@click.command(name="complete")
@click.argument("target", metavar="NAME|PATH")
@click.argument("words", nargs=-1, metavar="[TEXT|-]...")
@click.option("--model", metavar="MODEL", help="The model; the same as --set model=…")
@click.option("--suffix", metavar="TEXT", help="What comes after the completion.")
@click.option("--max-tokens", type=click.IntRange(1), help="The longest completion, in tokens.")
@click.option("--temperature", type=click.FloatRange(0), help="0 is the most predictable.")
@common
def command(
    *,
    common: Common,
    target: str,
    words: tuple[str, ...],
    model: str | None,
    suffix: str | None,
    max_tokens: int | None,
    temperature: float | None,
) -> None:
    """Continue a text, given as arguments or on stdin."""
    prompt = inputs.text(words)
    with open_provider(target, common, model=model) as provider:
        found = provider.complete(
            prompt, suffix=suffix, max_tokens=max_tokens, temperature=temperature
        )
    if common.json:
        output.write_json(output.with_receipt(common, {"text": found.text}, found.receipt))
        return
    output.write_line(found.text)
    output.finish(common, found.receipt)
