"""Every row of the gallery is contained, in time, while a well-behaved plugin works beside it."""

from __future__ import annotations

import json
import logging
import pickle
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from fumehood import Registry
from fumehood.errors import CacheError, Error, LoadError, UsageError
from fumehood.plugin import Plugin
from fumehood.provider import chain
from fumehood.testing.gallery import GALLERY, STUB, Attack, source
from fumehood.testing.gallery.providers import BAIT, CANARY
from fumehood.testing.gallery.reflections import CANARY as REFLECTED
from fumehood.testing.gallery.run import GRACE, Containment, contain_in_time
from fumehood.testing.gallery.stage import environment
from fumehood.testing.stub import StubServer


@pytest.fixture(scope="module")
def stub() -> Iterator[StubServer]:
    with StubServer() as server:
        yield server


@pytest.fixture
def neighbour() -> Iterator[list[str]]:
    """A well-behaved plugin at work in another thread; the list holds its wrong answers."""
    wrong: list[str] = []
    done, first = threading.Event(), threading.Event()
    answers = 0

    def work() -> None:
        nonlocal answers
        with Plugin(source("well_behaved").encode()) as plugin:
            while not done.is_set():
                text = f"answer {answers}".encode()
                try:
                    if (output := plugin.call("run", text)) != text:
                        wrong.append(f"{output!r} instead of {text!r}")
                except Exception as error:
                    wrong.append(repr(error))
                answers += 1
                first.set()
                done.wait(0.005)

    thread = threading.Thread(target=work)
    thread.start()
    assert first.wait(30)
    before = answers
    yield wrong
    done.set()
    thread.join()
    assert answers >= before


CANARIES = (CANARY, BAIT, REFLECTED)


def leaks(stub: StubServer, end: Containment) -> list[str]:
    """Where a canary is, but for the one header of the one row that may send it."""
    places = [f"{request.target} {request.body!r}" for request in stub.requests]
    places += [
        f"{name}: {value}"
        for request in stub.requests
        for name, value in request.headers
        if (end.attack.name, name) != ("key_kept_private", "authorization")
    ]
    places += [repr(end.error), str(end.error), repr(end.output), repr(end.receipt)]
    places += [repr(vars(end.error)) if end.error else ""]
    # what a pool of processes would send back
    places += [pickle.dumps(part).decode("latin-1") for part in (end.error, end.receipt)]
    return [place for place in places if any(canary in place for canary in CANARIES)]


@pytest.mark.parametrize("attack", GALLERY, ids=lambda attack: attack.name)
def test_contained(
    attack: Attack,
    stub: StubServer,
    neighbour: list[str],
    caplog: pytest.LogCaptureFixture,
) -> None:
    stub.requests.clear()
    caplog.set_level(logging.DEBUG, "fumehood")
    end = contain_in_time(attack, stub.url)
    assert end.contained, end.why
    assert end.late <= GRACE, f"contained {end.late:.3f} s after its deadline"
    assert neighbour == []
    assert leaks(stub, end) == []
    told = "\n".join(f"{record.getMessage()} {record.__dict__}" for record in caplog.records)
    assert not any(canary in told for canary in CANARIES)
    if end.error is not None:
        again = pickle.loads(pickle.dumps(end.error))
        assert (type(again), vars(again)) == (type(end.error), vars(end.error))
    if end.error is not None and not isinstance(end.error, LoadError | UsageError | CacheError):
        assert end.error.receipt is not None
        assert end.error.plugin
    if attack.name == "key_kept_private":
        assert stub.requests[-1].header("authorization") == f"Bearer {CANARY}"


@pytest.mark.parametrize(
    "attack", [row for row in GALLERY if row.chat and row.guest == "provider"], ids=lambda a: a.name
)
def test_the_audit_tells_of_it_without_the_key(
    attack: Attack, stub: StubServer, tmp_path: Path
) -> None:
    """Every hostile provider again, as an entry of a file with an audit."""
    (tmp_path / "it.wat").write_text(
        attack.source(stub.url), encoding="utf-8", errors="surrogateescape"
    )
    config = {key: value.replace(STUB, stub.url) for key, value in attack.config.items()}
    entry = {"name": "it", "path": "it.wat", "config": config}
    (tmp_path / "plugins.json").write_text(json.dumps({"providers": [entry]}))
    audit = tmp_path / "audit.jsonl"
    failed = False
    with (
        environment(attack.environ),
        Registry(tmp_path / "plugins.json", audit=audit, ceiling=attack.operation) as registry,
    ):
        try:
            with registry.open("it") as provider:
                provider.chat("hello")
        except Error:
            failed = True
    with audit.open("rb") as file:
        result = chain.verify(file, audit.stat().st_size)
    assert result.problems == ()
    lines = [json.loads(line) for line in audit.read_text().splitlines()]
    assert lines
    assert any(line["outcome"] != "done" for line in lines) == failed
    assert not any(canary in audit.read_text() for canary in CANARIES)
