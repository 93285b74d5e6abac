"""Golden vectors: what goes into a provider plugin and what must come out, to the byte.

A file holds `cases`, each with a `name` that is unique in it, and one of
- `export` and `input`, the JSON document that goes in;
- `export`, `cfg`, `status`, `headers` and `body`, a reply to be parsed;
- `stream` and `cfg`, the lines of a streamed body: start, every line, one more line end, finish;
and `expected`, one entry a call: `{"request": {"head": …, "body": …}}`, `{"output": …}` or
`{"error": …}`, texts as they are on the wire. `tools/record-vectors` writes `expected` from the
plugin in Rust; the tests hold every implementation to it.

What the specification leaves free is not compared: the words of an error about a document that
cannot be read.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

FOLDER: Final = Path(__file__).parent
Call = Callable[[str, bytes], tuple[bool, bytes]]
"""An implementation: export and input to (ok, output or error document), all on one instance."""

_FREE_WORDS: Final = ("json_error", "response_format_error", "invalid_url")
_BEFORE, _BETWEEN, _AFTER = b'{"req":{"head":', b',"body":[', b"]}}"


def load(name: str) -> list[dict[str, Any]]:
    """The cases of a file."""
    cases: list[dict[str, Any]] = json.loads((FOLDER / f"{name}.json").read_text("utf-8"))["cases"]
    return cases


def run(case: dict[str, Any], call: Call) -> list[dict[str, Any]]:
    """What an implementation answers, in the form of `expected`."""
    if "stream" not in case:
        return [_entry(*call(case["export"], _input(case)))]
    entries = []
    ok, number = call("chat_stream_parser_start", json.dumps(case["cfg"]).encode())
    assert ok, number
    for line in [*case["stream"], "\n"]:
        chunk = {"parser_id": int(number), "chunk": list(line.encode())}
        entries.append(_entry(*call("chat_stream_parser_parse", _compact(chunk))))
        if "error" in entries[-1]:
            return entries
    return [*entries, _entry(*call("chat_stream_parser_finish", number))]


def comparable(entry: dict[str, Any]) -> dict[str, Any]:
    """An entry without what the specification leaves free."""
    if "error" not in entry:
        return entry
    payload = json.loads(entry["error"])["payload"]
    if payload["type"] in _FREE_WORDS:
        assert payload.pop("message")
        return {"error": payload}
    return entry


def _compact(value: Any) -> bytes:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()


def _input(case: dict[str, Any]) -> bytes:
    if "status" not in case:
        return _compact(case["input"])
    head = {"status": case["status"], "headers": case["headers"], "version": "HTTP/1.1"}
    reply = {"resp": {"head": head, "body": list(case["body"].encode())}}
    if case["export"] == "parse_list_models_response":
        return _compact({"resp": reply})
    return _compact({"cfg": case["cfg"], "resp": reply})


def _entry(ok: bool, data: bytes) -> dict[str, Any]:
    if not ok:
        return {"error": data.decode()}
    if not data.startswith(_BEFORE):
        return {"output": data.decode()}
    at = data.rindex(_BETWEEN)
    numbers = data[at + len(_BETWEEN) :].removesuffix(_AFTER)
    body = bytes(json.loads(b"[%b]" % numbers))
    # a body that is written in any other way would not come out the same
    assert numbers == b",".join(b"%d" % byte for byte in body)
    return {"request": {"head": data[len(_BEFORE) : at].decode(), "body": body.decode()}}
