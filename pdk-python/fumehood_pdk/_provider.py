"""The decorator `provider`: what a class must be to become a plugin is checked here, before anything is built."""

from __future__ import annotations

import dataclasses
import difflib
import inspect
import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final, TypeVar, dataclass_transform

from fumehood_pdk import _schema

_C = TypeVar("_C", bound=type)

METHODS: Final[dict[str, tuple[str, ...]]] = {
    "chat_request": ("messages", "tools"),
    "parse_chat": ("response",),
    "chat_stream_request": ("messages", "tools"),
    "chat_stream_parser": (),
    "classify_chat_error": ("response",),
    "embed_request": ("inputs",),
    "parse_embed": ("response",),
    "complete_request": ("request",),
    "parse_complete": ("response",),
    "list_models_request": (),
    "parse_list_models": ("response",),
    "list_models_static": (),
    "transcribe_request": ("request",),
    "parse_transcribe": ("response",),
    "speech_request": ("request",),
    "parse_speech": ("response",),
}
"""The methods that a provider may have, and what each is given besides `self`."""

PAIRS: Final = (
    ("chat_request", "parse_chat"),
    ("chat_stream_request", "chat_stream_parser"),
    ("embed_request", "parse_embed"),
    ("complete_request", "parse_complete"),
    ("list_models_request", "parse_list_models"),
    ("transcribe_request", "parse_transcribe"),
    ("speech_request", "parse_speech"),
)
"""One is of no use without the other."""

_ALWAYS: Final = (
    "name",
    "base_url",
    "api_key_name",
    "init_logging",
    "config_schema",
    "from_config",
    "supports_streaming",
    # by these five a host knows that it does the HTTP; where a method is missing they say so
    "chat_request",
    "chat_stream_request",
    "parse_chat_response",
    "list_models_request",
    "parse_list_models_response",
)
_BY_METHOD: Final = {
    "chat_stream_parser": (
        "chat_stream_parser_start",
        "chat_stream_parser_parse",
        "chat_stream_parser_finish",
        "chat_stream_parser_close",
    ),
    "classify_chat_error": ("classify_chat_error",),
    "embed_request": ("embed_request", "parse_embed_response"),
    "complete_request": ("complete_request", "parse_complete_response"),
    "list_models_static": ("list_models_static",),
    "transcribe_request": ("transcribe",),
    "speech_request": ("speech",),
}


@dataclass(slots=True)
class Provider:
    """A decorated class, ready to be dispatched to."""

    cls: type
    name: str
    api_key_name: str | None
    base_url: str | None
    config: _schema.Config
    methods: frozenset[str]

    @property
    def exports(self) -> list[str]:
        """The exports of the plugin (provider-abi.md §1.1); those of methods that are missing are left out."""
        names = list(_ALWAYS)
        for method, exports in _BY_METHOD.items():
            if method in self.methods:
                names.extend(exports)
        return names


_ATTRIBUTE: Final = "__fumehood_provider__"
registered: list[Provider] = []
"""Every class decorated in this process; a plugin has exactly one."""


@dataclass_transform()
def provider(*, name: str, api_key_name: str | None = None, base_url: str | None = None) -> Callable[[_C], _C]:
    """Make a class a provider plugin.

    `name` is what hosts show; `api_key_name` the environment variable that usually holds the key; `base_url` the
    address when nothing is configured (by default the default of the field `base_url`). The class becomes a dataclass
    if it is none; its fields are the configuration, their types the schema.

    Raises TypeError naming the method or field that makes no sense: a pair of which half is missing, a signature that
    cannot be called, a type that a config cannot have.
    """
    if not isinstance(name, str) or not name.strip():
        raise TypeError('@provider needs name="…": what hosts show')
    caller = sys._getframe(1).f_locals  # a class in a function may use the function's names in its annotations

    def decorate(cls: _C) -> _C:
        if not isinstance(cls, type):
            raise TypeError("@provider decorates a class")
        made: type = cls if "__dataclass_fields__" in cls.__dict__ else dataclasses.dataclass(cls)
        methods = _methods(made)
        config = _schema.of(made, caller)
        own_url = base_url
        field = config.fields.get("base_url")
        if own_url is None and field is not None and field.default is not None:
            own_url = field.default()
        found = Provider(made, name, api_key_name, own_url, config, methods)
        setattr(made, _ATTRIBUTE, found)
        registered.append(found)
        return made  # type: ignore[return-value] # a dataclass is made of the class itself

    return decorate


def provider_of(cls: type) -> Provider:
    """What the decorator found out about `cls`. TypeError when it is not decorated."""
    found = cls.__dict__.get(_ATTRIBUTE)
    if not isinstance(found, Provider):
        raise TypeError(f"{cls.__name__} is not decorated with @provider")
    return found


def _methods(cls: type) -> frozenset[str]:
    given = {name for name in METHODS if hasattr(cls, name)}
    others = [name for name in vars(cls) if not name.startswith("_") and name not in METHODS]
    for name in sorted(given):
        _check(cls, name)
    for first, second in PAIRS:
        if (first in given) != (second in given):
            has, lacks = (first, second) if first in given else (second, first)
            close = difflib.get_close_matches(lacks, others, n=1, cutoff=0.75)
            hint = f" (is {close[0]} meant to be it?)" if close else ""
            raise TypeError(f"{cls.__name__} has {has} but not {lacks}: one is of no use without the other{hint}")
    if "chat_stream_request" in given and "chat_request" not in given:
        raise TypeError(f"{cls.__name__} has chat_stream_request but not chat_request: who streams must chat too")
    if not any(first in given for first, _ in PAIRS):
        close = difflib.get_close_matches("chat_request", others, n=1, cutoff=0.6)
        hint = f"; is {close[0]} meant to be chat_request?" if close else ""
        raise TypeError(f"{cls.__name__} does nothing: give it at least chat_request and parse_chat{hint}")
    return frozenset(given)


def _check(cls: type, name: str) -> None:
    wanted = METHODS[name]
    shown = f"def {name}({', '.join(('self', *wanted))})"
    method = inspect.getattr_static(cls, name)
    function = method.__func__ if isinstance(method, staticmethod | classmethod) else method
    if not callable(function):
        raise TypeError(f"{cls.__name__}.{name} must be a method: {shown}")
    if inspect.iscoroutinefunction(function) or inspect.isasyncgenfunction(function):
        raise TypeError(f"{cls.__name__}.{name} must not be async: the host does the waiting")
    if inspect.isgeneratorfunction(function):
        raise TypeError(f"{cls.__name__}.{name} must return its answer, not yield it")
    arguments: tuple[Any, ...] = wanted if isinstance(method, staticmethod) else ("self", *wanted)
    try:
        inspect.signature(function).bind(*arguments)
    except TypeError as problem:
        raise TypeError(f"{cls.__name__}.{name} cannot be called as {shown}: {problem}") from None
