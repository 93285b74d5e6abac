"""Every target by its name."""

from __future__ import annotations

from typing import Final

from fuzz import (
    codecs,
    components,
    crowd,
    documents,
    imports,
    life,
    modules,
    providers,
    trips,
    wire,
)
from fuzz.target import Target

TARGETS: Final[dict[str, Target]] = {
    target.name: target
    for target in (
        codecs.TARGET,
        trips.TARGET,
        *providers.TARGETS,
        wire.TARGET,
        *documents.TARGETS,
        *modules.TARGETS,
        components.TARGET,
        imports.TARGET,
        life.TARGET,
        crowd.TARGET,
    )
}
