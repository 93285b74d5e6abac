"""What a Python plugin must not do is contained, and each is a clear error."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from fumehood import (
    Exit,
    GuestError,
    Limits,
    OutOfFuel,
    OutOfMemory,
    PluginError,
    Timeout,
    TooMuch,
    Trap,
)
from fumehood.plugin import CompiledPlugin, Plugin

pytestmark = pytest.mark.xdist_group("pdk_python")

LIMITS = Limits(fuel=None, deadline=20, guest_time=1.5, memory=96 << 20, kernel_memory=64 << 20)


@pytest.fixture(scope="module")
def compiled(built: Callable[[str], Path]) -> Iterator[CompiledPlugin]:
    with CompiledPlugin.load(built("hostile")) as plugin:
        yield plugin


def do(compiled: CompiledPlugin, *deeds: str, limits: Limits = LIMITS) -> Any:
    """The last deed's answer, all on one fresh instance."""
    with Plugin(compiled, limits=limits) as plugin:
        for deed in deeds:
            message = {"role": "User", "content": [{"type": "text", "text": deed}]}
            answer = plugin.call(
                "chat_request", json.dumps({"cfg": {}, "messages": [message]}).encode()
            )
    return json.loads(bytes(json.loads(answer)["req"]["body"]))


def told(caught: pytest.ExceptionInfo[Any]) -> str:
    payload = json.loads(caught.value.message)["payload"]
    assert payload["type"] == "plugin_error"
    text: str = payload["message"]
    return text


@pytest.mark.parametrize(
    ("deed", "words"),
    [
        ("exit", "SystemExit: the plugin called sys.exit(3)"),
        ("recursion", "RecursionError"),
        ("json-depth", "RecursionError"),
        ("parse-depth", "RecursionError"),
        ("compile-depth", "MemoryError: Parser stack overflowed"),
        ("sort-depth", "RecursionError"),
        ("one-block", "MemoryError"),
        ("socket", "a plugin has no network"),
        ("socket-class", "a plugin has no network"),
        ("resolve", "a plugin has no network"),
        ("read-file", "OSError|FileNotFoundError|PermissionError"),
        ("read-app", "OSError|FileNotFoundError|PermissionError"),
        ("write-file", "OSError|FileNotFoundError|PermissionError"),
        ("list-files", "OSError|FileNotFoundError|PermissionError|NotImplementedError"),
        ("late-import", "was not imported when the plugin was built: import it at the top"),
        ("process", "AttributeError|OSError"),
        ("thread", "can't start new thread"),
        ("interrupt", "KeyboardInterrupt"),
        ("generator-exit", "GeneratorExit"),
        ("odd-error", "Odd"),
        ("closed-streams", "KeyError: 'after closing'"),
        ("surrogate", "cannot be written as JSON"),
    ],
)
def test_an_exception_is_told_and_the_instance_goes_on(
    compiled: CompiledPlugin, deed: str, words: str
) -> None:
    with Plugin(compiled, limits=LIMITS) as plugin:
        message = {"role": "User", "content": [{"type": "text", "text": deed}]}
        data = json.dumps({"cfg": {}, "messages": [message]}).encode()
        with pytest.raises(GuestError) as caught:
            plugin.call("chat_request", data)
        if isinstance(caught.value, OutOfMemory):  # the host knows why there was none
            assert deed == "one-block"
            return
        assert any(word in told(caught) for word in words.split("|")), told(caught)
        assert json.loads(plugin.call("config_schema"))["title"] == "Hostile"


@pytest.mark.parametrize(
    ("deed", "error"),
    [
        ("os-exit", Exit),
        ("abort", Trap),
        ("endless", Timeout),
        ("memory", (OutOfMemory, PluginError)),
        ("swallow", Timeout),
        ("regex", Timeout),
        ("huge", (OutOfMemory, TooMuch, PluginError)),
    ],
)
def test_a_limit_or_a_trap_ends_the_instance(
    compiled: CompiledPlugin, deed: str, error: type[GuestError]
) -> None:
    with pytest.raises(error):
        do(compiled, deed)
    assert do(compiled, "hello") == "hello"


def test_fuel_ends_what_computes(compiled: CompiledPlugin) -> None:
    with pytest.raises(OutOfFuel):
        do(compiled, "regex", limits=LIMITS.replace(fuel=50_000_000))


def test_sleeping_ends_with_the_deadline(compiled: CompiledPlugin) -> None:
    with pytest.raises(Timeout):
        do(compiled, "sleep", limits=LIMITS.replace(deadline=1.0))


def test_log_lines_reach_the_host(
    compiled: CompiledPlugin, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("DEBUG", logger="fumehood")
    do(compiled, "log")
    assert any("mine: a line of mine" in record.getMessage() for record in caplog.records)


def test_nothing_of_the_machine_is_seen(compiled: CompiledPlugin) -> None:
    assert do(compiled, "environment") == {}
    assert do(compiled, "arguments") in ([], [""])
    assert do(compiled, "print") == "printed"


def test_the_error_names_the_plugins_line(compiled: CompiledPlugin) -> None:
    with pytest.raises(PluginError) as caught:
        do(compiled, "recursion")
    assert "at hostile.py:" in told(caught)
    assert "_deep" in told(caught)
    assert len(told(caught)) < 4_000


def test_two_fresh_instances_are_not_alike(compiled: CompiledPlugin) -> None:
    first, second = do(compiled, "random"), do(compiled, "random")
    assert len(first) == len(second) == 6
    assert all(one != other for one, other in zip(first, second, strict=True))


def test_a_generator_that_the_plugin_seeded_stays_as_it_is(compiled: CompiledPlugin) -> None:
    assert do(compiled, "seeded") == do(compiled, "seeded") == 0.6394267984578837


def test_the_standard_library_works_inside(compiled: CompiledPlugin) -> None:
    found = do(compiled, "standard-library")
    assert found == {
        "json": {"ü": [1, 2.5, None, True]},
        "re": ["a", "b", "ü"],
        "dataclasses": {"x": 1, "y": 0.5},
        "typing": "<class 'float'>",
        "enum": "RED",
        "base64": "/wA=",
        "hashlib": "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
        "blake2": "1271cf25",
        "hmac": "b60090e3052297aeb5a080889ce2fc4bca957e756faeb4df7d31800ca1e771ec",
        "urllib": "a%20b/%C3%BChttp://h/c",
        "datetime": "060 Thursday",
        "iso": "2024-03-01T12:00:00+00:00",
        "decimal": "0.3",
        "fractions": "1/2",
        "struct": "00013fe0000000000000",
        "zlib": 1000,
        "unicodedata": "75cc88",
        "statistics": 2,
        "textwrap": "hello [...]",
        "string": "1",
        "itertools": [1, 3, 6],
        "idna": "xn--bcher-kva.example",
        "codecs": ["fc", "fffefc00", "fc", "000000fc"],
        "int": 846,
        "float": [0.30000000000000004, 1e301, True],
        "time": True,
        "monotonic": True,
        "clock": True,
    }
