"""The config class: its typed fields become a JSON Schema, and a reader of configs.

Known types: `str int float bool None Any`, `Literal`, `Enum` of strings, `X | Y`, `list[X]`, `tuple[X, ...]`,
`dict[str, X]`, dataclasses, `Tool`. `Annotated[X, "words"]` describes a field, `Annotated[X, Limit(minimum=0)]` bounds
it.
"""

from __future__ import annotations

import dataclasses
import types
import typing
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any, Final, Literal, Union

from fumehood_pdk import _json
from fumehood_pdk._errors import ProviderError
from fumehood_pdk._replies import Tool
from fumehood_pdk._replies import tool as read_tool

DIALECT: Final = "https://json-schema.org/draft/2020-12/schema"

Read = Callable[[Any, str], Any]
"""Reads a JSON value found at a path; ValueError naming the path where it does not fit."""


@dataclass(frozen=True, slots=True)
class Limit:
    """Bounds of a field: numbers between `minimum` and `maximum`, both included, and `format`, a hint for people."""

    minimum: float | None = None
    maximum: float | None = None
    format: str | None = None

    def check(self, value: Any, path: str) -> Any:
        """`value`, or ValueError when it is a number out of bounds."""
        if isinstance(value, int | float) and not isinstance(value, bool):
            if self.minimum is not None and value < self.minimum:
                raise ValueError(f"`{path}` must be at least {self.minimum:g}")
            if self.maximum is not None and value > self.maximum:
                raise ValueError(f"`{path}` must be at most {self.maximum:g}")
        return value


@dataclass(slots=True)
class Field:
    """A key of the config. `default` is MISSING where the key is mandatory."""

    name: str
    read: Read
    default: Callable[[], Any] | None


@dataclass(slots=True)
class Config:
    """What `of` found out about a class."""

    cls: type
    fields: dict[str, Field]
    schema: dict[str, Any]

    def build(self, raw: Any) -> Any:
        """An instance from the host's config. ProviderError (`json_error`) naming the key that does not fit."""
        try:
            return self.cls(**self._values(raw, partial=False))
        except ValueError as problem:
            raise ProviderError.json_error(f"config: {problem}") from None

    def build_partial(self, raw: Any) -> Any:
        """An instance that has only the keys given and the defaults, made without `__init__`: models are listed
        before everything is configured. ProviderError (`json_error`) for a key that is given and does not fit."""
        instance: Any = object.__new__(self.cls)
        try:
            values = self._values(raw, partial=True)
        except ValueError as problem:
            raise ProviderError.json_error(f"config: {problem}") from None
        for field in self.fields.values():
            if field.name not in values and field.default is not None:
                values[field.name] = field.default()
        for name, value in values.items():
            object.__setattr__(instance, name, value)
        return instance

    def _values(self, raw: Any, *, partial: bool) -> dict[str, Any]:
        return _object(raw, self.fields, "", partial=partial)


def of(cls: type, names: Mapping[str, Any] | None = None) -> Config:
    """The config of a dataclass. `names` resolves annotations that its module does not know.

    Raises TypeError naming the class and field whose type is none of ours.
    """
    maker = _Maker(dict(names or {}))
    fields, schema = maker.members(cls)
    schema["title"] = cls.__name__
    doc = _doc(cls)
    if doc:
        schema["description"] = doc
    schema["$schema"] = DIALECT
    if maker.defs:
        schema["$defs"] = maker.defs
    return Config(cls, fields, schema)


def _doc(cls: type) -> str | None:
    doc = cls.__doc__
    # dataclasses invent one: "Name(field: type)"
    if doc is None or doc.startswith(f"{cls.__name__}("):
        return None
    return " ".join(doc.split("\n\n")[0].split())


def _object(raw: Any, fields: Mapping[str, Field], path: str, *, partial: bool = False) -> dict[str, Any]:
    if not isinstance(raw, dict):
        raise ValueError(f"{f'`{path}`' if path else 'it'} must be an object")
    values: dict[str, Any] = {}
    for key, value in raw.items():
        field = fields.get(key)
        if field is not None:
            values[key] = field.read(value, f"{path}.{key}" if path else key)
        elif not partial:
            known = ", ".join(fields) or "none"
            raise ValueError(f"unknown key `{f'{path}.{key}' if path else key}`, the known ones are: {known}")
    for field in fields.values():
        if not partial and field.default is None and field.name not in values:
            raise ValueError(f"missing key `{f'{path}.{field.name}' if path else field.name}`")
    return values


class _Maker:
    """Schemas and readers of one config; nested dataclasses go to `$defs`."""

    def __init__(self, names: dict[str, Any]) -> None:
        self.names = names
        self.defs: dict[str, Any] = {}
        self._known: dict[type, tuple[dict[str, Field], dict[str, Any]]] = {}

    def members(self, cls: type) -> tuple[dict[str, Field], dict[str, Any]]:
        try:
            hints = typing.get_type_hints(cls, localns=self.names, include_extras=True)
        except NameError as problem:
            raise TypeError(f"{cls.__name__}: {problem}: config fields need types that are known at run time") from None
        fields: dict[str, Field] = {}
        properties: dict[str, Any] = {}
        for field in dataclasses.fields(cls):
            if not field.init:
                continue
            try:
                schema, read = self.of(hints[field.name])
            except TypeError as problem:
                raise TypeError(f"{cls.__name__}.{field.name}: {problem}") from None
            default: Callable[[], Any] | None = None
            if field.default is not dataclasses.MISSING:
                default = _always(field.default)
            elif field.default_factory is not dataclasses.MISSING:
                default = field.default_factory
            if default is not None:
                schema = {**schema, "default": _plain(default(), f"{cls.__name__}.{field.name}")}
            fields[field.name] = Field(field.name, read, default)
            properties[field.name] = schema
        required = [field.name for field in fields.values() if field.default is None]
        schema = {"type": "object", "properties": properties, "required": required, "additionalProperties": False}
        return fields, schema

    def of(self, hint: Any) -> tuple[dict[str, Any], Read]:
        origin, args = typing.get_origin(hint), typing.get_args(hint)
        if origin is typing.Annotated:
            return self._annotated(args[0], args[1:])
        if origin in (Union, types.UnionType):
            return self._union(args)
        if origin is Literal:
            return _choice(list(args))
        if origin in (list, tuple) and (len(args) == 1 or (len(args) == 2 and args[1] is Ellipsis)):
            return self._list(args[0], origin)
        if origin is dict and args[0] is str:
            return self._dict(args[1])
        if hint in _SIMPLE:
            return _simple(hint)
        if hint is list:
            return self._list(Any, list)
        if hint is dict:
            return self._dict(Any)
        if hint is Tool:
            return _TOOL, _read_tool
        if isinstance(hint, type) and issubclass(hint, Enum):
            return _enum(hint)
        if isinstance(hint, type) and dataclasses.is_dataclass(hint):
            return self._dataclass(hint)
        raise TypeError(f"{hint!r} is no type that a config can have")

    def _annotated(self, inner: Any, notes: tuple[Any, ...]) -> tuple[dict[str, Any], Read]:
        schema, read = self.of(inner)
        schema = dict(schema)
        for note in notes:
            if isinstance(note, str):
                schema["description"] = note
            elif isinstance(note, Limit):
                schema.update({k: v for k, v in dataclasses.asdict(note).items() if v is not None})
                read = _limited(read, note)
        return schema, read

    def _union(self, members: tuple[Any, ...]) -> tuple[dict[str, Any], Read]:
        made = [self.of(member) for member in members]
        schemas, readers = [schema for schema, _ in made], [read for _, read in made]

        def read(value: Any, path: str) -> Any:
            problems = []
            for one in readers:
                try:
                    return one(value, path)
                except ValueError as problem:
                    problems.append(str(problem))
            if len(problems) == 2 and type(None) in members:
                problems = [text for text in problems if not text.endswith("must be null")]
            raise ValueError("; or ".join(dict.fromkeys(problems)))

        if all(set(schema) <= {"type", "minimum", "maximum", "items", "format"} for schema in schemas):
            kinds = [schema["type"] for schema in schemas if "type" in schema]
            if len(kinds) == len(schemas) and len(set(map(str, kinds))) == len(kinds) and all(map(_is_text, kinds)):
                merged: dict[str, Any] = {}
                for schema in schemas:
                    merged.update(schema)
                merged["type"] = kinds
                return merged, read
        return {"anyOf": schemas}, read

    def _list(self, item: Any, kind: Any) -> tuple[dict[str, Any], Read]:
        schema, each = self.of(item)

        def read(value: Any, path: str) -> Any:
            if not isinstance(value, list):
                raise ValueError(f"`{path}` must be a list")
            return kind(each(one, f"{path}[{index}]") for index, one in enumerate(value))

        return {"type": "array", "items": schema} if schema else {"type": "array"}, read

    def _dict(self, item: Any) -> tuple[dict[str, Any], Read]:
        schema, each = self.of(item)

        def read(value: Any, path: str) -> Any:
            if not isinstance(value, dict):
                raise ValueError(f"`{path}` must be an object")
            return {key: each(one, f"{path}.{key}") for key, one in value.items()}

        return {"type": "object", "additionalProperties": schema or True}, read

    def _dataclass(self, cls: type) -> tuple[dict[str, Any], Read]:
        if cls not in self._known:
            # filled in place, so that a class may hold itself
            self._known[cls] = ({}, {})
            fields, schema = self.members(cls)
            doc = _doc(cls)
            self._known[cls][0].update(fields)
            self._known[cls][1].update({**schema, "description": doc} if doc else schema)
            self.defs[cls.__name__] = self._known[cls][1]
        fields = self._known[cls][0]

        def read(value: Any, path: str) -> Any:
            return cls(**_object(value, fields, path))

        return {"$ref": f"#/$defs/{cls.__name__}"}, read


def _is_text(value: object) -> bool:
    return isinstance(value, str)


def _always(value: Any) -> Callable[[], Any]:
    return lambda: value


def _limited(read: Read, limit: Limit) -> Read:
    return lambda value, path: limit.check(read(value, path), path)


def _plain(value: Any, where: str) -> Any:
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        value = dataclasses.asdict(value)
    try:
        return _json.loads(_json.dumps(value))
    except ValueError as problem:
        raise TypeError(f"{where}: the default {problem}") from None


_SIMPLE: Final[dict[Any, tuple[str, tuple[type, ...], str]]] = {
    str: ("string", (str,), "a string"),
    bool: ("boolean", (bool,), "true or false"),
    int: ("integer", (int,), "an integer"),
    float: ("number", (int, float), "a number"),
    type(None): ("null", (type(None),), "null"),
    Any: ("", (), ""),
}


def _simple(hint: Any) -> tuple[dict[str, Any], Read]:
    name, accepted, words = _SIMPLE[hint]
    if not name:
        return {}, lambda value, _path: value

    def read(value: Any, path: str) -> Any:
        # not isinstance: true is no integer here
        if type(value) not in accepted:
            raise ValueError(f"`{path}` must be {words}")
        return value

    return {"type": name}, read


def _choice(choices: list[Any]) -> tuple[dict[str, Any], Read]:
    words = ", ".join(_json.dumps(choice).decode() for choice in choices)

    def read(value: Any, path: str) -> Any:
        for choice in choices:
            if type(choice) is type(value) and choice == value:
                return choice
        raise ValueError(f"`{path}` must be one of {words}")

    return {"enum": choices}, read


def _enum(cls: type[Enum]) -> tuple[dict[str, Any], Read]:
    schema, choose = _choice([member.value for member in cls])
    return schema, lambda value, path: cls(choose(value, path))


_TOOL: Final = {
    "type": "object",
    "properties": {
        "type": {"type": "string"},
        "function": {
            "type": "object",
            "properties": {"name": {"type": "string"}, "description": {"type": "string"}, "parameters": {}},
            "required": ["name", "description", "parameters"],
        },
    },
    "required": ["type", "function"],
}


def _read_tool(value: Any, path: str) -> Tool:
    try:
        return read_tool(value)
    except ValueError as problem:
        raise ValueError(f"`{path}`: {problem}") from None
