"""`fumehood new --lang rust|python NAME`: a provider that builds and passes its own test."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

import click

from fumehood.errors import UsageError

TEMPLATES: Final = Path(__file__).parent / "templates"
_NAME: Final = re.compile(r"[a-z][a-z0-9]*(?:[-_][a-z0-9]+)*\Z")
_RESERVED: Final = {"fumehood", "fumehood_pdk", "test", "json", "src", "core", "std"}
_CRATE: Final = Path("pdk-rust") / "fumehood-pdk"
_NEXT: Final = {
    "python": ("python -m unittest", "fumehood build {module}.py -o {module}.wasm"),
    "rust": ("cargo test", "cargo build --target wasm32-wasip1 --release"),
}


@click.command(name="new")
@click.argument("name", metavar="NAME")
@click.option("--lang", type=click.Choice(sorted(_NEXT)), required=True, help="The language.")
@click.option(
    "--pdk", type=click.Path(path_type=Path, file_okay=False), metavar="FOLDER",
    help="fumehood's own folder, for Rust (default: the one this fumehood runs from).",
)  # fmt: skip
def command(name: str, lang: str, pdk: Path | None) -> None:
    """Make a folder NAME with a provider, its test and a plugins.toml.

    NAME is lower-case words with - between them. The provider chats, also streaming, with any
    endpoint that speaks OpenAI's API: change it into yours.
    """
    module = name.replace("-", "_")
    if not _NAME.match(name) or module in _RESERVED:
        raise UsageError(
            f"{name!r} cannot be a provider's name", hint="lower-case words, e.g. my-provider"
        )
    folder = Path(name)
    if folder.exists():
        raise UsageError(f"{name} is there already", hint="choose another name, or another folder")
    files = render(lang, module, crate(pdk) if lang == "rust" else None)
    for path, text in files.items():
        target = folder / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text, "utf-8")
        click.echo(f"wrote {target}")
    click.echo(f"next: cd {name}")
    for step in (*_NEXT[lang], "fumehood check …"):
        click.echo(f"      {step.format(module=module)}")


def render(lang: str, module: str, pdk: Path | None) -> dict[str, str]:
    """The files of a new project by their paths, the names of the template replaced."""
    words = module.split("_")
    names = {
        "my_provider": module,
        "my-provider": "-".join(words),
        "MyProvider": "".join(word.capitalize() for word in words),
        "PDK-PATH": "" if pdk is None else pdk.as_posix(),
    }
    pattern = re.compile("|".join(names))
    root = TEMPLATES / lang
    files = {}
    for source in sorted(root.rglob("*.txt")):
        path = source.relative_to(root).as_posix().removesuffix(".txt")
        path = path.replace("my_provider", module).replace("gitignore", ".gitignore")
        files[path] = pattern.sub(lambda found: names[found[0]], source.read_text("utf-8"))
    return files


def crate(pdk: Path | None) -> Path:
    """The folder of the crate fumehood-pdk. Raises UsageError where there is none: the crate is
    not published, so a project names it by its path."""
    roots = [pdk] if pdk is not None else list(Path(__file__).resolve().parents)
    for root in roots:
        for found in (root / _CRATE, root):
            if (found / "Cargo.toml").is_file() and found.name == _CRATE.name:
                return found.resolve()
    raise UsageError(
        "the crate fumehood-pdk is not here",
        hint="--pdk FOLDER, where FOLDER is a clone of fumehood's repository",
    )
