"""WASI preview 1 with nothing behind it: no environment, no arguments, no files, no output.

All of it is ours. Nothing of wasmtime's WASI is linked, so a sleep ends with the deadline, a large
random read cannot run past it, and file-system advisories have nothing to reach. Standard output
is discarded (it leaks token hints in real plugins, provider-abi.md hazard 6), the end of standard
error is kept as a note for traps.
"""

from __future__ import annotations

import functools
import os
import struct
import threading
import time
from collections.abc import Callable
from typing import Final

from fumehood.abi.memory import check_range
from fumehood.engine import ExitRequest, HostCall, HostImport
from fumehood.errors import ProtocolError
from fumehood.imports.services import Services

NAMESPACE: Final = "wasi_snapshot_preview1"

SUCCESS: Final = 0
BADF: Final = 8
FAULT: Final = 21
INVAL: Final = 28
SPIPE: Final = 70

_STDIO: Final = (0, 1, 2)
_STDERR: Final = 2
_CHARACTER_DEVICE: Final = 2
_MAX_VECTORS: Final = 1024
_MAX_SUBSCRIPTIONS: Final = 4096
_RANDOM_STEP: Final = 1 << 16
_NOTE_STEP: Final = 4096
_ITEM_FUEL: Final = 100
"""For each vector or subscription: one call may name thousands."""

_SUBSCRIPTION: Final = 48
_EVENT: Final = 32
_EVENTTYPE_CLOCK: Final = 0
_ABSOLUTE: Final = 1
_REALTIME: Final = 0
_CLOCKS: Final[dict[int, Callable[[], int]]] = {
    _REALTIME: time.time_ns,
    1: time.monotonic_ns,
    2: time.monotonic_ns,  # CPU clocks of the process are the host's, not the guest's
    3: time.monotonic_ns,
}


class _FaultError(Exception):
    """A pointer of the guest's that lies outside its memory."""


def _put(memory: memoryview, at: int, layout: str, *values: int) -> None:
    try:
        check_range(at, struct.calcsize(layout), len(memory), "a result")
    except ProtocolError as problem:
        raise _FaultError from problem
    struct.pack_into(layout, memory, at, *values)


def _cut(memory: memoryview, at: int, size: int) -> memoryview:
    try:
        check_range(at, size, len(memory), "a buffer")
    except ProtocolError as problem:
        raise _FaultError from problem
    return memory[at : at + size]


def _with_memory(function: Callable[..., int]) -> Callable[..., int]:
    """Give `function` the guest's memory as its second argument; a bad pointer is `EFAULT`."""

    @functools.wraps(function)
    def wrapper(call: HostCall, *arguments: int) -> int:
        memory = call.guest_memory(owned=True)
        try:
            return function(call, memory, *arguments)
        except _FaultError:
            return FAULT
        finally:
            memory.release()

    return wrapper


@_with_memory
def _no_sizes(_call: HostCall, memory: memoryview, count: int, size: int) -> int:
    _put(memory, count, "<I", 0)
    _put(memory, size, "<I", 0)
    return SUCCESS


def _nothing(_call: HostCall, *_arguments: int) -> int:
    return SUCCESS


def _now(services: Services, clock: int) -> int:
    step = services.clock_step
    return _CLOCKS[clock]() // step * step


@_with_memory
def _clock_res_get(call: HostCall, memory: memoryview, clock: int, result: int) -> int:
    if clock not in _CLOCKS:
        return INVAL
    services: Services = call.services
    _put(memory, result, "<Q", max(1, services.clock_step))
    return SUCCESS


@_with_memory
def _clock_time_get(
    call: HostCall, memory: memoryview, clock: int, _precision: int, result: int
) -> int:
    if clock not in _CLOCKS:
        return INVAL
    _put(memory, result, "<Q", _now(call.services, clock))
    return SUCCESS


@_with_memory
def _random_get(call: HostCall, memory: memoryview, buffer: int, size: int) -> int:
    target = _cut(memory, buffer, size)
    call.charge_bytes(size)
    for at in range(0, size, _RANDOM_STEP):
        call.meter.remaining()
        step = min(_RANDOM_STEP, size - at)
        target[at : at + step] = os.urandom(step)
    return SUCCESS


def _vectors(memory: memoryview, at: int, count: int) -> list[tuple[int, int]]:
    table = _cut(memory, at, 8 * count)
    return [struct.unpack_from("<II", table, 8 * i) for i in range(count)]


@_with_memory
def _fd_write(  # noqa: PLR0917 - WASI's own parameters
    call: HostCall, memory: memoryview, fd: int, vectors: int, count: int, written: int
) -> int:
    if fd not in _STDIO or fd == 0:
        return BADF
    if count > _MAX_VECTORS:
        return INVAL
    call.charge(count * _ITEM_FUEL)
    total = 0
    for address, size in _vectors(memory, vectors, count):
        chunk = _cut(memory, address, size)
        total += size
        if fd == _STDERR and size:
            call.note(chunk[-_NOTE_STEP:].tobytes().decode("utf-8", "replace"))
    if total >= 1 << 32:
        return INVAL
    call.charge_bytes(total)
    _put(memory, written, "<I", total)
    return SUCCESS


@_with_memory
def _fd_read(
    _call: HostCall, memory: memoryview, fd: int, _vectors: int, _count: int, read: int
) -> int:
    if fd != 0:
        return BADF
    _put(memory, read, "<I", 0)
    return SUCCESS


@_with_memory
def _fd_fdstat_get(_call: HostCall, memory: memoryview, fd: int, result: int) -> int:
    if fd not in _STDIO:
        return BADF
    rights = 1 << 1 if fd == 0 else 1 << 6  # fd_read, fd_write
    _put(memory, result, "<BxHxxxxQQ", _CHARACTER_DEVICE, 0, rights, 0)
    return SUCCESS


@_with_memory
def _fd_filestat_get(_call: HostCall, memory: memoryview, fd: int, result: int) -> int:
    if fd not in _STDIO:
        return BADF
    _put(memory, result, "<QQB7xQQQQQ", 0, 0, _CHARACTER_DEVICE, 1, 0, 0, 0, 0)
    return SUCCESS


def _on_stdio(answer: int) -> Callable[..., int]:
    def function(_call: HostCall, fd: int, *_rest: int) -> int:
        return answer if fd in _STDIO else BADF

    return function


def _no_such_descriptor(_call: HostCall, *_arguments: int) -> int:
    return BADF


def _proc_exit(_call: HostCall, status: int) -> int:
    raise ExitRequest(status)


def _proc_raise(_call: HostCall, signal: int) -> int:
    raise ExitRequest(128 + (signal & 0x7F))


@_with_memory
def _poll_oneoff(  # noqa: PLR0917 - WASI's own parameters
    call: HostCall, memory: memoryview, subscriptions: int, events: int, count: int, result: int
) -> int:
    """Wait for the first of `count` subscriptions, never past the deadline.

    Standard streams are always ready. Sleeping is host time: it ends with the operation's
    deadline or its cancellation, at once.
    """
    if count == 0 or count > _MAX_SUBSCRIPTIONS:
        return INVAL
    call.charge(count * _ITEM_FUEL)
    table = _cut(memory, subscriptions, _SUBSCRIPTION * count)
    _cut(memory, events, _EVENT * count)
    services: Services = call.services
    ready: list[tuple[int, int, int]] = []
    sleepers: list[tuple[float, int]] = []
    for index in range(count):
        user, tag = struct.unpack_from("<QB", table, index * _SUBSCRIPTION)
        if tag == _EVENTTYPE_CLOCK:
            clock, timeout, _, flags = struct.unpack_from(
                "<I4xQQH", table, index * _SUBSCRIPTION + 16
            )
            if clock not in _CLOCKS:
                ready.append((user, INVAL, tag))
                continue
            if flags & _ABSOLUTE:
                timeout = max(0, timeout - _now(services, clock))
            sleepers.append((timeout / 1e9, user))
        else:
            (fd,) = struct.unpack_from("<I", table, index * _SUBSCRIPTION + 16)
            ready.append((user, SUCCESS if fd in _STDIO else BADF, tag))
    if not ready:
        shortest = min(seconds for seconds, _ in sleepers)
        _sleep(call, shortest)
        ready = [(user, SUCCESS, 0) for seconds, user in sleepers if seconds <= shortest]
    for index, (user, error, tag) in enumerate(ready):
        _put(memory, events + index * _EVENT, "<QHB21x", user, error, tag)
    _put(memory, result, "<I", len(ready))
    return SUCCESS


def _sleep(call: HostCall, seconds: float) -> None:
    """Sleep, at most until the deadline; raises Timeout or Cancelled instead of sleeping on."""
    meter = call.meter
    began = time.monotonic()
    end = began + seconds
    woken = threading.Event()
    remove = meter.on_cancel(woken.set)
    try:
        while True:
            left = end - time.monotonic()
            if left <= 0:
                meter.remaining()
                return
            woken.wait(min(left, meter.remaining(), threading.TIMEOUT_MAX))
    finally:
        remove()
        call.waited(time.monotonic() - began)


_TYPES: Final[dict[str, tuple[str, Callable[..., int]]]] = {
    "args_get": ("ii", _nothing),
    "args_sizes_get": ("ii", _no_sizes),
    "environ_get": ("ii", _nothing),
    "environ_sizes_get": ("ii", _no_sizes),
    "clock_res_get": ("ii", _clock_res_get),
    "clock_time_get": ("iIi", _clock_time_get),
    "fd_advise": ("iIIi", _on_stdio(SPIPE)),
    "fd_allocate": ("iII", _on_stdio(INVAL)),
    "fd_close": ("i", _on_stdio(SUCCESS)),
    "fd_datasync": ("i", _on_stdio(SUCCESS)),
    "fd_fdstat_get": ("ii", _fd_fdstat_get),
    "fd_fdstat_set_flags": ("ii", _on_stdio(SUCCESS)),
    "fd_fdstat_set_rights": ("iII", _on_stdio(SUCCESS)),
    "fd_filestat_get": ("ii", _fd_filestat_get),
    "fd_filestat_set_size": ("iI", _on_stdio(INVAL)),
    "fd_filestat_set_times": ("iIIi", _on_stdio(INVAL)),
    "fd_pread": ("iiiIi", _on_stdio(SPIPE)),
    "fd_prestat_get": ("ii", _no_such_descriptor),
    "fd_prestat_dir_name": ("iii", _no_such_descriptor),
    "fd_pwrite": ("iiiIi", _on_stdio(SPIPE)),
    "fd_read": ("iiii", _fd_read),
    "fd_readdir": ("iiiIi", _no_such_descriptor),
    "fd_renumber": ("ii", _no_such_descriptor),
    "fd_seek": ("iIii", _on_stdio(SPIPE)),
    "fd_sync": ("i", _on_stdio(SUCCESS)),
    "fd_tell": ("ii", _on_stdio(SPIPE)),
    "fd_write": ("iiii", _fd_write),
    "path_create_directory": ("iii", _no_such_descriptor),
    "path_filestat_get": ("iiiii", _no_such_descriptor),
    "path_filestat_set_times": ("iiiiIIi", _no_such_descriptor),
    "path_link": ("iiiiiii", _no_such_descriptor),
    "path_open": ("iiiiiIIii", _no_such_descriptor),
    "path_readlink": ("iiiiii", _no_such_descriptor),
    "path_remove_directory": ("iii", _no_such_descriptor),
    "path_rename": ("iiiiii", _no_such_descriptor),
    "path_symlink": ("iiiii", _no_such_descriptor),
    "path_unlink_file": ("iii", _no_such_descriptor),
    "poll_oneoff": ("iiii", _poll_oneoff),
    "proc_exit": ("i", _proc_exit),
    "proc_raise": ("i", _proc_raise),
    "random_get": ("ii", _random_get),
    "sched_yield": ("", _nothing),
    "sock_accept": ("iii", _no_such_descriptor),
    "sock_recv": ("iiiiii", _no_such_descriptor),
    "sock_send": ("iiiii", _no_such_descriptor),
    "sock_shutdown": ("ii", _no_such_descriptor),
}
_WITHOUT_RESULT: Final = {"proc_exit"}


def imports(*, with_files: bool = True) -> list[HostImport]:
    """All of preview 1; without files, what has nothing to do with descriptors and paths."""
    return [
        HostImport(
            NAMESPACE,
            name,
            params,
            "" if name in _WITHOUT_RESULT else "i",
            function,
        )
        for name, (params, function) in _TYPES.items()
        if with_files or not name.startswith(("fd_", "path_"))
    ]
