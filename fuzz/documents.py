"""Files that people hand over: Extism manifests and plugins.toml, any bytes of them."""

from __future__ import annotations

import base64
import functools
import json
import tempfile
from pathlib import Path
from typing import Any, Final

from hypothesis import strategies as st

from fumehood import Limits, Plugin, Registry
from fumehood.testing import strategies
from fuzz.target import Target, outcome

WAT: Final = '(module (memory (export "memory") 1) (func (export "f") (result i32) i32.const 0))'
LIMITS: Final = Limits(deadline=5, guest_time=2, fuel=1_000_000)

# No name is ever looked up and nothing is fetched: the only addresses are closed ports on loopback.
_WORDS: Final = st.sampled_from(
    [
        WAT, base64.b64encode(WAT.encode()).decode(), "main", "extism:host/env", "f", "", ".", "/",
        "no/such/file.wasm", "http://127.0.0.1:1/x.wasm", "file:///x", "GET", "ro:.", "*", "0" * 64,
        "bundled:openai", "oci://x", "env:NONE", "30s", "64MiB", "\u0000", "é",
    ]
)  # fmt: skip
_NUMBERS: Final = st.sampled_from([0, 1, -1, 0.5, 1e300, 65536, 1 << 32, (1 << 63) - 1, 1 << 64])
_MANIFEST_KEYS: Final = st.sampled_from(
    [
        "wasm", "memory", "config", "allowed_hosts", "allowed_paths", "timeout_ms", "max_pages",
        "max_http_response_bytes", "max_var_bytes", "path", "data", "url", "method", "headers",
        "name", "hash", "len", "ptr",
    ]
)  # fmt: skip
_FILE_KEYS: Final = st.sampled_from(
    [
        "providers", "network", "oci", "name", "path", "sha256", "config", "secrets", "limits",
        "grants", "private", "ports", "allowed_hosts", "deadline", "fuel", "memory", "model",
        "base_url", "api_key", "from", "hosts", "slot", "ca_file", "proxy", "x",
    ]
)  # fmt: skip


def _values(keys: st.SearchStrategy[str]) -> st.SearchStrategy[Any]:
    leaves = _WORDS | _NUMBERS | st.booleans() | st.none() | strategies.texts(8)
    return st.recursive(
        leaves,
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(keys, inner, max_size=4),
        max_leaves=12,
    )


# -- manifests -------------------------------------------------------------------------------------


def check_manifest(case: dict[str, Any]) -> None:
    """A plugin comes of it and can be called, or a documented error."""
    source = bytes.fromhex(case["bytes"]) if "bytes" in case else case["document"]
    kind, plugin = outcome(lambda: Plugin(source, limits=LIMITS))
    if kind == "error":
        return
    try:
        outcome(lambda: plugin.call("f", b"x"))
        repr(plugin.exports)
    finally:
        plugin.close()


def _manifests() -> st.SearchStrategy[Any]:
    values = _values(_MANIFEST_KEYS)
    entry = st.fixed_dictionaries(
        {"data": st.just(base64.b64encode(WAT.encode()).decode())},
        optional={"name": _WORDS, "hash": _WORDS, "path": _WORDS, "x": values},
    )
    return st.fixed_dictionaries(
        {"wasm": st.lists(entry, min_size=1, max_size=2) | values},
        optional={
            "memory": values,
            "config": values,
            "allowed_hosts": values,
            "allowed_paths": values,
            "timeout_ms": _NUMBERS | values,
        },
    )


def manifests() -> st.SearchStrategy[dict[str, Any]]:
    """Manifests as objects and as text, right, almost right and not at all."""
    document = _manifests() | st.dictionaries(_MANIFEST_KEYS, _values(_MANIFEST_KEYS), max_size=4)
    text = document.map(lambda value: json.dumps(value).encode())
    raw = st.one_of(text, strategies.mutated(text), strategies.hostile_documents())
    return document.map(lambda value: {"document": value}) | raw.map(
        lambda data: {"bytes": data.hex()}
    )


# -- plugins.toml ----------------------------------------------------------------------------------


def check_file(case: dict[str, Any]) -> None:
    """The file is read or refused, and so is each entry."""
    with tempfile.TemporaryDirectory(prefix="fuzz-") as folder:
        path = Path(folder) / f"plugins.{case['suffix']}"
        path.write_bytes(bytes.fromhex(case["bytes"]))
        kind, registry = outcome(lambda: Registry(path))
        if kind == "error":
            return
        try:
            for name in registry.names:
                opened, provider = outcome(functools.partial(registry.open, name))
                if opened == "value":
                    provider.close()
        finally:
            registry.close()


def _toml(value: Any) -> str:
    """JSON's scalars and lists are TOML's; objects become inline tables, null an empty text."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{json.dumps(k)} = {_toml(v)}" for k, v in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(_toml, value)) + "]"
    return '""' if value is None else json.dumps(value)


def _as_toml(document: dict[str, Any]) -> bytes:
    return "\n".join(f"{json.dumps(k)} = {_toml(v)}" for k, v in document.items()).encode()


def files() -> st.SearchStrategy[dict[str, Any]]:
    """TOML, JSON and YAML files."""
    values = _values(_FILE_KEYS)
    entry = st.fixed_dictionaries(
        {"name": _WORDS | strategies.texts(6), "path": _WORDS},
        optional={
            "config": values, "secrets": values, "limits": values, "grants": values,
            "sha256": _WORDS,
        },
    )  # fmt: skip
    document = st.fixed_dictionaries(
        {"providers": st.lists(entry, max_size=3) | values}, optional={"network": values}
    ) | st.dictionaries(_FILE_KEYS, values, max_size=4)
    as_toml = document.map(_as_toml)
    as_json = document.map(lambda value: json.dumps(value).encode())
    return st.one_of(
        _suffixed("toml", as_toml | strategies.mutated(as_toml)),
        _suffixed("json", as_json | strategies.mutated(as_json)),
        _suffixed("yaml", as_json | strategies.mutated(as_json) | st.binary(max_size=60)),
    )


def _suffixed(suffix: str, data: st.SearchStrategy[bytes]) -> st.SearchStrategy[dict[str, Any]]:
    return data.map(lambda each: {"suffix": suffix, "bytes": each.hex()})


TARGETS: Final = (
    Target("manifest", manifests, check_manifest, weight=2),
    Target("file", files, check_file, weight=2),
)
