"""Plugins written with pdk-rust, as Wasm: the examples, and the ones that are bundled."""

from __future__ import annotations

import functools
import importlib.machinery
import importlib.util
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import wasmtime

from fumehood import Plugin
from fumehood.errors import ConfigError, PluginError, ProviderError
from fumehood.provider import Provider
from fumehood.testing.stub import StubServer
from tests.toolchains import ROOT, need_interop_plugin, need_program, need_wasip1_cargo

WORKSPACE = ROOT / "pdk-rust"
BUNDLED = ROOT / "runtime" / "fumehood" / "provider" / "bundled"
NAMES = ["openai", "anthropic", "ollama"]
KEY = "sk-canary-0123456789abcdefghij"
C_PLUS = {
    "name", "base_url", "api_key_name", "init_logging", "config_schema", "from_config",
    "supports_streaming", "list_models_static", "list_models_request",
    "parse_list_models_response", "chat_request", "chat_stream_request", "parse_chat_response",
    "classify_chat_error", "chat_stream_parser_start", "chat_stream_parser_parse",
    "chat_stream_parser_finish", "chat_stream_parser_close", "embed_request",
    "parse_embed_response", "complete_request", "parse_complete_response", "transcribe", "speech",
}  # fmt: skip


@functools.cache
def example(name: str) -> Path:
    """An example of the workspace, compiled."""
    cargo = need_wasip1_cargo()
    target = ["--target", "wasm32-wasip1", "--release"]
    done = subprocess.run(
        [str(cargo), "build", "--locked", "-q", "-p", name, *target],
        cwd=WORKSPACE,
        env={k: v for k, v in os.environ.items() if k != "CARGO_TARGET_DIR"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return WORKSPACE / "target" / "wasm32-wasip1" / "release" / f"{name}.wasm"


def call(plugin: Plugin, export: str, value: Any) -> Any:
    return json.loads(plugin.call(export, json.dumps(value).encode()))


def reply(status: int, body: Any) -> dict[str, Any]:
    data = list(json.dumps(body).encode())
    head = {"status": status, "headers": {}, "version": "HTTP/1.1"}
    return {"resp": {"head": head, "body": data}}


def imports_from_user(path: Path) -> set[str]:
    module = wasmtime.Module.from_file(wasmtime.Engine(), str(path))
    return {str(i.name) for i in module.imports if i.module == "extism:host/user"}


def build_tool() -> ModuleType:
    """tools/build-bundled, imported."""
    path = str(ROOT / "tools" / "build-bundled")
    loader = importlib.machinery.SourceFileLoader("build_bundled", path)
    spec = importlib.util.spec_from_loader("build_bundled", loader)
    assert spec is not None
    module = importlib.util.module_from_spec(spec)
    loader.exec_module(module)
    return module


# -- the listings of QueryMT's guide ---------------------------------------------------------------

CONFIG = {"api_key": "K", "base_url": "http://h:1/v1"}
MESSAGES = [{"role": "User", "content": [{"type": "text", "text": "hi"}]}]


@pytest.mark.wasip1
@pytest.mark.timeout(300)
@pytest.mark.parametrize(
    ("name", "title", "body"),
    [
        (
            "my_extism_plugin",
            b"My Example Extism HTTP Plugin",
            {"prompt": "hi", "model": "default"},
        ),
        ("my_native_plugin", b"My Native HTTP Plugin", {"model": None, "turns": ["hi"]}),
    ],
)
def test_the_listings_of_the_guide_run_sandboxed(name: str, title: bytes, body: Any) -> None:
    with Plugin(example(name).read_bytes()) as plugin:
        assert set(plugin.exports) >= C_PLUS
        assert plugin.call("name") == title
        assert plugin.call("base_url") == b"https://api.examplellm.com/v1"
        assert plugin.call("init_logging", b"3") == b""
        assert call(plugin, "list_models_static", {"cfg": {}}) is None
        request = call(plugin, "chat_request", {"cfg": CONFIG, "messages": MESSAGES, "tools": None})
        assert request["req"]["head"]["uri"] == "http://h:1/v1/chat"
        assert json.loads(bytes(request["req"]["body"])) == body
        parsed = call(
            plugin, "parse_chat_response", {"cfg": CONFIG, "resp": reply(200, {"answer": "A"})}
        )
        assert parsed["text"] == "A"


@pytest.mark.wasip1
@pytest.mark.timeout(300)
def test_an_error_in_a_box_keeps_its_structure() -> None:
    with Plugin(example("my_extism_plugin").read_bytes()) as plugin:
        with pytest.raises(PluginError) as caught:
            call(plugin, "parse_chat_response", {"cfg": CONFIG, "resp": reply(200, {})})
        assert caught.value.rc == 1
        assert json.loads(caught.value.message) == {
            "payload": {
                "type": "provider_error",
                "message": "there is no answer in the reply",
            }
        }


@pytest.mark.wasip1
@pytest.mark.timeout(300)
def test_only_a_plugin_that_logs_imports_from_the_host() -> None:
    assert imports_from_user(example("my_extism_plugin")) == {"qmt_log"}
    assert imports_from_user(example("my_native_plugin")) == set()


# -- the guide of docs/plugins-rust.md -------------------------------------------------------------


@pytest.mark.wasip1
@pytest.mark.timeout(400)
def test_the_guide_leads_to_a_chat(tmp_path: Path) -> None:
    """Every shell command and file of its first section, as a new user types them."""
    wasip1 = need_wasip1_cargo()
    native = need_program("cargo", "install Rust")
    page = (ROOT / "docs" / "plugins-rust.md").read_text(encoding="utf-8")
    section = page.split("## From nothing to a chat")[1].split("\n## ")[0]
    blocks = re.findall(r"^```(\w+)\n(.*?)^```$", section, re.MULTILINE | re.DOTALL)
    shells = [body for language, body in blocks if language == "sh"]
    manifest, plugins = [body for language, body in blocks if language == "toml"]
    assert len(shells) == 3

    (tmp_path / "fumehood").symlink_to(ROOT)
    tools = tmp_path / "bin"
    tools.mkdir()
    shim = tools / "cargo"
    # rustup gives one cargo for both targets; here there may be two
    wasm = f'case "$*" in *wasm32*) exec "{wasip1}" "$@";; esac'
    shim.write_text(f'#!/bin/sh\n{wasm}\nexec "{native}" "$@"\n')
    shim.chmod(0o755)
    environment = {
        **{k: v for k, v in os.environ.items() if not k.startswith(("FUMEHOOD", "CARGO_TARGET"))},
        "PATH": f"{tools}{os.pathsep}{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "OPENAI_API_KEY": KEY,
    }

    def run(script: str, folder: Path) -> str:
        done = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", script],
            cwd=folder, env=environment, capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert done.returncode == 0, f"{script}\n{done.stdout}\n{done.stderr}"
        return done.stdout

    run(shells[0], tmp_path)
    home = tmp_path / "my_provider"
    (home / "Cargo.toml").write_text(manifest, encoding="utf-8")
    # the versions that were tested; without it cargo takes the newest
    shutil.copy(WORKSPACE / "Cargo.lock", home / "Cargo.lock")
    # what the workspace has compiled need not be compiled again
    (home / "target").symlink_to(WORKSPACE / "target")
    run(shells[1], home)
    with StubServer() as stub:
        text = plugins.replace("https://api.openai.com/v1/", stub.url)
        (home / "plugins.toml").write_text(text, encoding="utf-8")
        printed = run(shells[2], home)
    assert "You said: Name a noble gas." in printed
    assert "chat_request" in printed


# -- the bundled plugins ---------------------------------------------------------------------------


@pytest.mark.parametrize("name", NAMES)
def test_the_record_is_current(name: str) -> None:
    """`tools/build-bundled` (re)writes what fails here."""
    tool = build_tool()
    entry = json.loads((BUNDLED / "bundled.json").read_text())["plugins"][name]
    assert entry["source_sha256"] == tool.source_hash(name)
    data = (BUNDLED / entry["file"]).read_bytes()
    assert entry["size"] == len(data) < 880_000
    assert all(str(ROOT) not in str(value) for value in entry.values())
    assert str(ROOT).encode() not in data


@pytest.mark.parametrize("name", NAMES)
def test_a_bundled_plugin_exports_the_whole_set_and_needs_no_host_function(name: str) -> None:
    path = BUNDLED / f"{name}.wasm"
    module = wasmtime.Module.from_file(wasmtime.Engine(), str(path))
    functions = {e.name for e in module.exports if isinstance(e.type, wasmtime.FuncType)}
    assert functions == C_PLUS | {"_initialize", "fumehood_reserve"}
    assert imports_from_user(path) == set()


@pytest.mark.parametrize("name", NAMES)
def test_a_bundled_plugin_chats_streams_and_lists_against_the_stub(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STUB_KEY", KEY)
    with StubServer() as stub:
        base = stub.url if name != "ollama" else stub.url.removesuffix("v1/")
        with Provider.open(
            f"bundled:{name}",
            config={"model": "stub-1", "base_url": base},
            secrets={"api_key": "env:STUB_KEY"},
        ) as provider:
            answer = provider.chat("one")
            assert answer.text is not None
            assert answer.text.endswith("You said: one")
            with provider.chat_stream("two") as stream:
                text = "".join(chunk.text or "" for chunk in stream if chunk.kind == "text")
            assert text.endswith("You said: two")
            assert "stub-1" in provider.list_models().names


@pytest.mark.parametrize("name", NAMES)
def test_a_bundled_plugin_refuses_unknown_keys_and_bad_addresses(name: str) -> None:
    with Plugin((BUNDLED / f"{name}.wasm").read_bytes()) as plugin:
        for config, word in [
            ({"model": "m", "colour": "red"}, "colour"),
            # a key is missing; openai has a model of its own to say hello with
            *([] if name == "openai" else [({}, "model")]),
            ({"model": "m", "base_url": "localhost:1"}, "base_url"),
            ({"model": 1}, "model"),
        ]:
            with pytest.raises(PluginError) as caught:
                call(plugin, "from_config", config)
            payload = json.loads(caught.value.message)["payload"]
            assert payload["type"] in {"json_error", "invalid_url"}
            if word != "model" or config == {}:
                assert word in payload["message"]


def test_a_refusal_reaches_the_caller_with_its_kind() -> None:
    with Provider.open(
        "bundled:anthropic", config={"model": "m"}, allowed_hosts=["api.anthropic.com"]
    ) as provider:
        # no key: the plugin itself says so, nothing is sent
        with pytest.raises((ProviderError, ConfigError)) as caught:
            provider.chat("hi")
        assert "api_key" in str(caught.value)


# -- side by side with QueryMT's own plugin --------------------------------------------------------


@pytest.mark.shared
def test_requests_and_replies_agree_with_querymts_plugin() -> None:
    """Where both must agree: address, key, model, text messages, tools; text, calls and usage."""
    theirs_path = need_interop_plugin()
    config = {"api_key": "K", "model": "m", "base_url": "http://h:1/v1", "temperature": 0.5}
    tool = {"name": "f", "description": "d", "parameters": {"type": "object"}}
    history = [
        *MESSAGES,
        {
            "role": "Assistant",
            "content": [
                {"type": "text", "text": "calling"},
                {"type": "tool_use", "id": "c1", "name": "f", "arguments": {"q": 1}},
            ],
        },
        {
            "role": "User",
            "content": [
                {
                    "type": "tool_result", "id": "c1", "name": "f", "is_error": False,
                    "content": [{"type": "text", "text": "42"}],
                },
                {"type": "text", "text": "and?"},
            ],
        },
    ]  # fmt: skip
    asked = {"cfg": config, "messages": history, "tools": [{"type": "function", "function": tool}]}
    body = {
        "id": "x", "object": "chat.completion", "created": 1, "model": "m",
        "choices": [{
            "index": 0,
            "message": {"role": "assistant", "content": "hi", "tool_calls": [{
                "id": "c2", "type": "function", "function": {"name": "f", "arguments": "{}"},
            }]},
            "finish_reason": "tool_calls",
        }],
        "usage": {"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5},
    }  # fmt: skip
    with (
        Plugin((BUNDLED / "openai.wasm").read_bytes()) as ours,
        Plugin(theirs_path.read_bytes()) as theirs,
    ):
        for export in ("chat_request", "chat_stream_request"):
            requests = [call(plugin, export, asked)["req"] for plugin in (ours, theirs)]
            assert requests[0]["head"] == requests[1]["head"]
            bodies = [json.loads(bytes(request["body"])) for request in requests]
            bodies[0].pop("stream_options", None)  # ours asks for usage in streams as well
            assert bodies[0] == bodies[1]
        for export, value in [
            ("parse_chat_response", {"cfg": config, "resp": reply(200, body)}),
            ("list_models_static", {"cfg": config}),
            ("classify_chat_error", {"cfg": config, "resp": reply(401, {
                "error": {"message": "m", "code": "invalid_api_key", "type": "t"},
            })}),
        ]:  # fmt: skip
            assert call(ours, export, value) == call(theirs, export, value)
        inputs = {"cfg": config, "inputs": ["a", "b"]}
        assert call(ours, "embed_request", inputs) == call(theirs, "embed_request", inputs)
