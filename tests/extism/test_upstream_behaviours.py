"""The 18 behaviours that the `extism` package's own tests assert (extism-abi.md §4.4).

Its tests of timeout and cancel call an export that is not there, so any error passes them; the two
here call one that loops.
"""

from __future__ import annotations

import gc
import json
import pickle
import threading
import time
from collections.abc import Iterator
from typing import Annotated, Any

import pytest

import fumehood
import fumehood.extism as extism
from fumehood.extism.extism import (
    HOST_FN_REGISTRY,
    CompiledPlugin,
    Val,
    ValType,
    _convert_value,
    _ExtismFunctionMetadata,
)
from tests.extism import wat


class Gribble:
    """What only pickle carries."""

    def __init__(self, v: int) -> None:
        self.v = v

    def frobbitz(self) -> str:
        return f"gromble {self.v}"


@pytest.fixture(autouse=True)
def _registry() -> Iterator[None]:
    before = list(HOST_FN_REGISTRY)
    yield
    HOST_FN_REGISTRY[:] = before


def manifest(wasm: str = wat.COUNT_VOWELS, **more: Any) -> dict[str, Any]:
    return {"wasm": [{"data": wasm.encode()}], "memory": {"max_pages": 5}, **more}


def counted(plugin: extism.Plugin, text: str) -> Any:
    return json.loads(plugin.call("count_vowels", text))


def test_call_plugin() -> None:
    plugin = extism.Plugin(manifest(), functions=[])
    assert counted(plugin, "this is a test")["count"] == 4
    assert counted(plugin, "this is a test again")["count"] == 7
    assert counted(plugin, "this is a test thrice")["count"] == 6
    assert counted(plugin, "🌎hello🌎world🌎")["count"] == 3


def test_function_exists() -> None:
    plugin = extism.Plugin(manifest(), functions=[])
    assert plugin.function_exists("count_vowels") is True
    assert plugin.function_exists("i_dont_exist") is False


def test_errors_on_unknown_function() -> None:
    plugin = extism.Plugin(manifest())
    with pytest.raises(extism.Error, match="i_dont_exist"):
        plugin.call("i_dont_exist", "someinput")


def test_can_free_plugin() -> None:
    plugin = extism.Plugin(manifest())
    counted(plugin, "abc")
    del plugin
    gc.collect()


def test_plugin_del_frees_native_resources() -> None:
    with extism.Plugin(manifest(), functions=[]) as plugin:
        assert counted(plugin, "test")["count"] == 1
        assert plugin.compiled_plugin is not None
        compiled = plugin.compiled_plugin
    assert plugin.plugin == -1
    assert plugin._owns_compiled_plugin is True
    assert plugin.compiled_plugin is None
    assert compiled.pointer == -1
    plugin.__del__()
    with pytest.raises(fumehood.ClosedError, match="plugin is closed"):
        counted(plugin, "test")


def test_compiled_plugin_del_frees_native_resources() -> None:
    compiled = CompiledPlugin(manifest(), functions=[])
    plugin = extism.Plugin(compiled)
    assert plugin._owns_compiled_plugin is False
    assert counted(plugin, "test")["count"] == 1
    plugin.__del__()
    assert plugin.plugin == -1
    assert plugin.compiled_plugin is compiled
    assert compiled.pointer != -1
    with extism.Plugin(compiled) as other:
        assert counted(other, "tee")["count"] == 2
    compiled.__del__()
    assert compiled.pointer == -1
    with pytest.raises(fumehood.ClosedError):
        extism.Plugin(compiled)


def test_extism_function_metadata_del_frees_native_resources() -> None:
    @extism.host_fn(signature=([], []))
    def test_metadata(*_: Any) -> None: ...

    metadata = _ExtismFunctionMetadata(test_metadata)
    assert metadata.pointer is not None
    metadata.__del__()
    assert metadata.pointer is None


def test_errors_on_bad_manifest() -> None:
    with pytest.raises(extism.Error, match="invalid_manifest: unknown key"):
        extism.Plugin({"invalid_manifest": True})


def test_extism_version() -> None:
    assert extism.extism_version() == fumehood.__version__


def test_extism_plugin_timeout() -> None:
    plugin = extism.Plugin(manifest(wat.LOOP_FOREVER, timeout_ms=300))
    assert plugin.function_exists("loop_forever")
    started = time.monotonic()
    with pytest.raises(extism.Error) as caught:
        plugin.call("loop_forever", b"")
    took = time.monotonic() - started
    assert isinstance(caught.value, fumehood.Timeout)
    assert caught.value.limit == "deadline"
    assert 0.29 <= took < 5


def test_extism_host_function() -> None:
    @extism.host_fn(signature=([extism.ValType.I64], [extism.ValType.I64]), user_data=b"test")
    def hello_world(
        plugin: extism.CurrentPlugin,
        params: list[extism.Val],
        results: list[extism.Val],
        *user_data: bytes,
    ) -> None:
        offs = plugin.alloc(len(user_data[0]))
        mem = plugin.memory(offs)
        mem[:] = user_data[0]
        results[0].value = offs.offset

    plugin = extism.Plugin(manifest(wat.WITH_HOST_FUNCTION), functions=[hello_world], wasi=True)
    assert plugin.call("count_vowels", b"aaa") == b"test"


def test_inferred_extism_host_function() -> None:
    @extism.host_fn(user_data=b"test")
    def hello_world(inp: str, *user_data: bytes) -> str:
        return f"hello world: {inp} {user_data[0].decode()}"

    plugin = extism.Plugin(manifest(wat.WITH_HOST_FUNCTION), functions=[hello_world], wasi=True)
    assert plugin.call("count_vowels", b"aaa") == b'hello world: {"count": 3} test'


def test_inferred_json_param_extism_host_function() -> None:
    @extism.host_fn(user_data=b"test")
    def hello_world(inp: Annotated[dict, extism.Json], *user_data: bytes) -> str:
        return f"hello world: {inp['count']} {user_data[0].decode()}"

    plugin = extism.Plugin(manifest(wat.WITH_HOST_FUNCTION), functions=[hello_world], wasi=True)
    assert plugin.call("count_vowels", b"aaa") == b"hello world: 3 test"


def test_codecs() -> None:
    @extism.host_fn(user_data=b"test")
    def hello_world(
        inp: Annotated[str, extism.Codec(lambda xs: xs.decode().replace("o", "u"))], *user_data: Any
    ) -> Annotated[str, extism.Codec(lambda xs: xs.replace("u", "a").encode())]:
        return inp

    plugin = extism.Plugin(manifest(wat.WITH_HOST_FUNCTION), functions=[hello_world], wasi=True)
    assert plugin.call("count_vowels", b"aaa") == b'{"caant": 3}'


def test_inferred_pickle_return_param_extism_host_function() -> None:
    @extism.host_fn(user_data=b"test")
    def hello_world(
        inp: Annotated[dict, extism.Json], *user_data: Any
    ) -> Annotated[Gribble, extism.Pickle]:
        return Gribble(inp["count"])

    plugin = extism.Plugin(manifest(wat.WITH_HOST_FUNCTION), functions=[hello_world], wasi=True)
    result = plugin.call("count_vowels", b"aaa", parse=pickle.loads)
    assert isinstance(result, Gribble)
    assert result.frobbitz() == "gromble 3"


def test_host_context() -> None:
    @extism.host_fn()
    def hello_world(
        current_plugin: extism.CurrentPlugin, inp: Annotated[dict, extism.Json], *args: Any
    ) -> str:
        context = current_plugin.host_context()
        context.v += 1
        return "ok"

    plugin = extism.Plugin(manifest(wat.WITH_HOST_FUNCTION), functions=[hello_world], wasi=True)
    context = Gribble(0)
    for expected in (1, 2):
        assert plugin.call("count_vowels", b"aaa", host_context=context) == b"ok"
        assert context.v == expected


def test_extism_plugin_cancel() -> None:
    plugin = extism.Plugin(manifest(wat.LOOP_FOREVER))
    handle = plugin.cancel_handle()
    caught: list[BaseException] = []

    def call() -> None:
        try:
            plugin.call("loop_forever", b"")
        except extism.Error as problem:
            caught.append(problem)

    thread = threading.Thread(target=call)
    thread.start()
    instance = plugin.plugin._instance
    while instance.ready is None or not instance.ready.inside:  # the call is under way
        time.sleep(0.005)
    started = time.monotonic()
    assert handle.cancel() is True
    thread.join(5)
    assert not thread.is_alive()
    assert time.monotonic() - started < 5
    assert [type(problem) for problem in caught] == [fumehood.Cancelled]
    plugin.close()
    assert handle.cancel() is False


def test_convert_f64_value() -> None:
    class Union:
        f64 = 3.14

    class Raw:
        t = 3
        v = Union()

    found = _convert_value(Raw())
    assert isinstance(found, Val)
    assert (found.t, found.value) == (ValType.F64, 3.14)
