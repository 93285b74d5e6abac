"""`--target component`: the same classes as components, in the same Provider, the same limits."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from fumehood_pdk._build import BuildError, build
from fumehood_pdk._build.component import wit

from fumehood import (
    GuestError,
    Limits,
    LoadError,
    OutOfFuel,
    PluginError,
    Provider,
    ProviderError,
    Timeout,
    TooMuch,
    Trap,
)
from fumehood.abi.tools import Tool
from fumehood.cli.asks import collect
from fumehood.engine.component import INTERFACE
from fumehood.imports import host
from fumehood.plugin import CompiledPlugin, Plugin
from fumehood.testing.stub import Reply, StubServer
from tests import vectors
from tests.pdk_python import conftest
from tests.toolchains import ROOT, missing

pytestmark = [
    pytest.mark.xdist_group("pdk_python"),
    pytest.mark.timeout(600),  # the first build and the first compilation take half a minute each
]

LIMITS = Limits(deadline=20, guest_time=1.5, fuel=None, memory=96 << 20, output_bytes=32 << 20)
KEY = "sk-component-0123456789abcdefghij"


def component(name: str) -> Path:
    """A plugin of `conftest.SOURCES`, built for this target, once."""
    if importlib.util.find_spec("componentize_py") is None:
        missing("componentize-py", "pip install './pdk-python[component]'")
    version = importlib.metadata.version("componentize-py")
    folder = ROOT / "build" / "pdk-python" / conftest._fingerprint(conftest.SOURCES[name])
    file = folder / f"{name}-component-{version}.wasm"
    if not file.exists():
        file.parent.mkdir(parents=True, exist_ok=True)
        build(conftest.SOURCES[name], file, target="component")
    return file


@pytest.fixture(scope="module")
def openai() -> Iterator[CompiledPlugin]:
    with CompiledPlugin.load(component("openai")) as compiled:
        yield compiled


@pytest.fixture(scope="module")
def hostile() -> Iterator[CompiledPlugin]:
    with CompiledPlugin.load(component("hostile")) as compiled:
        yield compiled


@pytest.fixture(scope="module")
def stub() -> Iterator[StubServer]:
    with StubServer(api_key=KEY) as server:
        yield server


@pytest.fixture(scope="module")
def provider(stub: StubServer) -> Iterator[Provider]:
    config = {"base_url": stub.url, "model": "stub-1", "api_key": KEY}
    with Provider.open(component("openai"), config=config) as opened:
        yield opened


# -- the provider ----------------------------------------------------------------------------------


def test_a_chat(provider: Provider, stub: StubServer) -> None:
    answer = provider.chat("Grüße 👋")
    assert answer.text is not None
    assert answer.text.endswith("You said: Grüße 👋")
    assert answer.finish_reason == "Stop"
    assert answer.usage is not None
    assert answer.receipt.fresh
    assert answer.receipt.fuel > 1_000
    assert [exchange.status for exchange in answer.receipt.http] == [200]
    assert dict(stub.requests[-1].headers)["authorization"] == f"Bearer {KEY}"


def test_what_it_can_do_is_what_its_class_can_do(provider: Provider) -> None:
    assert provider.capabilities == {"chat", "chat_stream", "embed", "complete", "list_models"}
    assert "model" in provider.config_schema["properties"]


def test_what_it_says_of_itself_is_what_the_other_target_says(
    openai: CompiledPlugin, built: Callable[[str], Path]
) -> None:
    with CompiledPlugin.load(built("openai")) as core:
        callable_ = {name for name in core.exports if core.has(name)}
        assert set(openai.exports) == callable_
        with Plugin(openai) as one, Plugin(core) as other:
            for export in ("name", "base_url", "api_key_name", "config_schema"):
                assert one.call(export, b"null") == other.call(export, b"null")


def test_a_stream(provider: Provider) -> None:
    with provider.chat_stream("word by word") as stream:
        texts = [chunk.text for chunk in stream if chunk.kind == "text"]
    assert len(texts) > 3
    assert "".join(texts).endswith("You said: word by word")
    assert stream.response.finish_reason == "Stop"


def test_a_tool_is_called(provider: Provider) -> None:
    tool = Tool("look", "looks", {"type": "object", "properties": {"at": {"type": "string"}}})
    answer = provider.chat("look!", tools=[tool])
    assert answer.tool_calls
    assert answer.tool_calls[0].name == "look"


def test_embeddings_completion_and_models(provider: Provider) -> None:
    vectors_ = provider.embed(["a", "b"]).vectors
    assert len(vectors_) == 2
    assert vectors_[0] != vectors_[1]
    assert provider.complete("once").text
    assert "stub-1" in provider.list_models().names


def test_a_refusal_is_the_apis(provider: Provider, stub: StubServer) -> None:
    body = {"error": {"message": "slow down", "code": "rate_limit_exceeded", "type": "requests"}}
    headers = (("content-type", "application/json"), ("retry-after", "7"))
    stub.behave(Reply(429, headers, json.dumps(body).encode()))
    with pytest.raises(ProviderError) as caught:
        provider.chat("hi")
    assert caught.value.kind == "rate_limited"
    assert caught.value.retry_after == 7


@pytest.mark.parametrize(
    "body",
    [b"[" * 100_000, b"<html>", b'{"choices": "\xff"}', b'{"choices": "\\ud800"}'],
    ids=["deep", "no JSON", "no text", "half a pair"],
)
def test_a_bad_reply_is_a_clear_error(provider: Provider, stub: StubServer, body: bytes) -> None:
    stub.behave(Reply(200, (("content-type", "application/json"),), body))
    with pytest.raises((ProviderError, PluginError)) as caught:
        provider.chat("hi")
    assert caught.value.message
    assert not isinstance(caught.value, Trap)


@pytest.mark.parametrize("name", ["openai", "google"])
def test_the_golden_vectors(name: str) -> None:
    differing: dict[str, Any] = {}
    with CompiledPlugin.load(component(name)) as compiled, Plugin(compiled) as guest:

        def call(export: str, data: bytes) -> tuple[bool, bytes]:
            try:
                return True, guest.call(export, data)
            except PluginError as error:
                return False, error.message.encode()

        for case in vectors.load(name):
            expected = [vectors.comparable(entry) for entry in case["expected"]]
            answered = [vectors.comparable(entry) for entry in vectors.run(case, call)]
            if answered != expected:
                differing[case["name"]] = {"expected": expected, "answered": answered}
    assert differing == {}


# -- hostile ---------------------------------------------------------------------------------------


def ask(deed: str) -> bytes:
    message = {"role": "User", "content": [{"type": "text", "text": deed}]}
    return json.dumps({"cfg": {}, "messages": [message]}).encode()


def do(compiled: CompiledPlugin, deed: str, limits: Limits = LIMITS) -> Any:
    """The deed's answer, on a fresh instance."""
    with Plugin(compiled, limits=limits) as plugin:
        answer = plugin.call("chat_request", ask(deed))
    return json.loads(bytes(json.loads(answer)["req"]["body"]))


@pytest.mark.parametrize(
    ("deed", "words"),
    [
        ("exit", "SystemExit: the plugin called sys.exit(3)"),
        ("os-exit", "SystemExit: the plugin called sys.exit(4)"),
        ("recursion", "RecursionError"),
        ("parse-depth", "RecursionError: the document is nested too deeply"),
        ("one-block", "MemoryError"),
        ("memory", "MemoryError"),
        ("socket", "a plugin has no network"),
        ("socket-class", "a plugin has no network"),
        ("resolve", "a plugin has no network"),
        ("read-file", "there are no files in a plugin"),
        ("read-app", "there are no files in a plugin"),
        ("write-file", "there are no files in a plugin"),
        ("list-files", "there are no files in a plugin"),
        ("late-import", "was not imported when the plugin was built: import it at the top"),
        ("process", "AttributeError"),
        ("thread", "can't start new thread"),
        ("sleep", "a component cannot wait"),
        ("interrupt", "KeyboardInterrupt"),
        ("generator-exit", "GeneratorExit"),
        ("odd-error", "Odd"),
        ("closed-streams", "KeyError: 'after closing'"),
        ("surrogate", "cannot be written as JSON"),
    ],
)
def test_an_exception_is_told_and_the_instance_goes_on(
    hostile: CompiledPlugin, deed: str, words: str
) -> None:
    with Plugin(hostile, limits=LIMITS) as plugin:
        with pytest.raises(PluginError) as caught:
            plugin.call("chat_request", ask(deed))
        payload = json.loads(caught.value.message)["payload"]
        assert payload["type"] == "plugin_error"
        assert words in payload["message"]
        assert json.loads(plugin.call("config_schema", b"null"))["title"] == "Hostile"
        assert plugin.last_receipt is not None
        assert not plugin.last_receipt.fresh


@pytest.mark.parametrize(
    ("deed", "error"),
    [
        ("abort", Trap),
        ("endless", Timeout),
        ("swallow", Timeout),
        ("regex", Timeout),
        ("json-depth", Trap),
        ("sort-depth", Trap),
        ("compile-depth", Trap),
    ],
)
def test_a_limit_or_a_trap_ends_the_instance(
    hostile: CompiledPlugin, deed: str, error: type[GuestError]
) -> None:
    with Plugin(hostile, limits=LIMITS) as plugin:
        with pytest.raises(error) as caught:
            plugin.call("chat_request", ask(deed))
        if isinstance(caught.value, Trap):
            assert caught.value.reason in {"unreachable", "stack_overflow"}
        plugin.call("name", b"null")
        assert plugin.last_receipt is not None
        assert plugin.last_receipt.fresh


def test_fuel_ends_it_too(hostile: CompiledPlugin) -> None:
    with pytest.raises(OutOfFuel):
        do(hostile, "endless", LIMITS.replace(fuel=50_000_000))


def test_huge_outputs_stay_inside(hostile: CompiledPlugin) -> None:
    with pytest.raises((PluginError, TooMuch)):  # no room for it, or more than may come out
        do(hostile, "huge")
    with pytest.raises(TooMuch) as caught:
        do(hostile, "hello", LIMITS.replace(output_bytes=20))
    assert caught.value.limit == "output_bytes"


def test_nothing_of_the_machine_is_seen(hostile: CompiledPlugin) -> None:
    assert do(hostile, "environment") == {}
    assert do(hostile, "arguments") in ([], [""])
    assert do(hostile, "print") == "printed"


def test_two_fresh_instances_are_not_alike(hostile: CompiledPlugin) -> None:
    first, second = do(hostile, "random"), do(hostile, "random")
    assert len(first) == len(second) == 6
    assert all(one != other for one, other in zip(first, second, strict=True))


def test_a_generator_that_the_plugin_seeded_stays_as_it_is(hostile: CompiledPlugin) -> None:
    assert do(hostile, "seeded") == do(hostile, "seeded") == 0.6394267984578837


def test_the_standard_library_works_as_in_the_other_target(
    hostile: CompiledPlugin, built: Callable[[str], Path]
) -> None:
    with CompiledPlugin.load(built("hostile")) as core:
        assert do(hostile, "standard-library") == do(core, "standard-library")


# -- what it is ------------------------------------------------------------------------------------


def test_it_imports_our_interface_and_nothing_else(hostile: CompiledPlugin) -> None:
    assert hostile.is_component
    assert {item.module for item in hostile.imports} == {INTERFACE}
    found = collect(hostile)
    assert found.kind.endswith("(a component)")
    assert found.says["name"] == "hostile"


def test_only_a_provider_may_be_one() -> None:
    with pytest.raises(LoadError, match="component"):
        Plugin(component("hostile"))


def test_the_world_is_what_the_host_provides() -> None:
    text = (wit() / "plugin.wit").read_text("utf-8")
    package, version = INTERFACE.split("/")[0], INTERFACE.split("@")[1]
    assert f"package {package}@{version};" in text
    for function in host.functions():
        result = f" -> {function.result}" if function.result else ""
        line = next(line for line in text.splitlines() if f" {function.name}: func(" in line)
        assert tuple(re.findall(r"\w: (\w+)", line.partition("(")[2])) == function.params
        assert line.endswith(f"){result};")


def test_what_cannot_be_built(tmp_path: Path) -> None:
    if importlib.util.find_spec("componentize_py") is None:
        missing("componentize-py", "pip install './pdk-python[component]'")
    plugin = tmp_path / "broken.py"
    plugin.write_text("import nowhere_to_be_found\n")
    with pytest.raises(BuildError, match="nowhere_to_be_found"):
        build(plugin, tmp_path / "x.wasm", target="component")
    plugin.write_text("raise ZeroDivisionError('at import')\n")
    with pytest.raises(BuildError, match="ZeroDivisionError") as caught:
        build(plugin, tmp_path / "x.wasm", target="component")
    assert "broken.py:1" in str(caught.value)
    assert not (tmp_path / "x.wasm").exists()
