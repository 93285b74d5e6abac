"""pdk-rust/examples/echo: exports of no provider, and their payloads, here and elsewhere."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from random import Random

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fumehood import Limits, Plugin
from fumehood.errors import OutOfMemory, PluginError
from tests.counts import DIFFERENTIAL_EXAMPLES
from tests.extism.oracle import Oracle
from tests.pdk.test_rust import example

pytestmark = [pytest.mark.wasip1, pytest.mark.timeout(300)]

BESIDE = Limits(kernel_memory=32 << 20)
"""Not the size that modules are linked with: the kernel is an instance of its own."""
MIB = 1 << 20


@pytest.fixture(scope="module")
def module() -> bytes:
    return example("echo").read_bytes()


class Theirs:
    """The `extism` package, in a process of its own, with the module."""

    def __init__(self, module: bytes) -> None:
        self._wasm = base64.b64encode(module).decode()
        self._oracle = Oracle()
        self.close = self._oracle.close

    def calls(self, *runs: tuple[str, bytes]) -> list[bytes | str]:
        """Outputs, or errors as texts, of these calls of one plugin."""
        asked = [[export, base64.b64encode(data).decode()] for export, data in runs]
        answers = self._oracle.ask({"wasm": self._wasm, "config": {}, "runs": asked})
        return [base64.b64decode(a["output"]) if "output" in a else a["error"] for a in answers]


@pytest.fixture(scope="module")
def theirs(module: bytes) -> Iterator[Theirs]:
    made = Theirs(module)
    yield made
    made.close()


def test_the_module_offers_both_ways_and_imports_what_it_did_before(module: bytes) -> None:
    with Plugin(module) as plugin:
        kinds = {name: (e.kind, e.params, e.results) for name, e in plugin.exports.items()}
        assert kinds["fumehood_bulk"][0] == "global"
        assert kinds["fumehood_reserve"] == ("func", "i", "i")
        assert "fumehood_bulk:echo,count_vowels,fail,refuse" in kinds
        assert kinds["_initialize"] == ("func", "", "")
        assert {n for n, e in plugin.exports.items() if e.callable} == {
            "_initialize",
            "count_vowels",
            "echo",
            "fail",
            "refuse",
        }
        assert {i.module for i in plugin.imports} == {
            "extism:host/env",
            "wasi_snapshot_preview1",
        }


SIZES = st.lists(
    st.one_of(st.integers(0, 70), st.integers(4_000, 5_000), st.integers(0, 70_000)), max_size=10
)


@given(SIZES, st.randoms(use_true_random=False))
@settings(
    max_examples=DIFFERENTIAL_EXAMPLES,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
def test_the_same_file_echoes_here_and_in_the_extism_package(
    module: bytes, theirs: Theirs, sizes: list[int], random: Random
) -> None:
    inputs = [random.randbytes(size) for size in sizes]
    with Plugin(module) as ours, Plugin(module, limits=BESIDE) as beside:
        assert [ours.call("echo", data) for data in inputs] == inputs
        assert [beside.call("echo", data) for data in inputs] == inputs
    assert theirs.calls(*(("echo", data) for data in inputs)) == inputs


def test_large_payloads_pass_and_their_buffer_is_used_again(module: bytes) -> None:
    data = bytes(range(256)) * (16 * MIB // 256)
    with Plugin(module) as plugin:
        assert plugin.call("echo", data) == data
        first = plugin.last_receipt
        assert first is not None
        for size in (16 * MIB, 3 * MIB, 16 * MIB - 1, 5, 16 * MIB):
            assert plugin.call("echo", data[:size]) == data[:size]
        last = plugin.last_receipt
        assert last is not None
        assert last.memory_peak == first.memory_peak < 18 * MIB
        assert last.fuel < 5_000  # nobody in there copies


@pytest.mark.parametrize("text", ["hello world", "", "aeiou" * 2_000, "kühl"])
def test_json_comes_out_equal(module: bytes, theirs: Theirs, text: str) -> None:
    with Plugin(module) as ours:
        answer = ours.call("count_vowels", text.encode())
        assert theirs.calls(("count_vowels", text.encode())) == [answer]
        assert json.loads(answer) == {"count": sum(c in "aeiouAEIOU" for c in text)}


@pytest.mark.parametrize(
    ("export", "data", "message"),
    [
        ("fail", b"short", "short"),
        ("fail", b"x" * 6_000, "x" * 6_000),
        ("fail", b"", "the plugin failed without saying why"),
        ("count_vowels", b"a" * 5_000 + b"\xff", "the input is not UTF-8: "),
        ("refuse", b"y" * 5_000, '{"payload":{"type":"invalid_request","message":"refused"}}'),
    ],
)
def test_errors_are_told_here_and_there(
    module: bytes, theirs: Theirs, export: str, data: bytes, message: str
) -> None:
    with Plugin(module) as ours:
        with pytest.raises(PluginError) as caught:
            ours.call(export, data)
        assert caught.value.rc == 1
        assert message[:1_000] in caught.value.message
        (error,) = theirs.calls((export, data))
        assert isinstance(error, str)
        assert error.startswith(message)
        # an error leaves the buffers in order
        assert ours.call("echo", data) == data
        assert ours.call("echo", b"z" * 9_000) == b"z" * 9_000


def test_after_a_reset_and_without_memory_it_goes_on(module: bytes) -> None:
    tight = Limits(memory=8 * MIB, kernel_memory=4 * MIB)
    with Plugin(module, limits=tight) as plugin:
        assert plugin.call("echo", bytes(5 * MIB)) == bytes(5 * MIB)
        plugin.reset()
        with pytest.raises(OutOfMemory):
            plugin.call("echo", bytes(9 * MIB))
        assert plugin.call("echo", b"still here") == b"still here"
