"""Loading: what is refused and how it is told; where code is compiled; what the cache trusts."""

from __future__ import annotations

import os
import stat
import threading
from pathlib import Path

import pytest

from fumehood.engine import load_module
from fumehood.engine import machine as machine_file
from fumehood.engine import module as module_file
from fumehood.engine.cache import ModuleCache, default_cache, mac_of
from fumehood.engine.compiler import compile_in_child, plain
from fumehood.engine.machine import machine
from fumehood.engine.meanwhile import WORTH_A_THREAD
from fumehood.engine.merging import merging
from fumehood.errors import CacheError, HostError, LoadError
from tests.engine.support import Guest

ENGINE = merging(module_file.MERGED_PAGES)
ADD = b'(module (func (export "run") (result i32) (i32.const 0)))'


def binary(wat: bytes) -> bytes:
    return module_file.to_binary(wat)


@pytest.mark.parametrize(
    ("source", "message"),
    [
        (b"", "an empty file"),
        (b"hello world", "not WebAssembly"),
        (b"\x7fELF\x02\x01", "not WebAssembly"),
        (b"\0asm", "not valid"),
        (b"\0asm\x02\0\0\0", "not valid"),
        (b"\0asm\x0d\0\x01\0", "a component"),
        (b"\0asm\x01\0\0\0\x01\xff\xff\xff\xff\x0f", "not valid"),
        (b"(module", "does not assemble"),
        (b'(module (func (export "f") (i32.add)))', "not valid"),
    ],
)
def test_what_is_not_a_usable_module_is_refused(source: bytes, message: str) -> None:
    with pytest.raises(LoadError, match=message):
        load_module(source)


def test_every_cut_of_a_module_is_refused_or_loads() -> None:
    whole = binary(ADD)
    loaded = []
    for length in range(len(whole)):
        try:
            load_module(whole[:length])
            loaded.append(length)
        except LoadError:
            continue
    # only cuts between sections can be whole modules: the bare header, and types without functions
    assert loaded == [8, 15]


@pytest.mark.parametrize(
    "wat",
    [
        "(module (memory 1) (memory 1))",
        "(module (memory i64 1))",
        "(module (memory 1 1 shared))",
        "(module (func $f (return_call $f)))",
        "(module (type (struct)))",
        "(module (tag $t) (func (throw $t)))",
        "(module (func (param (ref func))))",
        "(module (func (result v128) (i32x4.relaxed_trunc_f32x4_s (v128.const i32x4 0 0 0 0))))",
        "(module (func (param i64 i64 i64 i64) (result i64 i64) local.get 0 local.get 1 "
        "local.get 2 local.get 3 i64.add128))",
    ],
)
def test_proposals_that_plugins_do_not_need_are_off(wat: str) -> None:
    with pytest.raises(LoadError):
        load_module(wat.encode())


@pytest.mark.parametrize(
    "wat",
    [
        "(module (func (result v128) (v128.const i32x4 1 2 3 4)))",
        "(module (func (result i32 i32) (i32.const 1) (i32.const 2)))",
        "(module (memory 1) (func (memory.fill (i32.const 0) (i32.const 0) (i32.const 1))))",
        "(module (func (param externref)))",
        "(module (func (param f32) (result i32) (i32.trunc_sat_f32_s (local.get 0))))",
        "(module (func (param i32) (result i32) (i32.extend8_s (local.get 0))))",
        '(module (global (export "g") (mut i32) (i32.const 0)))',
    ],
)
def test_what_toolchains_emit_today_is_on(wat: str) -> None:
    load_module(wat.encode())


def test_reflection_tells_types() -> None:
    module = load_module(
        b'(module (import "m" "f" (func (param i32 i64 f32 f64) (result i64)))'
        b'(memory (export "memory") 2 9) (table (export "t") 1 funcref)'
        b'(global (export "g") i32 (i32.const 0)) (func (export "run") (result i32) i32.const 0))'
    )
    assert [(i.module, i.name, i.kind, i.params, i.results) for i in module.imports] == [
        ("m", "f", "func", "iIfF", "I")
    ]
    kinds = {name: e.kind for name, e in module.exports.items()}
    assert kinds == {"memory": "memory", "t": "table", "g": "global", "run": "func"}
    assert module.exports["run"].callable
    assert [(m.minimum, m.maximum) for m in module.memories] == [(2, 9)]


def test_the_same_bytes_are_compiled_once() -> None:
    assert load_module(ADD) is load_module(bytes(ADD))


# -- plain modules and the child ------------------------------------------------------------------


def big() -> bytes:
    """A module that is not plain, a little different each time it is needed to be."""
    functions = b"".join(b"(func (result i32) (i32.const %d))" % i for i in range(6000))
    head = b'(module (func (export "run") (result i32) (i32.const 0))'
    return head + functions + b")"


@pytest.mark.parametrize(
    ("wat", "expected"),
    [
        (ADD, True),
        (b"(module (func (local " + b"i32 " * 2000 + b")))", True),
        (b"(module (func (local " + b"i32 " * 2001 + b")))", False),
        (b"(module (type (func (param " + b"i32 " * 32 + b"))))", True),
        (b"(module (type (func (param " + b"i32 " * 33 + b"))))", False),
        (big(), False),
    ],
)
def test_only_small_and_plain_modules_are_compiled_in_place(wat: bytes, expected: bool) -> None:
    assert plain(binary(wat)) is expected


@pytest.mark.parametrize("data", [b"", b"\0asm\1\0\0\0\x01", b"\0asm\1\0\0\0\x0a\x05\xff\xff"])
def test_what_does_not_parse_is_not_plain_or_harmless(data: bytes) -> None:
    if plain(data):
        with pytest.raises(LoadError):
            machine().validate(data)


def test_declarations_are_counted() -> None:
    """Globals are memory of every instance, beside the one that has a limit."""
    globals_ = "(global i64 (i64.const 1))"
    with Guest(f'(module {globals_ * 50_000} (func (export "run")))') as guest:
        guest.call("run")
    exports = "".join(f'(export "{n}" (func 0))' for n in range(20_001))
    for text, what in ((globals_ * 50_001, "globals"), (exports, "exports")):
        with pytest.raises(LoadError, match=f"{what}, .*0 are allowed"):
            load_module(f"(module (func) {text})".encode())


def test_a_child_compiles_what_then_runs(cache: ModuleCache) -> None:
    source = big()
    with Guest(source) as guest:
        assert guest.call("run") == b""
    assert len(list(cache.folder.glob("*.cwasm"))) == 1


def test_a_child_says_why_a_module_is_refused(tmp_path: Path) -> None:
    with pytest.raises(LoadError, match="not valid"):
        compile_in_child(b"\0asm\1\0\0\0\x0a\xff", tmp_path / "x")


def test_a_compiler_that_costs_too_much_is_stopped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("fumehood.engine.compiler.WALL_SECONDS", 0.01)
    with pytest.raises(LoadError, match="not compiled within"):
        compile_in_child(binary(big()), tmp_path / "x")


# -- the cache ------------------------------------------------------------------------------------


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ModuleCache:
    """An empty cache in use by this process."""
    made = ModuleCache(tmp_path / "modules", tmp_path / "keys" / "cache.key")
    monkeypatch.setattr(module_file, "_cache", lambda: made)
    monkeypatch.setattr(module_file, "_compiled", type(module_file._compiled)())
    return made


def filled(cache: ModuleCache) -> tuple[str, Path]:
    module = load_module(big())
    path = cache.path(module.sha256, ENGINE)
    assert cache.load(module.sha256, ENGINE) is not None
    return module.sha256, path


def test_files_are_private(cache: ModuleCache, tmp_path: Path) -> None:
    filled(cache)
    assert stat.S_IMODE(cache.folder.stat().st_mode) == 0o700
    key = tmp_path / "keys" / "cache.key"
    assert stat.S_IMODE(key.stat().st_mode) == 0o600
    for file in cache.folder.iterdir():
        assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert cache.folder not in key.parents


def test_a_tampered_file_is_never_loaded(cache: ModuleCache) -> None:
    digest, path = filled(cache)
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    assert cache.load(digest, ENGINE) is None
    assert not path.exists()


@pytest.mark.parametrize(
    "what", ["empty", "no mac", "other mac", "link", "folder", "pipe", "mac is a pipe"]
)
def test_what_does_not_verify_is_not_there(cache: ModuleCache, tmp_path: Path, what: str) -> None:
    digest, path = filled(cache)
    if what == "empty":
        path.write_bytes(b"")
    elif what == "no mac":
        path.with_suffix(".mac").unlink()
    elif what == "other mac":
        path.with_suffix(".mac").write_bytes(bytes(32))
    elif what == "link":
        path.rename(tmp_path / "elsewhere")
        path.symlink_to(tmp_path / "elsewhere")
    elif what.endswith("pipe"):
        if not hasattr(os, "mkfifo"):
            pytest.skip("this system has no named pipes")
        path = path.with_suffix(".mac") if what.startswith("mac") else path
        path.unlink()
        os.mkfifo(path)
    else:
        path.unlink()
        path.mkdir()
    assert cache.load(digest, ENGINE) is None


def test_an_artefact_cannot_stand_in_for_another_module(cache: ModuleCache) -> None:
    _, path = filled(cache)
    other = cache.path("0" * 64, ENGINE)
    other.write_bytes(path.read_bytes())
    other.with_suffix(".mac").write_bytes(path.with_suffix(".mac").read_bytes())
    assert cache.load("0" * 64, ENGINE) is None


def test_a_rejected_file_is_compiled_anew(
    cache: ModuleCache, monkeypatch: pytest.MonkeyPatch
) -> None:
    _digest, path = filled(cache)
    path.write_bytes(b"garbage")
    monkeypatch.setattr(module_file, "_compiled", type(module_file._compiled)())
    load_module(big())
    assert path.read_bytes() != b"garbage"
    assert cache.load(_digest, ENGINE) is not None


def test_folders_and_keys_of_others_are_refused(tmp_path: Path) -> None:
    folder, key = tmp_path / "open", tmp_path / "key"
    folder.mkdir(mode=0o755)
    folder.chmod(0o755)
    with pytest.raises(CacheError, match="open to other users"):
        ModuleCache(folder, key)
    folder.chmod(0o700)
    ModuleCache(folder, key)
    key.chmod(0o644)
    with pytest.raises(CacheError, match="open to other users"):
        ModuleCache(folder, key)
    key.chmod(0o600)
    key.write_bytes(b"short")
    with pytest.raises(CacheError, match="damaged"):
        ModuleCache(folder, key)
    target = tmp_path / "target"
    target.mkdir(mode=0o700)
    link = tmp_path / "link"
    link.symlink_to(target)
    with pytest.raises(CacheError, match="not a folder"):
        ModuleCache(link, tmp_path / "other-key")


def test_the_environment_names_the_folder_or_turns_the_cache_off(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    monkeypatch.setenv("FUMEHOOD_CACHE_DIR", str(tmp_path / "here"))
    named = default_cache()
    assert named is not None
    assert named.folder == tmp_path / "here" / "modules"
    monkeypatch.setenv("FUMEHOOD_CACHE_DIR", "off")
    assert default_cache() is None


def test_without_a_cache_modules_still_load(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module_file, "_cache", lambda: None)
    monkeypatch.setattr(module_file, "_compiled", type(module_file._compiled)())
    assert load_module(big()).exports["run"].callable


def test_a_large_artefact_is_verified_without_a_thread_to_be_had(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    content = bytes(range(256)) * (1 << 13)

    def refuse(_thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    with_threads = mac_of(b"key", "name", content)
    monkeypatch.setattr(threading.Thread, "start", refuse)
    assert mac_of(b"key", "name", content) == with_threads


def test_the_engine_is_built_while_a_large_module_is_hashed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    threads: list[threading.Thread] = []

    def build() -> machine_file.Machine:
        threads.append(threading.current_thread())
        raise HostError("no engine")

    monkeypatch.setattr(module_file, "_compiled", type(module_file._compiled)())
    monkeypatch.setattr(machine_file, "_machine", None)
    monkeypatch.setattr(machine_file, "Machine", build)
    for content in (b"\0asm\x01\0\0\0", b"\0asm\x01\0\0\0".ljust(WORTH_A_THREAD, b"\0")):
        with pytest.raises(HostError, match="no engine"):  # told by who needs it
            load_module(content, pooled=False)
    here = threading.current_thread()
    assert [thread is here for thread in threads] == [True, False, True]


def test_a_pool_does_without_the_ordinary_engine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine_file, "_machine", None)
    monkeypatch.setattr(module_file, "pool_machine", object)
    monkeypatch.setattr(module_file, "_load", lambda *_arguments: None)
    load_module(b"\0asm\x01\0\0\0".ljust(WORTH_A_THREAD, b"\0"))
    assert not machine_file.built()
