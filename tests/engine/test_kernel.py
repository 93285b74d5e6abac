"""The kernel against extism-abi.md §1.2, §1.4 ("Ours") and §1.5, and against a model."""

from __future__ import annotations

import struct
from collections.abc import Callable

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fumehood.engine import module as module_file
from fumehood.errors import OutOfMemory, PluginError
from tests.counts import HYPOTHESIS_EXAMPLES
from tests.engine.kernelbox import Do, KernelBox

MIB = 1 << 20
KERNEL = 1 * MIB
WORD = (1 << 64) - 1


@pytest.fixture(autouse=True, params=["beside", "merged"])
def merged(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every case twice: the kernel as an instance beside the guest, and linked into it."""
    monkeypatch.setattr(module_file, "MERGED_PAGES", KERNEL // 65536)
    monkeypatch.setattr(module_file, "_compiled", COMPILED)
    BOX["merged"] = request.param == "merged"


COMPILED = type(module_file._compiled)()
BOX = {"merged": False}


def box() -> KernelBox:
    return KernelBox(merged=BOX["merged"], kernel_memory=KERNEL)


def run(script: Callable[[Do], None], data: bytes = b"") -> bytes:
    return box().run(script, data)


def test_alloc_gives_distinct_blocks_above_64_with_their_lengths() -> None:
    def script(do: Do) -> None:
        handles = [do("alloc", n) for n in (1, 1, 8, 100, 4096)]
        assert len(set(handles)) == 5
        assert all(h > 64 for h in handles)
        assert handles == sorted(handles)
        assert [do("length", h) for h in handles] == [1, 1, 8, 100, 4096]
        assert [do("length_unsafe", h) for h in handles] == [1, 1, 8, 100, 4096]

    run(script)


@pytest.mark.parametrize("size", [0, WORD, 1 << 63, 1 << 48, 1 << 32, (1 << 32) - 1, KERNEL + 1])
def test_alloc_of_nothing_or_too_much_is_0_and_later_blocks_do_not_overlap(size: int) -> None:
    def script(do: Do) -> None:
        assert do("alloc", size) == 0
        first, second = do("alloc", 16), do("alloc", 16)
        assert second >= first + 16

    run(script)


def test_free_is_forgiving_and_the_data_stays_readable() -> None:
    def script(do: Do) -> None:
        handle = do("alloc", 8)
        do("store_u64", handle, 0x1122334455667788)
        do("free", handle)
        do("free", handle)
        for unknown in (0, 1, handle + 1, KERNEL - 1, KERNEL, WORD):
            do("free", unknown)
        assert do("length", handle) == 0
        assert do("load_u64", handle) == 0x1122334455667788
        assert do("alloc", 8) != handle  # bump first: a late free must not hit a new block

    run(script)


def test_freed_blocks_are_reused_once_the_bump_area_is_used_up() -> None:
    def script(do: Do) -> None:
        handles = []
        while handle := do("alloc", 100_000):
            handles.append(handle)
        assert len(handles) == 10
        do("free", handles[3])
        assert do("alloc", 100_001 + 64) == 0
        assert do("alloc", 90_000) == handles[3]
        assert do("length", handles[3]) == 90_000
        assert do("alloc", 90_000) == 0

    run(script)


@pytest.mark.parametrize("address", [0, 1, 63, 64, KERNEL, KERNEL + 1, 1 << 32, 1 << 63, WORD])
def test_access_outside_the_memory_reads_0_and_writes_nothing(address: int) -> None:
    def script(do: Do) -> None:
        do("store_u8", address, 0xFF)
        do("store_u64", address, WORD)
        assert do("load_u8", address) == 0
        assert do("load_u64", address) == 0
        assert do("length", address) == 0
        assert do("length_unsafe", address) == 0

    run(script)


def test_the_last_bytes_of_the_memory() -> None:
    def script(do: Do) -> None:
        do("store_u8", KERNEL - 1, 7)
        assert do("load_u8", KERNEL - 1) == 7
        do("store_u64", KERNEL - 8, 9)
        assert do("load_u64", KERNEL - 8) == 9
        assert do("load_u64", KERNEL - 7) == 0
        assert do("length", KERNEL - 1) == 0

    run(script)


def test_addresses_in_mapped_memory_work_without_a_block_and_past_a_block() -> None:
    def script(do: Do) -> None:
        assert do("load_u64", 500_000) == 0
        handle = do("alloc", 3)
        do("store_u64", handle, 0x0102030405060708)
        assert do("load_u8", handle + 7) == 1
        assert do("length", handle) == 3

    run(script)


def test_input_loads_are_bounded_by_the_input() -> None:
    data = bytes(range(1, 21))

    def script(do: Do) -> None:
        assert do("input_length") == 20
        assert do("length", do("input_offset")) == 20
        assert [do("input_load_u8", i) for i in (0, 19, 20, WORD)] == [1, 20, 0, 0]
        assert do("input_load_u64", 12) == struct.unpack("<Q", data[12:20])[0]
        assert [do("input_load_u64", i) for i in (13, 20, 1 << 63, WORD, WORD - 7)] == [0] * 5

    run(script, data)


def test_empty_input_has_no_block() -> None:
    def script(do: Do) -> None:
        assert (do("input_offset"), do("input_length")) == (0, 0)
        assert do("input_load_u8", 0) == 0

    run(script)


def test_freeing_the_input_empties_it_and_keeps_its_offset() -> None:
    def script(do: Do) -> None:
        offset = do("input_offset")
        do("free", offset)
        assert (do("input_offset"), do("input_length")) == (offset, 0)
        assert do("input_load_u64", 0) == 0
        assert do("load_u8", offset) == ord("h")

    run(script, b"hello there")


def test_output_may_be_any_range_and_absurd_ones_are_ignored() -> None:
    def script(do: Do) -> None:
        handle = do("alloc", 8)
        do("store_u64", handle, int.from_bytes(b"abcdefgh", "little"))
        do("output_set", handle + 2, 3)
        for offset, length in ((0, 5), (handle, WORD), (WORD, 2), (KERNEL, 1), (KERNEL - 3, 4)):
            do("output_set", offset, length)
            assert (do("output_offset"), do("output_length")) == (handle + 2, 3)

    assert run(script) == b"cde"


def test_an_empty_range_of_a_valid_address_is_an_empty_output() -> None:
    def script(do: Do) -> None:
        handle = do("alloc", 8)
        do("output_set", handle, 8)
        do("output_set", handle, 0)

    assert run(script) == b""


def test_input_set_takes_only_ranges_in_bounds() -> None:
    def script(do: Do) -> None:
        handle = do("alloc", 16)
        do("store_u64", handle, 0x41)
        do("input_set", handle, 8)
        assert (do("input_offset"), do("input_length")) == (handle, 8)
        assert do("input_load_u8", 0) == 0x41
        assert do("input_load_u64", 0) == 0x41
        do("input_set", KERNEL, 1)
        do("input_set", WORD, WORD)
        assert (do("input_offset"), do("input_length")) == (handle, 8)

    run(script)


def test_reset_forgets_every_block_and_register() -> None:
    def script(do: Do) -> None:
        handle = do("alloc", 8)
        do("output_set", handle, 8)
        do("error_set", handle)
        do("reset")
        assert do("length", handle) == 0
        registers = ("input_offset", "input_length", "output_offset", "output_length", "error_get")
        assert [do(name) for name in registers] == [0] * 5
        assert do("alloc", 8) == 80

    assert run(script, b"input") == b""


def test_error_set_takes_blocks_and_0_and_ignores_the_rest() -> None:
    def script(do: Do) -> None:
        handle = do("alloc", 5)
        do("store_u64", handle, int.from_bytes(b"wrong\0\0\0", "little"))
        do("error_set", handle)
        assert do("error_get") == handle
        for absurd in (KERNEL + 1, 1 << 40, WORD):
            do("error_set", absurd)
            assert do("error_get") == handle

    with pytest.raises(PluginError) as caught:
        run(script)
    assert (caught.value.message, caught.value.rc) == ("wrong", 0)


def test_error_set_0_clears_the_error() -> None:
    def script(do: Do) -> None:
        do("error_set", do("alloc", 5))
        do("error_set", 0)

    assert run(script) == b""


def test_an_error_inside_a_block_is_a_failure_without_the_guests_text() -> None:
    def script(do: Do) -> None:
        do("error_set", do("alloc", 50) + 1)

    with pytest.raises(PluginError, match="no block"):
        run(script)


def test_a_refused_allocation_explains_a_later_failure_and_nothing_else() -> None:
    def refused(do: Do) -> None:
        assert do("alloc", KERNEL) == 0

    def failing(do: Do) -> None:
        refused(do)
        do("error_set", do("alloc", 4))

    assert run(refused) == b""
    with pytest.raises(OutOfMemory) as caught:
        run(failing)
    assert (caught.value.limit, caught.value.inferred) == ("kernel_memory", False)
    assert caught.value.guest_error is not None


def test_the_kernel_hands_out_exactly_its_limit() -> None:
    overhead = 80 + 15  # the first address, and the rounding of one block
    largest = KERNEL - overhead

    def fits(do: Do) -> None:
        handle = do("alloc", largest)
        assert handle == 80
        do("store_u8", handle + largest - 1, 1)

    def one_more(do: Do) -> None:
        assert do("alloc", largest + 8) == 0

    run(fits)
    run(one_more)


def test_many_small_blocks_share_the_limit_with_their_table() -> None:
    def script(do: Do) -> None:
        count = 0
        while do("alloc", 1):
            count += 1
        # 16 bytes of data and 8 of table each, after the first 80 bytes
        assert KERNEL // 26 < count <= KERNEL // 24

    run(script)


# -- against a model ----------------------------------------------------------------------------


class Model:
    """extism-abi.md §1 in Python: blocks, registers, bytes; the "Ours" column of §1.4."""

    def __init__(self, size: int, data: bytes) -> None:
        self.size = size
        self.bytes: dict[int, int] = {}
        self.blocks: dict[int, int] = {}
        self.freed: set[int] = set()
        self.input = (80, len(data)) if data else (0, 0)
        self.output = (0, 0)
        self.error = 0
        if data:
            self.blocks[80] = len(data)
            self.write(80, data)

    def write(self, at: int, data: bytes) -> None:
        for i, byte in enumerate(data):
            self.bytes[at + i] = byte

    def read(self, at: int, n: int) -> int:
        return int.from_bytes(bytes(self.bytes.get(at + i, 0) for i in range(n)), "little")

    def inside(self, at: int, n: int) -> bool:
        return at >= 65 and at + n <= self.size

    def length(self, at: int) -> int:
        return 0 if at in self.freed else self.blocks.get(at, 0)


ADDRESS = st.one_of(
    st.integers(0, 200),
    st.integers(KERNEL - 70, KERNEL + 70),
    st.integers(0, 1 << 21),
    st.sampled_from([(1 << 32) - 1, 1 << 32, (1 << 32) + 1, 1 << 63, WORD, WORD - 7]),
)
LENGTH = st.one_of(st.integers(0, 300), st.sampled_from([KERNEL, 1 << 32, 1 << 63, WORD]))
STEP = st.one_of(
    st.tuples(st.just("alloc"), st.one_of(st.integers(0, 5000), LENGTH)),
    st.tuples(st.sampled_from(["free", "length", "length_unsafe", "error_set"]), ADDRESS),
    st.tuples(st.just("free_block"), st.integers(0, 50)),
    st.tuples(st.sampled_from(["load_u8", "load_u64"]), ADDRESS),
    st.tuples(st.just("store_u8"), ADDRESS, st.integers(0, 255)),
    st.tuples(st.just("store_u64"), ADDRESS, st.integers(0, WORD)),
    st.tuples(st.sampled_from(["input_load_u8", "input_load_u64"]), ADDRESS),
    st.tuples(st.sampled_from(["output_set", "input_set"]), ADDRESS, LENGTH),
    st.tuples(
        st.sampled_from(
            ["input_offset", "input_length", "output_offset", "output_length", "error_get"]
        )
    ),
)


def check_step(do: Do, model: Model, step: tuple[object, ...]) -> None:
    """One operation on both; the results must agree."""
    name = str(step[0])
    args = [int(a) for a in step[1:]]  # type: ignore[call-overload]
    if name == "free_block":
        known = sorted(model.blocks)
        if not known:
            return
        name, args = "free", [known[args[0] % len(known)]]
    got = do(name, *args)
    if name == "alloc":
        if got:
            assert 0 < args[0] <= model.size
            assert model.inside(got, args[0])
            assert all(got >= at + n or at >= got + args[0] for at, n in model.blocks.items())
            model.blocks[got] = args[0]
        else:
            assert args[0] == 0 or args[0] + sum(model.blocks.values()) > model.size // 2
        return
    if name == "free" and args[0] in model.blocks:
        model.freed.add(args[0])
        if args[0] == model.input[0]:
            model.input = (args[0], 0)
    elif name.startswith("length"):
        assert got == model.length(args[0])
    elif name.startswith("load"):
        n = 8 if name.endswith("64") else 1
        assert got == (model.read(args[0], n) if model.inside(args[0], n) else 0)
    elif name.startswith("store"):
        n = 8 if name.endswith("64") else 1
        if model.inside(args[0], n):
            model.write(args[0], args[1].to_bytes(8, "little")[:n])
    elif name.startswith("input_load"):
        n = 8 if name.endswith("64") else 1
        fits = args[0] + n <= model.input[1]
        assert got == (model.read(model.input[0] + args[0], n) if fits else 0)
    elif name == "output_set" and model.inside(args[0], args[1]):
        model.output = (args[0], args[1])
    elif name == "input_set" and model.inside(args[0], args[1]):
        model.input = (args[0], args[1])
    elif name == "error_set" and (args[0] == 0 or model.inside(args[0], 0)):
        model.error = args[0]
    elif name in {"input_offset", "input_length", "output_offset", "output_length", "error_get"}:
        expected = {
            "input_offset": model.input[0],
            "input_length": model.input[1],
            "output_offset": model.output[0],
            "output_length": model.output[1],
            "error_get": model.error,
        }
        assert got == expected[name]


@settings(
    max_examples=HYPOTHESIS_EXAMPLES,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(st.binary(max_size=100), st.lists(STEP, max_size=60))
def test_random_operations_agree_with_the_model(
    data: bytes, steps: list[tuple[object, ...]]
) -> None:
    model = Model(KERNEL, data)

    def script(do: Do) -> None:
        for step in steps:
            check_step(do, model, step)
        do("error_set", 0)
        model.error = 0

    at, n = 0, 0
    output = box().run(script, data)
    at, n = model.output
    assert output == bytes(model.bytes.get(at + i, 0) for i in range(n))
