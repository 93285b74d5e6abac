"""Names and order of a plugin's modules: pure functions (extism-abi.md §2.1 and §2.2)."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from fumehood.errors import LoadError, ManifestError

KERNEL_NAMESPACE: Final = "extism:host/env"
USER_NAMESPACE: Final = "extism:host/user"
WASI_NAMESPACE: Final = "wasi_snapshot_preview1"
MAIN: Final = "main"
MAX_MODULES: Final = 64
"""Modules of one plugin; each costs a compilation and an instance."""


@dataclass(frozen=True, slots=True)
class Named:
    """Entry `index` of the manifest's `wasm` list, under its final `name`."""

    index: int
    name: str

    @property
    def is_main(self) -> bool:
        """True for the one module whose exports can be called."""
        return self.name == MAIN


def plan_modules(names: Sequence[str | None]) -> list[Named]:
    """The final names of the entries of `wasm`, in their order; exactly one is `main`.

    A lone entry is `main`, whatever it says. Of several, an entry without a name is called `main`,
    and where none before the last is called so, the last is, even if it has a name.

    Raises ManifestError for an empty list, a name that stands twice, and the kernel's namespace.
    """
    if not names:
        raise ManifestError("wasm: No wasm files specified in Extism manifest")
    if len(names) > MAX_MODULES:
        raise ManifestError(f"wasm: {len(names)} modules; a plugin may have {MAX_MODULES}")
    found: dict[str, int] = {}
    for index, given in enumerate(names):
        name = MAIN if given is None else given
        if index == len(names) - 1 and MAIN not in found:
            name = MAIN
        if name == KERNEL_NAMESPACE:
            raise ManifestError(
                f"wasm[{index}].name: Duplicate module name found in Extism manifest: "
                f"{name} is the kernel's"
            )
        if name in found:
            raise ManifestError(
                f"wasm[{index}].name: Duplicate module name found in Extism manifest: {name} "
                f"is wasm[{found[name]}] already",
                hint="an entry without a name is called main" if given is None else None,
            )
        found[name] = index
    return [Named(index, name) for name, index in found.items()]


def plan_links(imports: Mapping[str, Iterable[str]]) -> list[str]:
    """The order in which modules are instantiated: each after those it imports from.

    `imports` maps a module's name to the module names it imports from; those that are not modules
    of this plugin are ignored. Ties are settled by name, so the order is the same on every run.

    Raises LoadError for a circle, naming it.
    """
    order: list[str] = []
    done: set[str] = set()
    needs = {
        name: sorted({other for other in wanted if other in imports})
        for name, wanted in imports.items()
    }
    for root in sorted(imports):
        # An explicit stack: a chain of modules must not decide how deep Python recurses.
        path = [root] if root not in done else []
        pending = [list(reversed(needs[name])) for name in path]
        while path:
            if not pending[-1]:
                pending.pop()
                done.add(path[-1])
                order.append(path.pop())
                continue
            other = pending[-1].pop()
            if other in path:
                circle = " → ".join([*path[path.index(other) :], other])
                raise LoadError(
                    f"modules import each other: {circle}",
                    hint="link them into one module, or break the circle",
                )
            if other not in done:
                path.append(other)
                pending.append(list(reversed(needs[other])))
    return order


def reachable(imports: Mapping[str, Iterable[str]], start: str = MAIN) -> set[str]:
    """The modules that `start` needs, directly or not, itself included."""
    found: set[str] = set()
    pending = [start]
    while pending:
        name = pending.pop()
        if name in imports and name not in found:
            found.add(name)
            pending.extend(imports[name])
    return found


def shadowed(names: Collection[str]) -> list[str]:
    """Which modules are named like a host namespace and so stand in for the host's functions.

    An operator may want that (a module that filters what another may call); a manifest from
    someone else may not have it.
    """
    return sorted(set(names) & {USER_NAMESPACE, WASI_NAMESPACE})
