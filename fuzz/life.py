"""The life of a plugin and of a provider, step by step, against a model of what must come of it.

A case is the list of steps, so that a failing life can be lived again without Hypothesis.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import Any, Final

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, rule

from fumehood import Limits, Plugin, host_function
from fumehood.abi.http import HTTPResponse
from fumehood.errors import (
    Cancelled,
    ClosedError,
    Error,
    Exit,
    HostFunctionError,
    OutOfFuel,
    OutOfMemory,
    PluginError,
    ReentryError,
    TooMuch,
    Trap,
    UsageError,
)
from fuzz.puppet import Network, open_provider, puppet
from fuzz.target import Target, check_error

LIMITS: Final = Limits(
    fuel=400_000, memory=2 << 20, kernel_memory=1 << 20, input_bytes=4096, var_bytes=256,
    deadline=20, guest_time=10,
)  # fmt: skip
MOST_STREAMS: Final = 4

GUEST: Final = """(module
  (import "extism:host/env" "alloc" (func $alloc (param i64) (result i64)))
  (import "extism:host/env" "input_offset" (func $in (result i64)))
  (import "extism:host/env" "input_length" (func $size (result i64)))
  (import "extism:host/env" "length" (func $length (param i64) (result i64)))
  (import "extism:host/env" "store_u64" (func $store (param i64 i64)))
  (import "extism:host/env" "store_u8" (func $byte (param i64 i32)))
  (import "extism:host/env" "output_set" (func $out (param i64 i64)))
  (import "extism:host/env" "error_set" (func $error (param i64)))
  (import "extism:host/env" "var_get" (func $var_get (param i64) (result i64)))
  (import "extism:host/env" "var_set" (func $var_set (param i64 i64)))
  (import "extism:host/user" "act" (func $act (param i64) (result i64)))
  (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))
  (memory (export "memory") 1)
  (global $n (mut i64) (i64.const 0))
  (func $key (result i64) (local $h i64)
    (local.set $h (call $alloc (i64.const 1)))
    (call $byte (local.get $h) (i32.const 107))
    (local.get $h))
  (func $word (param $value i64) (local $h i64)
    (local.set $h (call $alloc (i64.const 8)))
    (call $store (local.get $h) (local.get $value))
    (call $out (local.get $h) (i64.const 8)))
  (func (export "count")
    (global.set $n (i64.add (global.get $n) (i64.const 1)))
    (call $word (global.get $n)))
  (func (export "echo") (call $out (call $in) (call $size)))
  (func (export "fail") (result i32) (call $error (call $in)) (i32.const 1))
  (func (export "code") (result i32) (i32.const 7))
  (func (export "trap") unreachable)
  (func (export "spin") (loop (br 0)))
  (func (export "grow")
    (loop (br_if 0 (i32.ne (memory.grow (i32.const 1)) (i32.const -1)))) unreachable)
  (func (export "exit0") (call $exit (i32.const 0)))
  (func (export "exit3") (call $exit (i32.const 3)))
  (func (export "set") (call $var_set (call $key) (call $in)))
  (func (export "get") (local $h i64)
    (local.set $h (call $var_get (call $key)))
    (call $out (local.get $h) (call $length (local.get $h))))
  (func (export "act") (local $h i64)
    (local.set $h (call $act (call $in)))
    (call $out (local.get $h) (call $length (local.get $h)))))"""

ENDS: Final[dict[str, type[Error]]] = {
    "trap": Trap, "spin": OutOfFuel, "grow": OutOfMemory, "exit3": Exit,
    "reenter": HostFunctionError, "raise": HostFunctionError, "cancel": Cancelled,
}  # fmt: skip
"""What ends an instance, and how it is reported."""
CAUSES: Final = {"reenter": ReentryError, "raise": LookupError}
ACTS: Final = ("reenter", "raise", "cancel", "reset", "nothing")

Step = list[Any]


class Life:
    """One plugin and one provider. `step` does what it says and checks what came of it."""

    def __init__(self) -> None:
        self.count = 0
        self.var = b""
        self.closed = self.provider_closed = False
        act = host_function("act")(self._act)
        self.plugin = Plugin(GUEST, functions=[act], limits=LIMITS, name="life")
        doll = puppet("C")
        doll.tell({})
        reply = HTTPResponse(200, (), b"one\ntwo\nthree\nfour\n")
        self.provider = open_provider(
            doll.compiled, Network(reply, (3, 9)), "puppet", {"model": "m"}
        )
        self.streams: list[Any] = []

    def _act(self, name: bytes) -> bytes:
        match name:
            case b"reenter":
                self.plugin.call("count")
            case b"raise":
                raise LookupError("as told")
            case b"cancel":
                self.plugin.cancel()
            case b"reset":
                self.plugin.reset()
        return name

    def step(self, step: Step) -> None:
        """One step: its name, then its arguments."""
        name, *arguments = step
        getattr(self, f"do_{name}")(*arguments)

    # -- the plugin -----------------------------------------------------------------------

    def _call(self, export: str, data: bytes = b"") -> bytes | Error:
        try:
            output = self.plugin.call(export, data)
        except Error as error:
            check_error(error)
            assert self.closed == isinstance(error, ClosedError), f"{error!r}"
            assert self.closed or error.receipt is not None
            return error
        assert not self.closed, "a closed plugin answered"
        receipt = self.plugin.last_receipt
        assert receipt is not None
        assert receipt.operation == export
        return output

    def do_count(self) -> None:
        """Tells whether the instance is the one that the model thinks of."""
        answer = self._call("count")
        if not self.closed:
            self.count += 1
            assert answer == struct.pack("<Q", self.count), f"{answer!r} is not {self.count}"

    def do_echo(self, size: int) -> None:
        """Inputs within the limit come back, others are refused and harm nothing."""
        data = bytes(i & 0xFF for i in range(size))
        answer = self._call("echo", data)
        if self.closed:
            return
        if size > LIMITS.input_bytes:
            assert isinstance(answer, TooMuch), f"{answer!r}"
        else:
            assert answer == data

    def do_fail(self, text: str) -> None:
        """A failure that the guest reports keeps the instance."""
        answer = self._call("fail", text.encode())
        if not self.closed:
            assert isinstance(answer, PluginError), f"{answer!r}"
            assert answer.rc == 1
            assert not text or answer.message == text

    def do_code(self) -> None:
        """So does a code without text."""
        answer = self._call("code")
        if not self.closed:
            assert isinstance(answer, PluginError), f"{answer!r}"
            assert answer.rc == 7

    def do_end(self, how: str) -> None:
        """What ends the instance is reported as what it is, and the next one is fresh."""
        acts = how in ACTS
        answer = self._call("act", how.encode()) if acts else self._call(how)
        if self.closed:
            return
        assert type(answer) is ENDS[how], f"{how}: {answer!r}"
        assert isinstance(answer.__cause__, CAUSES.get(how, object)), f"{answer.__cause__!r}"
        self.count = 0

    def do_exit(self) -> None:
        """A clean exit is no error; its instance is gone."""
        answer = self._call("exit0")
        if not self.closed:
            assert answer == b"", f"{answer!r}"
            self.count = 0

    def do_act(self, reset: bool) -> None:
        """A host function that answers, and one that resets the plugin it is called by."""
        name = b"reset" if reset else b"nothing"
        answer = self._call("act", name)
        if not self.closed:
            assert answer == name, f"{answer!r}"
            if reset:
                self.count = 0

    def do_set(self, size: int) -> None:
        """Vars outlive instances, within their limit."""
        data = b"v" * size
        answer = self._call("set", data)
        if self.closed:
            return
        if size > LIMITS.var_bytes:
            assert isinstance(answer, Error), f"{size} bytes were kept"
            self.count = 0
        else:
            assert answer == b"", f"{answer!r}"
            self.var = data

    def do_get(self) -> None:
        """What was set last."""
        answer = self._call("get")
        if not self.closed:
            assert answer == self.var, f"{answer!r} is not {self.var!r}"

    def do_missing(self) -> None:
        """An export that is not there harms nothing."""
        answer = self._call("none")
        assert isinstance(answer, Error)

    def do_reset(self) -> None:
        """The next call finds a fresh instance."""
        self.plugin.reset()
        self.count = 0

    def do_cancel(self) -> None:
        """Nothing runs: nothing happens."""
        self.plugin.cancel()

    def do_close(self) -> None:
        """For good."""
        self.plugin.close()
        self.closed = True

    # -- the provider ---------------------------------------------------------------------

    def _operate(self, function: Callable[[], Any]) -> Any:
        try:
            value = function()
        except Error as error:
            check_error(error)
            assert self.provider_closed, f"{error!r}"
            assert isinstance(error, ClosedError), f"{error!r}"
            return None
        assert not self.provider_closed, "a closed provider answered"
        return value

    def do_chat(self) -> None:
        """An answer, whatever streams are open."""
        reply = self._operate(lambda: self.provider.chat("x"))
        assert self.provider_closed or reply.text == "a"

    def do_open(self) -> None:
        """A stream."""
        if len(self.streams) < MOST_STREAMS:
            stream = self._operate(lambda: self.provider.chat_stream("x"))
            if stream is not None:
                self.streams.append([stream, 0])

    def do_next(self, which: int) -> None:
        """A chunk of a stream: five lines and the end, in order."""
        if not self.streams:
            return
        entry = self.streams[which % len(self.streams)]
        stream, seen = entry
        try:
            chunk = next(stream, None)
        except Error as error:
            check_error(error)
            assert self.provider_closed, f"{error!r}"
            assert isinstance(error, Cancelled | ClosedError), f"{error!r}"
            self.streams.remove(entry)
            return
        entry[1] = seen + 1
        if chunk is None:
            # after the provider was closed a stream may have ended early
            assert seen == 6 or self.provider_closed, f"it ended after {seen}"
            self.streams.remove(entry)
            if seen == 6:
                assert stream.response.text == "aaaaa"
                assert stream.response.finish_reason == "Stop"
        else:
            assert chunk.kind == ("text" if seen < 5 else "done"), f"{chunk!r} is chunk {seen}"

    def do_drop(self, which: int, close: bool) -> None:
        """A stream is closed, or forgotten."""
        if not self.streams:
            return
        stream, _ = self.streams.pop(which % len(self.streams))
        if close:
            stream.close()
            stream.close()
            assert next(stream, None) is None
            try:
                _ = stream.response
            except UsageError:
                return
            raise AssertionError("a stream that was closed has a response")

    def do_close_provider(self) -> None:
        """For good, streams too."""
        self.provider.close()
        self.provider_closed = True

    # -- the end --------------------------------------------------------------------------

    def finish(self) -> None:
        """Nothing is left behind."""
        try:
            for stream, _ in self.streams:
                stream.close()
            self.streams.clear()
            assert not self.provider._running, "operations are still known"
        finally:
            self.provider.close()
            self.plugin.close()


def check(case: list[Step]) -> None:
    """Live it again."""
    life = Life()
    try:
        for step in case:
            life.step(step)
    finally:
        life.finish()


class LifeMachine(RuleBasedStateMachine):
    """Draws the steps. `note` and `failed` are told the steps so far, before and after."""

    note: Callable[[list[Step]], bool] = staticmethod(lambda _steps: True)
    failed: Callable[[list[Step]], None] = staticmethod(lambda _steps: None)

    def __init__(self) -> None:
        super().__init__()
        self.steps: list[Step] = []
        self.life: Life | None = None  # made by the first step that is taken

    def _do(self, *step: Any) -> None:
        self.steps.append(list(step))
        if not self.note(self.steps):
            return
        try:
            self.life = self.life or Life()
            self.life.step(list(step))
        except BaseException:
            self.failed(self.steps)
            raise

    @rule()
    def count(self) -> None:
        self._do("count")

    @rule(size=st.sampled_from([0, 1, 100, LIMITS.input_bytes, LIMITS.input_bytes + 1]))
    def echo(self, size: int) -> None:
        self._do("echo", size)

    @rule(text=st.text(st.characters(exclude_categories=["Cs"]), max_size=8))
    def fail(self, text: str) -> None:
        self._do("fail", text)

    @rule(how=st.sampled_from(sorted(ENDS)))
    def end(self, how: str) -> None:
        self._do("end", how)

    @rule(reset=st.booleans())
    def act(self, reset: bool) -> None:
        self._do("act", reset)

    @rule(size=st.sampled_from([0, 1, 100, 200, 257, 4000]))
    def set_var(self, size: int) -> None:
        self._do("set", size)

    @rule(name=st.sampled_from(["code", "exit", "get", "missing", "reset", "cancel", "chat"]))
    def plain(self, name: str) -> None:
        self._do(name)

    @rule()
    def open_stream(self) -> None:
        self._do("open")

    @rule(which=st.integers(0, MOST_STREAMS - 1))
    def next_chunk(self, which: int) -> None:
        self._do("next", which)

    @rule(which=st.integers(0, MOST_STREAMS - 1), close=st.booleans())
    def drop_stream(self, which: int, close: bool) -> None:
        self._do("drop", which, close)

    @rule(chance=st.integers(0, 7), provider=st.booleans())
    def close(self, chance: int, provider: bool) -> None:
        if chance == 0:
            self._do("close_provider" if provider else "close")

    def teardown(self) -> None:
        """The end of a life is checked as well."""
        if self.life is None:
            return
        try:
            self.life.finish()
        except BaseException:
            self.failed(self.steps)
            raise


TARGET: Final = Target("life", st.nothing, check, machine=LifeMachine, weight=4)
