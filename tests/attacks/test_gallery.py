"""Every row of the gallery is contained, in time, while a well-behaved plugin works beside it."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest

from fumehood.errors import CacheError, LoadError, UsageError
from fumehood.plugin import Plugin
from fumehood.testing.gallery import GALLERY, Attack, source
from fumehood.testing.gallery.providers import BAIT, CANARY
from fumehood.testing.gallery.reflections import CANARY as REFLECTED
from fumehood.testing.gallery.run import GRACE, Containment, contain_in_time
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
    return [place for place in places if any(canary in place for canary in CANARIES)]


@pytest.mark.parametrize("attack", GALLERY, ids=lambda attack: attack.name)
def test_contained(attack: Attack, stub: StubServer, neighbour: list[str]) -> None:
    stub.requests.clear()
    end = contain_in_time(attack, stub.url)
    assert end.contained, end.why
    assert end.late <= GRACE, f"contained {end.late:.3f} s after its deadline"
    assert neighbour == []
    assert leaks(stub, end) == []
    if end.error is not None and not isinstance(end.error, LoadError | UsageError | CacheError):
        assert end.error.receipt is not None
        assert end.error.plugin
    if attack.name == "key_kept_private":
        assert stub.requests[-1].header("authorization") == f"Bearer {CANARY}"
