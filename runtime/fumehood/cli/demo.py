"""`fumehood demo`: the main job in one go, against a stub or a real local model.

Every claim on screen is checked before it is printed; the exit code says whether all of them held.
"""

from __future__ import annotations

import itertools
import logging
import secrets
import sys
from collections.abc import Iterable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Any, Final

import click
from rich.console import Console
from rich.table import Table
from rich.text import Text

from fumehood.cli import failures, output
from fumehood.cli.options import start_logging
from fumehood.cli.text import escape, line
from fumehood.limits import Limits
from fumehood.provider import ChatResponse, Provider
from fumehood.testing.gallery import DEMO, GALLERY, Attack, find
from fumehood.testing.gallery.run import GRACE, Containment, contain_in_time
from fumehood.testing.stub import StubServer

PLUGIN: Final = "bundled:openai"
TOKEN_DELAY: Final = 0.03
"""Seconds between two words of the stub, so that streaming can be seen."""


@dataclass(frozen=True, slots=True)
class Scene:
    """What the plugin talks to: an endpoint, its model, and what is asked of it."""

    title: str
    url: str
    model: str
    prompt: str
    settings: dict[str, Any]
    stub: StubServer | None
    limits: Limits = field(default_factory=Limits)


@click.command(name="demo")
@click.option("--llm", is_flag=True, help="A real llama.cpp server and model (extra: local).")
@click.option("--attacks", is_flag=True, help="All hostile guests of the gallery, not three.")
@click.option("--json", "as_json", is_flag=True, help="The results as JSON.")
@click.option("-v", "--verbose", count=True, help="Show the log; twice for all of it.")
def command(*, llm: bool, attacks: bool, as_json: bool, verbose: int) -> int:
    """Run the main job: a chat through a sandboxed plugin, then hostile guests.

    The bundled openai plugin streams an answer from an endpoint on loopback; its receipt says what
    it used. Then guests that try to do harm are run, each in a sandbox of its own. The exit code
    is 0 only if everything ended as it should.
    """
    console = output.console(sys.stderr if as_json else sys.stdout)
    with ExitStack() as stack:
        scene = _real(stack, console) if llm else _stub(stack)
        start_logging(verbose)
        console.print(Text(scene.title, style="bold"), soft_wrap=True)
        response, pieces, wrong = chat(scene, console)
        console.print()
        console.print(output.table(output.receipt_rows(response.receipt), "Receipt"))
        _quiet(verbose)
        rows = GALLERY if attacks else [find(name) for name in DEMO]
        target = scene.stub or stack.enter_context(StubServer())
        ends = list(_attack(rows, target, console))
    wrong += [f"{end.attack.name}: {reason}" for end in ends if (reason := verdict(end))]
    contained = sum(1 for end in ends if not verdict(end))
    console.print()
    console.print(f"{contained} of {len(ends)} hostile guests contained; this process is well.")
    for problem in wrong:
        console.print(Text(f"NOT AS EXPECTED: {line(problem)}", style="bold red"), soft_wrap=True)
    if as_json:
        output.write_json(_document(response, pieces, ends, wrong))
    return failures.HOST if wrong else failures.DONE


def _stub(stack: ExitStack) -> Scene:
    key = f"sk-demo-{secrets.token_hex(16)}"
    stub = stack.enter_context(StubServer(api_key=key, token_delay=TOKEN_DELAY))
    return Scene(
        f"A chat through the plugin {PLUGIN}, with a stub endpoint at {stub.root} (no model)",
        stub.url,
        "stub-1",
        "Is it safe to run a plugin that I do not trust?",
        {"api_key": key},
        stub,
    )


def _real(stack: ExitStack, console: Console) -> Scene:
    from fumehood.testing.llm import LlamaServer, model_file

    console.print("Loading the model; the first time it is put together in the cache …")
    path = model_file()
    server = stack.enter_context(LlamaServer())
    return Scene(
        f"A chat through the plugin {PLUGIN}, with llama.cpp and {path.name} at {server.url}",
        server.url,
        server.model,
        "A plugin in a sandbox is safe because",
        {"max_tokens": 48, "temperature": 0.2},
        None,
        Limits(deadline=600, idle_time=300),  # few and slow processors must do too
    )


def chat(scene: Scene, console: Console) -> tuple[ChatResponse, int, list[str]]:
    """Stream one answer to the console; the answer, its number of pieces, and what was wrong."""
    config = scene.settings | {"base_url": scene.url, "model": scene.model}
    console.print(Text("> ", style="bold").append(scene.prompt))
    pieces = 0
    with Provider.open(PLUGIN, config=config, limits=scene.limits) as provider:
        with provider.chat_stream(scene.prompt) as stream:
            for chunk in stream:
                if chunk.kind == "text" and chunk.text:
                    pieces += 1
                    click.echo(escape(chunk.text), nl=False, err=console.file is sys.stderr)
        response = stream.response
    click.echo(err=console.file is sys.stderr)
    wrong: list[str] = []
    text = response.text or ""
    if pieces < 2:
        wrong.append(f"the answer came in {pieces} pieces: it did not stream")
    if scene.stub is not None:
        if not text.endswith(scene.prompt):
            wrong.append("the answer is not what the stub said")
        if not scene.stub.requests or not scene.stub.requests[-1].path.endswith("/completions"):
            wrong.append("the stub did not get the request")
    elif not text.strip():
        wrong.append("the model said nothing")
    if len(response.receipt.http) != 1:
        wrong.append(f"{len(response.receipt.http)} requests on the receipt, one was made")
    return response, pieces, wrong


_WIDTHS: Final = {"guest": 7, "attacks": 9, "ended with": 7, "after": 3, "": 4}
"""Shares of a line: the same for every class, so that the tables stand in line."""


def _quiet(verbose: int) -> None:
    """Hostile guests flood the log; what gets through the budget need not be on screen."""
    if not verbose:
        logger = logging.getLogger("fumehood")
        logger.handlers = [logging.NullHandler()]


def verdict(end: Containment) -> str:
    """What is wrong with an end: another one than promised, or too late; empty for nothing."""
    late = end.late - GRACE
    return end.why or (f"ended {late:.3f} s too late" if late > 0 else "")


def _attack(rows: Sequence[Attack], stub: StubServer, console: Console) -> Iterable[Containment]:
    """Run them; where there are many, a table is printed for each class as soon as it is done."""
    many = len(rows) > len(DEMO)
    stub.token_delay = 0
    stub.api_key = None
    for group, attacks in itertools.groupby(rows, key=lambda attack: attack.group if many else ""):
        title = f"\nHostile guests: {group}" if many else "\nHostile guests"
        grid = Table(title=title, box=None, pad_edge=False, title_justify="left", expand=many)
        for name in ("guest", "attacks", "ended with", "after", ""):
            right = name == "after"
            grid.add_column(
                name, overflow="fold", justify="right" if right else "left", ratio=_WIDTHS[name]
            )
        for attack in attacks:
            end = contain_in_time(attack, stub.url)
            reason = verdict(end)
            mark = Text("contained", "green") if not reason else Text(reason, "bold red")
            grid.add_row(
                Text(attack.name),
                Text(attack.promise),
                Text(end.ending),
                Text(output.seconds(end.seconds)),
                mark,
            )
            yield end
        console.print(grid)


def _document(
    response: ChatResponse, pieces: int, ends: list[Containment], wrong: list[str]
) -> dict[str, Any]:
    return {
        "text": response.text,
        "pieces": pieces,
        "receipt": response.receipt.to_dict(),
        "attacks": [
            {
                "name": end.attack.name,
                "promise": end.attack.promise,
                "ending": end.ending,
                "seconds": end.seconds,
                "contained": not verdict(end),
            }
            for end in ends
        ],
        "wrong": wrong,
    }
