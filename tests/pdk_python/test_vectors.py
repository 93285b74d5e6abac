"""Golden vectors: the plugin in Rust, the one in Python, and the class in plain CPython answer the
same, to the byte where the specification fixes it, on either wire."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests import vectors
from tests.pdk_python.conftest import SOURCES
from tests.toolchains import ROOT
from tests.vectors.packed import packed
from tests.vectors.sides import in_process, plugin

BUNDLED = ROOT / "runtime" / "fumehood" / "provider" / "bundled"
SIDES = [
    ("openai", "rust"),
    ("openai", "core"),
    ("openai", "cpython"),
    ("google", "core"),
    ("google", "cpython"),
]
MESSAGEPACK = [(*side, "msgpack") for side in SIDES]

pytestmark = pytest.mark.xdist_group("pdk_python")


@pytest.fixture(scope="module", params=[*SIDES, *MESSAGEPACK], ids="-".join)
def side(
    request: pytest.FixtureRequest, built: Callable[[str], Path]
) -> Iterator[tuple[str, vectors.Call]]:
    name, kind, *wire = request.param
    through = packed if wire else _as_it_is
    if kind == "cpython":
        yield name, through(in_process(SOURCES[name]))
        return
    with plugin(BUNDLED / f"{name}.wasm" if kind == "rust" else built(name)) as call:
        yield name, through(call)


def _as_it_is(call: vectors.Call) -> vectors.Call:
    return call


def test_every_case_is_answered_as_recorded(side: tuple[str, vectors.Call]) -> None:
    name, call = side
    differing: dict[str, Any] = {}
    cases = vectors.load(name)
    for case in cases:
        expected = [vectors.comparable(entry) for entry in case["expected"]]
        answered = [vectors.comparable(entry) for entry in vectors.run(case, call)]
        if answered != expected:
            differing[case["name"]] = {"expected": expected, "answered": answered}
    assert differing == {}
    assert len(cases) > 40


@pytest.mark.parametrize("name", ["openai", "google"])
def test_the_files_are_complete(name: str) -> None:
    cases = vectors.load(name)
    names = [case["name"] for case in cases]
    assert len(set(names)) == len(names)
    exports = {case.get("export", "stream") for case in cases}
    assert exports >= {
        "name", "base_url", "api_key_name", "from_config", "chat_request", "chat_stream_request",
        "parse_chat_response", "classify_chat_error", "embed_request", "parse_embed_response",
        "list_models_request", "parse_list_models_response", "stream",
    }  # fmt: skip
    assert any("error" in entry for case in cases for entry in case["expected"])
