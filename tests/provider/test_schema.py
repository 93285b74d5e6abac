"""The plugin's own schema is attacker data: bounded work, no network, every problem listed."""

import contextlib
import json
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fumehood.errors import ProtocolError
from fumehood.provider.schema import (
    MAX_CHECK_TIME,
    MAX_NODES,
    MAX_PROBLEMS,
    MAX_SCHEMA,
    MAX_TIME,
    Schema,
)

NONE: frozenset[str] = frozenset()


def schema(document: object) -> Schema:
    return Schema(json.dumps(document).encode())


OPENAI = {
    "$schema": "https://json-schema.org/draft/2020-12/schema",
    "type": "object",
    "properties": {
        "model": {"type": "string"},
        "max_tokens": {"type": ["integer", "null"], "minimum": 0},
        "api_key": {"type": "string", "minLength": 20},
        "nested": {"type": "object", "properties": {"a": {"type": "integer"}}, "required": ["a"]},
        "system": {"anyOf": [{"type": "array", "items": {"type": "string"}}, {"type": "null"}]},
        "ref": {"$ref": "#/$defs/r"},
    },
    "required": ["model", "api_key"],
    "$defs": {"r": {"type": "object", "properties": {"x": {}}, "additionalProperties": False}},
}


def test_every_problem_is_listed_by_key_path() -> None:
    found = schema(OPENAI).problems(
        {"max_tokens": -1, "nested": {"a": "x"}, "system": [1], "ref": {"y": 1}}, NONE
    )
    assert dict(found).keys() >= {"model", "api_key", "max_tokens", "nested.a", "system", "ref.y"}
    assert dict(found)["model"] == "is required"
    assert "minimum" in dict(found)["max_tokens"]


def test_secret_values_are_not_quoted() -> None:
    (problem,) = schema(OPENAI).problems(
        {"model": "m", "api_key": "sk-secret"}, frozenset({"api_key"})
    )
    assert problem == ("api_key", "does not meet the schema's 'minLength'")


def test_prune_keeps_what_the_schema_lists() -> None:
    pruned = schema(OPENAI).prune(
        {"model": "m", "allowed_hosts": ["h"], "nested": {"a": 1, "b": 2}, "ref": {"y": 1}}
    )
    assert pruned == {"model": "m", "nested": {"a": 1}, "ref": {"y": 1}}
    assert schema({"type": "object"}).prune({"x": 1}) == {"x": 1}


def test_accepts_judges_one_key() -> None:
    assert schema(OPENAI).accepts("system", ["a"])
    assert not schema(OPENAI).accepts("system", "a")


@pytest.mark.parametrize(
    "document",
    [
        [],
        "x",
        3,
        {"type": 5},
        {"properties": {"a": {"$ref": "http://127.0.0.1:9/x"}}},
        {"$ref": "file:///etc/passwd"},
        {"properties": {"a": {"minimum": "x"}}},
    ],
)
def test_bad_schemas_are_refused(document: object) -> None:
    with pytest.raises(ProtocolError):
        schema(document)


def test_size_and_depth_are_capped() -> None:
    with pytest.raises(ProtocolError, match="longer"):
        Schema(b" " * (MAX_SCHEMA + 1))
    deep: object = {}
    for _ in range(100):
        deep = {"not": deep}
    with pytest.raises(ProtocolError, match="deeper"):
        schema(deep)
    value: object = 1
    for _ in range(100):
        value = [value]
    assert schema({"type": "object"}).problems({"a": value}, NONE)[0][1].startswith("nested deeper")


@pytest.mark.parametrize(
    "document",
    [
        {"$ref": "#"},
        {"allOf": [{"$ref": "#"}, {"$ref": "#"}]},
        {"$ref": "#/nowhere"},
        {"$defs": {"a": {"$ref": "#/$defs/b"}, "b": {"$ref": "#/$defs/a"}}, "$ref": "#/$defs/a"},
        {
            "$defs": {
                **{f"a{i}": {"allOf": [{"$ref": f"#/$defs/a{i + 1}"}] * 3} for i in range(30)},
                "a30": {},
            },
            "$ref": "#/$defs/a0",
        },
    ],
)
def test_schemas_that_do_not_end_are_stopped(document: object) -> None:
    started = time.process_time()
    with pytest.raises(ProtocolError):
        schema(document).problems({"a": 1}, NONE)
    assert time.process_time() - started < 10


def test_patterns_run_in_linear_time() -> None:
    hostile = schema(
        {
            "properties": {"a": {"type": "string", "pattern": "^(a+)+$"}},
            "patternProperties": {"^(a|aa)+$": {"type": "string"}},
            "additionalProperties": False,
        }
    )
    started = time.process_time()
    assert hostile.problems({"a": "a" * 3000 + "!"}, NONE)[0][0] == "a"
    assert hostile.problems({"a" * 60 + "!": 1}, NONE)
    assert time.process_time() - started < 5


def test_a_pattern_that_cannot_be_evaluated_is_not_checked_and_said(
    caplog: pytest.LogCaptureFixture,
) -> None:
    assert schema({"properties": {"a": {"pattern": "(?=zzz)b"}}}).problems({"a": "x"}, NONE) == []
    assert "look-around" in caplog.text


DRAFT = "http://json-schema.org/draft-{}/schema#"
MIXED = [{}, *range(9_000)]


@pytest.mark.parametrize(
    ("document", "config"),
    [
        # items that cannot be sorted: jsonschema compares each with each
        ({"$schema": DRAFT.format("04"), "properties": {"a": {"enum": MIXED}}}, {"a": 3}),
        ({"required": MIXED}, {}),
        ({"items": {"uniqueItems": True}}, {}),
        # one long list, looked at again and again
        (
            {
                "$defs": {"e": {"enum": list(range(5_000))}},
                "properties": {"a": {"anyOf": [{"$ref": "#/$defs/e"}] * 2_000}},
            },
            {"a": -1},
        ),
        (
            {
                "$defs": {"e": {"required": [str(n) for n in range(5_000)]}},
                "allOf": [{"$ref": "#/$defs/e"}] * 2_000,
            },
            {},
        ),
        # references that are searched for
        (
            {
                "$defs": {f"d{n}": {"$anchor": f"n{n}"} for n in range(1_000)},
                "properties": {"a": {"allOf": [{"$ref": "#n999"}] * 3_000}},
            },
            {"a": 1},
        ),
        ({"$dynamicAnchor": "x", "allOf": [{"$dynamicRef": "#x"}] * 3_000}, {"a": 1}),
        # patterns that are dear to build, and to run
        ({"patternProperties": {f"^(a+)+${n}": {} for n in range(4_000)}}, {"a" * 200: 1}),
        ({"patternProperties": {f"(a{{1,60}}){{1,60}}{n}": {} for n in range(3_000)}}, {"a": 1}),
        # another dialect within, whose validator has no bounds
        ({"properties": {"a": {"$schema": DRAFT.format("07"), "pattern": "^(a+)+$"}}},
         {"a": "a" * 40 + "!"}),
        ({"$schema": DRAFT.format("04"), "$ref": "#"}, {"a": 1}),
    ],
)  # fmt: skip
def test_a_schema_costs_bounded_time(document: object, config: dict[str, object]) -> None:
    started = time.process_time()
    with contextlib.suppress(ProtocolError):
        schema(document).problems(config, NONE)
    # to check the schema, to check the config, and the last keyword of each
    assert time.process_time() - started < MAX_CHECK_TIME + MAX_TIME + 3


def test_the_number_of_values_is_capped() -> None:
    with pytest.raises(ProtocolError, match="more than 10000 values"):
        schema({"enum": list(range(MAX_NODES))})
    assert schema({"enum": list(range(MAX_NODES - 10))}).problems({}, NONE)


def test_patterns_that_are_not_checked_are_told_once(caplog: pytest.LogCaptureFixture) -> None:
    schema({"patternProperties": {f"(?=z)b{n}": {} for n in range(300)}}).problems({"a": 1}, NONE)
    assert len(caplog.records) == 1


def test_problems_are_capped() -> None:
    found = schema({"required": [str(n) for n in range(5_000)]}).problems({}, NONE)
    assert len(found) == MAX_PROBLEMS


def test_items_are_unique_as_json_schema_has_it() -> None:
    one = schema({"properties": {"a": {"uniqueItems": True}}})
    for items in ([1, True], [0, False], [1, "1"], [{"x": 1}, {"x": 2}], [[1], [1, 1]], "aa"):
        assert one.problems({"a": items}, NONE) == []
    for items in ([1, 1.0], [{"x": 1, "y": 2}, {"y": 2.0, "x": 1}], [None, None], ["a", "a"]):
        assert len(one.problems({"a": items}, NONE)) == 1
    assert schema({"properties": {"a": {"uniqueItems": False}}}).problems({"a": [1, 1]}, NONE) == []


def test_pattern_properties_and_additional_properties() -> None:
    one = schema(
        {
            "properties": {"k": {}},
            "patternProperties": {"^x_": {"type": "integer"}},
            "additionalProperties": {"type": "string"},
        }
    )
    assert one.problems({"k": 1, "x_a": 1, "b": "s"}, NONE) == []
    assert [p for p, _ in one.problems({"x_a": "s", "b": 2}, NONE)] == ["b", "x_a"]


_json = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 5) | st.text("ab#/$", max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                [
                    "type",
                    "properties",
                    "$ref",
                    "allOf",
                    "pattern",
                    "patternProperties",
                    "required",
                    "additionalProperties",
                    "items",
                    "enum",
                    "const",
                    "if",
                    "then",
                    "not",
                    "$defs",
                    "minimum",
                    "uniqueItems",
                    "multipleOf",
                    "$id",
                    "$anchor",
                    "$schema",
                    "a",
                    "format",
                ]
            ),
            inner,
            max_size=4,
        )
    ),
    max_leaves=12,
)


@given(_json, st.dictionaries(st.sampled_from(["a", "b"]), _json, max_size=2))
def test_any_schema_gives_problems_or_a_protocol_error(document: object, config: dict) -> None:
    try:
        problems = schema(document).problems(config, NONE)
    except ProtocolError:
        return
    assert all(isinstance(part, str) for problem in problems for part in problem)
