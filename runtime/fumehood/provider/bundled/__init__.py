"""The plugins that come with fumehood: `<name>.wasm`, all recorded in `bundled.json`.

The record is written by tools/build-bundled and says where each file comes from: `source` (paths of
the repository), `sha256` of the file, `recipe` (the command that builds it). A file that does not
fit its digest is not loaded.
"""

from __future__ import annotations

import difflib
import hashlib
from dataclasses import dataclass
from importlib import resources
from importlib.resources.abc import Traversable
from typing import Any, Final

from fumehood.abi import jsonwire
from fumehood.errors import ConfigError, LoadError, ProtocolError

PREFIX: Final = "bundled:"
RECORD: Final = "bundled.json"


@dataclass(frozen=True, slots=True)
class Bundled:
    """One of them, as read."""

    name: str
    content: bytes
    sha256: str
    source: tuple[str, ...]
    recipe: str


def names(folder: Traversable | None = None) -> list[str]:
    """The names of all, sorted."""
    folder = folder or resources.files(__name__)
    return sorted(
        item.name.removesuffix(".wasm") for item in folder.iterdir() if item.name.endswith(".wasm")
    )


def read(name: str, folder: Traversable | None = None) -> Bundled:
    """The plugin called `name`, without the prefix.

    Raises ConfigError where there is none of that name, LoadError where it is damaged.
    """
    folder = folder or resources.files(__name__)
    have = names(folder)
    if name not in have:
        near = difflib.get_close_matches(name, have, 1, 0.5)
        listed = f"did you mean {near[0]!r}?" if near else f"there are: {', '.join(have) or 'none'}"
        raise ConfigError(f"no bundled plugin is called {name!r}", hint=listed)
    content = (folder / f"{name}.wasm").read_bytes()
    try:
        record: Any = jsonwire.decode((folder / RECORD).read_bytes(), RECORD)
        manifest = record["plugins"][name]
    except (OSError, ProtocolError, KeyError, TypeError) as problem:
        raise LoadError(f"the bundled plugin {name!r} is not recorded: {problem!r}") from None
    digest = hashlib.sha256(content).hexdigest()
    wanted = manifest.get("sha256") if isinstance(manifest, dict) else None
    if digest != wanted:
        raise LoadError(
            f"the bundled plugin {name!r} has the digest {digest}, {RECORD} says {wanted}",
            hint="reinstall fumehood",
        )
    source = tuple(str(path) for path in manifest.get("source", ()))
    return Bundled(name, content, digest, source, str(manifest.get("recipe", "")))
