"""The command group, and the one place where errors become lines and exit codes."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from importlib import import_module
from typing import Any, Final

import click

from fumehood.cli import failures
from fumehood.cli.text import line
from fumehood.errors import Error

TRACEBACK: Final = "FUMEHOOD_TRACEBACK"
"""Set to 1, an error of ours (not of a plugin) is shown with its traceback: for our developers."""

_COMMANDS: Final = {
    "chat": "Ask a model; the answer streams as it comes.",
    "embed": "Turn texts into vectors.",
    "complete": "Continue a text.",
    "models": "List the models that a provider offers.",
    "call": "Call one export of a plugin with bytes.",
    "inspect": "Show what a plugin is and what it would be allowed.",
    "audit": "Check the hash chain of an audit file.",
    "new": "Begin a provider of your own, in Python or Rust.",
    "build": "Build a provider class, written in Python, into a plugin.",
    "check": "Find out whether a plugin keeps to the ABI, and which hosts would load it.",
    "demo": "Run the main job against a stub, then contain hostile guests.",
}


class _Commands(click.Group):
    """Loads a command's file when it is asked for: `--help` needs neither engine nor HTTP."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in _COMMANDS:
            return None
        command: click.Command = import_module(f"fumehood.cli.{cmd_name}").command
        return command

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except BrokenPipeError:  # here, since click would end the process with 1
            return _hang_up()

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl(list(_COMMANDS.items()))


def _version(ctx: click.Context, _option: click.Parameter, value: bool) -> None:
    if value and not ctx.resilient_parsing:
        from importlib.metadata import version

        click.echo(f"fumehood {version('fumehood')}")
        ctx.exit()


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.option(
    "--version", is_flag=True, is_eager=True, expose_value=False, callback=_version,
    help="Print the version.",
)  # fmt: skip
def app() -> None:
    """Run untrusted LLM-provider plugins in a sandbox.

    Exit codes: 0 done, 2 usage or configuration, 3 the plugin failed, 4 a request was denied,
    5 a limit was reached, 6 network or host, 7 the remote API refused, 130 interrupted.
    """


def _hang_up() -> int:
    """Who read us has seen enough. The buffer must go nowhere when the interpreter ends."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return failures.DONE


def say(message: str) -> None:
    """One line about ourselves on stderr; the text must be safe already."""
    click.echo(f"fumehood: {message}", err=True)


def run(argv: Sequence[str] | None = None) -> int:
    """Parse `argv` (default: the process's) and run; returns the exit code, raises nothing."""
    for stream in (sys.stdout, sys.stderr):
        # A terminal that is not UTF-8 must not turn an answer into an error.
        reconfigure: Any = getattr(stream, "reconfigure", None)
        if reconfigure is not None:
            reconfigure(errors="backslashreplace")
    try:
        result = app.main(
            args=None if argv is None else list(argv), prog_name="fumehood", standalone_mode=False
        )
        sys.stdout.flush()
        return result if isinstance(result, int) else failures.DONE
    except Error as error:
        say(failures.describe(error))
        return failures.exit_code(error)
    except click.exceptions.Exit as leave:
        return leave.exit_code
    except click.exceptions.NoArgsIsHelpError as problem:
        click.echo(problem.format_message(), err=True)
        return failures.USAGE
    except click.ClickException as problem:
        say(f"{line(problem.format_message())}{_advice(problem)}")
        return failures.USAGE
    except (KeyboardInterrupt, click.Abort):
        click.echo("", err=True)
        say("interrupted")
        return failures.INTERRUPTED
    except BrokenPipeError:
        return _hang_up()
    except Exception as bug:
        if os.environ.get(TRACEBACK):
            raise
        say(
            f"this is an error in fumehood itself: {type(bug).__name__}: {line(str(bug), 300)} "
            f"(please report it; {TRACEBACK}=1 shows where)"
        )
        return failures.HOST


def _advice(problem: click.ClickException) -> str:
    context = getattr(problem, "ctx", None)
    return f" (see {context.command_path} --help)" if context is not None else ""
