"""Every command and snippet of README.md and docs/ does what the page says.

The blocks of a page run in order, in one new folder, against the stub endpoint: whatever a page
calls `https://api.openai.com/v1/` is the stub here, and so is `openai` where no plugins.toml says
otherwise. A comment right above a block says how:

    (no comment)                  ```python and ```console run; ```toml and ```json must parse
    <!-- test: file NAME -->      the block is written to NAME in the page's folder
    <!-- test: continues -->      ```python that needs what the block before it defined
    <!-- test: output -->         what the block before it printed; `...` stands for anything
    <!-- test: exit N -->         the (last) command ends with status N
    <!-- test: from PATH -->      the block stands in that file of the repository, word for word;
                                  a comment `...` in it stands for what was left out
    <!-- test: make -->           the targets exist (running them here would run this test again)
    <!-- test: not run: WHY -->   left alone

In ```console, lines that start with `$ ` are commands and the lines below them their output.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import click
import pytest

from fumehood.cli.app import app
from fumehood.limits import KINDS
from fumehood.testing.stub import StubServer
from tests.toolchains import ROOT

PAGES: Final = [
    page
    for page in [*ROOT.glob("*.md"), *sorted(ROOT.glob("docs/**/*.md")), *ROOT.glob("*/README.md")]
    if page.is_file()
]
BLOCK: Final = re.compile(
    r"(?:^<!-- test: (?P<rule>[^\n]+?) -->\n+)?^```(?P<language>\w*)[^\n]*\n(?P<body>.*?)^```$",
    re.MULTILINE | re.DOTALL,
)
LINK: Final = re.compile(r"\]\((?!https?:|mailto:|#)([^)#\s]+)(?:#[^)]*)?\)")
RULES: Final = re.compile(
    r"file \S+|continues|output|exit \d+|from \S+|make|not run: .{10,}", re.DOTALL
)
EXECUTED: Final = {"python", "console"}
USER_FILE: Final = """
[[providers]]
name = "openai"
path = "bundled:openai"
config = { model = "stub-1", base_url = "https://api.openai.com/v1/" }
secrets = { api_key = "env:OPENAI_API_KEY" }
"""
"""The reader's own plugins.toml, in the platform's config folder."""


@dataclass(frozen=True)
class Block:
    """One fenced block: `where` is `page:line`."""

    where: str
    language: str
    rule: str
    body: str


def blocks(page: Path) -> Iterator[Block]:
    """The fenced blocks of a page, in order."""
    text = page.read_text(encoding="utf-8")
    for match in BLOCK.finditer(text):
        line = text.count("\n", 0, match.start("body"))
        where = f"{page.relative_to(ROOT)}:{line}"
        yield Block(where, match["language"], match["rule"] or "", match["body"])


def matches(expected: str, actual: str) -> bool:
    """Whether `actual` is `expected`, where `...` stands for anything."""
    parts = [re.escape(part) for part in expected.strip().split("...")]
    return re.fullmatch(".*".join(parts), actual.strip(), re.DOTALL) is not None


class Reader:
    """Someone who types what a page says, in a folder of their own."""

    def __init__(self, folder: Path, stub: StubServer) -> None:
        self.folder = folder
        self.stub = stub
        self.source = ""
        self.printed = ""
        user = folder / ".config" / "fumehood" / "plugins.toml"
        user.parent.mkdir(parents=True)
        user.write_text(self.here(USER_FILE), encoding="utf-8")
        self.environment = {
            **{k: v for k, v in os.environ.items() if not k.startswith(("FUMEHOOD", "OPENAI"))},
            "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
            "OPENAI_API_KEY": "sk-of-the-docs",
            "HOME": str(folder),
            "XDG_CONFIG_HOME": str(folder / ".config"),
            "XDG_CACHE_HOME": str(folder / ".cache"),
            "XDG_DATA_HOME": str(folder / ".data"),
            "XDG_STATE_HOME": str(folder / ".state"),
            "COLUMNS": "100",
            "NO_COLOR": "1",
        }

    def here(self, text: str) -> str:
        """`text` with the stub where the page names the real endpoint."""
        host = f"{self.stub.host}:{self.stub.port}"
        text = text.replace("https://api.openai.com/v1/", self.stub.url)
        return text.replace('"api.openai.com"', f'"{host}"')

    def run(self, command: list[str] | str, where: str, status: int = 0) -> None:
        """Run it; what it printed is kept for an output block."""
        done = subprocess.run(
            command,
            shell=isinstance(command, str),
            cwd=self.folder,
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=110,
            check=False,
        )
        self.printed = done.stdout + done.stderr if status else done.stdout
        assert done.returncode == status, f"{where}: {command}\n{done.stdout}\n{done.stderr}"

    def python(self, block: Block) -> None:
        """A ```python block, in a process of its own."""
        body = self.here(block.body)
        self.source = f"{self.source}\n{body}" if block.rule == "continues" else body
        path = self.folder / "snippet.py"
        path.write_text(self.source, encoding="utf-8")
        status = int(block.rule.split()[1]) if block.rule.startswith("exit ") else 0
        self.run([sys.executable, "-W", "error", str(path)], block.where, status)

    def console(self, block: Block) -> None:
        """A ```console block: commands, each followed by the output that is to come."""
        status = int(block.rule.split()[1]) if block.rule.startswith("exit ") else 0
        sections = re.split(r"^\$ ", block.body, flags=re.MULTILINE)
        assert not sections[0].strip(), f"{block.where}: text before the first command"
        assert len(sections) > 1, f"{block.where}: no command"
        for number, section in enumerate(sections[1:], start=1):
            command, _, expected = self.here(section).partition("\n")
            while command.endswith("\\"):
                more, _, expected = expected.partition("\n")
                command = f"{command[:-1]}{more.lstrip('> ')}"
            self.run(command, block.where, status if number == len(sections) - 1 else 0)
            if expected.strip():
                assert matches(expected, self.printed), (
                    f"{block.where}: `{command}` printed\n{self.printed}"
                )

    def read(self, block: Block) -> None:
        """One block of the page."""
        verb, _, argument = block.rule.partition(" ")
        assert not block.rule or RULES.fullmatch(block.rule), f"{block.where}: {block.rule!r}"
        if verb == "not":
            return
        if verb == "file":
            path = self.folder / argument
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(self.here(block.body), encoding="utf-8")
        elif verb == "from":
            source = (ROOT / argument).read_text(encoding="utf-8")
            for part in re.split(r"^ *(?://|#) \.\.\.$", block.body, flags=re.MULTILINE):
                assert part.strip("\n") in source, f"{block.where}: not in {argument}:\n{part}"
        elif verb == "output":
            assert matches(block.body, self.printed), f"{block.where}: printed\n{self.printed}"
        elif verb == "make":
            for target in re.findall(r"\bmake ([\w-]+)", block.body):
                subprocess.run(
                    ["make", "-n", target], cwd=ROOT, check=True, stdout=subprocess.DEVNULL
                )
        elif block.language == "python":
            self.python(block)
        elif block.language == "console":
            self.console(block)
        elif block.language == "toml":
            tomllib.loads(block.body)
        elif block.language == "json":
            json.loads(block.body)


@pytest.fixture
def stub() -> Iterator[StubServer]:
    with StubServer() as server:
        yield server


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_what_a_page_shows_works(page: Path, tmp_path: Path, stub: StubServer) -> None:
    reader = Reader(tmp_path, stub)
    for block in blocks(page):
        reader.read(block)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_of_a_page_lead_somewhere(page: Path) -> None:
    missing = [
        link
        for link in LINK.findall(page.read_text(encoding="utf-8"))
        if not (page.parent / link).exists()
    ]
    assert missing == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_block_says_its_language(page: Path) -> None:
    unnamed = [block.where for block in blocks(page) if not block.language]
    assert unnamed == []


def test_every_limit_is_in_the_guide() -> None:
    guide = (ROOT / "docs" / "host-guide.md").read_text(encoding="utf-8")
    assert [name for name in KINDS if f"`{name}`" not in guide] == []


def test_every_command_and_option_is_on_its_page() -> None:
    page = (ROOT / "docs" / "cli.md").read_text(encoding="utf-8")
    shown = set(re.findall(r"^\| `([a-z]+)", page, re.MULTILINE))
    context = click.Context(app)
    assert isinstance(app, click.Group)
    assert shown == set(app.list_commands(context))
    options: set[str] = set()
    for name in shown:
        command = app.get_command(context, name)
        assert command is not None
        below = command.commands.values() if isinstance(command, click.Group) else ()
        for each in (command, *below):
            options |= {word for option in each.params for word in option.opts if word[:2] == "--"}
    missing = {word for word in options if f"`{word}" not in page and f"{word}`" not in page}
    assert missing <= {"--help", "--verbose"}


def test_the_pages_are_found_and_show_something() -> None:
    names = {page.name for page in PAGES}
    assert {"README.md", "SECURITY.md", "architecture.md", "host-guide.md", "cli.md"} <= names
    shown = [block for page in PAGES for block in blocks(page) if block.language in EXECUTED]
    run = [block for block in shown if not block.rule.startswith("not run")]
    assert len(run) >= 10
    assert len(shown) - len(run) <= 5
