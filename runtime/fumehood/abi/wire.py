"""The two wires between guest and host: one set of documents, two encodings (docs/wire.md).

Every encoder and decoder of this room takes a `Wire`. JSON is what every guest reads; MessagePack
is for plugins that export `fumehood_msgpack`, where bytes travel as `bin`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final

from fumehood.abi import jsonwire, msgwire
from fumehood.abi.bytearrays import raw_bytes

Data = bytes | bytearray | memoryview

MSGPACK_EXPORT: Final = "fumehood_msgpack"
"""The export (a global) by which a plugin says that it reads MessagePack."""


@dataclass(frozen=True, slots=True)
class Wire:
    """How documents are written."""

    name: str
    encode: Callable[[Any], bytes] = field(repr=False)
    """A document. Raises UsageError for a value that has no form in it."""
    decode: Callable[[Data, str], Any] = field(repr=False)
    """Its value; the text names it in errors. Raises ProtocolError."""
    binary: Callable[[bytes], Any] = field(repr=False)
    """Bytes as they stand inside a value for `encode`."""


JSON: Final = Wire("json", jsonwire.encode, jsonwire.decode, raw_bytes)
MSGPACK: Final = Wire("msgpack", msgwire.encode, msgwire.decode, bytes)
