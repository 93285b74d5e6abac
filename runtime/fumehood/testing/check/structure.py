"""What a plugin's exports and imports tell (provider-abi.md §1, §2): which hosts would load it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from fumehood.plugin import CompiledPlugin
from fumehood.provider.opening import traits_of
from fumehood.provider.traits import PARSER_EXPORTS, SPLIT_EXPORTS, Mode
from fumehood.testing.check.finding import Finding, Level

KNOWN: Final = frozenset(
    {
        *SPLIT_EXPORTS, *PARSER_EXPORTS,
        "name", "base_url", "api_key_name", "init_logging", "config_schema", "from_config",
        "supports_streaming", "list_models_static", "classify_chat_error", "embed_request",
        "parse_embed_response", "complete_request", "parse_complete_response", "transcribe",
        "speech", "chat", "chat_stream", "embed", "complete", "list_models",
    }
)  # fmt: skip
_QUERYMT_NEEDS: Final = ("name", "init_logging", "config_schema", "from_config")
_QUERYMT: Final = "extism:host/user"
_WASI: Final = "wasi_snapshot_preview1"
_LARGE: Final = 32 * 1024 * 1024


def structure(compiled: CompiledPlugin) -> Iterator[Finding]:
    """Exports with their types, pairs, imports, size."""
    yield from _exports(compiled)
    if compiled.is_component:
        yield Finding(
            Level.NOTE, "hosts", "a component: fumehood loads it, QueryMT and Extism hosts do not"
        )
    else:
        yield from _hosts(compiled)
    size = f"{compiled.size:,} bytes"
    level = Level.UNWISE if compiled.size > _LARGE else Level.GOOD
    yield Finding(level, "size", size)


def _exports(compiled: CompiledPlugin) -> Iterator[Finding]:
    functions = {name for name, item in compiled.exports.items() if item.kind == "func"}
    wrong = sorted(name for name in functions & KNOWN if not compiled.has(name))
    for name in wrong:
        item = compiled.exports[name]
        yield Finding(
            Level.WRONG, f"export {name}",
            f"must be () -> () or () -> i32, not ({item.params}) -> ({item.results})",
        )  # fmt: skip
    callable_ = {name for name in functions if compiled.has(name)}
    traits = traits_of(compiled)
    if not traits.capabilities or "config_schema" not in callable_:
        missing = ", ".join(sorted(SPLIT_EXPORTS - callable_) or ["config_schema"])
        yield Finding(Level.WRONG, "exports", f"this is no provider plugin; it lacks {missing}")
        return
    able = ", ".join(sorted(traits.capabilities))
    yield Finding(Level.GOOD, "exports", f"generation {traits.generation}: {able}")
    some = callable_ & PARSER_EXPORTS
    if some and some != PARSER_EXPORTS:
        lacks = ", ".join(sorted(PARSER_EXPORTS - some))
        yield Finding(Level.WRONG, "exports", f"a stream parser needs all four, {lacks} lacks")
    for what in ("embed", "complete"):
        pair = {f"{what}_request", f"parse_{what}_response"}
        if traits.mode is Mode.SPLIT and len(pair & callable_) == 1:
            lacks = ", ".join(pair - callable_)
            yield Finding(Level.WRONG, "exports", f"{what} needs a pair, {lacks} lacks")
    if traits.mode is Mode.SPLIT and "classify_chat_error" not in callable_:
        text = "no classify_chat_error: hosts judge a refused chat by its status alone"
        yield Finding(Level.NOTE, "exports", text)


def _hosts(compiled: CompiledPlugin) -> Iterator[Finding]:
    """An import that no host knows ended in a LoadError before."""
    lacks = [name for name in _QUERYMT_NEEDS if not compiled.has(name)]
    imports = [(item.module, item.name) for item in compiled.imports]
    if lacks:
        yield Finding(Level.WRONG, "QueryMT", f"would not load it: no {', '.join(lacks)}")
    else:
        yield Finding(Level.GOOD, "QueryMT", "would load it, by exports and imports")
    own = sorted(name for module, name in imports if module == _QUERYMT)
    if own:
        text = f"only those that define QueryMT's {', '.join(own)}"
        yield Finding(Level.NOTE, "Extism hosts", text)
    else:
        wasi = " with WASI" if any(module == _WASI for module, _ in imports) else ""
        yield Finding(Level.GOOD, "Extism hosts", f"would load it{wasi}")
