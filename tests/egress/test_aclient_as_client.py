"""The asynchronous client does what the synchronous one does: the same tests, on both loops.

Left out is what the asynchronous client has not: the other's internals.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from typing import Any

import pytest

from tests.egress import test_client, test_redirects, test_stale, test_stream, test_tls
from tests.egress.portal import PortalClient

LEFT_OUT = {
    "test_the_pieces_of_a_body_are_capped",  # in test_aclient.py
    "test_a_forked_child_opens_its_own_connections",
    "test_a_closed_or_dropped_stream_leaves_no_socket",  # in test_aclient.py
}


@pytest.fixture(params=["asyncio", "trio"])
def client(request: pytest.FixtureRequest) -> Iterator[PortalClient]:
    with PortalClient(request.param) as made:
        yield made


def _shared() -> dict[str, Any]:
    return {
        f"{name}_{module.__name__.rpartition('.')[2]}": test
        for module in (test_client, test_redirects, test_stale, test_stream, test_tls)
        for name, test in vars(module).items()
        if name.startswith("test_") and inspect.isfunction(test) and name not in LEFT_OUT
        if "client" in inspect.signature(test).parameters
    }


globals().update(_shared())


def test_nothing_is_left_out_that_is_gone() -> None:
    assert {*vars(test_client), *vars(test_stream)} >= LEFT_OUT
    assert len(_shared()) > 30
