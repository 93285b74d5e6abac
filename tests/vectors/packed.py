"""An implementation of the MessagePack wire (docs/wire.md), asked in JSON: what goes in is packed,
what comes out is written as the JSON wire has it. So the same vectors hold both wires."""

from __future__ import annotations

import json
import struct
from typing import Any, Final

import msgpack
from fumehood_pdk import _vectors

from tests.vectors import Call, _compact

_VECTORS: Final = "parse_embed_response"
_ERROR: Final = "classify_chat_error"


def packed(call: Call) -> Call:
    """`call`, over MessagePack wherever the input is an object."""

    def over(export: str, data: bytes) -> tuple[bool, bytes]:
        document = json.loads(data)
        if not isinstance(document, dict):
            return call(export, data)
        ok, answer = call(export, msgpack.packb(with_bytes(document)))
        if not ok or export == _ERROR:
            assert json.loads(answer)["payload"]["type"]  # errors are JSON always
            return ok, answer
        return ok, _written(export, msgpack.unpackb(answer))

    return over


def with_bytes(document: dict[str, Any]) -> dict[str, Any]:
    """A JSON document with bytes where the wire has arrays of them; other arrays stay."""
    made = dict(document)
    if "chunk" in made:
        made["chunk"] = bytes(made["chunk"])
    if "resp" in made:
        reply = made["resp"]["resp"]
        made["resp"] = {"resp": {**reply, "body": bytes(reply["body"])}}
    if "messages" in made:
        made["messages"] = [
            {**message, "content": _blocks(message["content"])} for message in made["messages"]
        ]
    return made


def _blocks(blocks: list[Any]) -> list[Any]:
    return [
        {**block, "data": bytes(block["data"])}
        if block["type"] in ("image", "pdf", "audio")
        else {**block, "content": _blocks(block["content"])}
        if block["type"] == "tool_result"
        else block
        for block in blocks
    ]


def _written(export: str, value: Any) -> bytes:
    if isinstance(value, dict) and value.keys() == {"req"}:
        request = value["req"]
        assert list(request) == ["head", "body"]
        assert type(request["body"]) is bytes
        return _compact({"req": {**request, "body": list(request["body"])}})
    if export == _VECTORS:
        for number in (number for vector in value for number in vector):
            assert struct.unpack("<f", struct.pack("<f", number))[0] == number  # f32 as it is
        return _vectors.encode(value)
    return _compact(value)
