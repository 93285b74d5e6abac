"""What goes into a plugin: the author's file, the files beside it that it imports, and the packages it requires."""

from __future__ import annotations

import ast
import re
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from fumehood_pdk._build.failure import BuildError

_SCRIPT: Final = re.compile(r"(?m)^# /// script$\s(?P<content>(^#(| .*)$\s)+)^# ///$")
"""Inline script metadata, the expression that PEP 723 gives."""
_PACKAGE: Final = Path(__file__).resolve().parent.parent
_AUTHOR_SIDE: Final = {"_build", "__main__.py", "testing.py", "py.typed", "__pycache__"}
NATIVE: Final = (".so", ".pyd", ".dylib", ".dll", ".a", ".o")


@dataclass(slots=True)
class Sources:
    """Files of the plugin by their path below the search path."""

    module: str
    files: dict[str, bytes] = field(default_factory=dict)
    beside: list[str] = field(default_factory=list)
    """Modules found beside the author's file."""


@dataclass(frozen=True, slots=True)
class Imported:
    """An import statement: the top name is what decides whether it can be found."""

    module: str
    line: int
    deferred: bool
    """Inside a function: it would run when there is nothing left to import from."""
    guarded: bool
    """Inside a `try`, whose handler may have another way."""

    @property
    def top(self) -> str:
        """The package or module that must be there."""
        return self.module.partition(".")[0]


def metadata(text: str, file: str) -> dict[str, Any]:
    """The script's inline metadata (PEP 723), `{}` where it has none. Raises BuildError where it is no TOML."""
    found = _SCRIPT.search(text)
    if found is None:
        return {}
    lines = found["content"].splitlines()
    content = "\n".join(line[2:] if line.startswith("# ") else line[1:] for line in lines)
    try:
        return tomllib.loads(content)
    except tomllib.TOMLDecodeError as problem:
        raise BuildError(f"{file}: its inline metadata is no TOML: {problem}") from None


def imports(source: bytes, file: str) -> list[Imported]:
    """Every absolute import of a file. Raises BuildError where it does not parse."""
    try:
        tree = ast.parse(source, file)
    except (SyntaxError, ValueError) as problem:
        where = f":{problem.lineno}" if isinstance(problem, SyntaxError) else ""
        raise BuildError(f"{file}{where}: {getattr(problem, 'msg', problem)}") from None
    return list(_walk(tree, deferred=False, guarded=False))


def _walk(node: ast.AST, *, deferred: bool, guarded: bool) -> Iterator[Imported]:
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.Import):
            for name in child.names:
                yield Imported(name.name, child.lineno, deferred, guarded)
        elif isinstance(child, ast.ImportFrom):
            if child.module and not child.level:
                yield Imported(child.module, child.lineno, deferred, guarded)
        elif isinstance(child, ast.If) and _type_checking(child.test):
            for other in child.orelse:
                yield from _walk(ast.Module([other], []), deferred=deferred, guarded=guarded)
        else:
            inside = deferred or isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
            tried = guarded or isinstance(child, ast.Try | ast.TryStar)
            yield from _walk(child, deferred=inside, guarded=tried)


def _type_checking(test: ast.expr) -> bool:
    return (isinstance(test, ast.Name) and test.id == "TYPE_CHECKING") or (
        isinstance(test, ast.Attribute) and test.attr == "TYPE_CHECKING"
    )


def collect(plugin: Path) -> Sources:
    """The author's file or package and, of what lies beside it, what they import; and the guest's half of fumehood_pdk.

    Raises BuildError where the file is missing, cannot be a module, or does not parse.
    """
    if plugin.is_dir() and (plugin / "__init__.py").is_file():
        found = Sources(plugin.name)
        _add_folder(found, plugin, plugin.name)
    elif plugin.is_file() and plugin.suffix == ".py":
        found = Sources(plugin.stem)
        found.files[plugin.name] = plugin.read_bytes()
    else:
        raise BuildError(f"{plugin}: neither a .py file nor a package (a folder with __init__.py)")
    if not found.module.isidentifier():
        raise BuildError(f"{plugin.name}: {found.module!r} cannot be imported", "use letters, digits and _ in the name")
    if found.module in ("fumehood_pdk", "_fumehood_main", "_fumehood"):
        raise BuildError(f"{plugin.name}: the name {found.module!r} is taken")
    _add_beside(found, plugin.parent)
    for path in sorted(_PACKAGE.rglob("*.py")):
        inner = path.relative_to(_PACKAGE)
        if not set(inner.parts) & _AUTHOR_SIDE:
            found.files[f"fumehood_pdk/{inner.as_posix()}"] = path.read_bytes()
    return found


def _add_beside(found: Sources, folder: Path) -> None:
    todo, seen = list(found.files), {found.module, "fumehood_pdk"}
    while todo:
        name = todo.pop()
        if not name.endswith(".py"):
            continue
        for item in imports(found.files[name], name):
            if item.top in seen:
                continue
            seen.add(item.top)
            before = set(found.files)
            if (folder / f"{item.top}.py").is_file():
                found.files[f"{item.top}.py"] = (folder / f"{item.top}.py").read_bytes()
            elif (folder / item.top / "__init__.py").is_file():
                _add_folder(found, folder / item.top, item.top)
            else:
                continue
            found.beside.append(item.top)
            todo.extend(set(found.files) - before)


def _add_folder(found: Sources, folder: Path, under: str) -> None:
    for path in sorted(folder.rglob("*")):
        if path.is_file() and "__pycache__" not in path.parts and path.suffix not in NATIVE:
            found.files[f"{under}/{path.relative_to(folder).as_posix()}"] = path.read_bytes()
