"""A real llama.cpp server and model, once for all tests here; they run by `make test-llm`."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from fumehood.testing import llm


@pytest.fixture(scope="session")
def server() -> Iterator[llm.LlamaServer]:
    with llm.LlamaServer() as running:
        yield running


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Not part of a plain run: a model's answers take minutes where processors are few."""
    asked = "llm" in (config.getoption("-m") or "")
    reason = llm.missing() if asked else "needs a real model: run it by `make test-llm`"
    if reason is None:
        return
    for item in items:
        if item.get_closest_marker("llm"):
            item.add_marker(pytest.mark.skip(reason=reason))
