"""Plugin, CompiledPlugin and host functions of the Extism face against real guests."""

from __future__ import annotations

import json
import struct
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any
from uuid import UUID

import pytest

import fumehood
import fumehood.extism as extism
from fumehood.extism import Json, Ptr, Raw, ValType
from fumehood.extism.extism import HOST_FN_REGISTRY, _convert_output, _convert_value
from tests.extism import wat

ON_INPUT = "(call $f (call $input_offset))"


@pytest.fixture(autouse=True)
def _registry() -> Iterator[None]:
    before = list(HOST_FN_REGISTRY)
    yield
    HOST_FN_REGISTRY[:] = before


def call(guest: str, function: Any, data: bytes = b"", **options: Any) -> Any:
    with extism.Plugin(guest, functions=[function]) as plugin:
        return plugin.call("run", data, **options)


# -- sources ----------------------------------------------------------------------------------


def test_every_source(tmp_path: Path) -> None:
    file = tmp_path / "echo.wat"
    file.write_text(wat.ECHO)
    document = {"wasm": [{"path": str(file)}]}
    manifest = tmp_path / "echo.json"
    manifest.write_text(json.dumps(document))
    sources: list[Any] = [
        wat.ECHO,
        wat.ECHO.encode(),
        file,
        str(file),
        document,
        json.dumps(document),
        str(manifest),
        f'[[wasm]]\npath = "{file}"',
        extism.CompiledPlugin(file),
    ]
    for source in sources:
        with extism.Plugin(source) as plugin:
            assert plugin.call("echo", "héllo") == "héllo".encode()


def test_errors_of_making_are_errors_of_the_package() -> None:
    for source in (b"\0asm broken", "no such file", {"wasm": []}, "(module broken", b""):
        with pytest.raises(extism.Error):
            extism.Plugin(source)
    with pytest.raises(fumehood.LoadError, match="unknown import"):
        extism.Plugin(wat.WITH_HOST_FUNCTION, functions=None)


def test_wasi_is_off_unless_asked_for() -> None:
    guest = """(module (import "wasi_snapshot_preview1" "sched_yield" (func (result i32)))
      (func (export "run")))"""
    with pytest.raises(fumehood.LoadError, match="wasi_snapshot_preview1::sched_yield"):
        extism.Plugin(guest)
    assert extism.Plugin(guest, wasi=True).call("run", "") == b""


def test_linked_modules_share_the_kernel() -> None:
    upper = f"""(module {wat._IMPORTS}
      (import "extism:host/env" "load_u8" (func $load_u8 (param i64) (result i32)))
      (func (export "first_up") (param $p i64) (result i64)
        (call $store_u8 (local.get $p) (i32.sub (call $load_u8 (local.get $p)) (i32.const 32)))
        (local.get $p)))"""
    main = wat.calls("(param i64) (result i64)", f"(call $out_block {ON_INPUT})", "lib", "first_up")
    manifest = {"wasm": [{"data": upper.encode(), "name": "lib"}, {"data": main.encode()}]}
    with extism.Plugin(manifest, functions=[]) as plugin:
        assert plugin.call("run", "abc") == b"Abc"


def test_the_hash_of_a_module_is_checked() -> None:
    manifest = {"wasm": [{"data": wat.ECHO.encode(), "hash": "0" * 64}]}
    with pytest.raises(extism.Error, match="Hash mismatch"):
        extism.Plugin(manifest)


def test_untrusted_manifests() -> None:
    with pytest.raises(fumehood.ManifestError, match="untrusted"):
        extism.CompiledPlugin({"wasm": [{"path": "x.wasm"}]}, untrusted=True)


# -- calling ----------------------------------------------------------------------------------


@pytest.mark.parametrize("data", ["text", b"text", bytearray(b"text"), memoryview(b"text")])
def test_inputs(data: Any) -> None:
    assert extism.Plugin(wat.ECHO).call("echo", data) == b"text"


def test_what_is_no_input() -> None:
    for data in (None, 3, ["x"], {"a": 1}):
        with pytest.raises(TypeError) as caught:
            extism.Plugin(wat.ECHO).call("echo", data)  # type: ignore[arg-type]
        assert isinstance(caught.value, extism.Error)
    with pytest.raises(extism.Error, match="lone surrogate"):
        extism.Plugin(wat.ECHO).call("echo", "\ud800")


def test_parse_and_outputs_that_stay() -> None:
    plugin = extism.Plugin(wat.ECHO)
    assert plugin.call("echo", '{"a": 1}', parse=json.loads) == {"a": 1}
    assert plugin.call("echo", "abc", parse=lambda out: out[:2].decode()) == "ab"
    first = plugin.call("echo", "first", parse=None)
    plugin.call("echo", "other")
    assert first == b"first"


def test_ids_are_random() -> None:
    one, other = extism.Plugin(wat.ECHO), extism.Plugin(wat.ECHO)
    assert isinstance(one.id, UUID)
    assert one.id == one.id != other.id
    assert one.id.version == 4


def test_config_is_laid_over_the_manifest_s() -> None:
    guest = f"""(module {wat._IMPORTS}
      (import "extism:host/env" "input_offset" (func $input_offset (result i64)))
      (import "extism:host/env" "config_get" (func $config_get (param i64) (result i64)))
      (func (export "get") (result i32) (local $p i64)
        (local.set $p (call $config_get (call $input_offset)))
        (call $output_set (local.get $p) (call $length (local.get $p))) (i32.const 0)))"""
    manifest = {"wasm": [{"data": guest.encode()}], "config": {"a": "1", "b": "2", "c": "3"}}
    compiled = extism.CompiledPlugin(manifest)
    plugin = extism.Plugin(compiled, config={"b": "new", "c": None})
    assert [plugin.call("get", key) for key in "abc"] == [b"1", b"new", b""]
    assert extism.Plugin(compiled).call("get", "c") == b"3"
    with pytest.raises(extism.Error, match="'a'"):
        extism.Plugin(compiled, config={"a": 1})  # type: ignore[dict-item]


def test_an_instance_is_kept_and_reset_drops_it() -> None:
    with extism.Plugin(wat.GLOBALS) as plugin:
        assert [plugin.call("globals", "") for _ in range(3)] == [b"0", b"1", b"2"]
        plugin.reset()
        assert plugin.call("globals", "") == b"0"
        assert extism.Plugin(plugin.compiled_plugin or "").call("globals", "") == b"0"


@pytest.mark.parametrize(
    ("export", "data", "kind", "message"),
    [
        ("error_text", "it broke", fumehood.PluginError, "it broke"),
        ("error_zero", "it broke", fumehood.PluginError, "it broke"),
        ("error_text", b"a\0b\xff", fumehood.PluginError, "a\0b\ufffd"),
        ("code", "", fumehood.PluginError, "Error code: 7"),
        ("trap", "", fumehood.Trap, "unreachable"),
        ("trap_with_text", "mine", fumehood.PluginError, "mine"),
        ("takes", "", fumehood.Error, "takes: expected 1 arguments, got 0"),
        ("gives_two", "", fumehood.Error, "gives_two has 2 results, expected 0 or 1"),
        ("none", "", fumehood.Error, "Function not found: none"),
    ],
)
def test_failures_have_a_class_each(
    export: str, data: Any, kind: type[fumehood.Error], message: str
) -> None:
    plugin = extism.Plugin(wat.FAILURES)
    with pytest.raises(extism.Error) as caught:
        plugin.call(export, data)
    assert isinstance(caught.value, kind)
    assert message in caught.value.message
    assert plugin.call("nothing", "") == b""


def test_function_exists_looks_at_the_type() -> None:
    plugin = extism.Plugin(wat.FAILURES)
    names = ("nothing", "code", "takes", "gives_two", "gives_i64", "absent")
    assert [plugin.function_exists(name) for name in names] == [
        True, True, False, False, False, False,
    ]  # fmt: skip
    assert plugin.exports["takes"].params == "i"


def test_limits_and_receipts() -> None:
    guest = '(module (func (export "loop_forever") (loop $again (br $again))))'
    with (
        extism.Plugin(guest, limits=fumehood.Limits(fuel=1000)) as plugin,
        pytest.raises(fumehood.OutOfFuel),
    ):
        plugin.call("loop_forever", "")
    with extism.Plugin(wat.ECHO) as plugin:
        plugin.call("echo", "x" * 100)
        receipt = plugin.last_receipt
        assert receipt is not None
        assert receipt.fuel > 0
        assert receipt.operation == "echo"


def test_a_manifest_s_time_is_the_guest_s() -> None:
    def made(**manifest: Any) -> fumehood.Limits:
        plugin = extism.Plugin({"wasm": [{"data": wat.ECHO.encode()}], **manifest})
        limits: fumehood.Limits = plugin.plugin.limits
        return limits

    default = fumehood.Limits()
    long = made(timeout_ms=60_000)
    assert (long.deadline, long.guest_time) == (60.0, 60.0)
    assert long.fuel == 6 * (default.fuel or 0)
    assert made(timeout_ms=1).guest_time == default.guest_time
    memory = {"max_pages": 3, "max_var_bytes": 10, "max_http_response_bytes": 2**64 - 1}
    found = made(memory=memory)
    assert (found.memory, found.var_bytes) == (3 * 65536, 10)
    assert found.response_bytes >= 2**62


def test_a_closed_plugin_says_so() -> None:
    plugin = extism.Plugin(wat.ECHO)
    plugin.close()
    plugin.close()
    for use in (
        lambda: plugin.call("echo", ""),
        lambda: plugin.function_exists("echo"),
        plugin.reset,
        lambda: plugin.exports,
        lambda: plugin.last_receipt,
    ):
        with pytest.raises(fumehood.ClosedError):
            use()
    compiled = extism.CompiledPlugin(wat.ECHO)
    with compiled:
        pass
    with pytest.raises(fumehood.ClosedError):
        compiled.exports  # noqa: B018 - reading it is what is tested


def test_a_plugin_that_was_never_made_can_be_dropped() -> None:
    extism.Plugin.__new__(extism.Plugin).__del__()
    extism.CompiledPlugin.__new__(extism.CompiledPlugin).__del__()


def test_check_error() -> None:
    plugin = extism.Plugin(wat.ECHO)
    plugin._check_error(0)
    with pytest.raises(extism.Error, match="Error code: 3"):
        plugin._check_error(3)


# -- host functions ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("hint", "value", "wasm", "body", "expected"),
    [
        (float, 1.5, "f64", "(call $out (i64.reinterpret_f64 (call $f)))", struct.pack("<d", 1.5)),
        (bool, True, "i32", "(call $out (i64.extend_i32_u (call $f)))", b"\1" + bytes(7)),
        (Annotated[int, Raw], -2, "i64", "(call $out (call $f))", b"\xfe" + b"\xff" * 7),
        (int, 258, "i64", "(call $out_block (call $f))", b"\2\1" + bytes(6)),
        (Annotated[int, Ptr], 258, "i64", "(call $out_block (call $f))", b"\2\1" + bytes(6)),
        (str, "é", "i64", "(call $out_block (call $f))", "é".encode()),
        (str, "", "i64", "(call $out_block (call $f))", b""),
        (
            tuple[Annotated[int, Raw], Annotated[int, Raw]],
            (2, 40),
            "i64 i64",
            "(call $out (i64.add (call $f)))",
            struct.pack("<q", 42),
        ),
    ],
)
def test_results_that_the_guest_sees(
    hint: Any, value: Any, wasm: str, body: str, expected: bytes
) -> None:
    def f() -> Any:
        return value

    f.__annotations__ = {"return": hint}
    assert call(wat.calls(f"(result {wasm})", body), extism.host_fn()(f)) == expected


def test_explicit_floats() -> None:
    @extism.host_fn(signature=([ValType.F32], [ValType.F32]))
    def f(plugin: Any, params: Any, results: Any) -> None:
        results[0].value = params[0].value * 2

    body = "(call $out (i64.extend_i32_u (i32.reinterpret_f32 (call $f (f32.const 1.25)))))"
    found = call(wat.calls("(param f32) (result f32)", body), f)
    assert struct.unpack("<f", found[:4]) == (2.5,)


def test_exceptions_reach_the_caller_as_cause() -> None:
    boom = KeyError("boom")

    @extism.host_fn()
    def f(text: str) -> None:
        raise boom

    with pytest.raises(fumehood.HostFunctionError) as caught:
        call(wat.calls("(param i64)", ON_INPUT), f, b"x")
    assert caught.value.__cause__ is boom
    assert isinstance(caught.value, extism.Error)


def test_another_plugin_s_error_is_a_cause_not_this_plugin_s() -> None:
    inner = extism.Plugin(wat.FAILURES)

    @extism.host_fn()
    def f() -> None:
        inner.call("error_text", "inner text")

    with pytest.raises(fumehood.HostFunctionError) as caught:
        call(wat.calls("", "(call $f)"), f)
    assert isinstance(caught.value.__cause__, fumehood.PluginError)


def test_re_entry_raises_at_once() -> None:
    @extism.host_fn()
    def f(plugin: extism.CurrentPlugin) -> None:
        plugin.host_context().call("run", "")

    with extism.Plugin(wat.calls("", "(call $f)"), functions=[f]) as plugin:
        with pytest.raises(extism.Error) as caught:
            plugin.call("run", "", host_context=plugin)
        assert isinstance(caught.value.__cause__ or caught.value, fumehood.ReentryError)


def test_unknown_and_null_handles_are_empty() -> None:
    seen: list[Any] = []

    @extism.host_fn()
    def f(data: bytes) -> bytes:
        seen.append(data)
        return data

    for handle in ("0", "81", "-1", "9223372036854775808"):
        guest = wat.calls(
            "(param i64) (result i64)", f"(call $out_block (call $f (i64.const {handle})))"
        )
        assert call(guest, f) == b""
    assert seen == [b"", b"", b"", b""]


def test_memory_of_the_guest_s_block_can_be_written() -> None:
    @extism.host_fn(signature=([ValType.PTR], [ValType.PTR]))
    def f(plugin: extism.CurrentPlugin, params: Any, results: Any) -> None:
        plugin.input_buffer(params[0])[0:2] = b"OH"
        results[0].value = params[0].value

    guest = wat.calls("(param i64) (result i64)", f"(call $out_block {ON_INPUT})")
    assert call(guest, f, b"ah!") == b"OH!"


def test_names_and_namespaces() -> None:
    @extism.host_fn(name="other", namespace="env")
    def f() -> Annotated[dict, Json]:
        return {"ok": True}

    guest = wat.calls("(result i64)", "(call $out_block (call $f))", "env", "other")
    assert call(guest, f) == b'{"ok": true}'


def test_every_decorated_function_is_given_by_default() -> None:
    guest = wat.calls("(result i64)", "(call $out_block (call $f))")

    @extism.host_fn(name="f")
    def first() -> str:
        return "first"

    assert extism.Plugin(guest).call("run", "") == b"first"

    @extism.host_fn(name="f")
    def second() -> str:
        return "second"

    assert extism.Plugin(guest).call("run", "") == b"second"
    assert extism.Plugin(guest, functions=[first]).call("run", "") == b"first"


def test_native_host_functions_are_taken() -> None:
    @fumehood.host_function()
    def f(text: str) -> str:
        return text.upper()

    guest = wat.calls("(param i64) (result i64)", f"(call $out_block {ON_INPUT})")
    assert call(guest, f, b"abc") == b"ABC"


def test_a_function_of_another_type_is_refused_when_the_plugin_is_made() -> None:
    @extism.host_fn()
    def f(number: float) -> None: ...

    with pytest.raises(fumehood.LoadError, match="types incompatible"):
        extism.Plugin(wat.calls("(param i64)", ON_INPUT), functions=[f])


def test_a_timeout_covers_host_functions() -> None:
    released = threading.Event()

    @extism.host_fn(signature=([], []))
    def f(*_: Any) -> None:
        released.wait(0.4)

    manifest = {"wasm": [{"data": wat.calls("", "(call $f)").encode()}], "timeout_ms": 150}
    with pytest.raises(fumehood.Timeout):
        extism.Plugin(manifest, functions=[f]).call("run", "")


def test_threads_get_their_own_answers() -> None:
    compiled = extism.CompiledPlugin(wat.FAILURES)
    wrong: list[str] = []

    def work(name: str) -> None:
        plugin = extism.Plugin(compiled)
        for i in range(200):
            try:
                plugin.call("error_text", f"{name} {i}")
            except extism.Error as problem:
                if problem.message != f"{name} {i}":
                    wrong.append(problem.message)

    threads = [threading.Thread(target=work, args=(f"thread {n}",)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


# -- the near-public module -------------------------------------------------------------------


def test_the_names_of_the_package_are_there() -> None:
    theirs = pytest.importorskip("extism", reason="the extism package is not installed")
    assert set(theirs.__all__) <= set(extism.__all__)
    inner = {
        name
        for name in vars(theirs.extism)
        if getattr(vars(theirs.extism)[name], "__module__", "") == "extism.extism"
    }
    private = {"_wasm", "_map_arg", "_map_ret", "_Base64Encoder"}
    assert inner - private <= set(vars(extism.extism))
    assert extism.extism.HOST_FN_REGISTRY is extism.HOST_FN_REGISTRY
    assert extism.Error is fumehood.Error


class Slot:
    """What the package's C values look like."""

    class Union:
        i32 = i64 = 0
        f32 = f64 = 0.0

    def __init__(self, t: int) -> None:
        self.t = t
        self.v = self.Union()


@pytest.mark.parametrize(
    ("t", "kind", "field", "value"),
    [
        (0, ValType.I32, "i32", -3),
        (1, ValType.I64, "i64", 3),
        (2, ValType.F32, "f32", 0.5),
        (3, ValType.F64, "f64", 0.25),
    ],
)
def test_values_convert_both_ways(t: int, kind: ValType, field: str, value: Any) -> None:
    slot = Slot(t)
    _convert_output(slot, extism.Val(kind, value))
    assert getattr(slot.v, field) == value
    back = _convert_value(slot)
    assert back is not None
    assert (back.t, back.value) == (kind, value)


def test_values_that_do_not_convert() -> None:
    assert _convert_value(Slot(4)) is None
    with pytest.raises(extism.Error, match="mismatch"):
        _convert_output(Slot(0), extism.Val(ValType.I64, 1))
    with pytest.raises(extism.Error, match="Unsupported"):
        _convert_output(Slot(4), extism.Val(ValType.V128, 1))
