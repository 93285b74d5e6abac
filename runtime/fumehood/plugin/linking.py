"""From a checked manifest to linked code: fetches the modules, opens the folders, compiles."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

from fumehood.engine import HostImport, Preopen
from fumehood.errors import ManifestError
from fumehood.plugin.compiled import CompiledPlugin
from fumehood.plugin.manifest import AllowedPath, Manifest, parse
from fumehood.plugin.modules import plan_modules
from fumehood.plugin.sources import module_bytes


def link_manifest(
    manifest: Manifest,
    *,
    name: str = "plugin",
    functions: Iterable[HostImport] = (),
    wasi: bool = True,
    allowed_paths: Mapping[str, str] | None = None,
) -> CompiledPlugin:
    """Compile and link what a manifest names; `allowed_paths` are added to its own.

    Raises ManifestError and LoadError, also for a folder that is not there (extism-abi.md §3.2).
    """
    named = plan_modules([module.name for module in manifest.modules])
    extra = parse({"allowed_paths": allowed_paths}).allowed_paths if allowed_paths else ()
    folders = [_preopen(path) for path in (*manifest.allowed_paths, *extra)]
    if any(module.url is not None for module in manifest.modules):
        # loaded only where a module comes by URL: the HTTP client costs about 100 ms
        from fumehood.egress.client import Client
        from fumehood.plugin.fetch import UrlFetch

        with Client() as client:
            contents = [module_bytes(module, UrlFetch(client)) for module in manifest.modules]
    else:
        contents = [module_bytes(module) for module in manifest.modules]
    return CompiledPlugin.link(
        [(n.name, contents[n.index]) for n in named],
        name=name,
        functions=list(functions),
        wasi=wasi,
        folders=folders,
    )


def _preopen(path: AllowedPath) -> Preopen:
    folder = Path(path.host)
    if not folder.is_dir():
        raise ManifestError(
            f"allowed_paths: {str(path.host)!r} is not a folder",
            hint="only folders can be given to a plugin",
        )
    return Preopen(str(folder.resolve()), path.guest, path.read_only)
