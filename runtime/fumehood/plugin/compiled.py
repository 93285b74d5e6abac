"""A plugin's modules, compiled and linked once; instances are made from it."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final

from fumehood import arguments
from fumehood.engine import (
    CompiledModule,
    ExportInfo,
    HostImport,
    ImportInfo,
    NamedModule,
    Preopen,
    Template,
    load_module,
)
from fumehood.engine.wasmfile import is_component
from fumehood.errors import Error, LoadError, UsageError
from fumehood.imports import Services, standard
from fumehood.limits import Limits
from fumehood.plugin.files import read_file
from fumehood.plugin.instance import Instance
from fumehood.plugin.modules import MAIN, plan_links, reachable

if TYPE_CHECKING:
    from fumehood.engine.component import CompiledComponent
    from fumehood.engine.component_sandbox import ComponentTemplate

MAX_MODULE_BYTES: Final = 256 * 1024 * 1024
"""A module file above this is refused before it is read."""


class CompiledPlugin:
    """Compiled code plus what it is linked to; thread-safe, shared by any number of instances.

    Made by `load` (one module or component) or `link` (a set of named modules). `close()` frees
    what it owns; instances made before live on.
    """

    def __init__(
        self,
        main: CompiledModule | CompiledComponent,
        template: Template | ComponentTemplate,
        exports: Mapping[str, ExportInfo],
        *,
        name: str,
    ) -> None:
        self.name = name
        self._main = main
        self._template = template
        self._exports = exports

    @classmethod
    def _of_modules(
        cls,
        modules: Sequence[NamedModule],
        *,
        name: str,
        functions: Sequence[HostImport],
        wasi: bool,
        folders: Sequence[Preopen] = (),
    ) -> CompiledPlugin:
        given = folders if wasi else ()
        functions = arguments.items(functions, "functions", "host functions")
        for function in functions:
            arguments.instance(function, HostImport, "a host function")
        imports = standard(with_wasi=wasi, with_folders=bool(given))
        main = modules[-1].module
        try:
            template = Template(modules, [*imports, *functions], given)
        except Error as problem:
            problem.plugin = problem.plugin or name
            raise
        return cls(main, template, main.exports, name=name)

    @classmethod
    def load(
        cls,
        source: bytes | str | os.PathLike[str],
        *,
        name: str | None = None,
        functions: Sequence[HostImport] = (),
        wasi: bool = True,
    ) -> CompiledPlugin:
        """Load one core module (Wasm or WAT) or one component: its bytes, or a path to it.

        The first bytes tell which it is; a component gets neither `functions` nor WASI. Raises
        LoadError: no such file, not Wasm, invalid, an import that nothing provides.
        """
        if isinstance(source, bytes | bytearray | memoryview):
            content, name = bytes(source), name or "plugin"
        elif not isinstance(source, str | os.PathLike):
            raise UsageError(f"a plugin is bytes or a path, not {type(source).__name__}")
        else:
            content, name = read_module(Path(source)), name or Path(source).stem
        try:
            if is_component(content):
                return cls._of_component(content, name)
            module = load_module(content)
        except LoadError as problem:
            problem.plugin = name
            raise
        named = [NamedModule(MAIN, module)]
        return cls._of_modules(named, name=name, functions=functions, wasi=wasi)

    @classmethod
    def _of_component(cls, content: bytes, name: str) -> CompiledPlugin:
        # who opens no component need not import wasmtime's side of them
        from fumehood.plugin.components import export_infos, open_component

        component, template = open_component(content, name)
        return cls(component, template, export_infos(template), name=name)

    @classmethod
    def link(
        cls,
        modules: Sequence[tuple[str, bytes]],
        *,
        name: str = "plugin",
        functions: Sequence[HostImport] = (),
        wasi: bool = True,
        folders: Sequence[Preopen] = (),
    ) -> CompiledPlugin:
        """Link a set of named modules, one of them `main` (extism-abi.md §2.2).

        Modules that main does not need are compiled and otherwise left out. Raises LoadError,
        also for modules that import each other in a circle.
        """
        compiled = {label: load_module(content) for label, content in modules}
        needs = {label: [i.module for i in m.imports] for label, m in compiled.items()}
        wanted = reachable(needs, MAIN)
        order = [label for label in plan_links(needs) if label in wanted]
        named = [NamedModule(label, compiled[label]) for label in order]
        return cls._of_modules(named, name=name, functions=functions, wasi=wasi, folders=folders)

    @property
    def is_component(self) -> bool:
        """Whether this is a component, not a core module with the Extism ABI."""
        return not isinstance(self._template, Template)

    @property
    def sha256(self) -> str:
        """Of the main module's source, in hex."""
        return self._main.sha256

    @property
    def size(self) -> int:
        """Bytes of the main module's source."""
        return self._main.size

    @property
    def exports(self) -> dict[str, ExportInfo]:
        """The main module's exports by name; of a component, what it says that `call` takes."""
        return dict(self._exports)

    @property
    def imports(self) -> list[ImportInfo]:
        """The main module's imports, in order."""
        return list(self._main.imports)

    @property
    def memory(self) -> tuple[int, int | None]:
        """Bytes of memory that the main module declares: minimum and maximum (None: none)."""
        low = sum(m.minimum for m in self._main.memories) * 65536
        tops = [m.maximum for m in self._main.memories]
        if any(top is None for top in tops):
            return low, None
        return low, sum(top or 0 for top in tops) * 65536

    def has(self, export: str) -> bool:
        """Whether `export` is a function without parameters and with no result or one i32
        (provider-abi.md §0.1)."""
        info = self._exports.get(export)
        return info is not None and info.callable

    def instance(self, services: Services, limits: Limits, *, renew: bool = False) -> Instance:
        """A new instance; its sandbox is made by the first call."""
        return Instance(self._template, services, limits, renew=renew)

    def close(self) -> None:
        """Free what linking made. Idempotent."""
        self._template.close()

    def __enter__(self) -> CompiledPlugin:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()


def read_module(path: Path) -> bytes:
    """The bytes of a module file. Raises LoadError that names the path and what is wrong."""
    try:
        if path.exists() and not path.is_file():
            raise LoadError(f"{str(path)!r} is not a file")
        content = read_file(path, MAX_MODULE_BYTES)
    except FileNotFoundError as problem:
        raise LoadError(
            f"no such file: {str(path)!r}", hint="give the path of a .wasm file"
        ) from problem
    except (OSError, ValueError) as problem:
        reason = getattr(problem, "strerror", None) or str(problem)
        raise LoadError(f"cannot read {str(path)!r}: {reason}") from problem
    if len(content) > MAX_MODULE_BYTES:
        raise LoadError(f"{str(path)!r} is larger than {MAX_MODULE_BYTES} bytes")
    return content
