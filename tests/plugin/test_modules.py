"""Names (§2.1) and link order (§2.2) of a plugin's modules."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fumehood.errors import LoadError, ManifestError
from fumehood.plugin.modules import MAX_MODULES, plan_links, plan_modules, reachable, shadowed


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        ([None], ["main"]),
        (["anything"], ["main"]),
        (["extism:host/env"], ["main"]),
        (["a", None], ["a", "main"]),
        (["a", "b"], ["a", "main"]),
        (["a", "main"], ["a", "main"]),
        (["main", "b"], ["main", "b"]),
        ([None, "b"], ["main", "b"]),
        (["a", None, "c"], ["a", "main", "c"]),
        (["a", "b", "extism:host/env"], ["a", "b", "main"]),
        (["a", "b", "a"], ["a", "b", "main"]),
    ],
)
def test_names(names: list[str | None], expected: list[str]) -> None:
    plan = plan_modules(names)
    assert [named.name for named in plan] == expected
    assert [named.index for named in plan] == list(range(len(names)))
    assert [named.name for named in plan if named.is_main] == ["main"]


@pytest.mark.parametrize(
    ("names", "message"),
    [
        ([], "No wasm files specified in Extism manifest"),
        ([None, None], "Duplicate module name found in Extism manifest: main"),
        ([None, "x", None], "Duplicate module name found in Extism manifest: main"),
        (["main", "main"], "Duplicate module name found in Extism manifest: main"),
        (["a", "a", "b"], r"wasm\[1\]\.name: Duplicate .*: a is wasm\[0\] already"),
        (["main", "x", "x"], "Duplicate module name found in Extism manifest: x"),
        (["extism:host/env", "b"], "Duplicate module name found in Extism manifest: extism:host"),
        (["main", "extism:host/env"], "extism:host/env is the kernel's"),
        (["x"] * (MAX_MODULES + 1), f"a plugin may have {MAX_MODULES}"),
    ],
)
def test_refused_names(names: list[str | None], message: str) -> None:
    with pytest.raises(ManifestError, match=message):
        plan_modules(names)


@pytest.mark.parametrize(
    ("imports", "order"),
    [
        ({"main": []}, ["main"]),
        ({"main": ["extism:host/env", "wasi_snapshot_preview1"]}, ["main"]),
        ({"main": ["lib"], "lib": []}, ["lib", "main"]),
        ({"main": ["z", "a"], "a": [], "z": ["a"]}, ["a", "z", "main"]),
        ({"a": ["z"], "main": ["a", "z"], "z": []}, ["z", "a", "main"]),
        ({"b": [], "a": [], "main": []}, ["a", "b", "main"]),
        (
            {"main": ["l", "r"], "l": ["base"], "r": ["base"], "base": []},
            ["base", "l", "r", "main"],
        ),
        ({"main": ["extism:host/user"], "extism:host/user": []}, ["extism:host/user", "main"]),
    ],
)
def test_dependencies_come_first(imports: dict[str, list[str]], order: list[str]) -> None:
    assert plan_links(imports) == order


@pytest.mark.parametrize(
    ("imports", "circle"),
    [
        ({"main": ["main"]}, "main → main"),
        ({"main": ["a"], "a": ["main"]}, "a → main → a"),
        ({"main": ["a"], "a": ["b"], "b": ["c"], "c": ["b"]}, "b → c → b"),
        ({"main": [], "a": ["b"], "b": ["a"]}, "a → b → a"),
    ],
)
def test_circles_are_refused_and_named(imports: dict[str, list[str]], circle: str) -> None:
    with pytest.raises(LoadError) as caught:
        plan_links(imports)
    assert f"modules import each other: {circle}" in str(caught.value)


def test_a_long_chain_needs_no_recursion() -> None:
    names = [f"m{i:05}" for i in range(5000)]
    chain = {name: [after] for name, after in zip(names, [*names[1:], "main"], strict=True)}
    assert plan_links({**chain, "main": []}) == ["main", *reversed(names)]


_GRAPHS = st.dictionaries(
    st.sampled_from("abcdefg"), st.lists(st.sampled_from("abcdefgxyz"), max_size=4)
)


@given(_GRAPHS)
def test_any_graph_is_ordered_or_has_a_circle(imports: dict[str, list[str]]) -> None:
    def circular() -> bool:
        return any(
            name in {far for near in imports[name] for far in reachable(imports, near)}
            for name in imports
        )

    try:
        order = plan_links(imports)
    except LoadError:
        assert circular()
        return
    assert not circular()
    assert sorted(order) == sorted(imports)
    for name, wanted in imports.items():
        assert all(order.index(w) < order.index(name) for w in wanted if w in imports)


def test_reachable_from_main() -> None:
    imports = {"main": ["a", "host"], "a": ["b"], "b": ["a"], "c": ["main"]}
    assert reachable(imports) == {"main", "a", "b"}
    assert reachable({}) == set()


def test_modules_named_like_a_host_namespace() -> None:
    assert shadowed(["main", "extism:host/user", "wasi_snapshot_preview1", "a"]) == [
        "extism:host/user",
        "wasi_snapshot_preview1",
    ]
