"""plugins.toml: what it accepts, what it names in errors, where it is looked for."""

import json
from pathlib import Path

import pytest

from fumehood.errors import ConfigError
from fumehood.limits import Limits
from fumehood.provider import file
from fumehood.provider.file import Entry

FULL = """
[oci]
insecure_skip_signature = true

[[providers]]
name = "openai"
path = "plugins/openai.wasm"
sha256 = "{pin}"
[providers.config]
model = "gpt-5"
base_url = "https://api.openai.com/v1/"
allowed_hosts = ["api.openai.com"]
since = 2026-01-02T03:04:05Z
day = 2026-01-02
[providers.secrets]
api_key = "env:OPENAI_API_KEY"
[providers.limits]
deadline = "30s"
memory = "64MiB"
fuel = 5
[providers.grants]
private = ["10.0.0.0/8"]
ports = [443]
clock = "1ms"

[[providers]]
name = "two"
path = "bundled:openai"

[network]
ca_file = "ca.pem"
proxy = "http://proxy:3128"
""".format(pin="AB" * 32)


def write(folder: Path, text: str, name: str = "plugins.toml") -> Path:
    path = folder / name
    path.write_text(text)
    return path


def entry(folder: Path, text: str, name: str = "x") -> Entry | ConfigError:
    return file.read(write(folder, text)).entries[name]


def test_the_documented_file_is_read(tmp_path: Path) -> None:
    read = file.read(write(tmp_path, FULL))
    assert list(read.entries) == ["openai", "two"]
    one = read.entries["openai"]
    assert isinstance(one, Entry)
    assert one.plugin == str(tmp_path / "plugins" / "openai.wasm")
    assert one.sha256 == "ab" * 32
    assert one.config["since"] == "2026-01-02T03:04:05Z"
    assert one.config["day"] == "2026-01-02"
    assert one.private == ("10.0.0.0/8",)
    assert one.ports == (443,)
    assert one.clock_step == 1_000_000
    assert read.network == file.Network(str(tmp_path / "ca.pem"), "http://proxy:3128")
    two = read.entries["two"]
    assert isinstance(two, Entry)
    assert two.plugin == "bundled:openai"


def test_limits_only_go_below_the_ceiling(tmp_path: Path) -> None:
    one = file.read(write(tmp_path, FULL)).entries["openai"]
    assert isinstance(one, Entry)
    below = one.limits_below(Limits(deadline=10.0, fuel=None, host_calls=7))
    assert (below.deadline, below.memory, below.fuel, below.host_calls) == (10.0, 64 << 20, 5, 7)
    off = Entry("x", "y", limits={"fuel": "off", "deadline": 999})
    assert off.limits_below(Limits(fuel=100)).fuel == 100
    assert off.limits_below(Limits()).deadline == 120.0


@pytest.mark.parametrize("text", ["a: [", "a: 2020-13-40", "a: b: c", "\ta: 1", "a: &x [*y]"])
def test_yaml_that_cannot_be_read(tmp_path: Path, text: str) -> None:
    with pytest.raises(ConfigError, match="cannot be read"):
        file.read(write(tmp_path, text, "providers.yaml"))


@pytest.mark.parametrize("ending", ["json", "yaml", "yml"])
def test_json_and_yaml_mean_the_same(tmp_path: Path, ending: str) -> None:
    document = {"providers": [{"name": "x", "path": "p.wasm", "config": {"model": None}}]}
    path = write(tmp_path, json.dumps(document), f"providers.{ending}")
    read = file.read(path).entries["x"]
    assert isinstance(read, Entry)
    assert read.config == {"model": None}


@pytest.mark.parametrize(
    ("text", "path", "near"),
    [
        ("[[provider]]\nname='x'", "provider", "'providers'"),
        ("[networks]", "networks", "'network'"),
        ("[network]\nca_fil='x'", "network.ca_fil", "'ca_file'"),
        ("providers = 3", "providers", "array"),
        ("oci = 3", "oci", "table"),
        ("network = 3", "network", "table"),
        ("[network]\nproxy = 3", "network.proxy", "text"),
        ("runtime = 3", "runtime", "table"),
        ("[runtime]\npooled = 3", "runtime.pooled", "'pooled_instances'"),
        ("[runtime]\npooled_instances = 4097", "runtime.pooled_instances", "0 to 4096"),
        ("[runtime]\npooled_instances = -1", "runtime.pooled_instances", "0 to 4096"),
        ("[runtime]\npooled_instances = true", "runtime.pooled_instances", "0 to 4096"),
        ("[runtime]\npooled_instances = '64'", "runtime.pooled_instances", "0 to 4096"),
    ],
)
def test_what_concerns_the_file_is_raised_at_once(
    tmp_path: Path, text: str, path: str, near: str
) -> None:
    with pytest.raises(ConfigError) as caught:
        file.read(write(tmp_path, text))
    assert caught.value.problems[0][0] == path
    assert near in caught.value.problems[0][1]


@pytest.mark.parametrize(
    ("lines", "path", "said"),
    [
        ("nam = 'y'\nname = 'x'\npath = 'p.wasm'", "providers[0].nam", "'name'"),
        ("name = 'x'", "providers[0].path", "required"),
        ("name = 'x'\npath = 'libx.so'", "providers[0].path", "native library"),
        ("name = 'x'\npath = 'x.DLL'", "providers[0].path", "native library"),
        ("name = 'x'\npath = 'oci://r/x'", "providers[0].path", "not supported yet"),
        ("name = 'x'\npath = 'https://h/x.wasm'", "providers[0].path", "URLs"),
        ("name = 'x'\npath = 'p'\nsha256 = 'ab'", "providers[0].sha256", "64"),
        ("name = 'x'\npath = 'p'\nlimits = {memori = 3}", "providers[0].limits.memori", "memori"),
        ("name = 'x'\npath = 'p'\nlimits = {memory = '3 parsecs'}", "providers[0].limits.memory",
         "parsecs"),
        ("name = 'x'\npath = 'p'\nconfig = 3", "providers[0].config", "table"),
        ("name = 'x'\npath = 'p'\nconfig = {allowed_hosts = 'h'}",
         "providers[0].config.allowed_hosts", "list"),
        ("name = 'x'\npath = 'p'\ngrants = {port = [1]}", "providers[0].grants.port", "'ports'"),
        *(
            (f"name = 'x'\npath = 'p'\ngrants = {{clock = {value}}}",
             "providers[0].grants.clock", "up to a second")
            for value in ("0", "-1", "true", "'1 day'", "2", "[]", "1e-10")
        ),
        ("name = 'x'\npath = 'p'\ngrants = {ports = [true]}", "providers[0].grants.ports", "list"),
        ("name = 'x'\npath = 'p'\ngrants = {private = '10.0.0.0/8'}",
         "providers[0].grants.private", "list"),
    ],
)  # fmt: skip
def test_a_bad_entry_names_the_key_and_does_not_stop_the_others(
    tmp_path: Path, lines: str, path: str, said: str
) -> None:
    text = f"[[providers]]\n{lines}\n[[providers]]\nname = 'good'\npath = 'g.wasm'\n"
    read = file.read(write(tmp_path, text))
    assert isinstance(read.entries["good"], Entry)
    bad = read.entries["x"]
    assert isinstance(bad, ConfigError)
    problem = next(message for where, message in bad.problems if where == path)
    assert said in problem


def test_all_problems_of_an_entry_are_listed(tmp_path: Path) -> None:
    bad = entry(tmp_path, "[[providers]]\nname='x'\nfoo=1\nsha256='z'\nlimits={a=1}")
    assert isinstance(bad, ConfigError)
    assert [where for where, _ in bad.problems] == [
        "providers[0].foo", "providers[0].path", "providers[0].sha256", "providers[0].limits.a",
    ]  # fmt: skip


def test_entries_without_a_name_and_twins(tmp_path: Path) -> None:
    text = "[[providers]]\npath='p'\n" + "[[providers]]\nname='x'\npath='p'\n" * 2
    read = file.read(write(tmp_path, text))
    assert isinstance(read.entries["providers[0]"], ConfigError)
    twin = read.entries["x"]
    assert isinstance(twin, ConfigError)
    assert "two entries" in twin.message


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("a.toml", "= ="), ("a.json", "{"), ("a.json", '{"providers": NaN}'), ("a.yaml", "a: ["),
        ("a.ini", ""), ("a.yaml", "- 1"), ("a.yaml", "1: 2"), ("a.toml", "[oci]\nx = nan"),
        ("a.yaml", "providers: !!binary aGk="), ("a.yaml", "!!python/object/apply:os.system [ls]"),
        ("a.json", "[" * 100_000),
    ],
)  # fmt: skip
def test_files_that_cannot_be_read(tmp_path: Path, name: str, text: str) -> None:
    with pytest.raises(ConfigError):
        file.read(write(tmp_path, text, name))


def test_not_utf8_and_not_there(tmp_path: Path) -> None:
    path = tmp_path / "plugins.toml"
    path.write_bytes(b"\xff\xfe")
    with pytest.raises(ConfigError, match="cannot be read"):
        file.read(path)
    with pytest.raises(ConfigError, match="no configuration file"):
        file.find(tmp_path / "nowhere.toml", None)
    with pytest.raises(ConfigError, match="FUMEHOOD_CONFIG"):
        file.find(None, str(tmp_path / "nowhere.toml"))


def test_the_search_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    home, here = tmp_path / "home", tmp_path / "here"
    here.mkdir()
    monkeypatch.chdir(here)
    monkeypatch.setattr(file.platformdirs, "user_config_dir", lambda *a, **k: str(home / "cfg"))
    assert file.find(None, None) is None
    (home / "cfg").mkdir(parents=True)
    last = write(home / "cfg", "", "providers.json")
    assert file.find(None, None) == last
    mine = write(here, "", "providers.yml")
    assert file.find(None, None) == mine
    first = write(here, "", "plugins.toml")
    assert file.find(None, None) == first
    given = write(tmp_path, "", "given.toml")
    assert file.find(None, str(given)) == given
    assert file.find(last, str(given)) == last
