"""A little of every fuzz target; `make fuzz` does it at length."""

from __future__ import annotations

import pytest

from fuzz import runner
from fuzz.targets import TARGETS
from tests.counts import FUZZ_SECONDS
from tests.toolchains import missing


@pytest.mark.timeout(900)  # the Rust tools may have to be built first
@pytest.mark.parametrize("name", TARGETS)
def test_target(name: str) -> None:
    target = TARGETS[name]
    reason = target.missing()
    if reason is not None:
        missing(f"what the fuzz target {name!r} needs", reason)
    result = runner.run(target, FUZZ_SECONDS, first_seed=1)
    assert not result.trace, f"{result.failed}\n{result.trace}"
    assert result.cases > 0
