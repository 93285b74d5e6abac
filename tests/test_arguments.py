"""What callers pass wrongly: a UsageError that names it, whatever the type, never a TypeError."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest

import fumehood.extism as face
from fumehood import AsyncProvider, Limits, Plugin, Pool, Provider, Registry, arguments
from fumehood import host_function as decorated
from fumehood.errors import Error, GuestError, UsageError
from fumehood.plugin.compiled import CompiledPlugin

ECHO = b"""(module
  (import "extism:host/env" "input_offset" (func $in (result i64)))
  (import "extism:host/env" "input_length" (func $size (result i64)))
  (import "extism:host/env" "output_set" (func $out (param i64 i64)))
  (func (export "echo") (call $out (call $in) (call $size))))"""
CONFIG = {"model": "m", "api_key": "sk-0123456789abcdef", "base_url": "http://127.0.0.1:9/v1/"}


def name_of(value: object) -> str:
    """The name of a case; the address of an object is another one in every worker."""
    return re.sub(r" at 0x[0-9a-f]+", "", repr(value))


NO_TEXT: list[Any] = [[], {}, 5, None, 1.5, b"echo", ("echo",), object()]
NO_LIST: list[Any] = [5, "*", b"*", 1.5, object(), [5], [b"x"]]
NO_TABLE: list[Any] = [5, [1], "x", b"x", {1: "a"}]
NO_PATHS: list[Any] = [5, [1], "x", {"a": 5}, {5: "a"}]
NO_LIMITS: list[Any] = [5, "x", {}, [], {"fuel": 1}]


def named(wrong: Callable[[], object], word: str) -> None:
    """It is refused as the caller's mistake, and the message names the argument."""
    with pytest.raises(UsageError, match=word):
        wrong()


# -- plugins ----------------------------------------------------------------------------------


@pytest.mark.parametrize("export", NO_TEXT, ids=name_of)
def test_an_export_is_called_by_its_name(export: Any) -> None:
    with Plugin(ECHO) as plugin:
        named(lambda: plugin.call(export), "the name of an export must be text")
        named(lambda: plugin.has(export), "the name of an export must be text")
        assert plugin.call("echo", b"still there") == b"still there"
    with face.Plugin(ECHO) as other:
        named(lambda: other.call(export), "the name of an export must be text")
        named(lambda: other.function_exists(export), "the name of an export must be text")
        assert other.call("echo", b"still there") == b"still there"


@pytest.mark.parametrize("export", ["", "\0", "\ud800", "echo\0", "e" * 100_000])
def test_any_text_may_be_asked_for(export: str) -> None:
    with Plugin(ECHO) as plugin:
        with pytest.raises(GuestError, match="Function not found") as caught:
            plugin.call(export)
        str(caught.value).encode()
        assert not plugin.has(export)


def test_a_type_error_of_a_host_function_keeps_its_cause() -> None:
    @decorated()
    def hurt() -> None:
        raise TypeError("my own")

    wat = b"""(module (import "extism:host/user" "hurt" (func $hurt))
      (func (export "go") (call $hurt)))"""
    with Plugin(wat, functions=[hurt]) as plugin, pytest.raises(Error) as caught:
        plugin.call("go")
    assert str(caught.value.__cause__) == "my own"


@pytest.mark.parametrize("data", [5, None, [], {}, 1.5, object()], ids=name_of)
def test_the_input_is_bytes_or_text(data: Any) -> None:
    with Plugin(ECHO) as plugin:
        named(lambda: plugin.call("echo", data), "the input must be bytes or str")


_MADE: list[tuple[str, Any]] = [
    *(("config", value) for value in NO_TABLE),
    ("config", {"a": 5}),
    *(("functions", value) for value in (5, [1], "x", [lambda: None], [decorated])),
    *(("allowed_hosts", value) for value in NO_LIST),
    *(("allowed_paths", value) for value in NO_PATHS),
    *(("limits", value) for value in NO_LIMITS),
    *(("name", value) for value in (5, b"x", [])),
    ("log", 5),
]


@pytest.mark.parametrize(("name", "wrong"), _MADE, ids=name_of)
def test_what_a_plugin_is_made_with(name: str, wrong: Any) -> None:
    named(lambda: Plugin(ECHO, **{name: wrong}), "function" if name == "functions" else name)


@pytest.mark.parametrize(
    ("name", "wrong"),
    [("config", 5), ("config", [1]), ("functions", 5), ("functions", [1]), ("limits", 5)],
    ids=name_of,
)
def test_what_a_plugin_of_the_extism_face_is_made_with(name: str, wrong: Any) -> None:
    named(lambda: face.Plugin(ECHO, **{name: wrong}), "function" if name == "functions" else name)


@pytest.mark.parametrize("source", [5, None, [], [1], {}, 1.5, object()], ids=name_of)
def test_what_a_plugin_is_made_from(source: Any) -> None:
    for make in (Plugin, face.Plugin, face.CompiledPlugin, CompiledPlugin.load, Provider.open):
        with pytest.raises(UsageError):
            make(source)


def test_nothing_is_none() -> None:
    """None stands for what is left out."""
    nothing: dict[str, Any] = dict.fromkeys(
        ("config", "functions", "allowed_hosts", "allowed_paths", "limits", "name", "log")
    )
    with Plugin(ECHO, **nothing) as plugin:
        assert plugin.call("echo", "x") == b"x"


@pytest.mark.parametrize(
    "wrong",
    [
        lambda: decorated(5)(lambda: None),  # type: ignore[arg-type]
        lambda: decorated(namespace=5),  # type: ignore[arg-type]
        lambda: decorated(charge="x"),  # type: ignore[arg-type]
        lambda: decorated(charge=-1),
        lambda: decorated(lambda: None),  # type: ignore[arg-type]  # without the parentheses
        lambda: decorated()(5),  # type: ignore[arg-type]
        lambda: decorated()(int),
        lambda: CompiledPlugin.load(ECHO, functions=[decorated("f")(lambda: None)]),  # type: ignore[list-item]
    ],
)
def test_what_a_host_function_is_made_of(wrong: Callable[[], object]) -> None:
    with pytest.raises(UsageError):
        wrong()


# -- providers --------------------------------------------------------------------------------

_OPENED: list[tuple[str, Any]] = [
    *(("config", value) for value in NO_TABLE),
    *(("secrets", value) for value in NO_TABLE),
    *(("allowed_hosts", value) for value in NO_LIST),
    *(("limits", value) for value in NO_LIMITS),
    ("pool", 5),
]


@pytest.mark.parametrize(("name", "wrong"), _OPENED, ids=name_of)
def test_what_a_provider_is_opened_with(name: str, wrong: Any) -> None:
    given = {"config": CONFIG, name: wrong}
    named(lambda: Provider.open("bundled:openai", **given), name)


@pytest.mark.parametrize(("name", "wrong"), _OPENED, ids=name_of)
@pytest.mark.anyio
async def test_what_an_async_provider_is_opened_with(name: str, wrong: Any) -> None:
    given = {"config": CONFIG, name: wrong}
    with pytest.raises(UsageError, match=name):
        await AsyncProvider.open("bundled:openai", **given)


@pytest.mark.parametrize("wrong", [5, object(), [5], {}, b"x", [{}]], ids=name_of)
def test_what_a_provider_is_asked(wrong: Any) -> None:
    with Provider.open("bundled:openai", config=CONFIG) as one:
        for ask in (one.chat, one.chat_stream, one.embed):
            with pytest.raises(UsageError):
                ask(wrong)
        with pytest.raises(UsageError):
            one.chat("x", tools=wrong)
        if not isinstance(wrong, bytes):
            named(lambda: one.transcribe(wrong), "a recording is bytes")
        assert not one._running


@pytest.mark.parametrize("wrong", [(5.5,), ("x",), (None,), (1, "x"), (1, None), (True,)])
def test_a_pool_is_counted(wrong: Any) -> None:
    named(lambda: Pool(*wrong), "whole number")


@pytest.mark.parametrize("wrong", [5, [], [1], {}, b"x", object()], ids=name_of)
def test_a_registry_is_read_from_a_path(wrong: Any) -> None:
    named(lambda: Registry(wrong), "a file is given by its path")


def test_limits_are_clamped_by_limits() -> None:
    named(lambda: Limits().clamp(5), "ceiling")  # type: ignore[arg-type]


def test_a_generator_is_a_list() -> None:
    assert arguments.texts((host for host in ("a", "b")), "hosts") == ["a", "b"]
    assert arguments.table(None, "config") == {}
