"""Secrets and where they may go (spec/api.md "Keys and hosts", "Private addresses")."""

from pathlib import Path
from typing import Any

import pytest

from fumehood.abi.http import HTTPRequest
from fumehood.egress.policy import decide
from fumehood.errors import ConfigError, EgressDenied
from fumehood.provider import hosts, keys

KEY = "sk-canary-0123456789abcdef"


def resolve(
    *,
    config: dict[str, Any] | None = None,
    secrets: dict[str, Any] | None = None,
    allowed: list[str] | None = None,
    default: str | None = None,
    variable: str | None = None,
    env: dict[str, str] | None = None,
    bundled: bool = False,
    folder: Path | None = None,
) -> keys.Keys:
    config = config or {}
    found = hosts.resolve(config, allowed_hosts=allowed, default_url=default)
    return keys.resolve(
        keys.Request("p", found, config, secrets or {}, variable, bundled, folder, env or {})
    )


def sent(found: keys.Keys, url: str, name: str = "api_key") -> str:
    """What a request with the guest's token in `authorization` carries in the end."""
    from fumehood.egress.policy import Grant

    headers = (("authorization", f"Bearer {found.values[name]}"),)
    request = HTTPRequest("POST", url, headers)
    target = decide(Grant.of(["*"], base_url=url), request.method, url, headers)
    return dict(found.secrets.substitute(target, b"").headers)["authorization"]


def test_a_known_variable_and_its_known_host() -> None:
    found = resolve(
        default="https://api.openai.com/v1/",
        variable="OPENAI_API_KEY",
        env={"OPENAI_API_KEY": f" {KEY}\n"},
    )
    assert KEY not in found.values["api_key"]
    assert KEY not in repr(found)
    assert sent(found, "https://api.openai.com/v1/chat") == f"Bearer {KEY}"
    with pytest.raises(EgressDenied):
        sent(found, "https://evil.example/")
    with pytest.raises(EgressDenied):
        sent(found, "http://api.openai.com/")
    assert found.advice == {}


@pytest.mark.parametrize("variable", ["AWS_SECRET_ACCESS_KEY", "OPENAI_API_KEY"])
def test_a_variable_and_a_host_of_the_plugins_own_choice_never_meet(variable: str) -> None:
    with pytest.raises(ConfigError) as caught:
        resolve(default="https://evil.example/v1", variable=variable, env={variable: KEY})
    assert variable in caught.value.message
    assert "evil.example" in caught.value.message
    assert f'api_key = {{ from = "env:{variable}", hosts = ["evil.example"] }}' in str(caught.value)
    assert KEY not in str(caught.value)
    assert caught.value.plugin == "p"


def test_the_lines_that_the_error_prints_are_enough() -> None:
    secrets = {"api_key": {"from": "env:AWS_SECRET_ACCESS_KEY", "hosts": ["evil.example"]}}
    found = resolve(
        secrets=secrets, default="https://evil.example/v1", env={"AWS_SECRET_ACCESS_KEY": KEY}
    )
    assert sent(found, "https://evil.example/v1") == f"Bearer {KEY}"


def test_a_variable_of_the_plugin_goes_to_hosts_of_the_operator() -> None:
    found = resolve(
        config={"base_url": "http://127.0.0.1:8080/v1/"}, default="https://evil.example/",
        variable="X_KEY", env={"X_KEY": KEY},
    )  # fmt: skip
    assert sent(found, "http://127.0.0.1:8080/v1/chat") == f"Bearer {KEY}"
    found = resolve(
        allowed=["api.mine.example"], default="https://evil.example/",
        variable="X_KEY", env={"X_KEY": KEY},
    )  # fmt: skip
    assert sent(found, "https://api.mine.example/") == f"Bearer {KEY}"
    with pytest.raises(EgressDenied) as caught:
        sent(found, "https://evil.example/")
    assert "hosts = [" in (caught.value.hint or "")
    with pytest.raises(ConfigError):
        resolve(allowed=["*"], default="https://evil.example/", variable="X", env={"X": KEY})


def test_a_variable_that_is_not_set_is_only_advice() -> None:
    for env in ({}, {"OPENAI_API_KEY": "  "}):
        found = resolve(default="https://api.openai.com/", variable="OPENAI_API_KEY", env=env)
        assert not found.values
        assert found.advice["api_key"].startswith("set OPENAI_API_KEY, or add")
    assert "env:VARIABLE" in resolve().advice["api_key"]


def test_an_explicit_empty_key_blocks_the_lookup() -> None:
    found = resolve(
        config={"api_key": ""}, default="https://api.openai.com/", variable="OPENAI_API_KEY",
        env={"OPENAI_API_KEY": KEY},
    )  # fmt: skip
    assert not found.values


def test_a_key_written_in_the_config_is_a_slot_too() -> None:
    found = resolve(config={"api_key": KEY, "base_url": "https://a.example/"})
    assert found.values["api_key"] != KEY
    assert sent(found, "https://a.example/x") == f"Bearer {KEY}"
    with pytest.raises(ConfigError, match="only the plugin named"):
        resolve(config={"api_key": KEY}, default="https://evil.example/")
    with pytest.raises(ConfigError):
        resolve(
            config={"api_key": KEY}, default="https://api.openai.com/", variable="OPENAI_API_KEY"
        )
    ours = resolve(
        config={"api_key": KEY}, default="https://api.openai.com/", variable="OPENAI_API_KEY",
        bundled=True,
    )  # fmt: skip
    assert sent(ours, "https://api.openai.com/x") == f"Bearer {KEY}"
    assert not resolve(config={"api_key": "none"}).values  # a placeholder: the guest gets it


def test_sources(tmp_path: Path) -> None:
    (tmp_path / "key.txt").write_text(KEY + "\n")
    found = resolve(secrets={"api_key": "file:key.txt"}, allowed=["a.example"], folder=tmp_path)
    assert sent(found, "https://a.example/") == f"Bearer {KEY}"
    with pytest.raises(ConfigError, match="X is not set"):
        resolve(secrets={"api_key": "env:X"}, allowed=["a.example"])


@pytest.mark.parametrize(
    ("spec", "path"),
    [
        (KEY, "secrets.api_key"), ("vault:x", "secrets.api_key"), (3, "secrets.api_key"),
        ({}, "secrets.api_key"), ({"from": KEY}, "secrets.api_key"),
        ({"from": "env:X", "host": ["h"]}, "secrets.api_key.host"),
        ({"from": "env:X", "hosts": "h"}, "secrets.api_key.hosts"),
        ({"from": "env:X", "headers": [1]}, "secrets.api_key.headers"),
        ({"from": "env:X", "slot": "no"}, "secrets.api_key.slot"),
        ({"from": "env:X", "hosts": ["*"]}, "secrets.api_key.hosts"),
    ],
)  # fmt: skip
def test_bad_specs_name_the_key_path_and_no_value(spec: object, path: str) -> None:
    with pytest.raises(ConfigError) as caught:
        resolve(secrets={"api_key": spec}, allowed=["a.example"], env={"X": KEY})
    assert caught.value.problems[0][0] == path
    assert KEY not in f"{caught.value} {caught.value.problems}"


def test_a_secret_without_a_host_or_written_twice() -> None:
    with pytest.raises(ConfigError, match="no host is named"):
        resolve(secrets={"api_key": "env:X"}, default="https://evil.example/", env={"X": KEY})
    with pytest.raises(ConfigError, match="both in config and in secrets"):
        resolve(
            config={"api_key": KEY}, secrets={"api_key": "env:X"}, allowed=["a.example"],
            env={"X": KEY},
        )  # fmt: skip


def test_short_values_are_refused_as_slots() -> None:
    with pytest.raises(ConfigError, match="fewer than 8"):
        resolve(secrets={"api_key": "env:X"}, allowed=["a.example"], env={"X": "short"})


def test_a_value_given_to_the_guest_is_loud_and_needs_its_hosts(
    caplog: pytest.LogCaptureFixture,
) -> None:
    spec = {"from": "env:X", "slot": False, "hosts": ["a.example"]}
    found = resolve(secrets={"jwt": spec}, allowed=["a.example"], env={"X": KEY})
    assert found.values["jwt"] == KEY
    assert "slot = false" in caplog.text
    assert KEY not in caplog.text
    with pytest.raises(ConfigError, match="slot = false"):
        resolve(
            secrets={"jwt": spec}, allowed=["a.example"], default="https://evil.example/",
            env={"X": KEY},
        )  # fmt: skip


def test_headers_and_query_of_a_secret() -> None:
    spec = {"from": "env:X", "headers": ["X-Mine"], "query": ["key"], "hosts": ["a.example"]}
    found = resolve(secrets={"k": spec}, allowed=["a.example"], env={"X": KEY})
    with pytest.raises(EgressDenied):
        sent(found, "https://a.example/", "k")
    token = found.values["k"]
    from fumehood.egress.policy import Grant

    grant = Grant.of(["a.example"])
    target = decide(grant, "GET", f"https://a.example/?key={token}", (("x-mine", token),))
    done = found.secrets.substitute(target, b"")
    assert done.url.query == f"key={KEY}"
    assert done.headers == (("x-mine", KEY),)


def test_what_a_guest_may_read_of_the_environment() -> None:
    env = {"OLLAMA_HOST": "127.0.0.1:9", "AWS_SECRET_ACCESS_KEY": KEY, "PATH": "/bin"}
    assert keys.guest_config(env) == {
        "PROVIDERS_REGISTRY_DATA": '{"providers":{}}', "OLLAMA_HOST": "http://127.0.0.1:9",
    }  # fmt: skip
    assert "OLLAMA_HOST" not in keys.guest_config({})
    assert keys.guest_config({"OLLAMA_HOST": "https://h"})["OLLAMA_HOST"] == "https://h"


# -- hosts -----------------------------------------------------------------------------------


def test_the_default_host_is_the_plugins_unless_the_operator_names_a_base_url() -> None:
    both = hosts.resolve({"allowed_hosts": ["b.example"]}, allowed_hosts=["c.example"],
                         default_url="https://d.example/v1")  # fmt: skip
    for host in ("b", "c", "d"):
        assert both.problem(f"https://{host}.example/") is None
    own = hosts.resolve({"base_url": "https://a.example:8443/"}, allowed_hosts=None,
                        default_url="https://d.example/v1")  # fmt: skip
    assert own.problem("https://a.example:8443/x") is None
    assert own.problem("https://d.example/") is not None


def test_no_hosts_grant_nothing_and_a_default_grants_no_private_address() -> None:
    none = hosts.resolve({}, allowed_hosts=None, default_url=None)
    assert none.problem("https://api.openai.com/") is not None
    for url in ("http://localhost:11434/", "http://127.0.0.1/", "http://[::1]/"):
        default = hosts.resolve({}, allowed_hosts=None, default_url=url)
        assert default.problem(url) is not None or "localhost" in url
    junk = hosts.resolve({}, allowed_hosts=None, default_url="not a url")
    assert junk.default_url is None


@pytest.mark.parametrize("bad", ["a.example", [1], {"a": 1}])
def test_allowed_hosts_must_be_a_list_of_hosts(bad: Any) -> None:
    with pytest.raises(ConfigError):
        hosts.resolve({"allowed_hosts": bad}, allowed_hosts=None, default_url=None)
    if isinstance(bad, str):
        with pytest.raises(ConfigError):
            hosts.resolve({}, allowed_hosts=bad, default_url=None)
