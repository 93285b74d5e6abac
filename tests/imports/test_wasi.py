"""WASI preview 1 as guests see it: nothing behind it, no pointer trusted, no sleep past the end."""

from __future__ import annotations

import struct
import threading
import time

import pytest

from fumehood.engine import HostImport
from fumehood.errors import Cancelled, Exit, Timeout
from fumehood.imports import Services, wasi
from fumehood.limits import Limits
from fumehood.meter import Meter
from tests.engine.support import Guest

TYPES = {i.name: (i.params, i.results) for i in wasi.imports()}
NAMES = {"i": "i32", "I": "i64"}
SIZE = 65536
FAULT, BADF, INVAL, SPIPE = 21, 8, 28, 70


def wat(name: str, arguments: tuple[int, ...]) -> str:
    params, results = TYPES[name]
    types = " ".join(f"(param {NAMES[p]})" for p in params)
    result = " (result i32)" if results else ""
    pushed = " ".join(f"({NAMES[p]}.const {a})" for p, a in zip(params, arguments, strict=True))
    body = f"(call $f {pushed})"
    return f"""(module
      (import "wasi_snapshot_preview1" "{name}" (func $f {types}{result}))
      (import "t" "fill" (func $fill)) (import "t" "see" (func $see (param i32)))
      (memory (export "memory") 1)
      (func (export "run") (call $fill) {f"(call $see {body})" if results else body}))"""


def call(
    name: str, *arguments: int, memory: bytes = b"", meter: Meter | None = None
) -> tuple[int, bytes]:
    """(errno, memory) after one WASI call on a guest whose memory starts with `memory`."""
    seen: list[tuple[int, bytes]] = []

    def fill(host: object) -> None:
        with host.guest_memory() as view:  # type: ignore[attr-defined]
            view[: len(memory)] = memory

    def see(host: object, errno: int) -> None:
        with host.guest_memory() as view:  # type: ignore[attr-defined]
            seen.append((errno, bytes(view)))

    imports = [
        *wasi.imports(),
        HostImport("t", "fill", "", "", fill),
        HostImport("t", "see", "i", "", see),
    ]
    with Guest(wat(name, arguments), imports, services=Services()) as guest:
        guest.call("run", meter=meter)
    return seen[0]


def u32(memory: bytes, at: int) -> int:
    return int(struct.unpack_from("<I", memory, at)[0])


def test_all_46_functions_of_preview_1_are_there() -> None:
    assert len(TYPES) == 46


@pytest.mark.parametrize("name", ["args_sizes_get", "environ_sizes_get"])
def test_no_arguments_and_no_environment(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FUMEHOOD_CANARY", "canary-value")
    errno, memory = call(name, 100, 200, memory=b"\xff" * 300)
    assert (errno, u32(memory, 100), u32(memory, 200)) == (0, 0, 0)
    errno, memory = call(name.replace("_sizes", ""), 100, 200)
    assert (errno, memory) == (0, bytes(SIZE))


@pytest.mark.parametrize("clock", [0, 1, 2, 3])
def test_clocks_tell_time(clock: int) -> None:
    errno, memory = call("clock_time_get", clock, 1, 64)
    now = struct.unpack_from("<Q", memory, 64)[0]
    reference = time.time_ns() if clock == 0 else time.monotonic_ns()
    assert errno == 0
    assert abs(reference - now) < 60 * 10**9
    assert call("clock_res_get", clock, 64)[0] == 0


def test_unknown_clocks_are_refused() -> None:
    assert call("clock_time_get", 4, 1, 64)[0] == INVAL
    assert call("clock_res_get", 9, 64)[0] == INVAL


def test_clocks_can_be_coarse() -> None:
    values: list[int] = []

    def see(host: object, _errno: int) -> None:
        with host.guest_memory() as view:  # type: ignore[attr-defined]
            values.append(struct.unpack_from("<Q", view, 64)[0])

    imports = [
        *wasi.imports(),
        HostImport("t", "fill", "", "", lambda _c: None),
        HostImport("t", "see", "i", "", see),
    ]
    services = Services(clock_step=1_000_000)
    with Guest(wat("clock_time_get", (0, 1, 64)), imports, services=services) as guest:
        guest.call("run")
    assert values[0] % 1_000_000 == 0


def test_random_bytes_fill_the_buffer_and_differ() -> None:
    first = call("random_get", 16, 32)[1]
    second = call("random_get", 16, 32)[1]
    assert first[16:48] != second[16:48]
    assert first[:16] == bytes(16)
    assert first[48:100] == bytes(52)
    assert call("random_get", 0, SIZE)[0] == 0


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("random_get", (SIZE - 3, 4)),
        ("random_get", (0xFFFFFFFF, 0xFFFFFFFF)),
        ("clock_time_get", (0, 1, SIZE - 7)),
        ("args_sizes_get", (SIZE, 0)),
        ("fd_write", (1, SIZE - 4, 1, 0)),
        ("fd_write", (1, 0, 1, SIZE - 3)),
        ("fd_fdstat_get", (1, SIZE - 23)),
        ("fd_filestat_get", (1, SIZE - 63)),
        ("poll_oneoff", (SIZE - 47, 0, 1, 0)),
        ("poll_oneoff", (0, SIZE - 31, 1, 0)),
        ("fd_read", (0, 0, 0, SIZE)),
    ],
)
def test_pointers_outside_the_memory_are_faults(name: str, arguments: tuple[int, ...]) -> None:
    assert call(name, *arguments)[0] == FAULT


def test_standard_output_is_swallowed_and_counted(capfd: pytest.CaptureFixture[str]) -> None:
    vectors = struct.pack("<IIII", 32, 5, 40, 3) + bytes(16) + b"hello\0\0\0abc"
    errno, memory = call("fd_write", 1, 0, 2, 100, memory=vectors)
    assert (errno, u32(memory, 100)) == (0, 8)
    assert capfd.readouterr() == ("", "")


def test_vectors_that_point_outside_are_faults() -> None:
    assert call("fd_write", 1, 0, 1, 100, memory=struct.pack("<II", 65000, 1000))[0] == FAULT
    assert call("fd_write", 1, 0, 1, 100, memory=struct.pack("<II", 0xFFFFFFFF, 2))[0] == FAULT


def test_the_end_of_standard_error_is_a_note_on_a_trap() -> None:
    text = b"panicked at src/lib.rs"
    head = wat("fd_write", (2, 0, 1, 100)).replace("(call $see (call $f", "(drop (call $f")

    module = head.rstrip()[:-2] + " (unreachable)))"

    def fill(host: object) -> None:
        with host.guest_memory() as view:  # type: ignore[attr-defined]
            view[:8] = struct.pack("<II", 32, len(text))
            view[32 : 32 + len(text)] = text

    imports = [
        *wasi.imports(),
        HostImport("t", "fill", "", "", fill),
        HostImport("t", "see", "i", "", lambda _c, _e: None),
    ]
    with Guest(module, imports, services=Services()) as guest:
        with pytest.raises(Exception, match="unreachable") as caught:
            guest.call("run")
        assert any("panicked at" in note for note in caught.value.__notes__)


@pytest.mark.parametrize("fd", [3, 4, 100, 0xFFFFFFFF])
def test_there_are_no_other_descriptors(fd: int) -> None:
    for name, (params, _) in TYPES.items():
        if name.startswith(("fd_", "sock_")):
            rest = [0] * (len(params) - 1)
            assert call(name, fd, *rest)[0] == BADF, name


@pytest.mark.parametrize("name", [n for n in TYPES if n.startswith("path_")])
def test_there_is_no_file_system(name: str) -> None:
    assert call(name, *[0] * len(TYPES[name][0]))[0] == BADF


def test_standard_streams_answer_like_devices() -> None:
    errno, memory = call("fd_fdstat_get", 1, 0)
    assert (errno, memory[0]) == (0, 2)
    assert call("fd_seek", 1, 0, 0, 0)[0] == SPIPE
    assert call("fd_close", 2)[0] == 0
    errno, memory = call("fd_read", 0, 0, 0, 64, memory=b"\xff" * 80)
    assert (errno, u32(memory, 64)) == (0, 0)


@pytest.mark.parametrize(("status", "raised"), [(1, 1), (0xFFFFFFFF, 0xFFFFFFFF)])
def test_proc_exit(status: int, raised: int) -> None:
    with pytest.raises(Exit) as caught:
        call("proc_exit", status)
    assert caught.value.status == raised


# -- poll_oneoff ----------------------------------------------------------------------------------


def clock(user: int, nanoseconds: int, *, absolute: bool = False, clock_id: int = 1) -> bytes:
    return struct.pack("<QB7xI4xQQH6x", user, 0, clock_id, nanoseconds, 0, int(absolute))


def stream(user: int, fd: int, tag: int = 1) -> bytes:
    return struct.pack("<QB7xI28x", user, tag, fd)


def poll(
    *subscriptions: bytes, meter: Meter | None = None
) -> tuple[int, list[tuple[int, int, int]]]:
    data = b"".join(subscriptions)
    assert len(data) == 48 * len(subscriptions)
    errno, memory = call(
        "poll_oneoff", 0, 8192, len(subscriptions), 16000, memory=data, meter=meter
    )
    count = u32(memory, 16000)
    return errno, [struct.unpack_from("<QHB", memory, 8192 + 32 * i) for i in range(count)]


def test_poll_returns_the_sleepers_that_are_due() -> None:
    errno, events = poll(clock(7, 1_000_000), clock(8, 10**12), clock(9, 1_000_000))
    assert (errno, events) == (0, [(7, 0, 0), (9, 0, 0)])


def test_poll_on_a_stream_is_ready_at_once() -> None:
    started = time.monotonic()
    assert poll(clock(7, 10**12), stream(5, 0), stream(6, 9, 2)) == (0, [(5, 0, 1), (6, BADF, 2)])
    assert time.monotonic() - started < 5


def test_poll_with_an_absolute_time_that_is_past() -> None:
    assert poll(clock(1, time.monotonic_ns() - 1, absolute=True)) == (0, [(1, 0, 0)])


def test_poll_of_nothing_or_of_too_much_is_invalid() -> None:
    assert call("poll_oneoff", 0, 0, 0, 0)[0] == INVAL
    assert call("poll_oneoff", 0, 0, 0xFFFFFFFF, 0)[0] == INVAL


def test_a_sleep_ends_with_the_deadline() -> None:
    started = time.monotonic()
    with pytest.raises(Timeout) as caught:
        poll(clock(1, 10**13), meter=Meter(Limits(deadline=0.1)))
    assert caught.value.limit == "deadline"
    assert time.monotonic() - started < 5


def test_a_sleep_is_not_the_guests_own_time() -> None:
    meter = Meter(Limits(guest_time=0.05))
    assert poll(clock(1, 100_000_000), meter=meter)[0] == 0
    assert meter.receipt().guest_time < 0.05


def test_a_sleep_ends_with_a_cancellation() -> None:
    meter = Meter(Limits())
    timer = threading.Timer(0.05, meter.cancel)
    timer.start()
    started = time.monotonic()
    with pytest.raises(Cancelled):
        poll(clock(1, 10**13), meter=meter)
    assert time.monotonic() - started < 5
    timer.join()
