"""From `NAME|PATH` to a provider, or to what would be opened."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from fumehood.cli.options import Common
from fumehood.errors import UsageError
from fumehood.provider import Provider, Registry
from fumehood.provider.opening import Spec

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
    """The file at `target`. Raises UsageError where there is none."""
    path = Path(target).expanduser()
    if not path.exists():
        raise UsageError(f"no such file: {target!r}", hint="give the path of a .wasm file")
    if not path.is_file():
        raise UsageError(f"{target!r} is not a file", hint="give the path of a .wasm file")
    return path


def spec_of(target: str, common: Common) -> Spec:
    """What `NAME|PATH` would open, as the operator's words have it. Nothing is loaded."""
    if not is_path(target):
        with Registry(common.config, ceiling=common.limits) as registry:
            return registry.spec(target, **common.settings)
    plugin = target if target.startswith(BUNDLED) else existing_file(target)
    return Spec(plugin, config=common.settings, limits=common.limits)


@contextmanager
def open_provider(target: str, common: Common, **overrides: Any) -> Iterator[Provider]:
    """The provider that `NAME|PATH` means, closed at the end of the block.

    A name is looked up in the registry (`--config`, else the search order); with no file at all it
    means the bundled plugin of that name. A path is that plugin, configured by `--set` alone.
    """
    config = common.settings | {key: value for key, value in overrides.items() if value is not None}
    if is_path(target):
        plugin = target if target.startswith(BUNDLED) else existing_file(target)
        with Provider.open(plugin, config=config, limits=common.limits) as provider:
            yield provider
        return
    with (
        Registry(common.config, ceiling=common.limits) as registry,
        registry.open(target, **config) as provider,
    ):
        yield provider
