"""A chat without its HTTP, and one line of a stream: sandboxed, native, in process."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from bench.natively import Missing, build
from bench.report import Row, row
from bench.run import HOME, ROOT, Effort, Spec, Worker, Workers, alike, warm, workers
from bench.sides.documents import CASES
from bench.thirdparty import ABSENT, querymt

TITLE: Final = "A chat without HTTP"
ABOUT: Final = (
    "Build the request of a chat and parse its reply: the two calls that `Provider` makes, in its "
    "sessions; nothing is sent. `kept`: an instance that is used again (`reuse=True`); `fresh`: "
    "one instance for the chat, the default. The same bundled plugin on `extism`; the same "
    "provider source compiled natively, in process, with the same bytes in and out (an instance "
    "costs it nothing, so it has one time); the openai provider in Python in this CPython, "
    "without a sandbox; QueryMT's openai plugin, unmodified, on both hosts. A line is one line of "
    "an event stream with one word in it, through a stream parser."
)
_BUNDLED: Final = ROOT / "runtime" / "fumehood" / "provider" / "bundled"
_WORKS: Final = ("kept", "fresh")
_QUERYMT: Final = "QueryMT's plugin on "


def _folder(name: str) -> str:
    return str(HOME / "chats" / name)


def _record(spec: Spec) -> None:
    with Worker(spec.command()) as recorder:
        recorder.ask({"work": "record"})


def _specs(provider: str) -> dict[str, Spec]:
    """Our plugin's sides, its calls recorded."""
    folder = _folder(provider)
    ours = {"plugin": f"bundled:{provider}", "provider": provider, "folder": folder}
    specs = {"fumehood": Spec("chats:Fumehood", ours)}
    _record(specs["fumehood"])
    guest = str(_BUNDLED / f"{provider}.wasm")
    specs["extism"] = Spec("chats:Extism", {"guest": guest, "folder": folder})
    if provider == "openai":
        specs["in-process Python"] = Spec("chats:InProcess", {"folder": folder})
    return specs


def _theirs() -> dict[str, Spec]:
    """The third-party plugin's sides, where it is there."""
    file = querymt()
    if file is None:
        return {}
    folder = _folder("querymt")
    ours = {"plugin": str(file), "provider": "openai", "folder": folder}
    specs = {f"{_QUERYMT}fumehood": Spec("chats:Fumehood", ours)}
    _record(*specs.values())
    specs[f"{_QUERYMT}extism"] = Spec("chats:Extism", {"guest": str(file), "folder": folder})
    return specs


def rows(effort: Effort) -> Iterator[Row]:
    """Yield every row."""
    absent = {}
    program = None
    try:
        program = build(quick=effort.quick)
    except Missing as why:
        absent["native Rust"] = str(why)
    for provider in ("openai", "anthropic"):
        specs, theirs = _specs(provider), _theirs() if provider == "openai" else {}
        missing = dict(absent)
        if provider == "openai" and not theirs:
            missing[f"{_QUERYMT}fumehood"] = ABSENT
        native = {"native Rust": [str(program), provider, _folder(provider)]} if program else {}
        with workers({**specs, **theirs}, native) as running:
            for case, words in CASES.items():
                for work in _WORKS:
                    request = {"work": work, "case": case}
                    _same(running, request)
                    samples = warm(running, request, effort)
                    key = f"chat.{provider}.{case}.{work}"
                    yield row(key, f"{provider}, {words}, {work}", samples, missing)
            if provider == "openai":
                samples = warm(running, {"work": "line"}, effort)
                yield row("line", "one line of a stream, openai", samples, missing)


def _same(running: Workers, request: dict[str, str]) -> None:
    """Who gets the same bytes gives the same bytes."""
    names = [name for name in ("fumehood", "native Rust") if name in running]
    alike({name: running[name] for name in names}, request)
