"""Registry, bundled plugins, the audit file, and opening in general."""

import hashlib
import json
from pathlib import Path

import pytest

from fumehood.engine import pooling
from fumehood.errors import (
    ClosedError,
    ConfigError,
    LoadError,
    UsageError,
)
from fumehood.limits import Limits
from fumehood.provider import Provider, Registry, bundled, file

WAT = "(module)"


@pytest.fixture(autouse=True)
def nothing_from_outside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No file of the machine is found."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv(file.VARIABLE, raising=False)
    monkeypatch.setattr(
        file.platformdirs, "user_config_dir", lambda *a, **k: str(tmp_path / "none")
    )


def write(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "some.toml"
    path.write_text(text)
    return path


def test_names_and_bad_entries(tmp_path: Path) -> None:
    path = write(tmp_path, """
[[providers]]
name = "a"
path = "a.wat"
[[providers]]
name = "bad"
path = "x.so"
""")  # fmt: skip
    registry = Registry(path)
    assert registry.names == ["a", "bad"]
    assert registry.path == str(path)
    for _ in range(2):
        with pytest.raises(ConfigError, match="native library") as caught:
            registry.open("bad")
        assert caught.value.problems[0][0] == "providers[1].path"
    with pytest.raises(ConfigError, match="'aa'") as caught:
        registry.open("aa")
    assert "'a'" in str(caught.value)
    registry.close()


@pytest.mark.parametrize("name", [None, 5, [], {}, b"openai", object()])
def test_a_name_is_text(name: object) -> None:
    with Registry() as registry:
        for use in (registry.open, registry.entry):
            with pytest.raises(UsageError, match="name must be text"):
                use(name)  # type: ignore[arg-type]


def test_what_an_entry_becomes(tmp_path: Path) -> None:
    path = write(tmp_path, """
[[providers]]
name = "a"
path = "a.wat"
[providers.config]
model = "m"
temperature = 1
[providers.limits]
deadline = 50
memory = "1MiB"
[providers.grants]
private = ["10.0.0.0/8"]
ports = [8443]
""")  # fmt: skip
    spec = Registry(path, ceiling=Limits(deadline=20)).spec("a", model="n")
    assert spec.config == {"model": "n", "temperature": 1}
    assert (spec.limits.deadline, spec.limits.memory) == (20, 1 << 20)
    assert (spec.private, spec.ports, spec.folder) == (("10.0.0.0/8",), (8443,), tmp_path)


def test_no_file_at_all_means_the_bundled_plugins(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bundled, "names", lambda *_: ["openai"])
    registry = Registry()
    assert registry.names == []
    assert registry.path is None
    assert registry.entry("openai").plugin == "bundled:openai"
    with pytest.raises(ConfigError, match="no configuration file") as caught:
        registry.open("openia")
    assert "did you mean 'openai'" in str(caught.value)


def test_the_variable_names_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write(tmp_path, "[[providers]]\nname='v'\npath='v.wasm'")
    monkeypatch.setenv(file.VARIABLE, str(path))
    assert Registry().names == ["v"]


def test_a_closed_registry(tmp_path: Path) -> None:
    with Registry(write(tmp_path, "[[providers]]\nname='v'\npath='v.wasm'")) as registry:
        pass
    registry.close()
    with pytest.raises(ClosedError):
        registry.open("v")


def test_a_bad_ca_file_or_proxy_is_said_when_a_provider_is_opened(tmp_path: Path) -> None:
    (tmp_path / "v.wat").write_text(WAT)
    for network in ('ca_file = "nowhere.pem"', 'proxy = "::"'):
        text = f"[[providers]]\nname='v'\npath='v.wat'\n[network]\n{network}"
        with pytest.raises(ConfigError):
            Registry(write(tmp_path, text)).open("v")


def test_a_pin_is_checked_before_the_plugin_is_looked_at(tmp_path: Path) -> None:
    (tmp_path / "v.wasm").write_bytes(b"this is no wasm")
    digest = hashlib.sha256(b"this is no wasm").hexdigest()
    text = "[[providers]]\nname='v'\npath='v.wasm'\nsha256='{}'"
    with pytest.raises(LoadError, match="is pinned"):
        Registry(write(tmp_path, text.format("0" * 64))).open("v")
    with pytest.raises(LoadError) as caught:
        Registry(write(tmp_path, text.format(digest))).open("v")
    assert "pinned" not in caught.value.message


def test_a_plugin_is_a_path_bytes_or_a_name() -> None:
    with pytest.raises(UsageError):
        Provider.open(3)  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="generation"):
        Provider.open(WAT.encode(), generation="Z")  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="no bundled plugin"):
        Provider.open("bundled:nowhere")


# -- bundled ---------------------------------------------------------------------------------


def bundle(folder: Path, digest: str) -> None:
    (folder / "one.wasm").write_bytes(b"content")
    one = {"source": ["providers/one"], "sha256": digest, "recipe": "cargo build"}
    (folder / bundled.RECORD).write_text(json.dumps({"plugins": {"one": one}}))


def test_bundled_plugins_fit_their_manifest(tmp_path: Path) -> None:
    bundle(tmp_path, hashlib.sha256(b"content").hexdigest())
    assert bundled.names(tmp_path) == ["one"]
    one = bundled.read("one", tmp_path)
    assert (one.content, one.source, one.recipe) == (
        b"content", ("providers/one",), "cargo build",
    )  # fmt: skip


def test_bundled_plugins_that_are_damaged_or_not_there(tmp_path: Path) -> None:
    bundle(tmp_path, "0" * 64)
    with pytest.raises(LoadError, match="digest"):
        bundled.read("one", tmp_path)
    (tmp_path / bundled.RECORD).unlink()
    with pytest.raises(LoadError, match="not recorded"):
        bundled.read("one", tmp_path)
    with pytest.raises(ConfigError) as caught:
        bundled.read("onee", tmp_path)
    assert "'one'" in str(caught.value)
    for name in ("../one", "/etc/passwd", ""):
        with pytest.raises(ConfigError):
            bundled.read(name, tmp_path)


@pytest.mark.parametrize("name", bundled.names())
def test_every_shipped_plugin_is_whole(name: str) -> None:
    assert bundled.read(name).content.startswith(b"\0asm")


def test_the_file_may_ask_for_a_pool_of_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And so may nobody but who writes it: neither an entry nor a plugin has a word for it."""
    monkeypatch.setattr(pooling, "_pool", None)
    monkeypatch.setattr(pooling, "_wanted", None)
    with Registry(write(tmp_path, "[runtime]")):
        assert pooling.pool_machine() is None
    asked = write(tmp_path, "[runtime]\npooled_instances = 2")
    with Registry(asked):
        pool = pooling.pool_machine()
        assert pool is not None
        assert pool.slots == 2
    with pytest.raises(UsageError, match="a pool of 2 instances already"):
        Registry(write(tmp_path, "[runtime]\npooled_instances = 3"))
    entry = "[[providers]]\nname = 'x'\npath = 'p.wasm'\npooled_instances = 2"
    with pytest.raises(ConfigError, match="pooled_instances"):
        Registry(write(tmp_path, entry)).entry("x")
