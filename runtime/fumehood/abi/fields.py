"""Reading decoded JSON documents field by field; every refusal names the path (ProtocolError).

"opt" in the specification means: absent or null. `get_*` functions take the value of one field,
`opt_*` functions answer None for absent and null alike. Booleans are never integers here.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Collection
from typing import Any, Final

from fumehood.errors import ProtocolError

U32_MAX: Final = (1 << 32) - 1
U64_MAX: Final = (1 << 64) - 1

Object = dict[str, Any]

_NAMES: Final = {
    dict: "an object",
    list: "an array",
    str: "text",
    int: "an integer",
    float: "a number",
    bool: "a boolean",
    type(None): "null",
}


def _refuse(what: str, wanted: str, value: Any) -> ProtocolError:
    return ProtocolError(f"{what} must be {wanted}, not {_NAMES.get(type(value), 'this')}")


def as_object(value: Any, what: str) -> Object:
    """`value` as an object."""
    if type(value) is not dict:
        raise _refuse(what, "an object", value)
    return value


def as_array(value: Any, what: str) -> list[Any]:
    """`value` as an array."""
    if type(value) is not list:
        raise _refuse(what, "an array", value)
    return value


def as_text(value: Any, what: str) -> str:
    """`value` as text."""
    if type(value) is not str:
        raise _refuse(what, "text", value)
    return value


def as_int(value: Any, what: str, low: int = 0, high: int = U64_MAX) -> int:
    """`value` as an integer from `low` to `high`; `1.0` is none."""
    if type(value) is not int:
        raise _refuse(what, "an integer", value)
    if not low <= value <= high:
        raise ProtocolError(f"{what} must be from {low} to {high}, not {value}")
    return value


def as_number(value: Any, what: str) -> float:
    """`value` as a float; integers are numbers too."""
    if type(value) is not float and type(value) is not int:
        raise _refuse(what, "a number", value)
    return float(value)


def as_bool(value: Any, what: str) -> bool:
    """`value` as a boolean."""
    if type(value) is not bool:
        raise _refuse(what, "a boolean", value)
    return value


def as_texts(value: Any, what: str) -> list[str]:
    """`value` as an array of text."""
    items = as_array(value, what)
    if not set(map(type, items)) <= {str}:
        raise ProtocolError(f"{what} must be an array of text only")
    return items


def as_base64(value: Any, what: str) -> bytes:
    """The bytes of base64 text: standard alphabet, padding mandatory, canonical (§3.8)."""
    text = as_text(value, what)
    try:
        data = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise ProtocolError(f"{what} is not standard base64 with padding") from None
    if base64.b64encode(data).decode("ascii") != text:
        raise ProtocolError(f"{what} is not canonical base64")
    return data


def field(obj: Object, key: str, what: str) -> Any:
    """The value of a mandatory field; null is a value."""
    try:
        return obj[key]
    except KeyError:
        raise ProtocolError(f"{what} lacks '{key}'") from None


def get_text(obj: Object, key: str, what: str) -> str:
    """A mandatory text field."""
    return as_text(field(obj, key, what), f"{what}.{key}")


def get_int(obj: Object, key: str, what: str, low: int = 0, high: int = U64_MAX) -> int:
    """A mandatory integer field."""
    return as_int(field(obj, key, what), f"{what}.{key}", low, high)


def get_object(obj: Object, key: str, what: str) -> Object:
    """A mandatory object field."""
    return as_object(field(obj, key, what), f"{what}.{key}")


def get_array(obj: Object, key: str, what: str) -> list[Any]:
    """A mandatory array field."""
    return as_array(field(obj, key, what), f"{what}.{key}")


def opt_text(obj: Object, key: str, what: str) -> str | None:
    """An optional text field."""
    value = obj.get(key)
    return None if value is None else as_text(value, f"{what}.{key}")


def opt_int(obj: Object, key: str, what: str, high: int = U64_MAX) -> int | None:
    """An optional integer field, not negative."""
    value = obj.get(key)
    return None if value is None else as_int(value, f"{what}.{key}", 0, high)


def opt_number(obj: Object, key: str, what: str) -> float | None:
    """An optional number field."""
    value = obj.get(key)
    return None if value is None else as_number(value, f"{what}.{key}")


def only_keys(obj: Object, allowed: Collection[str], what: str) -> None:
    """Refuse keys that are not `allowed`."""
    for key in obj:
        if key not in allowed:
            raise ProtocolError(f"{what} has a key that is not allowed: {key[:80]!r}")


def only_entry(value: Any, what: str) -> tuple[str, Any]:
    """Key and value of an object that must have exactly one (an externally tagged value)."""
    obj = as_object(value, what)
    if len(obj) != 1:
        raise ProtocolError(f"{what} must have exactly one key, not {len(obj)}")
    return next(iter(obj.items()))


def decode_utf8(data: bytes | bytearray | memoryview, what: str) -> str:
    """RAW output (§0.2): bare UTF-8 text. Raises ProtocolError where it is no UTF-8."""
    try:
        return bytes(data).decode()
    except UnicodeDecodeError as problem:
        raise ProtocolError(f"{what} is not valid UTF-8: {problem.reason}") from None


def without_none(obj: Object) -> Object:
    """`obj` without the keys whose value is None: "omitted when unset"."""
    return {key: value for key, value in obj.items() if value is not None}
