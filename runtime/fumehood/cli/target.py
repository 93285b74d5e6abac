"""From `NAME|PATH` to a provider, a plugin or a file."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from fumehood.cli.options import Common
from fumehood.errors import UsageError

if TYPE_CHECKING:
    from fumehood.plugin import CompiledPlugin
    from fumehood.provider import Provider

BUNDLED: Final = "bundled:"
_ENDINGS: Final = (".wasm", ".wat")


def is_path(target: str) -> bool:
    """True where `target` is a file (or `bundled:…`) and not the name of a registry entry."""
    return (
        target.startswith(BUNDLED)
        or target.lower().endswith(_ENDINGS)
        or "/" in target
        or "\\" in target
    )


def existing_file(target: str) -> Path:
    """The file at `target`, or of the bundled plugin. Raises UsageError where there is none."""
    if target.startswith(BUNDLED):
        from fumehood.provider import bundled_file

        return bundled_file(target.removeprefix(BUNDLED))
    path = Path(target).expanduser()
    if not path.exists():
        raise UsageError(f"no such file: {target!r}", hint="give the path of a .wasm file")
    if not path.is_file():
        raise UsageError(f"{target!r} is not a file", hint="give the path of a .wasm file")
    return path


def compiled_plugin(target: str) -> CompiledPlugin:
    """The compiled plugin at a path; the caller closes it."""
    from fumehood.plugin import CompiledPlugin

    return CompiledPlugin.load(existing_file(target))


def open_provider(target: str, common: Common, **overrides: Any) -> Provider:
    """The provider that `NAME|PATH` means; the caller closes it.

    A name is looked up in the registry (`--config`, else the search order); with no file at all it
    means the bundled plugin of that name. A path is that plugin, configured by `--set` alone.
    """
    from fumehood.provider import Provider, Registry

    config = common.settings | {key: value for key, value in overrides.items() if value is not None}
    if is_path(target):
        plugin = target if target.startswith(BUNDLED) else existing_file(target)
        return Provider.open(plugin, config=config, limits=common.limits)
    return Registry(common.config, ceiling=common.limits).open(target, **config)
