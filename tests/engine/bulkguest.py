"""WAT guests with a bulk descriptor (docs/wire.md), honest ones and liars."""

from __future__ import annotations

from typing import Any

from fumehood.engine import HostImport
from fumehood.imports import Services, wasi
from tests.engine.support import Guest, env

AT = 1024
"""Where the descriptor of these guests lies."""
HOST, CAPACITY, BUFFER, INPUT, OUTPUT, LENGTH = range(AT + 4, AT + 28, 4)
"""Its words."""
PAGE = 65536


def store(address: int, value: int | str) -> str:
    """Code that writes a word: a number, or an expression."""
    text = value if isinstance(value, str) else f"(i32.const {value})"
    return f"(i32.store (i32.const {address}) {text})"


def answer(at: int | str, length: int | str) -> str:
    """Code that answers through the descriptor."""
    return store(OUTPUT, at) + store(LENGTH, length)


def load(address: int) -> str:
    """An expression: the word at `address`."""
    return f"(i32.load (i32.const {address}))"


GLOBAL = f'(global (export "fumehood_bulk") i32 (i32.const {AT}))'
MEMORY = f'(memory (export "memory") 2) (data (i32.const {AT}) "FHB1")'
ROOM = f"""(func $grow (param i32) (drop (memory.grow
    (i32.shr_u (i32.add (local.get 0) (i32.const 65535)) (i32.const 16)))))
  (func (export "fumehood_reserve") (param i32) (result i32)
    (call $grow (local.get 0))
    {store(CAPACITY, "(local.get 0)")} {store(BUFFER, PAGE)} (i32.const {PAGE}))"""
"""Room for any size at the second page."""

TAKE = f"""(func $take {answer(load(BUFFER), load(INPUT))} {store(INPUT, 0)})"""
ECHO = f"""{TAKE} (func (export "echo") (result i32)
  (if {load(INPUT)} (then (call $take))
    (else (call $output_set (call $input_offset) (call $input_length))))
  (i32.const 0))"""
"""Echoes what came, the way it came."""
WORDS = f"""(func (export "words") (result i32)
  (memory.copy (i32.const 2048) (i32.const {AT}) (i32.const 32))
  {answer(2048, 32)} (i32.const 0))"""
"""Answers with the descriptor as it was before; takes no input."""
IMPORTS = env("output_set", "input_offset", "input_length", "error_set", "alloc", "store_u8")


def wat(
    body: str = "",
    *,
    head: str = GLOBAL,
    memory: str = MEMORY,
    room: str = ROOM,
    echo: str = ECHO,
) -> str:
    """A module of these parts."""
    return f"(module {IMPORTS} {memory} {head} {room} {echo} {body})"


def guest(
    source: str,
    *imports: HostImport,
    merged: bool = True,
    **limits: Any,
) -> Guest:
    """A sandbox of it: linked with its kernel, or with a kernel of another size beside it."""
    if not merged:
        limits = {"kernel_memory": 8 << 20, **limits}
    return Guest(source, [*wasi.imports(), *imports], services=Services(), **limits)


def is_merged(made: Guest) -> bool:
    """Whether guest and kernel are one instance."""
    return made.sandbox._guest is made.sandbox._kernel
