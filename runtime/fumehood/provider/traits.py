"""Which ABI a plugin speaks: generation, mode and wire (provider-abi.md §0.1, docs/wire.md)."""

from __future__ import annotations

import enum
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final, Literal

from fumehood.abi.wire import JSON, Wire
from fumehood.errors import UsageError

SPLIT_EXPORTS: Final = frozenset(
    {
        "chat_request",
        "chat_stream_request",
        "parse_chat_response",
        "list_models_request",
        "parse_list_models_response",
    }
)
PARSER_EXPORTS: Final = frozenset(
    {
        "chat_stream_parser_start",
        "chat_stream_parser_parse",
        "chat_stream_parser_finish",
        "chat_stream_parser_close",
    }
)

GenerationName = Literal["A", "B", "C"]


class Mode(enum.Enum):
    """Who does the HTTP."""

    SPLIT = "split"
    """The host: the guest builds requests and parses replies (C, C+)."""
    DIRECT = "direct"
    """The guest, through our imports, or it needs none (A, B, B′)."""


@dataclass(frozen=True, slots=True)
class Traits:
    """What the host must know of a plugin to call it right."""

    mode: Mode
    gen_a: bool
    exports: frozenset[str]
    wire: Wire = JSON
    """How its inputs that are objects are written, and its answers to them."""

    @property
    def generation(self) -> str:
        """`C+`, `C`, `B` or `A`, for people. B and B′ differ only in what they answer."""
        if self.mode is Mode.SPLIT:
            return "C+" if "classify_chat_error" in self.exports else "C"
        return "A" if self.gen_a else "B"

    @property
    def capabilities(self) -> frozenset[str]:
        """The operations whose exports exist. A plugin may still refuse one when called."""
        able: set[str] = {"transcribe", "speech"} & self.exports
        if self.mode is Mode.SPLIT:
            able |= {"chat", "list_models"}
            if self.exports >= PARSER_EXPORTS:
                able.add("chat_stream")
            for op in ("embed", "complete"):
                if {f"{op}_request", f"parse_{op}_response"} <= self.exports:
                    able.add(op)
        else:
            able |= {"chat", "embed", "complete", "list_models"} & self.exports
            if {"chat_stream", "supports_streaming"} <= self.exports:
                able.add("chat_stream")
        return frozenset(able)


def detect(
    exports: Iterable[str],
    imports: Iterable[tuple[str, str]],
    override: GenerationName | None = None,
    wire: Wire = JSON,
) -> Traits:
    """The traits of a module with these callable `exports` and (module, name) `imports`.

    `wire` is what its other exports say that it reads. `override` names the generation where
    detection would be wrong. Raises UsageError where the override needs exports that are not there.
    """
    names = frozenset(exports)
    if override is not None:
        if override not in ("A", "B", "C"):
            raise UsageError(f"no generation is called {override!r}", hint="use A, B or C")
        missing = sorted(SPLIT_EXPORTS - names)
        if override == "C" and missing:
            raise UsageError(f"generation C needs the export {missing[0]!r}")
        return Traits(Mode.SPLIT if override == "C" else Mode.DIRECT, override == "A", names, wire)
    if names >= SPLIT_EXPORTS:
        return Traits(Mode.SPLIT, gen_a=False, exports=names, wire=wire)
    pairs = set(imports)
    gen_a = (
        ("extism:host/env", "http_request") in pairs
        and not any(name.startswith("qmt_") for _, name in pairs)
        and not {"init_logging", "supports_streaming"} & names
    )
    return Traits(Mode.DIRECT, gen_a=gen_a, exports=names, wire=wire)
