"""The manifest: forms of §3.1, keys of §3.2, each refusal with its key path."""

from __future__ import annotations

import base64
import contextlib
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fumehood.errors import ManifestError
from fumehood.plugin.detect import Form, detect
from fumehood.plugin.manifest import AllowedPath, Manifest, MemoryLimits, ModuleSource, read

EMPTY = b"\0asm\1\0\0\0"
B64 = base64.b64encode(EMPTY).decode()
ENTRY = {"data": B64}


# -- forms ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("content", "form"),
    [
        (EMPTY, Form.WASM),
        (b"\0asm\x0d\0\1\0", Form.WASM),
        (b"(module)", Form.WAT),
        (b"( \n module)", Form.WAT),
        (b"(modulex)", Form.WAT),
        (b";; text\n(module)", Form.WAT),
        (b"  (; text ;) (module)", Form.WAT),
        (b"\n\t;;\n(module)", Form.WAT),
        (b"  (module)", Form.MANIFEST),
        (b"(component)", Form.MANIFEST),
        (b"; text", Form.MANIFEST),
        (b"\0as", Form.MANIFEST),
        (b"", Form.MANIFEST),
    ],
)
def test_detection_by_first_bytes(content: bytes, form: Form) -> None:
    assert detect(content) is form


@pytest.mark.parametrize("content", [EMPTY, b"(module)", b";; x\n(module)"])
@pytest.mark.parametrize("wrap", [bytes, bytearray, memoryview])
def test_bytes_of_a_module_are_one_module_and_a_default_manifest(content: bytes, wrap: Any) -> None:
    manifest = read(wrap(content))
    assert [m.data for m in manifest.modules] == [content]
    assert manifest == Manifest(modules=(ModuleSource(data=content, where="plugin"),))


def test_wat_as_text() -> None:
    assert read("(module)").modules[0].data == b"(module)"


@pytest.mark.parametrize("as_path", [str, Path])
def test_an_existing_file_is_read(tmp_path: Path, as_path: Any) -> None:
    module = tmp_path / "m.wasm"
    module.write_bytes(EMPTY)
    assert read(as_path(module)).modules[0].data == EMPTY
    manifest = tmp_path / "m.json"
    manifest.write_text(json.dumps({"wasm": [{"path": str(module)}], "config": {"a": "b"}}))
    found = read(as_path(manifest))
    assert found.modules[0].path == module
    assert found.config == {"a": "b"}


def test_a_path_that_is_not_there() -> None:
    with pytest.raises(ManifestError, match=r"cannot read 'no/such\.wasm'"):
        read(Path("no/such.wasm"))
    with pytest.raises(ManifestError, match="looks like a path"):
        read("no/such.wasm")


def test_json_and_toml_and_dict_are_the_same() -> None:
    document = {
        "wasm": [{"data": B64, "name": "a"}, {"data": B64}],
        "config": {"k": "v"},
        "allowed_hosts": ["*.example.com"],
        "allowed_paths": {"ro:/data": "/in"},
        "timeout_ms": 100,
        "memory": {"max_pages": 5},
    }
    toml = f"""
        allowed_hosts = ["*.example.com"]
        timeout_ms = 100
        [[wasm]]
        data = "{B64}"
        name = "a"
        [[wasm]]
        data = "{B64}"
        [config]
        k = "v"
        [allowed_paths]
        "ro:/data" = "/in"
        [memory]
        max_pages = 5
    """
    from_dict = read(document)
    assert from_dict == read(json.dumps(document)) == read(json.dumps(document).encode())
    assert from_dict == read(toml) == read(toml.encode())


@pytest.mark.parametrize(
    "text",
    ["nonsense", "{", "[1]", "12", '"text"', "null", b"\xff\xfe", "\ufeff{}", '{"wasm": NaN}'],
)
def test_neither_module_nor_manifest(text: str | bytes) -> None:
    with pytest.raises(ManifestError):
        read(text)


def test_hostile_text_is_a_manifest_error() -> None:
    for text in ("[" * 200_000, '{"a":' * 100_000, '{"timeout_ms": ' + "9" * 6000 + "}", "a=" * 99):
        with pytest.raises(ManifestError):
            read(text)


def test_a_key_that_stands_twice() -> None:
    with pytest.raises(ManifestError, match="'wasm' stands twice"):
        read('{"wasm": [], "wasm": []}')


@pytest.mark.parametrize("source", [None, 3, ["x"], object()])
def test_a_source_of_another_type(source: Any) -> None:
    with pytest.raises(ManifestError, match="text, bytes, a path or a dict"):
        read(source)


@given(st.binary(max_size=200) | st.text(max_size=200))
def test_anything_parses_or_raises_manifest_error(content: bytes | str) -> None:
    with contextlib.suppress(ManifestError):
        assert isinstance(read(content), Manifest)


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["wasm", "data", "url", "path", "config", "name", "memory", "x"]),
            inner,
            max_size=4,
        )
    ),
    max_leaves=12,
)


@given(st.dictionaries(st.sampled_from(["wasm", "memory", "config", "timeout_ms"]), _JSON))
def test_any_dict_parses_or_raises_manifest_error(document: dict[str, Any]) -> None:
    with contextlib.suppress(ManifestError):
        assert isinstance(read(document), Manifest)


# -- keys that are accepted -------------------------------------------------------------------


def test_the_smallest_manifest() -> None:
    manifest = read({})
    assert manifest == Manifest(modules=())
    assert manifest.allowed_hosts is None
    assert manifest.timeout_ms is None
    assert manifest.memory == MemoryLimits(None, None, None)


def test_null_where_it_is_allowed() -> None:
    entry = {"data": B64, "name": None, "hash": None}
    manifest = read(
        {
            "wasm": [entry, {"url": "http://h/", "method": None}],
            "allowed_hosts": None,
            "allowed_paths": None,
            "timeout_ms": None,
            "memory": {"max_pages": None, "max_var_bytes": None, "max_http_response_bytes": None},
        }
    )
    assert manifest.modules[0] == ModuleSource(data=EMPTY)
    assert manifest.modules[1].method == "GET"


def test_every_key_of_an_entry() -> None:
    manifest = read(
        {
            "wasm": [
                {"data": EMPTY, "name": "a", "hash": "AB"},
                {"path": Path("x.wasm"), "name": "b"},
                {"path": "y.wasm"},
                {"url": "https://h/m", "method": "POST", "headers": {"X-A": "1"}, "name": "c"},
            ]
        }
    )
    assert manifest.modules == (
        ModuleSource(name="a", data=EMPTY, hash="AB", where="wasm[0]"),
        ModuleSource(name="b", path=Path("x.wasm"), where="wasm[1]"),
        ModuleSource(path=Path("y.wasm"), where="wasm[2]"),
        ModuleSource(
            name="c", url="https://h/m", method="POST", headers=(("X-A", "1"),), where="wasm[3]"
        ),
    )


def test_memory_at_its_bounds() -> None:
    memory = {
        "max_pages": 2**32 - 1,
        "max_http_response_bytes": 2**64 - 1,
        "max_var_bytes": 0,
    }
    assert read({"memory": memory}).memory == MemoryLimits(2**32 - 1, 2**64 - 1, 0)


def test_allowed_paths_and_their_read_only_prefix() -> None:
    manifest = read({"allowed_paths": {"/a": "/x", "ro:b/c": "/y"}})
    assert manifest.allowed_paths == (
        AllowedPath(Path("/a"), "/x", read_only=False),
        AllowedPath(Path("b/c"), "/y", read_only=True),
    )


def test_an_empty_list_of_hosts_is_kept() -> None:
    assert read({"allowed_hosts": []}).allowed_hosts == ()


# -- refusals, each with its key path ---------------------------------------------------------


@pytest.mark.parametrize(
    ("document", "path"),
    [
        ({"invalid_manifest": True}, "invalid_manifest: unknown key"),
        ({"allowedHosts": []}, "allowedHosts: unknown key"),
        ({"wasm": None}, "wasm: a list is needed, not null"),
        ({"wasm": {}}, "wasm: a list"),
        ({"wasm": ["x"]}, "wasm[0]: an object is needed, not text"),
        ({"wasm": [{}]}, "wasm[0]: exactly one of path, data and url is needed, found none"),
        ({"wasm": [{"data": B64, "path": "x"}]}, "wasm[0]: exactly one"),
        ({"wasm": [ENTRY, {"data": B64, "size": 1}]}, "wasm[1].size: unknown key"),
        ({"wasm": [{"data": 1}]}, "wasm[0].data: text is needed"),
        ({"wasm": [{"data": None}]}, "wasm[0].data: text is needed, not null"),
        ({"wasm": [{"data": B64.rstrip("=")}]}, "wasm[0].data: not base64"),
        ({"wasm": [{"data": "-_-_"}]}, "wasm[0].data: not base64"),
        ({"wasm": [{"data": B64[:4] + "\n" + B64[4:]}]}, "wasm[0].data: not base64"),
        ({"wasm": [{"data": "é"}]}, "wasm[0].data: not base64"),
        ({"wasm": [{"data": {"ptr": 4096, "len": 64}}]}, "wasm[0].data: a raw memory address"),
        ({"wasm": [{"data": {"len": 64}}]}, "wasm[0].data: a raw memory address"),
        ({"wasm": [{"path": 1}]}, "wasm[0].path: text"),
        ({"wasm": [{"data": B64, "method": "GET"}]}, "wasm[0].method: only an entry with a url"),
        ({"wasm": [{"data": B64, "headers": {}}]}, "wasm[0].headers: only an entry with a url"),
        ({"wasm": [{"url": "u", "headers": None}]}, "wasm[0].headers: an object"),
        ({"wasm": [{"url": "u", "headers": {"a": 1}}]}, "wasm[0].headers.a: text"),
        ({"wasm": [{"url": "u", "header": {}}]}, "wasm[0].header: unknown key"),
        ({"wasm": [{"data": B64, "hash": 1}]}, "wasm[0].hash: text"),
        ({"wasm": [{"data": B64, "name": 1}]}, "wasm[0].name: text"),
        ({"memory": None}, "memory: an object is needed, not null"),
        ({"memory": []}, "memory: an object"),
        ({"memory": {"max": 1}}, "memory.max: unknown key"),
        ({"memory": {"max_pages": 2**32}}, "memory.max_pages: 4294967296 is out of range"),
        ({"memory": {"max_pages": -1}}, "memory.max_pages: -1 is out of range"),
        ({"memory": {"max_var_bytes": 1.0}}, "memory.max_var_bytes: a whole number"),
        ({"memory": {"max_http_response_bytes": "1"}}, "memory.max_http_response_bytes: a whole"),
        ({"timeout_ms": True}, "timeout_ms: a whole number is needed, not a boolean"),
        ({"timeout_ms": 2**64}, "timeout_ms: 18446744073709551616 is out of range"),
        ({"config": None}, "config: an object"),
        ({"config": {"a": None}}, "config.a: text is needed, not null"),
        ({"config": {"a": 1}}, "config.a: text is needed, not a number"),
        ({"config": {"a": b"x"}}, "config.a: text is needed, not bytes"),
        ({"config": {1: "x"}}, "config: keys are text"),
        ({"config": {"a": "\ud800"}}, "config.a: holds a lone surrogate"),
        ({"allowed_hosts": "h"}, "allowed_hosts: a list"),
        ({"allowed_hosts": ["a", 1]}, "allowed_hosts[1]: text"),
        ({"allowed_paths": []}, "allowed_paths: an object"),
        ({"allowed_paths": {"/a": None}}, "allowed_paths./a: text"),
        ({"allowed_paths": {"ro:": "/x"}}, "allowed_paths.ro:: a folder is needed"),
        ({1: 2}, "keys are text"),
    ],
)
def test_refusals_name_the_key_path(document: dict[str, Any], path: str) -> None:
    with pytest.raises(ManifestError) as caught:
        read(document)
    assert path in str(caught.value)


def test_the_same_refusals_from_text() -> None:
    with pytest.raises(ManifestError, match=r"wasm\[0\]\.data: a raw memory address"):
        read('{"wasm": [{"data": {"ptr": 1, "len": 2}}]}')
    with pytest.raises(ManifestError, match=r"memory\.max: unknown key"):
        read("[memory]\nmax = 1")


# -- a manifest from someone else -------------------------------------------------------------


@pytest.mark.parametrize(
    ("document", "path"),
    [
        ({"wasm": [{"path": "/etc/passwd"}]}, "wasm[0].path: an untrusted manifest"),
        ({"wasm": [ENTRY, {"url": "http://h/"}]}, "wasm[1].url: an untrusted manifest"),
        ({"wasm": [ENTRY], "allowed_paths": {"/": "/"}}, "allowed_paths: an untrusted"),
        ({"wasm": [{**ENTRY, "name": "extism:host/user"}, ENTRY]}, "extism:host/user"),
    ],
)
def test_untrusted_manifests_reach_nothing(document: dict[str, Any], path: str) -> None:
    read(document)
    with pytest.raises(ManifestError) as caught:
        read(document, untrusted=True)
    assert path in str(caught.value)


def test_an_untrusted_manifest_with_data_is_fine() -> None:
    assert read({"wasm": [ENTRY], "config": {"a": "b"}}, untrusted=True).config == {"a": "b"}
