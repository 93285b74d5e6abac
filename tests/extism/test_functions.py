"""host_fn: signatures given, signatures inferred, and what is refused (§4.2, §4.3)."""

from __future__ import annotations

import json
import math
import pickle
import struct
from collections.abc import Iterator
from typing import Annotated, Any, Tuple  # noqa: UP035 - users still write typing.Tuple

import pytest

from fumehood import extism
from fumehood.errors import (
    Cancelled,
    Error,
    HostFunctionError,
    OutOfFuel,
    PluginError,
    UsageError,
)
from fumehood.extism import (
    HOST_FN_REGISTRY,
    Codec,
    CurrentPlugin,
    Json,
    Memory,
    Pickle,
    Ptr,
    Raw,
    Val,
    ValType,
    host_fn,
)
from fumehood.extism.functions import Function, _ExtismFunctionMetadata
from tests.extism.fake_kernel import FakeKernel


@pytest.fixture(autouse=True)
def _registry() -> Iterator[None]:
    before = list(HOST_FN_REGISTRY)
    yield
    HOST_FN_REGISTRY[:] = before


class Grimace:
    """Something only pickle can carry."""

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Grimace)

    __hash__ = None  # type: ignore[assignment]


class Evil:
    """Unpickling it would be seen."""

    def __reduce__(self) -> Any:
        return (pytest.fail, ("a guest's pickle was loaded",))


# -- inferred parameters ----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("hint", "wasm", "letter", "expected"),
    [
        (str, "é".encode(), "I", "é"),
        (bytes, b"\0\xff", "I", b"\0\xff"),
        (int, 2**64 - 1, "I", -1),
        (float, 1.5, "F", 1.5),
        (bool, 1, "i", True),
        (bool, 2**31, "i", True),
        (bool, 0, "i", False),
        (Annotated[dict, Json], b'{"a": [1]}', "I", {"a": [1]}),
        (Annotated[Any, Json()], b"null", "I", None),
        (
            Annotated[str, Codec(lambda b: b.decode("shift_jis"))],
            "桜".encode("shift_jis"),
            "I",
            "桜",
        ),
        (Annotated[Grimace, Pickle(trust_guest=True)], pickle.dumps(Grimace()), "I", Grimace()),
        (Annotated[int, Raw], 7, "I", 7),
        (Annotated[float, Raw], 2.5, "F", 2.5),
        (Annotated[bool, Raw], 1, "i", True),
        (Annotated[int, Ptr], (-3).to_bytes(8, "little", signed=True), "I", -3),
        (Annotated[int, Ptr], (-3).to_bytes(4, "little", signed=True), "I", -3),
        (Annotated[float, Ptr], struct.pack("<d", 0.5), "I", 0.5),
    ],
)
def test_parameters(hint: Any, wasm: Any, letter: str, expected: Any) -> None:
    kernel = FakeKernel()
    seen: list[Any] = []

    def take(value: Any) -> None:
        seen.append(value)

    take.__annotations__ = {"value": hint}
    made = host_fn()(take)
    assert (made.params, made.results) == (letter, "")
    word = kernel.write(wasm) if isinstance(wasm, bytes) else wasm
    assert made.run(kernel, word) is None
    assert seen == [expected]
    assert type(seen[0]) is type(expected)


def test_a_memory_parameter_is_the_block() -> None:
    @host_fn()
    def take(mem: Memory) -> Memory:
        return mem

    kernel = FakeKernel()
    handle = kernel.write(b"abc")
    assert take.run(kernel, handle) == handle


# -- inferred results -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("hint", "value", "letter", "expected"),
    [
        (str, "é", "I", "é".encode()),
        (str, "", "I", b""),
        (bytes, b"\0\xff", "I", b"\0\xff"),
        (int, 258, "I", b"\x02\x01" + bytes(6)),
        (int, 2**64 - 1, "I", b"\xff" * 8),
        (Annotated[dict, Json], {"a": 1}, "I", b'{"a": 1}'),
        (Annotated[str, Codec(lambda s: s.encode("utf-16-le"))], "hi", "I", b"h\0i\0"),
        (Annotated[int, Ptr], -2, "I", b"\xfe" + b"\xff" * 7),
        (Annotated[float, Ptr], 0.5, "I", struct.pack("<d", 0.5)),
    ],
)
def test_results_in_a_block(hint: Any, value: Any, letter: str, expected: bytes) -> None:
    kernel = FakeKernel()

    def give() -> Any:
        return value

    give.__annotations__ = {"return": hint}
    made = host_fn()(give)
    assert (made.params, made.results) == ("", letter)
    assert kernel.read(made.run(kernel)) == expected


@pytest.mark.parametrize(
    ("hint", "value", "letter", "expected"),
    [
        (float, 1.5, "F", 1.5),
        (float, 2, "F", 2.0),
        (bool, True, "i", 1),
        (bool, False, "i", 0),
        (bool, 5, "i", 1),
        (Annotated[int, Raw], -1, "I", -1),
        (Annotated[int, Raw], 2**64 - 1, "I", 2**64 - 1),
        (Annotated[float, Raw], 0.25, "F", 0.25),
        (Annotated[bool, Raw], True, "i", 1),
        (type(None), None, "", None),
    ],
)
def test_results_as_values(hint: Any, value: Any, letter: str, expected: Any) -> None:
    def give() -> Any:
        return value

    give.__annotations__ = {"return": hint}
    made = host_fn()(give)
    assert made.results == letter
    found = made.run(FakeKernel())
    assert found == expected
    assert type(found) is type(expected)


@pytest.mark.parametrize("generic", [tuple, Tuple])  # noqa: UP006 - as users write it
def test_a_tuple_is_one_result_an_item(generic: Any) -> None:
    kernel = FakeKernel()

    def give() -> Any:
        return ("text", 1.5, True, {"a": 1})

    give.__annotations__ = {"return": generic[str, float, bool, Annotated[dict, Json]]}
    made = host_fn()(give)
    assert made.results == "IFiI"
    text, number, flag, document = made.run(kernel)
    assert (kernel.read(text), number, flag) == (b"text", 1.5, 1)
    assert json.loads(kernel.read(document)) == {"a": 1}


@pytest.mark.parametrize("value", [("a",), ("a", "b", "c"), "ab", None, ["a", "b"]])
def test_a_tuple_of_another_length(value: Any) -> None:
    @host_fn()
    def give() -> tuple[str, str]:
        return value  # type: ignore[no-any-return]

    with pytest.raises(HostFunctionError, match="2 values are to be returned") as caught:
        give.run(FakeKernel())
    assert isinstance(caught.value.__cause__, TypeError)


def test_an_int_result_cannot_be_negative_as_in_the_package() -> None:
    @host_fn()
    def give() -> int:
        return -1

    with pytest.raises(OverflowError):
        give.run(FakeKernel())


def test_none_where_text_is_promised() -> None:
    @host_fn()
    def give() -> str:
        return None  # type: ignore[return-value]

    with pytest.raises(AttributeError):
        give.run(FakeKernel())


# -- the caller, user data --------------------------------------------------------------------


def test_current_plugin_comes_first_only_by_its_annotation() -> None:
    kernel = FakeKernel(context="ctx")

    @host_fn(user_data=b"data")
    def ask(plugin: CurrentPlugin, text: str, *user_data: bytes) -> str:
        return f"{text} {plugin.host_context()} {user_data}"

    assert ask.params == "I"
    assert kernel.read(ask.run(kernel, kernel.write(b"x"))) == b"x ctx (b'data',)"

    with pytest.raises(TypeError, match="argument plugin"):

        @host_fn()
        def late(text: str, plugin: CurrentPlugin) -> None: ...


def test_user_data_is_copied_and_appended() -> None:
    mine = [b"a", b"b"]

    @host_fn(user_data=mine)
    def first(text: str, *user_data: Any) -> str:
        return repr(user_data)

    kernel = FakeKernel()
    assert mine == [b"a", b"b"]
    assert kernel.read(first.run(kernel, 0)) == b"(b'a', b'b')"


def test_unannotated_parameters_get_user_data() -> None:
    namespace: dict[str, Any] = {"host_fn": host_fn}
    exec(
        "@host_fn(user_data=[b'a', b'b'])\n"
        "def f(text: str, a, b) -> bytes:\n"
        "    return text.encode() + a + b\n",
        namespace,
    )
    kernel = FakeKernel()
    made = namespace["f"]
    assert made.params == "I"
    assert kernel.read(made.run(kernel, kernel.write(b"x"))) == b"xab"


# -- explicit signatures ----------------------------------------------------------------------


def test_an_explicit_signature_gets_values_and_fills_results() -> None:
    @host_fn(
        signature=(
            [ValType.I32, ValType.I64, ValType.F32, ValType.F64],
            [ValType.I32, ValType.PTR, ValType.F32, ValType.F64],
        ),
        user_data=[b"u"],
        namespace="ns",
        name="other",
    )
    def every(plugin: Any, params: Any, results: Any, *user_data: Any) -> None:
        assert [(p.t, p.value) for p in params] == [
            (ValType.I32, -1),
            (ValType.I64, 2),
            (ValType.F32, 0.5),
            (ValType.F64, 0.25),
        ]
        assert [r.value for r in results] == [0, 0, 0, 0]
        assert user_data == (b"u",)
        for got, slot in zip(params, results, strict=True):
            slot.value = got.value

    assert (every.params, every.results) == ("iIfF", "iIfF")
    assert (every.namespace, every.name) == ("ns", "other")
    assert (every.args, every.returns) == ([0, 1, 2, 3], [0, 1, 2, 3])
    assert every.run(FakeKernel(), 2**32 - 1, 2, 0.5, 0.25) == (-1, 2, 0.5, 0.25)


def test_a_replaced_result_of_another_type() -> None:
    @host_fn(signature=([], [ValType.I64]))
    def wrong(plugin: Any, params: Any, results: list[Val]) -> None:
        results[0] = Val(ValType.F64, 1.0)

    with pytest.raises(HostFunctionError, match="Output type mismatch") as caught:
        wrong.run(FakeKernel())
    assert isinstance(caught.value.__cause__, TypeError)


def test_blocks_are_cut_off_when_the_function_returns_or_raises() -> None:
    kept: list[Any] = []

    @host_fn(signature=([ValType.PTR], []))
    def keep(plugin: CurrentPlugin, params: list[Val], results: list[Val]) -> None:
        kept.append(plugin.input_buffer(params[0]))
        raise ValueError("mine")

    kernel = FakeKernel()
    with pytest.raises(ValueError, match="mine"):
        keep.run(kernel, kernel.write(b"abc"))
    assert kept[0][:] == b"abc"
    with pytest.raises(Error):
        kept[0][0] = b"x"


@pytest.mark.parametrize(
    ("raised", "wrapped"),
    [
        (OutOfFuel("mine", limit="fuel"), False),
        (Cancelled("mine"), False),
        (OutOfFuel("another's", plugin="other", limit="fuel"), True),
        (PluginError("another's", plugin="other"), True),
        (UsageError("a mistake"), True),
    ],
)
def test_only_limits_of_this_operation_pass_as_they_are(raised: Error, wrapped: bool) -> None:
    @host_fn(signature=([], []))
    def fail(*_: Any) -> None:
        raise raised

    with pytest.raises(Error) as caught:
        fail.run(FakeKernel())
    if wrapped:
        assert isinstance(caught.value, HostFunctionError)
        assert caught.value.__cause__ is raised
    else:
        assert caught.value is raised


# -- the decorator ----------------------------------------------------------------------------


def test_names_registry_and_calling_the_original() -> None:
    @host_fn()
    def double(text: str) -> str:
        """Twice."""
        return text * 2

    assert HOST_FN_REGISTRY[-1] is double
    assert (double.name, double.namespace, double.__name__, double.__doc__) == (
        "double",
        None,
        "double",
        "Twice.",
    )
    assert double("ab") == "abab"
    assert "extism:host/user::double (I)→(I)" in repr(double)


def test_without_parentheses() -> None:
    @host_fn
    def plain(text: str) -> str:
        return text

    assert plain.name == "plain"
    assert plain("x") == "x"


def test_string_annotations_are_resolved() -> None:
    def late(text: str) -> str:
        return text

    late.__annotations__ = {"text": "str", "return": "str"}
    assert host_fn()(late).params == "I"
    late.__annotations__ = {"text": "NoSuchName"}
    with pytest.raises(TypeError, match="cannot be resolved"):
        host_fn()(late)


@pytest.mark.parametrize(
    "hint",
    [dict, list, object, Any, complex, None, Annotated[dict, "doc"], Annotated[dict, Raw]],
)
def test_types_that_cannot_be_inferred(hint: Any) -> None:
    def take(value: Any) -> None: ...

    take.__annotations__ = {"value": hint}
    with pytest.raises(UsageError, match="Could not infer input type for argument value"):
        host_fn()(take)
    if hint is not None:

        def give() -> Any: ...

        give.__annotations__ = {"return": hint}
        with pytest.raises(TypeError, match="Could not infer return type"):
            host_fn()(give)


def test_no_annotations_at_all() -> None:
    namespace: dict[str, Any] = {}
    exec("def f(x): pass\ndef g(x, y: int) -> None: pass", namespace)
    with pytest.raises(TypeError, match="must include Python type annotations"):
        host_fn()(namespace["f"])
    with pytest.raises(TypeError, match="parameter x before y needs an annotation"):
        host_fn()(namespace["g"])


def test_pickle_parameters_need_an_opt_in() -> None:
    for mark in (Pickle, Pickle()):

        def take(value: Any) -> None: ...

        take.__annotations__ = {"value": Annotated[Grimace, mark]}
        with pytest.raises(UsageError) as caught:
            host_fn()(take)
        assert "trust_guest=True" in str(caught.value)

    @host_fn()
    def give() -> Annotated[Evil, Pickle]:
        return Evil()

    kernel = FakeKernel()
    assert kernel.read(give.run(kernel)) == pickle.dumps(Evil())


@pytest.mark.parametrize("t", [ValType.V128, ValType.FUNC_REF, ValType.EXTERN_REF, 1, "I64"])
def test_types_that_host_functions_cannot_use(t: Any) -> None:
    for signature in (([t], []), ([], [t])):
        with pytest.raises(UsageError):
            host_fn(signature=signature)(lambda *_: None)


def test_a_refused_function_is_not_registered() -> None:
    before = len(HOST_FN_REGISTRY)
    with pytest.raises(TypeError):
        host_fn()(lambda x: x)
    assert len(HOST_FN_REGISTRY) == before


def test_raw_functions_work_too() -> None:
    def f(plugin: Any, params: Any, results: Any, *user_data: Any) -> None:
        results[0].value = params[0].value + user_data[0]

    made = Function("ns", "add", [ValType.I64], [ValType.I64], f, 5)
    assert made.run(FakeKernel(), 2) == 7


def test_the_low_level_form_of_an_inferred_function() -> None:
    @host_fn()
    def join(a: bytes, b: int) -> tuple[bytes, bool]:
        return a * b, True

    kernel = FakeKernel()
    slots = [Val(ValType.I64, 0), Val(ValType.I32, 0)]
    given = [Val(ValType.I64, kernel.write(b"ab")), Val(ValType.I64, 2)]
    join.f(CurrentPlugin(kernel), given, slots)
    assert (kernel.read(slots[0].value), slots[1].value) == (b"abab", 1)

    @host_fn()
    def nothing(a: bytes) -> None: ...

    nothing.f(CurrentPlugin(kernel), given[:1], [])


def test_function_metadata_is_given_up() -> None:
    meta = _ExtismFunctionMetadata(host_fn(signature=([], []))(lambda *_: None))
    assert meta.pointer is not None
    meta.__del__()
    assert meta.pointer is None


def test_floats_are_exact() -> None:
    @host_fn()
    def half(x: float) -> float:
        return x / 2

    assert half.run(FakeKernel(), math.pi) == math.pi / 2
    assert extism.Error is Error
