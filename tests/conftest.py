"""What holds for every test: no secret turns up where none may (tests/canary.py)."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.canary import Watch, install


@pytest.fixture(scope="session")
def _watch() -> Iterator[Watch]:
    watch = Watch()
    remove = install(watch)
    yield watch
    remove()


@pytest.fixture(autouse=True)
def canary(_watch: Watch) -> Iterator[Watch]:
    """The watch over the whole run; the test fails where it finds a canary."""
    before = len(_watch.hits)
    yield _watch
    found = _watch.hits[before:]
    del _watch.hits[before:]
    assert not found, f"a secret was found: {', '.join(dict.fromkeys(found))}"
