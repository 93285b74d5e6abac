"""Runs the cases of expected.json through the `extism` package's names.

    python -m tests.guests.peer rust go             # on the `extism` package
    python -m tests.guests.peer --own rust go       # the same code on `fumehood.extism`

Apart from the tests because that package must not share their process: it may end it. Prints one
JSON list of complaints; an empty one means that every compared call did what is written down.
"""

from __future__ import annotations

import json
import sys
import tempfile
import urllib.error
import urllib.request
from pathlib import Path
from typing import Annotated, Any

from tests.guests import guest_path
from tests.guests.conformance import Call, Case, load, matches, output_complaint
from tests.guests.web import serve

OWN = "--own" in sys.argv
if OWN:
    import fumehood.extism as extism
    from fumehood.extism import CurrentPlugin, Json, Val, ValType
else:
    import extism
    from extism import CurrentPlugin, Json, Val, ValType

YIELDED: list[Any] = []
STREAMS: dict[int, Any] = {}


@extism.host_fn()
def upper(text: str) -> str:
    return text.upper()


@extism.host_fn()
def measure_json(value: Annotated[dict, Json]) -> Annotated[dict, Json]:
    return {**value, "length": len(value["text"])}


@extism.host_fn()
def double_boxed(value: bytes) -> bytes:
    return (int.from_bytes(value, "little") * 2).to_bytes(8, "little")


@extism.host_fn()
def sink(text: str):  # no annotation: no result
    """Takes it and returns nothing."""


@extism.host_fn(signature=([ValType.I64], [ValType.I64]))
def same(_plugin: CurrentPlugin, params: list[Val], results: list[Val]) -> None:
    results[0].value = params[0].value


@extism.host_fn()
def fails(text: str) -> str:
    raise LookupError(text)


@extism.host_fn(namespace="test:elsewhere")
def greet(name: str) -> str:
    return f"Hello, {name}!"


@extism.host_fn(signature=([ValType.I64, ValType.I64], [ValType.I64]))
def add(_plugin: CurrentPlugin, params: list[Val], results: list[Val]) -> None:
    results[0].value = (params[0].value + params[1].value) & 0xFFFF_FFFF_FFFF_FFFF


@extism.host_fn(signature=([], [ValType.I32]))
def answer(_plugin: CurrentPlugin, _params: list[Val], results: list[Val]) -> None:
    results[0].value = 42


@extism.host_fn(signature=([ValType.I32, ValType.I64, ValType.F32, ValType.F64], [ValType.F64]))
def mix(_plugin: CurrentPlugin, params: list[Val], results: list[Val]) -> None:
    results[0].value = sum(value.value for value in params)


def exchange(value: dict[str, Any]) -> Any:
    head = value["req"]["head"]
    body = bytes(value["req"]["body"]) or None
    request = urllib.request.Request(
        head["uri"], data=body, headers=head["headers"], method=head["method"]
    )
    try:
        return urllib.request.urlopen(request)
    except urllib.error.HTTPError as error:
        return error


@extism.host_fn()
def qmt_http_request(request: Annotated[dict, Json]) -> Annotated[dict, Json]:
    with exchange(request) as reply:
        headers = {name.lower(): value for name, value in reply.headers.items()}
        head = {"status": reply.status, "headers": headers, "version": "HTTP/1.1"}
        return {"resp": {"head": head, "body": list(reply.read())}}


@extism.host_fn()
def qmt_http_stream_open(request: Annotated[dict, Json]) -> Annotated[dict, Json]:
    STREAMS[1] = exchange(request)
    return {"status": "ok", "stream_id": 1}


@extism.host_fn()
def qmt_http_stream_next(stream: Annotated[int, Json]) -> bytes:
    return STREAMS[stream].read(100)


@extism.host_fn()
def qmt_http_stream_close(stream: Annotated[int, Json]):  # no annotation: no result
    STREAMS.pop(stream).close()


@extism.host_fn()
def qmt_yield_chunk(chunk: Annotated[dict, Json]):  # no annotation: no result
    YIELDED.append(chunk)


@extism.host_fn()
def qmt_log(record: Annotated[dict, Json]):  # no annotation: no result
    """The guests' own log: nothing is expected of it."""


def manifest(case: Case, folder: Path) -> dict[str, Any]:
    wasm = [{"name": name, "path": str(guest_path(g))} for name, g in case.guests.items()]
    wasm.sort(key=lambda entry: entry["name"] == "main")
    said: dict[str, Any] = {"wasm": wasm, "allowed_hosts": list(case.allowed_hosts)}
    if case.config:
        said["config"] = case.config
    if "deadline" in case.limits:
        said["timeout_ms"] = int(case.limits["deadline"] * 1000)
    if case.folder:
        prefix = "ro:" if case.folder["read_only"] else ""
        said["allowed_paths"] = {f"{prefix}{folder}": case.folder["guest"]}
    return said


def complaint(plugin: extism.Plugin, call: Call) -> str | None:
    """What differs from the expectation, or from `peer` where that is written; else None."""
    expect = call.expect if OWN or call.peer is None else call.peer
    YIELDED.clear()
    try:
        output = plugin.call(call.export, call.data)
    except extism.Error as error:
        raised = expect.get("raises")
        if raised is None:
            return f"raised {error}"
        text = raised if isinstance(raised, str) else raised.get("message", "")
        return None if text in str(error) else f"raised {error}, not {text!r}"
    except (ValueError, OverflowError) as error:  # the peer's own: it cannot read what came back
        return f"raised {error!r}"
    if "chunks" in expect and not matches(YIELDED, expect["chunks"]):
        return f"yielded {YIELDED}"
    return output_complaint(output, expect)


def run(case: Case, web: str) -> list[str]:
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        (folder / "hello.txt").write_text("hello from the host", "utf-8")
        found = []
        with extism.Plugin(manifest(case, folder), wasi=True) as plugin:
            for call in case.calls(web):
                if (OWN or call.compared) and (wrong := complaint(plugin, call)):
                    found.append(f"{case.name}: {call.export}({call.data[:60]!r}) {wrong}")
        return found


def main(languages: list[str]) -> int:
    complaints = []
    extism.set_log_custom(lambda _line: None, "trace")  # guests ask for the level
    with serve() as web:
        for case in load():
            known = {name.partition("/")[0] for name in case.guests.values()} <= {*languages, "wat"}
            if case.compared and known:
                complaints += run(case, web)
    json.dump(complaints, sys.stdout)
    return int(bool(complaints))


if __name__ == "__main__":
    sys.exit(main([word for word in sys.argv[1:] if word != "--own"]))
