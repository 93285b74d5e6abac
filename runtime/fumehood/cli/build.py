"""`fumehood build PLUGIN`: a provider class in Python becomes a plugin (package fumehood_pdk)."""

from __future__ import annotations

from importlib import import_module
from typing import Any

import click

from fumehood.errors import UsageError


@click.command(
    name="build",
    add_help_option=False,
    context_settings={"ignore_unknown_options": True, "allow_extra_args": True},
)
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
def command(arguments: tuple[str, ...]) -> int:
    """Build a provider class into a plugin; `fumehood build --help` names the options."""
    return main(["build", *arguments])


def main(arguments: list[str]) -> int:
    """Hand over to the builder. Raises UsageError where it is not installed."""
    try:
        builder: Any = import_module("fumehood_pdk._build.command")
    except ModuleNotFoundError as missing:
        raise UsageError(
            f"the Python PDK is not installed: no module {missing.name}",
            hint="pip install './pdk-python[build]' in fumehood's folder",
        ) from None
    code: int = builder.main(arguments, "fumehood")
    return code
