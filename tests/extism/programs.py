"""Programs for interpreter.wat that use only what extism-abi.md calls MUST, as a strategy.

A model follows each program while it is drawn, so that nothing is generated whose outcome the
specification leaves open: bytes never written, handles after a reset, writes over a neighbour.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass, field
from typing import Any, Final

from hypothesis import strategies as st

(
    ALLOC, FREE, LENGTH, LENGTH_UNSAFE, LOAD8, LOAD64, STORE8, STORE64, INPUT8, INPUT64,
    INPUT_LENGTH, INPUT_BLOCK, OUTPUT_SET, OUTPUT_LENGTH, OUTPUT_OFFSET, ERROR_SET, ERROR_IS,
    CONFIG_GET, VAR_GET, VAR_SET, INPUT_SET, RESET, LOG_LEVEL, HTTP_STATUS, INPUT_OFFSET, LOG,
    CODE,
) = range(27)  # fmt: skip

SLOTS: Final = 8
NULL: Final = 255
"""A slot that is never set."""
ROOM: Final = 48_000
"""Bytes that one run may allocate: within what a fresh kernel manages anywhere."""
KEYS: Final = (b"a", b"key", b"\xc3\xa9", b"none")
CONFIG: Final = {"a": "value of a", "key": "", "\u00e9": "\u2713 unicode"}


@dataclass
class Block:
    """What the model knows of one block: which of its bytes are defined."""

    size: int
    defined: set[int] = field(default_factory=set)
    live: bool = True

    def ready(self, start: int, count: int) -> bool:
        """Whether these bytes are all defined."""
        return all(i in self.defined for i in range(start, start + count))


class Builder:
    """Draws one run of the interpreter."""

    def __init__(self, draw: Any, data: bytes, variables: dict[bytes, bytes]) -> None:
        self.draw = draw
        self.variables = variables
        self.records: list[bytes] = []
        self.slots: dict[int, Block] = {}
        self.used = 0
        self.newest: Block | None = None
        self.output: Block | None = None
        self.input: Block | None = Block(len(data), set(range(len(data)))) if data else None
        self.done = False

    def emit(self, op: int, a: int = NULL, b: int = 0, v: int = 0) -> None:
        """One record."""
        self.records.append(struct.pack("<BBHIQ", op, a, 0, b, v % 2**64))

    # -- steps --------------------------------------------------------------------------------

    def alloc(self, size: int | None = None) -> int:
        slot = self.draw(st.integers(0, SLOTS - 1))
        if size is None:
            size = self.draw(st.sampled_from([0, 1, 7, 8, 9, 64, 300]) | st.integers(0, 3000))
        if self.used + size + 16 > ROOM:
            return slot
        self.used += size + 16
        self.emit(ALLOC, slot, v=size)
        if size:
            self.newest = self.slots[slot] = Block(size)
        else:
            self.slots.pop(slot, None)
        return slot

    def store(self, slot: int, data: bytes) -> None:
        for i, byte in enumerate(data):
            self.emit(STORE8, slot, i, byte)
        self.slots[slot].defined |= set(range(len(data)))

    def filled(self, data: bytes) -> int | None:
        """A slot with a new block that holds `data`; None where there is no room."""
        if not data or self.used + len(data) + 16 > ROOM:
            return None
        slot = self.alloc(len(data))
        self.store(slot, data)
        return slot

    def some(self) -> int | None:
        """A slot that holds a handle, live or freed."""
        return self.draw(st.sampled_from(sorted(self.slots))) if self.slots else None

    def release(self, block: Block | None) -> None:
        if block is None:
            return
        block.live = False
        if block is self.input:
            self.input = None

    def step(self) -> None:
        kind = self.draw(st.sampled_from(self.STEPS))
        getattr(self, f"step_{kind}")()

    STEPS: Final = (
        "alloc", "alloc", "store", "store", "free", "length", "load", "load", "input", "output",
        "config", "log", "var_set", "var_get", "registers", "error_cleared", "input_set", "reset",
        "null",
    )  # fmt: skip

    def step_alloc(self) -> None:
        self.alloc()

    def step_store(self) -> None:
        slot = self.some()
        if slot is None:
            return
        block = self.slots[slot]
        if self.draw(st.booleans()):
            at = self.draw(st.integers(0, block.size - 1))
            self.emit(STORE8, slot, at, self.draw(st.integers(0, 2**32 - 1)))
            block.defined.add(at)
            return
        # Eight bytes may pass the end of the newest block, as PDKs do; not of another.
        last = block.size - 1 if block is self.newest else block.size - 8
        if last < 0:
            return
        at = self.draw(st.integers(0, last))
        self.emit(STORE64, slot, at, self.draw(st.integers(0, 2**64 - 1)))
        block.defined |= set(range(at, min(at + 8, block.size)))

    def step_free(self) -> None:
        slot = self.some()
        if slot is not None:
            self.emit(FREE, slot)
            self.release(self.slots[slot])

    def step_length(self) -> None:
        slot = self.some()
        if slot is not None:
            self.emit(self.draw(st.sampled_from([LENGTH, LENGTH_UNSAFE])), slot)

    def step_load(self) -> None:
        slot = self.some()
        if slot is None or not self.slots[slot].defined:
            return
        block = self.slots[slot]
        at = self.draw(st.sampled_from(sorted(block.defined)))
        if block.ready(at, 8):
            self.emit(LOAD64, slot, at)
        self.emit(LOAD8, slot, at)

    def step_input(self) -> None:
        self.emit(INPUT_LENGTH)
        size = 0 if self.input is None else self.input.size
        if self.input is None or self.input.ready(0, size):
            at = self.draw(st.integers(0, size + 9) | st.integers(2**31, 2**40))
            self.emit(INPUT8, v=at)
            self.emit(INPUT64, v=at)

    def step_output(self) -> None:
        slot = self.some()
        if slot is None:
            return
        block = self.slots[slot]
        start = self.draw(st.sampled_from([*sorted(block.defined)[:1], block.size]))
        most = 0
        while start + most in block.defined:
            most += 1
        size = self.draw(st.sampled_from([most, most // 2]))
        self.emit(OUTPUT_SET, slot, start, size)
        self.emit(OUTPUT_LENGTH)
        self.emit(OUTPUT_OFFSET, slot)

    def step_config(self) -> None:
        key = self.draw(st.sampled_from(KEYS))
        slot = self.filled(key)
        if slot is not None:
            self.take(CONFIG_GET, slot, CONFIG.get(key.decode(), "").encode())

    def step_var_get(self) -> None:
        key = self.draw(st.sampled_from(KEYS))
        slot = self.filled(key)
        if slot is not None:
            self.take(VAR_GET, slot, self.variables.get(key, b""))

    def take(self, op: int, key: int, value: bytes) -> None:
        """Have a host function turn the key into a value; it owns and frees the key."""
        target = self.draw(st.integers(0, SLOTS - 1))
        self.used += len(value) + 16
        self.emit(op, target, key)
        self.release(self.slots[key])
        self.slots.pop(target, None)
        if value:
            self.newest = self.slots[target] = Block(len(value), set(range(len(value))))
        self.emit(LENGTH, target)
        for i in range(len(value)):
            self.emit(LOAD8, target, i)

    def step_var_set(self) -> None:
        key = self.draw(st.sampled_from(KEYS))
        name = self.filled(key)
        if name is None:
            return
        held = self.slots[name]
        slot, value = NULL, b""
        if self.draw(st.integers(0, 4)):
            value = self.draw(st.binary(min_size=1, max_size=40))
            found = self.filled(value)
            if found is None or self.slots[name] is not held:  # the value took the key's slot
                return
            slot = found
        self.emit(VAR_SET, name, slot)
        self.release(held)
        self.release(self.slots.get(slot))
        self.variables[key] = value

    def step_log(self) -> None:
        slot = self.filled(self.draw(st.sampled_from([b"line", b"\xff", b"two\nlines"])))
        if slot is not None:
            self.emit(LOG, slot)
            self.release(self.slots[slot])

    def step_registers(self) -> None:
        self.emit(LOG_LEVEL)
        self.emit(HTTP_STATUS)
        self.emit(INPUT_BLOCK)
        self.emit(ERROR_IS, NULL)

    def step_error_cleared(self) -> None:
        slot = self.some()
        if slot is not None and self.slots[slot].live:
            self.emit(ERROR_SET, slot)
            self.emit(ERROR_IS, slot)
            self.emit(ERROR_SET, NULL)
            self.emit(ERROR_IS, NULL)

    def step_input_set(self) -> None:
        slot = self.some()
        if slot is not None and self.slots[slot].live and self.slots[slot].ready(0, 1):
            block = self.slots[slot]
            if block.ready(0, block.size):
                self.emit(INPUT_SET, slot, v=block.size)
                self.input = block

    def step_reset(self) -> None:
        if self.draw(st.integers(0, 3)):
            return
        self.emit(RESET)
        self.slots.clear()
        self.newest = self.input = None

    def step_null(self) -> None:
        self.emit(FREE, NULL)
        self.emit(LENGTH, NULL)
        self.emit(LENGTH_UNSAFE, NULL)
        self.emit(OUTPUT_SET, NULL, 0, 5)
        self.emit(OUTPUT_LENGTH)

    def finish(self) -> None:
        """An output, and an error text, a code, both or neither."""
        self.filled(self.draw(st.binary(max_size=20)))
        for _ in range(2):
            self.step_output()
        end = self.draw(st.sampled_from(["", "", "code", "error", "both", "error and 0"]))
        if "error" in end or end == "both":
            slot = self.filled(self.draw(st.text("abc é✓\n", min_size=1, max_size=20)).encode())
            if slot is not None:
                self.emit(ERROR_SET, slot)
        if end in ("code", "both", "error"):
            self.emit(CODE, v=self.draw(st.integers(1, 127)))


@st.composite
def runs(draw: Any) -> list[tuple[bytes, bytes]]:
    """One to three runs on one plugin: (program, input) each."""
    found = []
    variables: dict[bytes, bytes] = {}
    for _ in range(draw(st.integers(1, 3))):
        data = draw(st.binary(max_size=40))
        builder = Builder(draw, data, variables)
        for _ in range(draw(st.integers(1, 25))):
            builder.step()
        builder.finish()
        found.append((b"".join(builder.records), data))
    return found
