"""Randomness of a pre-initialised interpreter: what was seeded while the plugin was built must not be used as it is."""

from __future__ import annotations

import os
import random
import weakref
from collections.abc import Callable
from typing import Any

_unseeded: weakref.WeakSet[random.Random] = weakref.WeakSet()


def watch() -> Callable[[], None]:
    """Remember every `random.Random` that is made without a seed from now on; returns what ends that."""
    original = random.Random.seed

    def seed(self: random.Random, a: Any = None, version: int = 2) -> None:
        if a is None:
            _unseeded.add(self)
        original(self, a, version)

    _unseeded.add(random._inst)  # type: ignore[attr-defined, unused-ignore] # behind random.random()
    random.Random.seed = seed  # type: ignore[method-assign, assignment, unused-ignore]

    def end() -> None:
        random.Random.seed = original  # type: ignore[method-assign]

    return end


def reseed() -> None:
    """Seed them anew, from the host's randomness. Generators that the plugin seeded itself stay as they are."""
    for generator in _unseeded:
        # not `seed()`: that asks for 2,496 bytes, and a host gives 256 a call
        generator.seed(int.from_bytes(os.urandom(32), "little"))
