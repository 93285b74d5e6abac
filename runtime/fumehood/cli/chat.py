"""`fumehood chat NAME|PATH TEXT…`: the answer streams as it comes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from fumehood.abi.messages import Block, Message, user
from fumehood.abi.tools import Tool
from fumehood.cli import inputs, output
from fumehood.cli.options import Common, common
from fumehood.cli.target import open_provider
from fumehood.errors import ProviderError
from fumehood.provider import ChatResponse, Provider


@click.command(name="chat")
@click.argument("target", metavar="NAME|PATH")
@click.argument("words", nargs=-1, metavar="[TEXT|-]...")
@click.option("--model", metavar="MODEL", help="The model; the same as --set model=…")
@click.option("--system", metavar="TEXT", help="The system prompt; the same as --set system=…")
@click.option("--image", "images", multiple=True, metavar="FILE|URL", help="A picture. Repeatable.")
@click.option(
    "--tools", type=click.Path(path_type=Path), metavar="FILE", help="Tools as a JSON array."
)
@click.option("--no-stream", is_flag=True, help="Ask for the whole answer at once.")
@common
def command(
    *,
    common: Common,
    target: str,
    words: tuple[str, ...],
    model: str | None,
    system: str | None,
    images: tuple[str, ...],
    tools: Path | None,
    no_stream: bool,
) -> None:
    """Ask a model; the answer streams as it comes.

    NAME is an entry of plugins.toml, PATH a .wasm file. Without any plugins.toml, NAME is a
    bundled plugin: fumehood chat openai "hi". TEXT comes from the arguments, or from stdin.
    """
    blocks: list[str | Block] = [inputs.text(words)]
    blocks += [inputs.picture(source) for source in images]
    offered = inputs.tools(tools) if tools is not None else None
    with open_provider(target, common, model=model, system=system) as provider:
        message = user(*blocks)
        if common.json or no_stream or "chat_stream" not in provider.capabilities:
            response = provider.chat([message], tools=offered)
            if not common.json and response.text:
                output.write_line(response.text)
        else:
            response = _stream(provider, message, offered)
    if common.json:
        output.write_json(output.with_receipt(common, _document(response), response.receipt))
        return
    for call in response.tool_calls:
        output.write_line(f"{call.name} {call.arguments}")
    output.finish(common, response.receipt)


def _stream(provider: Provider, message: Message, tools: list[Tool] | None) -> ChatResponse:
    """Print text as it comes; a plugin that cannot stream is asked for the whole answer."""
    last = "\n"
    try:
        with provider.chat_stream([message], tools=tools) as stream:
            try:
                for chunk in stream:
                    if chunk.kind == "text" and chunk.text:
                        output.write(chunk.text)
                        last = chunk.text[-1]
            finally:
                if last != "\n":
                    output.write("\n")
            return _answered(stream.response)
    except ProviderError as error:
        if error.kind != "not_implemented":
            raise
    response = provider.chat([message], tools=tools)
    if response.text:
        output.write_line(response.text)
    return response


def _answered(response: ChatResponse) -> ChatResponse:
    """The response of a stream; one in which nothing was said is the endpoint's failure: its
    reply was no event stream, or an empty one."""
    if response.text or response.tool_calls or response.thinking or response.finish_reason:
        return response
    error = ProviderError(
        "the endpoint's stream held no answer",
        kind="response_format_error",
        plugin=response.receipt.plugin,
        hint="--no-stream shows what it replies",
    )
    error.receipt = response.receipt
    raise error


def _document(response: ChatResponse) -> dict[str, Any]:
    usage = response.usage
    names = ("input_tokens", "output_tokens", "reasoning_tokens", "cache_read", "cache_write")
    return {
        "text": response.text,
        "tool_calls": [
            {"id": call.id, "name": call.name, "arguments": call.arguments}
            for call in response.tool_calls
        ],
        "thinking": response.thinking,
        "usage": None if usage is None else {name: getattr(usage, name) for name in names},
        "finish_reason": response.finish_reason,
    }
