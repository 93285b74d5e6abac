"""What a call that did not return well means: one error class per cause, in a fixed order.

Cancelled, timeout, fuel, memory, host function, guest error, exit, trap, non-zero return
(api.md "Errors"; extism-abi.md §2.6). Guest text is attached to the others as `guest_error`, so a
guest can neither mask its own timeout nor pass its text off as the cause.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Protocol

from fumehood.abi.memory import check_range
from fumehood.engine import kernel, native
from fumehood.errors import (
    Cancelled,
    Error,
    Exit,
    HostError,
    HostFunctionError,
    LimitError,
    OutOfFuel,
    OutOfMemory,
    PluginError,
    ProtocolError,
    Timeout,
    TooMuch,
    Trap,
    clip,
)

if TYPE_CHECKING:
    from fumehood.engine.interrupt import Interrupts
    from fumehood.engine.making import Made
    from fumehood.limits import Limits
    from fumehood.meter import Meter

ERROR_TEXT_CAP: Final = 64 * 1024
"""Bytes of guest error text that are read at all."""

TRAP_REASONS: Final = {
    0: "stack_overflow",
    1: "memory_out_of_bounds",
    2: "heap_misaligned",
    3: "table_out_of_bounds",
    4: "indirect_call_to_null",
    5: "bad_signature",
    6: "integer_overflow",
    7: "integer_divide_by_zero",
    8: "bad_conversion_to_integer",
    9: "unreachable",
    10: "interrupt",
    11: "out_of_fuel",
}
_OUT_OF_FUEL: Final = 11
_UNSIGNED: Final = 1 << 32


class Guest(Protocol):
    """What every kind of sandbox can say about a call that did not end well."""

    limits: Limits
    meter: Meter
    interrupts: Interrupts
    host_error: BaseException | None
    exit_status: int | None
    timed_out: str | None
    notes: str

    def stop_reason(self) -> str | None:
        """Why the guest must stop now, or None."""

    def guest_timeout(self) -> Timeout:
        """The error for guest time that is used up."""

    def refused(self) -> int:
        """Bytes that the kernel refused."""

    def memory_sizes(self) -> list[int]:
        """Bytes of each guest memory that is known."""

    def guest_memory_size(self) -> int:
        """Their sum."""

    def memory_share(self) -> int:
        """Bytes that one memory may have."""


def guest_text(sandbox: Made) -> str | None:
    """The guest's error text, decoded with replacement; None where it set none.

    A handle that is no block is an error without text (extism-abi.md §1.4, `error_set(interior)`).
    """
    blocks = sandbox.blocks
    handle = 0 if blocks is None else blocks.error_handle()
    if blocks is None or not handle:
        return None
    block = blocks.find(handle)
    if block is None:
        return "the guest reported a failure with a handle that is no block"
    length = min(block.length, ERROR_TEXT_CAP)
    try:
        check_range(block.offset, length, blocks.size, "the error text")
    except ProtocolError as problem:
        return problem.message
    return blocks.data[block.offset : block.offset + length].tobytes().decode("utf-8", "replace")


def stopped(sandbox: Guest, reason: str) -> BaseException:
    """The error for a guest that was stopped by its host."""
    if reason == "cancelled":
        return Cancelled("the operation was cancelled")
    if reason == "guest_time":
        return sandbox.guest_timeout()
    if reason == "interrupt" and sandbox.interrupts.pending is not None:
        pending, sandbox.interrupts.pending = sandbox.interrupts.pending, None
        return pending
    return sandbox.meter.timeout()


def out_of_fuel(sandbox: Guest) -> OutOfFuel:
    """The error for fuel that is used up."""
    return OutOfFuel(
        f"the fuel of {sandbox.meter.limits.fuel} units is used up",
        limit="fuel",
        hint="raise limits.fuel if the work is legitimate",
    )


def _first_cause(
    sandbox: Guest, code: int | None, failed: native.Failure | None
) -> BaseException | None:
    """The causes that stand before everything the guest says."""
    raised = sandbox.host_error
    if raised is not None and not isinstance(raised, Exception):
        return raised  # KeyboardInterrupt, SystemExit: as themselves
    if sandbox.interrupts.pending is not None:
        return stopped(sandbox, "interrupt")
    reason = sandbox.timed_out or sandbox.stop_reason()
    if sandbox.meter.cancelled or isinstance(raised, Cancelled):
        return stopped(sandbox, "cancelled")
    if isinstance(raised, Timeout):
        return raised
    if reason is not None:
        return stopped(sandbox, reason)
    if code == _OUT_OF_FUEL:
        return out_of_fuel(sandbox)
    if isinstance(raised, OutOfFuel | OutOfMemory):
        return raised
    memory = _memory_cause(sandbox, code, failed)
    if memory is not None:
        return memory
    if isinstance(raised, Error):
        return raised
    if raised is not None:
        error = HostFunctionError(f"a host function raised {type(raised).__name__}: {raised}")
        error.__cause__ = raised
        return error
    return None


def _memory_cause(
    sandbox: Guest, code: int | None, failed: native.Failure | None
) -> OutOfMemory | TooMuch | None:
    refused = sandbox.refused()
    if refused:
        return OutOfMemory(
            f"the kernel refused {refused} bytes: "
            f"{sandbox.limits.kernel_memory} are allowed for blocks",
            limit="kernel_memory",
            hint="raise limits.kernel_memory",
        )
    if failed is not None and code is None and sandbox.host_error is None:
        refused_minimum = _minimum_cause(sandbox.limits, failed)
        if refused_minimum is not None:
            return refused_minimum
    if code is not None and _near_limit(sandbox):
        return OutOfMemory(
            f"the guest trapped with {sandbox.guest_memory_size()} bytes of memory in use; "
            f"{sandbox.limits.memory} are allowed",
            inferred=True,
            hint="raise limits.memory if the work is legitimate",
        )
    return None


def _near_limit(sandbox: Guest) -> bool:
    """Within one growth step of the limit: wasmtime leaves no trace of a refused grow, the guest
    sees −1 and usually traps. A step is a page, or a sixteenth of the limit: allocators ask for
    more at a time the larger they are."""
    share = sandbox.memory_share()
    step = max(kernel.PAGE, share // 16)
    return any(size + step > share for size in sandbox.memory_sizes())


def _minimum_cause(limits: Limits, failed: native.Failure) -> OutOfMemory | TooMuch | None:
    """wasmtime refused what a module declares; only its words tell which."""
    if "memory minimum size" in failed.text:
        return OutOfMemory("a module's minimum memory is above limits.memory")
    if "table minimum size" in failed.text:
        return TooMuch(
            f"a module's table has more than {limits.table_elements} elements",
            limit="table_elements",
        )
    return None


def unmade(limits: Limits, failed: native.Failure) -> Error:
    """The error for a store in which nothing could be made yet."""
    refused = _minimum_cause(limits, failed)
    if refused is not None:
        return refused
    if failed.code is not None:
        return from_trap(failed)
    return HostError(
        f"no sandbox can be made: {failed.root()}",
        hint="too many live sandboxes, or no address space left",
    )


def trapped(sandbox: Made, failed: native.Failure, where: str) -> BaseException | None:
    """The error for a guest that did not return; None for `proc_exit(0)` without an error."""
    return ended(sandbox, failed, where, guest_text(sandbox))


def ended(
    sandbox: Guest, failed: native.Failure, where: str, text: str | None
) -> BaseException | None:
    """As `trapped`, for any kind of guest; `text` is the error that it had set before."""
    cause = _first_cause(sandbox, failed.code, failed)
    if cause is None:
        if text is not None:
            cause = PluginError(text, rc=-1)
        elif sandbox.exit_status is not None:
            if sandbox.exit_status == 0:
                return None
            cause = Exit(
                f"{where} exited with status {sandbox.exit_status}", status=sandbox.exit_status
            )
        else:
            cause = from_trap(failed)
    return _attach(sandbox, cause, text)


def returned(sandbox: Made, code: int) -> BaseException:
    """The error for a guest that returned, with an error set or a code other than 0."""
    cause = _first_cause(sandbox, None, None)
    text = guest_text(sandbox)
    if cause is None:
        signed = code - _UNSIGNED if code >= _UNSIGNED // 2 else code
        cause = PluginError(f"Error code: {signed}" if text is None else text, rc=signed)
    return _attach(sandbox, cause, text)


def reported(sandbox: Guest, text: str) -> BaseException:
    """The error for a component that returned one."""
    cause = _first_cause(sandbox, None, None) or PluginError(text[:ERROR_TEXT_CAP], rc=1)
    return _attach(sandbox, cause, text)


def _attach(sandbox: Guest, cause: BaseException, text: str | None) -> BaseException:
    if isinstance(cause, Error):
        if text is not None and not isinstance(cause, PluginError):
            cause.guest_error = clip(text)
        notes = sandbox.notes
        if notes and isinstance(cause, Trap | LimitError | Exit):
            cause.add_note(f"the guest's standard error: {clip(notes, 2000)}")
    return cause


def from_trap(failed: native.Failure) -> Trap:
    """The trap itself: a stable reason, the frames as an attribute."""
    if failed.code is None:
        reason = "trap"
        message = f"the guest failed: {failed.root()[:300]}"
    else:
        reason = TRAP_REASONS.get(failed.code, "trap")
        message = f"the guest trapped: {reason.replace('_', ' ')}"
    return Trap(message, reason=reason, backtrace=failed.frames)
