"""The Extism manifest: every key of extism-abi.md §3.2, strict, each mistake named by its key path.

`read` takes any form a plugin is handed over in (§3.1) and gives a `Manifest`: what to run, what
it may reach, how much it may use. Nothing is fetched or compiled here; `sources.py` gets the bytes
of a module, `modules.py` settles names and order.
"""

from __future__ import annotations

import base64
import binascii
import json
import os
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, NoReturn

from fumehood.errors import ManifestError
from fumehood.plugin import files
from fumehood.plugin.detect import Form, detect
from fumehood.plugin.modules import shadowed

Source = str | bytes | bytearray | memoryview | os.PathLike[str] | Mapping[str, Any]
"""What a plugin is made from: a module, WAT, a manifest as text or dict, or a path to one."""

MAX_FILE_BYTES: Final = 256 * 1024 * 1024
"""A module or manifest file above this is refused before it is read."""

_U32: Final = 1 << 32
_U64: Final = 1 << 64
_READ_ONLY: Final = "ro:"
_MANIFEST_KEYS: Final = (
    "wasm",
    "memory",
    "config",
    "allowed_hosts",
    "allowed_paths",
    "timeout_ms",
)
_MEMORY_KEYS: Final = ("max_pages", "max_http_response_bytes", "max_var_bytes")
_SOURCE_KEYS: Final = ("path", "data", "url")
_ENTRY_KEYS: Final = (*_SOURCE_KEYS, "method", "headers", "name", "hash")


@dataclass(frozen=True, slots=True)
class ModuleSource:
    """One entry of `wasm`: exactly one of `data`, `path` and `url` is set.

    `data` is Wasm or WAT text. `hash` is the SHA-256 that the bytes must have, in hex of either
    case; of a WAT source, the hash of its text. `name` is what the entry says, before §2.1.
    `where` is the key path for messages.
    """

    name: str | None = None
    data: bytes | None = field(default=None, repr=False)
    path: Path | None = None
    url: str | None = None
    method: str = "GET"
    headers: tuple[tuple[str, str], ...] = ()
    hash: str | None = None
    where: str = "wasm[0]"


@dataclass(frozen=True, slots=True)
class MemoryLimits:
    """The `memory` object; None where the manifest says nothing. Pages are 64 KiB."""

    max_pages: int | None = None
    max_http_response_bytes: int | None = None
    max_var_bytes: int | None = None


@dataclass(frozen=True, slots=True)
class AllowedPath:
    """One folder for the guest; the key's prefix `ro:` makes it read-only."""

    host: Path
    guest: str
    read_only: bool = False


@dataclass(frozen=True, slots=True)
class Manifest:
    """A checked manifest. `allowed_hosts` None and `()` both grant nothing (§3.4).

    `timeout_ms` None means the host's own default, never "no limit".
    """

    modules: tuple[ModuleSource, ...]
    config: Mapping[str, str] = field(default_factory=dict)
    allowed_hosts: tuple[str, ...] | None = None
    allowed_paths: tuple[AllowedPath, ...] = ()
    timeout_ms: int | None = None
    memory: MemoryLimits = MemoryLimits()


def read(source: Source, *, untrusted: bool = False) -> Manifest:
    """A `Manifest` from any form of §3.1.

    A mapping is a manifest, and may carry `data` as bytes. A path, or a `str` that names an
    existing file, is read first. Text and bytes are told apart by how they begin: a module, WAT,
    else a manifest in TOML, else in JSON. With `untrusted=True` the manifest may not name paths,
    URLs or folders, nor call a module like a host namespace: its author does not get to choose
    what this process reads.

    Raises ManifestError with the key path of what is wrong.
    """
    if isinstance(source, Mapping):
        manifest = parse(source)
    else:
        content = _content(source)
        form = detect(content)
        if form is not Form.MANIFEST:
            return Manifest(modules=(ModuleSource(data=content, where="plugin"),))
        manifest = parse(_document(content))
    if untrusted:
        _refuse_reach(manifest)
    return manifest


def parse(document: Mapping[str, Any]) -> Manifest:
    """A `Manifest` from decoded JSON or TOML, or from a dict that a program built.

    Raises ManifestError with the key path: unknown keys, wrong types and out-of-range numbers are
    refused at every level, as is a raw `{"ptr", "len"}` address.
    """
    _known(document, _MANIFEST_KEYS, "")
    entries = _sequence(document.get("wasm", ()), "wasm")
    hosts = document.get("allowed_hosts")
    paths = document.get("allowed_paths")
    return Manifest(
        modules=tuple(_entry(item, f"wasm[{i}]") for i, item in enumerate(entries)),
        config=_text_map(document.get("config", {}), "config"),
        allowed_hosts=None if hosts is None else _hosts(hosts),
        allowed_paths=() if paths is None else _paths(paths),
        timeout_ms=_count(document.get("timeout_ms"), "timeout_ms", _U64),
        memory=_memory(document.get("memory", {})),
    )


# -- the text ---------------------------------------------------------------------------------


def read_file(path: Path, where: str) -> bytes:
    """The bytes of a regular file of at most `MAX_FILE_BYTES`; ManifestError otherwise."""
    try:
        if path.exists() and not path.is_file():  # a pipe would block, a device never end
            raise ManifestError(f"{where}: cannot read {str(path)!r}: not a regular file")
        content = files.read_file(path, MAX_FILE_BYTES)
    except OSError as problem:
        reason = problem.strerror or type(problem).__name__
        raise ManifestError(f"{where}: cannot read {str(path)!r}: {reason}") from problem
    except ValueError as problem:  # a NUL byte in the name
        raise ManifestError(f"{where}: {str(path)!r} is not a file name") from problem
    if len(content) > MAX_FILE_BYTES:
        raise ManifestError(f"{where}: {str(path)!r} is larger than {MAX_FILE_BYTES} bytes")
    return content


def _content(source: Source) -> bytes:
    if isinstance(source, os.PathLike):
        return read_file(Path(source), "plugin")
    if isinstance(source, bytes | bytearray | memoryview):
        return bytes(source)
    if not isinstance(source, str):
        raise ManifestError(
            f"a plugin is text, bytes, a path or a dict, not {type(source).__name__}"
        )
    if _is_file(source):
        return read_file(Path(source), "plugin")
    try:
        return source.encode()
    except UnicodeEncodeError as problem:
        raise ManifestError("the manifest holds a lone surrogate: not text") from problem


def _is_file(name: str) -> bool:
    try:
        return len(name) < 4096 and Path(name).is_file()
    except (OSError, ValueError):  # too long for the system, or holds a NUL: no file's name
        return False


def _document(content: bytes) -> Mapping[str, Any]:
    try:
        text = content.decode()
    except UnicodeDecodeError as problem:
        raise ManifestError(
            "neither WebAssembly nor text: Unknown manifest format",
            hint="a module starts with the bytes 00 61 73 6d",
        ) from problem
    try:
        return tomllib.loads(text)
    except (tomllib.TOMLDecodeError, RecursionError, ValueError) as problem:
        toml_problem = problem
    try:
        document = json.loads(text, object_pairs_hook=_unique, parse_constant=_no_constant)
    except (ValueError, RecursionError) as problem:
        reason = problem if text.lstrip()[:1] in ("{", "[") else toml_problem
        hint = None
        if len(text) < 512 and "\n" not in text and text.endswith((".wasm", ".wat", ".json")):
            hint = "it looks like a path, and there is no such file"
        raise ManifestError(f"Unknown manifest format: {reason}", hint=hint) from problem
    return _mapping(document, "")


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in pairs:
        if key in found:
            raise ManifestError(f"{key!r} stands twice in one object")
        found[key] = value
    return found


def _no_constant(word: str) -> NoReturn:
    raise ManifestError(f"{word} is not JSON")


# -- the keys ---------------------------------------------------------------------------------


def _entry(value: object, where: str) -> ModuleSource:
    entry = _mapping(value, where)
    _known(entry, _ENTRY_KEYS, where)
    given = [key for key in _SOURCE_KEYS if key in entry]
    if len(given) != 1:
        seen = " and ".join(given) or "none"
        raise ManifestError(f"{where}: exactly one of path, data and url is needed, found {seen}")
    kind = given[0]
    for key in ("method", "headers"):
        if key in entry and kind != "url":
            raise ManifestError(f"{where}.{key}: only an entry with a url has it")
    name = _optional_text(entry.get("name"), f"{where}.name")
    digest = _optional_text(entry.get("hash"), f"{where}.hash")
    if kind == "data":
        data = _data(entry["data"], f"{where}.data")
        return ModuleSource(name=name, data=data, hash=digest, where=where)
    if kind == "path":
        path = entry["path"]
        text = os.fspath(path) if isinstance(path, os.PathLike) else path
        path = Path(_text(text, f"{where}.path"))
        return ModuleSource(name=name, path=path, hash=digest, where=where)
    return ModuleSource(
        name=name,
        url=_text(entry["url"], f"{where}.url"),
        method=_optional_text(entry.get("method"), f"{where}.method") or "GET",
        headers=tuple(_text_map(entry.get("headers", {}), f"{where}.headers").items()),
        hash=digest,
        where=where,
    )


def _data(value: object, where: str) -> bytes:
    if isinstance(value, bytes | bytearray | memoryview):
        return bytes(value)
    if isinstance(value, Mapping) and {"ptr", "len"} & set(value):
        raise ManifestError(f"{where}: a raw memory address is never read; give base64 or bytes")
    text = _text(value, where)
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as problem:
        raise ManifestError(
            f"{where}: not base64 (standard alphabet, padded): {problem}"
        ) from problem


def _memory(value: object) -> MemoryLimits:
    table = _mapping(value, "memory")
    _known(table, _MEMORY_KEYS, "memory")
    return MemoryLimits(
        max_pages=_count(table.get("max_pages"), "memory.max_pages", _U32),
        max_http_response_bytes=_count(
            table.get("max_http_response_bytes"), "memory.max_http_response_bytes", _U64
        ),
        max_var_bytes=_count(table.get("max_var_bytes"), "memory.max_var_bytes", _U64),
    )


def _hosts(value: object) -> tuple[str, ...]:
    hosts = _sequence(value, "allowed_hosts")
    return tuple(_text(host, f"allowed_hosts[{i}]") for i, host in enumerate(hosts))


def _paths(value: object) -> tuple[AllowedPath, ...]:
    found = []
    for host, guest in _mapping(value, "allowed_paths").items():
        where = f"allowed_paths.{host}"
        read_only = host.startswith(_READ_ONLY)
        name = host.removeprefix(_READ_ONLY)
        if not name:
            raise ManifestError(f"{where}: a folder is needed, the name is empty")
        found.append(AllowedPath(Path(name), _text(guest, where), read_only))
    return tuple(found)


def _refuse_reach(manifest: Manifest) -> None:
    for module in manifest.modules:
        if module.data is None:
            kind = "path" if module.path is not None else "url"
            raise ManifestError(
                f"{module.where}.{kind}: an untrusted manifest may not name a {kind}",
                hint="read the file yourself and pass its bytes as data",
            )
    for name in shadowed([module.name or "" for module in manifest.modules]):
        raise ManifestError(f"wasm: an untrusted manifest may not call a module {name!r}")
    if manifest.allowed_paths:
        raise ManifestError("allowed_paths: an untrusted manifest may not open folders")


# -- types ------------------------------------------------------------------------------------


def _mapping(value: object, where: str) -> Mapping[str, Any]:
    if not isinstance(value, Mapping):
        raise ManifestError(_at(where, f"an object is needed, not {_kind(value)}"))
    for key in value:
        if not isinstance(key, str):
            raise ManifestError(_at(where, f"keys are text, not {_kind(key)}"))
    return value


def _sequence(value: object, where: str) -> Sequence[object]:
    if isinstance(value, list | tuple):
        return value
    raise ManifestError(_at(where, f"a list is needed, not {_kind(value)}"))


def _text(value: object, where: str) -> str:
    if not isinstance(value, str):
        raise ManifestError(_at(where, f"text is needed, not {_kind(value)}"))
    if any("\ud800" <= char <= "\udfff" for char in value):
        raise ManifestError(_at(where, "holds a lone surrogate: not text"))
    return value


def _optional_text(value: object, where: str) -> str | None:
    return None if value is None else _text(value, where)


def _text_map(value: object, where: str) -> dict[str, str]:
    pairs = _mapping(value, where).items()
    return {_text(key, where): _text(item, f"{where}.{key}") for key, item in pairs}


def _count(value: object, where: str, bound: int) -> int | None:
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int):
        raise ManifestError(_at(where, f"a whole number is needed, not {_kind(value)}"))
    if not 0 <= value < bound:
        raise ManifestError(_at(where, f"{value} is out of range (0 to {bound - 1})"))
    return value


def _known(table: Mapping[str, Any], keys: Sequence[str], where: str) -> None:
    for key in _mapping(table, where):
        if key not in keys:
            path = f"{where}.{key}" if where else key
            raise ManifestError(f"{path}: unknown key", hint=f"known here: {', '.join(keys)}")


def _at(where: str, message: str) -> str:
    return f"{where}: {message}" if where else f"the manifest: {message}"


_JSON_KINDS: Final[dict[type, str]] = {
    type(None): "null",
    bool: "a boolean",
    int: "a number",
    float: "a number with a fraction",
    str: "text",
    list: "a list",
    dict: "an object",
    bytes: "bytes",
}


def _kind(value: object) -> str:
    return _JSON_KINDS.get(type(value), type(value).__name__)
