"""`fumehood call PATH EXPORT`: bytes in, bytes out, no provider between."""

from __future__ import annotations

import base64
from contextlib import ExitStack
from pathlib import Path

import click

from fumehood.cli import inputs, output
from fumehood.cli.options import Common, common
from fumehood.cli.target import BUNDLED, existing_file
from fumehood.errors import UsageError
from fumehood.plugin import CompiledPlugin, Plugin
from fumehood.provider.opening import Spec, load


@click.command(name="call")
@click.argument("path", metavar="PATH")
@click.argument("export", metavar="EXPORT")
@click.argument("data", required=False, metavar="[TEXT|-]")
@click.option(
    "--input", "file", type=click.Path(path_type=Path), metavar="FILE",
    help="The input is what this file holds.",
)  # fmt: skip
@click.option(
    "--allow", "hosts", multiple=True, metavar="HOST",
    help="A host that the plugin may ask through extism's http_request. Repeatable.",
)  # fmt: skip
@click.option("--no-wasi", is_flag=True, help="Give the plugin no WASI at all.")
@common
def command(
    *,
    common: Common,
    path: str,
    export: str,
    data: str | None,
    file: Path | None,
    hosts: tuple[str, ...],
    no_wasi: bool,
) -> None:
    """Call one EXPORT of the plugin at PATH.

    The input is TEXT, or the bytes of stdin for `-`, or of a file with --input; else it is empty.
    --set gives the plugin config values. The output goes to stdout as it is.
    """
    if data is not None and file is not None:
        raise UsageError("the input is given twice", hint="either TEXT or --input")
    if file is not None:
        given = inputs.read_file(file, "the input")
    elif data == inputs.STDIN:
        given = inputs.read_stdin()
    else:
        given = (data or "").encode("utf-8", "surrogateescape")
    config = {
        key: value if isinstance(value, str) else output.compact(value)
        for key, value in common.settings.items()
    }
    with ExitStack() as stack:
        source: Path | CompiledPlugin
        if path.startswith(BUNDLED):
            source = stack.enter_context(load(Spec(path))[0])
        else:
            source = existing_file(path)
        plugin = stack.enter_context(
            Plugin(
                source,
                wasi=not no_wasi,
                config=config,
                allowed_hosts=hosts,
                limits=common.limits,
            )
        )
        answer = plugin.call(export, given)
        receipt = plugin.last_receipt
    if not common.json:
        output.write_bytes(answer)
        output.finish(common, receipt)
        return
    try:
        document = {"output": answer.decode()}
    except UnicodeDecodeError:
        document = {"output_base64": base64.b64encode(answer).decode()}
    if receipt is not None:
        output.write_json(output.with_receipt(common, document, receipt))
