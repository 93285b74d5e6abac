"""Against the `extism` package: the same guest, the same programs, the same answers.

Only what the specification calls MUST is generated (programs.py). The package runs in a child
process; an example that ends that process is discarded, not kept and not shown.
"""

from __future__ import annotations

import base64
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, reject, settings

import fumehood.extism
from tests.counts import DIFFERENTIAL_EXAMPLES
from tests.extism import programs
from tests.extism.oracle import Died, Oracle, run

GUEST = Path(__file__).with_name("interpreter.wat").read_bytes()


@pytest.fixture(scope="module")
def oracle() -> Iterator[Oracle]:
    pytest.importorskip("extism", reason="the extism package is not installed")
    found = Oracle()
    yield found
    found.close()


@pytest.fixture(scope="module")
def compiled() -> Iterator[dict[bytes, Any]]:
    found: dict[bytes, Any] = {}
    yield found
    for plugin in found.values():
        plugin.close()


def _request(program_runs: list[tuple[bytes, bytes]]) -> dict[str, Any]:
    calls = []
    for program, data in program_runs:
        for export, argument in (("load", program), ("run", data), ("log", b"")):
            calls.append([export, base64.b64encode(argument).decode()])
    wasm = base64.b64encode(GUEST).decode()
    return {"wasm": wasm, "config": programs.CONFIG, "runs": calls}


@settings(
    max_examples=DIFFERENTIAL_EXAMPLES,
    deadline=None,
    database=None,  # an example may be one that ends the other host: none is kept
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
)
@given(program_runs=programs.runs())
def test_the_same_answers(
    oracle: Oracle, compiled: dict[bytes, Any], program_runs: list[tuple[bytes, bytes]]
) -> None:
    request = _request(program_runs)
    try:
        expected = oracle.ask(request)
    except Died:
        reject()
    assert run(fumehood.extism, compiled, request) == expected


def test_the_oracle_comes_back_after_it_died(oracle: Oracle) -> None:
    with pytest.raises(Died):
        oracle.ask({"not": "a request"})
    request = _request([(b"", b"")])
    empty = {"output": ""}
    assert oracle.ask(request) == [empty, empty, empty]
