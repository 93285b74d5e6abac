"""From `NAME|PATH` to a provider."""

from __future__ import annotations

from typing import Any, Final

from fumehood.cli.options import Common
from fumehood.provider import Provider, Registry

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


def open_provider(target: str, common: Common, **overrides: Any) -> Provider:
    """The provider that `NAME|PATH` means; the caller closes it.

    A name is looked up in the registry (`--config`, else the search order); with no file at all it
    means the bundled plugin of that name. A path is that plugin, configured by `--set` alone.
    """
    config = common.settings | {key: value for key, value in overrides.items() if value is not None}
    if is_path(target):
        return Provider.open(target, config=config, limits=common.limits)
    return Registry(common.config, ceiling=common.limits).open(target, **config)
